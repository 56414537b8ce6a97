"""Sync functions in threads that never keep the process from exiting.

``asyncio.to_thread`` uses a pool whose threads are joined at exit, so one stuck function would
hold a worker open for ever. Here every call gets a daemon thread of its own; how many run at a
time is bounded by the worker, which claims only as many tasks as it may run.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def start_in_thread(
    function: Callable[[], T], name: str = "planfold-call"
) -> asyncio.Future[tuple[T | None, BaseException | None]]:
    """Start ``function`` in a daemon thread with the caller's context variables.

    The future yields (value, None) or (None, exception) and never raises: an asyncio future
    cannot hold StopIteration, and SystemExit in one would stop the loop.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((value, error))

    def run() -> None:
        value: T | None = None
        error: BaseException | None = None
        try:
            value = context.run(function)
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has closed, so there is no waiter left
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


async def run_in_thread(function: Callable[[], T], name: str = "planfold-call") -> Any:
    """Await ``function`` in a daemon thread. When the caller is cancelled the thread continues."""
    value, error = await start_in_thread(function, name)
    if error is not None:
        raise error
    return value
