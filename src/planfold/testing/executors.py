"""Try a tool or an executor without a store and a worker, as a worker would call it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from planfold.executors.context import Asking, TaskContext
from planfold.executors.executor import Executor, Outcome, ToolExecutor
from planfold.executors.faults import describe_exception, is_permanent
from planfold.executors.python import PythonExecutor, PythonTool
from planfold.planner.commands import (
    ExecutorEvent,
    StepCompleted,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Task, TaskSpec, ToolCall
from planfold.tools.tool import Tool


class ToolRun(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one attempt.

    ``outcome`` is what the executor answered, ``events`` what it reported on the way, ``steps``
    what a further attempt would find recorded: pass it as ``steps`` to play that attempt.
    """

    outcome: Outcome
    events: tuple[ExecutorEvent, ...]
    steps: dict[str, Any]

    @property
    def result(self) -> Any:
        """The result; AssertionError, with what happened instead, when there is none."""
        if not isinstance(self.outcome, TaskCompleted):
            raise AssertionError(f"the task did not complete: {self.outcome}")
        return self.outcome.result

    @property
    def error(self) -> str:
        """Why it failed; AssertionError when it did not."""
        if not isinstance(self.outcome, TaskFailed):
            raise AssertionError(f"the task did not fail: {self.outcome}")
        return self.outcome.error


def task_for(
    name: str,
    arguments: dict[str, Any] | None = None,
    *,
    attempt: int = 1,
    effect: Effect = Effect.Once,
) -> Task:
    """A task that calls the tool ``name``, in its state when the attempt begins."""
    spec = TaskSpec(
        id=1,
        description=f"call {name}",
        kind=NodeKind.ToolCall,
        tool=ToolCall(name, arguments or {}),
        effect=effect,
    )
    return Task(spec=spec, attempt=attempt)


async def run_tool(
    tool_or_executor: PythonTool[..., Any] | Executor,
    arguments: dict[str, Any] | None = None,
    *,
    task: Task | None = None,
    steps: dict[str, Any] | None = None,
    workspace: Path | None = None,
    cancel_when: asyncio.Event | None = None,
    on_event: Callable[[ExecutorEvent], None] | None = None,
    timeout: float = 60.0,
    plan: PlannerState | None = None,
) -> ToolRun:
    """Run one attempt, as a worker would, and return how it went.

    ``task`` is what the context shows, such as a later attempt, ``Task(spec=TaskSpec(...),
    attempt=2)`` of :mod:`planfold.types` and :mod:`planfold.commands`; by default the first attempt
    of a task that calls the tool. ``arguments`` go through JSON first, as in a plan.
    ``steps`` are those that earlier attempts recorded. Files belong in ``workspace``, by default a
    folder that is removed afterwards; long output goes to its subfolder ``.planfold``. The attempt
    is asked to stop once ``cancel_when`` is set. ``plan`` is what the context shows of the plan.
    ``on_event`` sees each report first; what it raises is raised from the tool's call, as when the
    record is refused. An exception of the executor counts as TaskFailed. Raises TimeoutError after
    ``timeout`` seconds.

    Example:
        import planfold
        from planfold.testing import run_tool

        @planfold.tool(effect="safe")
        def double(number: int) -> int:
            return 2 * number

        assert (await run_tool(double, {"number": 4})).result == 8
        assert "number" in (await run_tool(double, {"number": "four"})).error
    """
    executor = _executor(tool_or_executor)
    given = msgspec.json.decode(msgspec.json.encode(arguments or {}))
    record = _FakeLog(dict(steps or {}), on_event)
    with tempfile.TemporaryDirectory() as scratch:
        root = workspace or Path(scratch)
        context = _context(task or _task_for(executor, given), given, record, root, plan)
        outcome = await _attempt(executor, context, cancel_when, timeout)
    return ToolRun(outcome=outcome, events=tuple(record.events), steps=record.steps)


def _executor(of: PythonTool[..., Any] | Executor) -> Executor:
    return PythonExecutor(of) if isinstance(of, PythonTool) else of


class _FakeLog:
    """A fake of the log."""

    def __init__(
        self, steps: dict[str, Any], on_event: Callable[[ExecutorEvent], None] | None
    ) -> None:
        self.steps = steps
        self.events: list[ExecutorEvent] = []
        self._on_event = on_event

    async def report(self, event: ExecutorEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)
        self.events.append(event)
        if isinstance(event, StepCompleted):
            self.steps[event.key] = event.value


def _context(
    task: Task, arguments: dict[str, Any], record: _FakeLog, root: Path, plan: PlannerState | None
) -> TaskContext:
    return TaskContext(
        plan_id="plan-test",
        task=task,
        arguments=arguments,
        report=record.report,
        steps=dict(record.steps),
        workspace=root,
        files_dir=root / ".planfold",
        plan=plan,
    )


async def _attempt(
    executor: Executor, context: TaskContext, cancel_when: asyncio.Event | None, timeout: float
) -> Outcome:
    async def watch(event: asyncio.Event) -> None:
        await event.wait()
        context.cancel()

    watcher = asyncio.ensure_future(watch(cancel_when)) if cancel_when is not None else None
    try:
        async with asyncio.timeout(timeout):
            return await executor.execute(context)
    except TimeoutError:
        raise
    except Asking as asking:
        return asking.question
    except Exception as error:
        return TaskFailed(describe_exception(error), not is_permanent(error))
    finally:
        context.close()
        if watcher is not None:
            watcher.cancel()


def _task_for(executor: Executor | ToolExecutor, arguments: dict[str, Any]) -> Task:
    tool: Tool | None = getattr(executor, "tool", None)
    if tool is None:
        return task_for(type(executor).__name__, arguments)
    return task_for(tool.name, arguments, effect=tool.effect)
