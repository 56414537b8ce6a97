"""``Closings``: closes the shared limits of an attempt when a server asks it to wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from planfold.errors import PlanfoldError
from planfold.eventstore.queue import TaskQueue


class Closings:
    """The limits of one attempt. When :meth:`recorded` returns, all requests are durable."""

    def __init__(self, queue: TaskQueue, limits: tuple[str, ...]) -> None:
        self._queue = queue
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()

    def ask(self, seconds: float) -> None:
        """Close the limits, because a server asked to wait. May be called from any thread."""
        if not seconds > 0:
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._begin(seconds)
        else:
            self._loop.call_soon_threadsafe(self._begin, seconds)

    def _begin(self, seconds: float) -> None:
        closing = self._loop.create_task(self._close(seconds))
        self._running.add(closing)
        closing.add_done_callback(self._running.discard)

    async def _close(self, seconds: float) -> None:
        with suppress(PlanfoldError):  # no database: the next answer asks again
            await self._queue.close(self._limits, seconds)

    async def recorded(self) -> None:
        """Returns when all that was asked so far is in the database."""
        await asyncio.sleep(0)  # what a thread asked
        await asyncio.gather(*self._running)
