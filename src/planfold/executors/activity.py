"""``Activity``: when a running attempt last made progress, and ``stall_limit``, which ends it where
it makes none. The renewal of its lease is the worker's, so it does not count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Activity:
    """Shared by all contexts of an attempt. May be used from any thread."""

    def __init__(self) -> None:
        self.at = time.monotonic()

    def touch(self) -> None:
        """There is progress: output, a note, or a step that began or ended."""
        self.at = time.monotonic()


class StallLimit:
    """``expired``: there was no progress for ``seconds`` (None: no limit)."""

    def __init__(self, activity: Activity, seconds: float | None, limit: asyncio.Timeout) -> None:
        self.seconds = seconds
        self._activity = activity
        self._limit = limit
        self._timer: asyncio.TimerHandle | None = None
        if seconds is not None:
            activity.touch()
            self._look_again_in(seconds)

    @property
    def expired(self) -> bool:
        return self.seconds is not None and self._limit.expired()

    def _look_again_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        assert self.seconds is not None
        left = self._activity.at + self.seconds - time.monotonic()
        if left > 0:
            self._look_again_in(left)
        else:
            self._limit.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


@asynccontextmanager
async def stall_limit(activity: Activity, seconds: float | None) -> AsyncIterator[StallLimit]:
    """Cancels the block, and raises TimeoutError, when there was no progress for ``seconds``."""
    async with asyncio.timeout(None) as limit:
        stall = StallLimit(activity, seconds, limit)
        try:
            yield stall
        finally:
            stall.close()
