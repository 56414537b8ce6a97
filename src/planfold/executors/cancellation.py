"""How an attempt is asked to stop, and how to detect that it cancelled itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Cancellation(asyncio.Event):
    """An event that also calls back, so that watching it needs no extra task.

    Set it on the event loop's thread; ``is_set()`` may be read from any thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], None]] = []

    def set(self) -> None:
        if self.is_set():
            return
        super().set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the event is set: at once if it is set already."""
        if self.is_set():
            callback()
        else:
            self._callbacks.append(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Forget ``callback``; nothing happens if it was called already."""
        with contextlib.suppress(ValueError):
            self._callbacks.remove(callback)
