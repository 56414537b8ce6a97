"""``Wakeup``: a hint that something may have changed. It may be lost, so nobody relies on it."""

from __future__ import annotations

import asyncio


class Wakeup:
    """Take a ticket, look, then wait on the ticket: a change in between is not missed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        return self._event

    def notify(self) -> None:
        """Wake everybody who waits."""
        if not self._event.is_set():
            event, self._event = self._event, asyncio.Event()
            event.set()
