"""``Wakeup``: a hint that something may have changed. It may be lost, so nothing relies on it."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

WORK: Final = "\0work"  # no aggregate id holds NUL
"""The key for changes that a worker should look at: tasks to claim or to stop, due times."""


class Wakeup:
    """Take a ticket, look, then wait on the ticket: a change in between is not missed.

    A ticket for a key (an aggregate id, ``WORK``) wakes for changes of that key only. It is
    forgotten when no caller holds it any more.
    """

    def __init__(self) -> None:
        self._any = asyncio.Event()
        self._keyed: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def ticket(self, key: str | None = None) -> asyncio.Event:
        if key is None:
            return self._any
        ticket = self._keyed.get(key)
        if ticket is None:
            ticket = self._keyed[key] = asyncio.Event()
        return ticket

    def notify(self, *keys: str) -> None:
        """Wake the holders of tickets for ``keys`` and for anything; without keys all of them."""
        event, self._any = self._any, asyncio.Event()
        event.set()
        for key in keys or tuple(self._keyed):
            keyed = self._keyed.pop(key, None)
            if keyed is not None:
                keyed.set()
