"""``stall_limit``: ends an attempt that makes no progress. The renewal of its lease is the worker's
doing, so it does not count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from planfold.executors.context import TaskContext


class StallLimit:
    """``expired``: there was no progress for ``seconds`` (None: no limit)."""

    def __init__(self, context: TaskContext, seconds: float | None, limit: asyncio.Timeout) -> None:
        self._seconds = seconds
        self._context = context
        self._limit = limit
        self._timer: asyncio.TimerHandle | None = None
        if seconds is not None:
            context.touch()
            self._look_again_in(seconds)

    @property
    def expired(self) -> bool:
        return self._seconds is not None and self._limit.expired()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_again_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._context.progressed_at + (self._seconds or 0.0) - time.monotonic()
        if left > 0:
            self._look_again_in(left)
        else:
            self._limit.reschedule(asyncio.get_running_loop().time())


@asynccontextmanager
async def stall_limit(context: TaskContext, seconds: float | None) -> AsyncIterator[StallLimit]:
    """Cancels the block, and raises TimeoutError, when there was no progress for ``seconds``."""
    async with asyncio.timeout(None) as limit:
        stall = StallLimit(context, seconds, limit)
        try:
            yield stall
        finally:
            stall.close()
