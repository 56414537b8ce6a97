"""The contract between a worker and an executor: one task in, one executor event out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from planfold.planner.commands import (
    ExecutorEvent,
    NeedsClarification,
    OutcomeUnknown,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.tasks import Task
from planfold.tools.tool import Tool

Outcome = TaskCompleted | TaskFailed | NeedsClarification | OutcomeUnknown


class TaskContext:
    """What a running attempt may know and say.

    ``arguments`` are the tool call's, references resolved. ``idempotency_key`` is the same for
    all attempts of one run of a task. ``cancelled`` is set when the attempt should stop: finish
    cleanly within 10 s or be killed. ``workspace`` is where files belong, ``files_dir`` where
    output too long for memory goes.
    """

    def __init__(
        self,
        *,
        plan_id: str,
        task: Task,
        arguments: dict[str, Any],
        report: Callable[[ExecutorEvent], Awaitable[None]],
        steps: dict[str, Any],
        workspace: Path,
        files_dir: Path,
    ) -> None:
        self.plan_id = plan_id
        self.task = task
        self.arguments = arguments
        self.attempt = task.attempt
        self.idempotency_key = f"{plan_id}/{task.id}/{task.run}"
        self.cancelled = asyncio.Event()
        self.workspace = workspace
        self.files_dir = files_dir
        self._report = report
        self._steps = steps

    async def progress(self, note: str) -> None:
        """Tell those who watch how far the attempt is; recorded in the log."""
        raise AssertionError("filled in by the author of runtime/")

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """Run ``function`` (sync or async) durably: once its value is recorded, later attempts
        get that value instead of running it again. The value must be JSON."""
        raise AssertionError("filled in by the author of runtime/")


class Executor(Protocol):
    """Touches the world for one task. Never appends events, never knows the store."""

    async def execute(self, context: TaskContext) -> Outcome:
        """Do it and say how it went. An exception counts as ``TaskFailed`` (``Permanent`` as
        one that is not retried); cancellation arrives as ``context.cancelled`` first, as
        ``asyncio.CancelledError`` when the grace of 10 s or the timeout is over."""
        ...


class ToolExecutor(Executor, Protocol):
    """An executor that brings the tool it serves."""

    @property
    def tool(self) -> Tool: ...
