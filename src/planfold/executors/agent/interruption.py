"""Calls of a model that end when their task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from planfold.executors.context import TaskContext

T = TypeVar("T")


class Stopped(Exception):
    """The task was cancelled during a call."""


async def interruptible(context: TaskContext, call: Coroutine[Any, Any, T]) -> T:
    """Await ``call``, but no longer than until the task is cancelled. Raises Stopped."""
    running = asyncio.ensure_future(call)

    def stop() -> None:
        running.cancel()

    context.cancelled.watch(stop)
    try:
        return await running
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if context.cancelled.is_set() and not (task and task.cancelling()):
            raise Stopped from None
        raise
    finally:
        context.cancelled.unwatch(stop)
