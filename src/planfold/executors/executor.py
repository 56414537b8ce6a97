"""The contract between a worker and an executor: one task in, one executor event out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from planfold.planner.commands import (
    NeedsClarification,
    OutcomeUnknown,
    TaskCompleted,
    TaskFailed,
)
from planfold.tools.tool import Tool

if TYPE_CHECKING:
    from planfold.executors.context import TaskContext

Outcome = TaskCompleted | TaskFailed | NeedsClarification | OutcomeUnknown

CUT_OFF = (  # of an attempt that must not run again, for the person who is asked about it
    "the process that ran it ended before it reported; what it started may still be running, so "
    "look before you answer"
)


class Executor(Protocol):
    """Runs one task, with its side effects. It never appends events and has no access to the store.

    An executor with a true attribute ``resumable`` records all it does as durable steps: an
    interrupted attempt is restarted, in every effect class.

    Example:
        from planfold import TaskContext
        from planfold.executor import Executors, Outcome, TaskCompleted
        from planfold.testing import run_tool

        class Echo:
            async def execute(self, context: TaskContext) -> Outcome:
                return TaskCompleted(context.arguments)

        executors = Executors()
        executors.add(Echo(), route="echo")
        assert (await run_tool(Echo(), {"n": 1})).result == {"n": 1}
    """

    async def execute(self, context: TaskContext) -> Outcome:
        """Run the task and return its outcome. An exception counts as ``TaskFailed``
        (``Permanent``: not retried). Cancellation arrives as ``context.cancelled`` first, as
        ``asyncio.CancelledError`` when the grace of 10 s or the timeout has ended."""
        ...


class ToolExecutor(Executor, Protocol):
    """An executor that brings the tool it serves."""

    @property
    def tool(self) -> Tool:
        """What plans know of it."""
        ...
