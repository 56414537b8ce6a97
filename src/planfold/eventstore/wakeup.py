"""``Wakeup``: a hint that something may have changed. It may be lost, so nobody relies on it."""

from __future__ import annotations

import asyncio


class Wakeup:
    """Take a ticket, look, then wait on the ticket: a change in between is not missed.

    A ticket for a key wakes for changes of that key (an aggregate id) only.
    """

    def __init__(self) -> None:
        self._any = asyncio.Event()
        self._keyed: dict[str, asyncio.Event] = {}

    def ticket(self, key: str | None = None) -> asyncio.Event:
        return self._any if key is None else self._keyed.setdefault(key, asyncio.Event())

    def notify(self, key: str | None = None) -> None:
        """Wake those who wait for ``key`` and for anything; None wakes everybody."""
        event, self._any = self._any, asyncio.Event()
        event.set()
        if key is not None:
            keyed = self._keyed.pop(key, None)
            if keyed is not None:
                keyed.set()
            return
        everybody, self._keyed = self._keyed, {}
        for keyed in everybody.values():
            keyed.set()
