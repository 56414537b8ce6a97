"""How an attempt is asked to stop, and calls that end when it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_log = logging.getLogger("planfold.executors")


class Cancellation(asyncio.Event):
    """An ``asyncio.Event`` that is set when an attempt should stop, and that can also call back.

    Set it on the event loop's thread; ``is_set()`` may be read from any thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], None]] = []

    def set(self) -> None:
        """Set the event and call the callbacks. Setting it again does nothing."""
        if self.is_set():
            return
        super().set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:  # of a tool: the cancellation of others must not depend on it
                _log.exception("a callback on cancellation failed")

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the event is set: at once if it is set already."""
        if self.is_set():
            callback()
        else:
            self._callbacks.append(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Forget ``callback``; nothing happens if it was called already."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)


class Stopped(Exception):
    """The attempt was cancelled during a call."""


async def interruptible(cancelled: Cancellation, call: Coroutine[Any, Any, T]) -> T:
    """Await ``call``, but no longer than until ``cancelled`` is set. Raises Stopped."""
    running = asyncio.ensure_future(call)

    def stop() -> None:
        running.cancel()

    cancelled.watch(stop)
    try:
        return await running
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if cancelled.is_set() and not (task and task.cancelling()):
            raise Stopped from None
        raise
    finally:
        cancelled.unwatch(stop)
