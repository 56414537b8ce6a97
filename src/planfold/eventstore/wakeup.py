"""``Wakeup``: a hint that something may have changed. It may be lost, so nothing relies on it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final
from weakref import WeakValueDictionary

WORK: Final = "\0work"  # no aggregate id holds NUL
"""The key for changes that a worker should look at: tasks to claim or to stop, due times."""


class Wakeup:
    """Take a ticket, look, then wait on the ticket: a change in between is not missed.

    A ticket for a key (an aggregate id, ``WORK``) wakes for changes of that key only; one for a
    ``status`` only for those after which the ``status`` in the head of this stream may be another.
    It is forgotten when no caller holds it any more.
    """

    def __init__(self) -> None:
        self._any: asyncio.Event | None = None
        self._keyed: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._statuses: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def ticket(self, key: str | None = None) -> asyncio.Event:
        if key is not None:
            return _ticket(self._keyed, key)
        if self._any is None:
            self._any = asyncio.Event()
        return self._any

    def status_ticket(self, aggregate_id: str) -> asyncio.Event:
        return _ticket(self._statuses, aggregate_id)

    def notify(self, *keys: str, quiet: Collection[str] = ()) -> None:
        """Wake the holders of tickets for ``keys`` and for anything; without keys all of them.
        The streams in ``quiet`` have the status that they had before."""
        event, self._any = self._any, None
        if event is not None:
            event.set()
        for tickets, passed_over in ((self._keyed, ()), (self._statuses, quiet)):
            if tickets:
                for key in keys or tuple(tickets):
                    ticket = None if key in passed_over else tickets.pop(key, None)
                    if ticket is not None:
                        ticket.set()


def _ticket(tickets: WeakValueDictionary[str, asyncio.Event], key: str) -> asyncio.Event:
    ticket = tickets.get(key)
    if ticket is None:
        ticket = tickets[key] = asyncio.Event()
    return ticket
