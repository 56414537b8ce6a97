"""``Wakeup``: a hint that something may have changed. It may be lost, so nobody relies on it."""

from __future__ import annotations

import asyncio
from typing import Final

WORK: Final = "\0work"  # no aggregate id holds NUL
"""The key for changes that a worker should look at: tasks to claim or to stop, due times."""


class Wakeup:
    """Take a ticket, look, then wait on the ticket: a change in between is not missed.

    A ticket for a key (an aggregate id, ``WORK``) wakes for changes of that key only.
    """

    def __init__(self) -> None:
        self._any = asyncio.Event()
        self._keyed: dict[str, asyncio.Event] = {}

    def ticket(self, key: str | None = None) -> asyncio.Event:
        return self._any if key is None else self._keyed.setdefault(key, asyncio.Event())

    def notify(self, *keys: str) -> None:
        """Wake those who wait for ``keys`` and for anything; without keys everybody."""
        event, self._any = self._any, asyncio.Event()
        event.set()
        for key in keys or tuple(self._keyed):
            keyed = self._keyed.pop(key, None)
            if keyed is not None:
                keyed.set()
