"""How an attempt is told to stop, and how to see that it stopped itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any


class Cancellation(asyncio.Event):
    """An event that also calls back: whoever watches it needs no task of their own.

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


class OwnSteps:
    """Awaits a call in ``task``, the current one, and counts how often the call's own code
    cancelled that task. Code of the call runs only while it is resumed here; all others cancel it
    in between.

    A child process that the call forked ends here: it would be a copy of the worker with the same
    lease.

    A second task would show the same, but costs more than all the rest of a short call.
    """

    __slots__ = ("_coroutine", "_pid", "_task", "cancellations")

    def __init__(self, call: Awaitable[Any], task: asyncio.Task[Any]) -> None:
        self._coroutine = call if isinstance(call, Coroutine) else _awaited(call)
        self._task = task
        self._pid = os.getpid()
        self.cancellations = 0

    def __await__(self) -> Generator[Any, None, Any]:
        task = self._task
        thrown: BaseException | None = None
        while True:
            before = task.cancelling()
            try:
                if thrown is None:
                    waits_for = self._coroutine.send(None)
                else:
                    waits_for = self._coroutine.throw(thrown)
            except StopIteration as stop:
                self._end_child(0)
                return stop.value
            except GeneratorExit as fault:  # its own; one from outside arrives at the yield below
                raise RuntimeError("coroutine raised GeneratorExit") from fault
            except SystemExit as fault:
                self._end_child(fault.code)
                raise
            except BaseException:
                self._end_child(1)
                raise
            finally:
                if task.cancelling() != before:
                    # Below zero: it took back a cancellation of another origin (asyncio.timeout).
                    self.cancellations = max(self.cancellations + task.cancelling() - before, 0)
            self._end_child(1)
            try:
                yield waits_for
                thrown = None
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as fault:
                thrown = fault

    def _end_child(self, code: Any) -> None:
        if os.getpid() != self._pid:
            os._exit(code if isinstance(code, int) else int(code is not None))


async def take_back(cancellations: int, task: asyncio.Task[Any]) -> None:
    """Undo what the code of ``task``, the current one, did to it, also where it has not taken
    effect yet."""
    for _ in range(cancellations):
        task.uncancel()
    if not task.cancelling():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call
