from __future__ import annotations

import asyncio
from typing import Any

import pytest

from planfold.errors import LeaseLost, Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.python import tool
from planfold.planner.commands import ExecutorEvent, StepCompleted, TaskFailed, TaskProgressed
from planfold.testing.executors import run_tool, task_for


@tool
async def two_steps(context: TaskContext, n: int = 1) -> list[Any]:
    await context.progress("going")
    first = await context.once("first", lambda: n)
    return [first, await context.once("second", lambda: context.attempt)]


async def test_says_what_was_reported_and_recorded() -> None:
    run = await run_tool(two_steps, {"n": 5})
    assert run.result == [5, 1]
    assert run.steps == {"first": 5, "second": 1}
    assert run.events == (
        TaskProgressed("going"),
        StepCompleted("first", 5),
        StepCompleted("second", 1),
    )


async def test_plays_a_crash_between_two_steps() -> None:
    def refuse_the_second(event: ExecutorEvent) -> None:
        if isinstance(event, StepCompleted) and event.key == "second":
            raise LeaseLost("another worker has it")

    first = await run_tool(two_steps, on_event=refuse_the_second)
    assert first.error.startswith("LeaseLost")
    assert first.steps == {"first": 1}
    second = await run_tool(
        two_steps, {"n": 9}, steps=first.steps, task=task_for("two_steps", attempt=2)
    )
    assert second.result == [1, 2]


@pytest.mark.parametrize(("error", "retryable"), [(ValueError("x"), True), (Permanent("x"), False)])
async def test_what_an_executor_raises_is_a_failure(error: Exception, retryable: bool) -> None:
    class Broken:
        async def execute(self, context: TaskContext) -> Outcome:
            raise error

    run = await run_tool(Broken())
    assert run.outcome == TaskFailed(f"{type(error).__name__}: x", retryable)
    with pytest.raises(AssertionError, match="did not complete"):
        _ = run.result


async def test_a_limit_on_the_time() -> None:
    @tool
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await run_tool(stuck, timeout=0.01)


async def test_a_misspelt_argument_is_corrected() -> None:
    @tool(effect="safe")
    def double(number: int) -> int:
        return 2 * number

    assert (
        "unknown field `numbr`; did you mean 'number'?"
        in (await run_tool(double, {"numbr": 4})).error
    )
    error = (await run_tool(double, {"x": 4})).error
    assert error.endswith("unknown field `x`")
