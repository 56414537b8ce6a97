"""What of an exception reaches the log: its causes and the members of its group too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from planfold.errors import Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.faults import DEEPEST, MOST_OTHERS, describe_exception
from planfold.executors.python import tool
from planfold.planner.commands import NeedsClarification, TaskFailed
from planfold.testing.executors import run_tool
from planfold.tools.redaction import Redactor


def caused() -> None:
    try:
        raise FileNotFoundError(2, "No such file", "/no/such/file")
    except OSError as fault:
        raise RuntimeError("cannot read the settings") from fault


def met_while_handling() -> None:
    try:
        raise KeyError("colour")
    except KeyError:
        raise ValueError("no default either")  # noqa: B904


def grouped() -> None:
    raise ExceptionGroup("two of three", [ValueError("the real reason"), KeyError("x")])


CAUSED = ["RuntimeError: cannot read the settings", "caused by FileNotFoundError: [Errno 2]"]
HANDLED = ["ValueError: no default either", "while handling KeyError: 'colour'"]
GROUPED = ["ExceptionGroup: two of three", "1. ValueError: the real reason", "2. KeyError: 'x'"]
CASES = pytest.mark.parametrize(
    ("fails", "said"), [(caused, CAUSED), (met_while_handling, HANDLED), (grouped, GROUPED)]
)


@CASES
async def test_sync_tools(fails: Any, said: list[str]) -> None:
    error = (await run_tool(tool(fails))).error
    assert all(part in error for part in said)


@CASES
async def test_async_tools(fails: Any, said: list[str]) -> None:
    async def in_the_loop() -> None:
        fails()

    error = (await run_tool(tool(in_the_loop))).error
    assert all(part in error for part in said)


@CASES
async def test_executors(fails: Any, said: list[str]) -> None:
    class Failing:
        async def execute(self, context: TaskContext) -> Outcome:
            fails()
            raise AssertionError

    error = (await run_tool(Failing())).error
    assert all(part in error for part in said)


async def test_a_task_group() -> None:
    async def broken() -> None:
        raise ValueError("the real reason")

    @tool
    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(broken())

    error = (await run_tool(both)).error
    assert "1. ValueError: the real reason" in error
    assert 'raise ValueError("the real reason")' in error


async def test_a_question_from_a_task_group_is_asked() -> None:
    @tool
    async def both(context: TaskContext) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(context.ask("sure", "Sure?"))

    outcome = (await run_tool(both)).outcome
    assert isinstance(outcome, NeedsClarification)
    assert outcome.question == "Sure?"


@pytest.mark.parametrize("kind", [ExceptionGroup, BaseExceptionGroup])
async def test_a_group_with_a_permanent_fault_is_permanent(kind: Any) -> None:
    @tool
    def f() -> None:
        raise kind("both", [ValueError("bad"), ExceptionGroup("", [Permanent("no such account")])])

    run = await run_tool(f)
    assert run.outcome == TaskFailed(run.error, retryable=False)
    assert "no such account" in run.error


def test_a_suppressed_context_is_not_shown() -> None:
    fault = ValueError("outer")
    fault.__context__, fault.__suppress_context__ = KeyError("inner"), True
    assert describe_exception(fault) == "ValueError: outer"


def test_a_timeout_does_not_name_its_own_cancellation() -> None:
    fault = TimeoutError()
    fault.__cause__ = asyncio.CancelledError()
    assert describe_exception(fault) == "TimeoutError"


def test_a_circle_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe_exception(first) == "ValueError: first\ncaused by ValueError: second"


def test_depth_number_and_length_are_bounded() -> None:
    many = ExceptionGroup("many", [ValueError(str(n)) for n in range(1_000)])
    text = describe_exception(many)
    assert text.count("ValueError") == MOST_OTHERS
    assert text.endswith(f"... and {1_000 - MOST_OTHERS} more")
    deep: BaseException = ValueError("bottom")
    for level in range(5_000):
        upper = ValueError(str(level))
        upper.__cause__ = deep
        deep = upper
    assert describe_exception(deep).count("caused by") == DEEPEST
    long = ExceptionGroup("g" * 100_000, [ValueError("v" * 100_000) for _ in range(50)])
    assert len(describe_exception(long, limit=500)) <= 500
    assert "1. ValueError" in describe_exception(long)


def test_secrets_are_taken_out_before_anything_is_cut() -> None:
    redactor = Redactor([("TOKEN", "s3cret-value-0123456789")])
    for length in range(480, 520):
        fault = ValueError("x" * length + "s3cret-value-0123456789")
        fault.__cause__ = KeyError("y" * (length + 480) + "s3cret-value-0123456789")
        for limit in (600, 1_000, 4_000):
            assert "s3c" not in describe_exception(fault, redactor=redactor, limit=limit)
