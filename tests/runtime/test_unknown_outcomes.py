"""Outcomes that a worker cannot know, or cannot record: what is asked, and what is tried again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import planfold
from planfold.errors import CommandRejected
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.python import PythonExecutor
from planfold.executors.registry import Executors
from planfold.log import Query
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.tasks import RetryPolicy
from planfold.retries import retry_delay
from plans import PLAN_ID, Until, finish, processing, submit, task
from testbed.patience import PATIENCE_S


async def test_a_safe_tool_over_its_timeout_is_tried_again(
    let_pass: Callable[[float], None],
) -> None:
    calls, let_go = [], threading.Event()

    @planfold.tool(effect="safe")
    def look() -> int:
        calls.append(1)
        if len(calls) == 1:
            let_pass(5.0)
            let_go.wait(PATIENCE_S)  # a thread that cannot be stopped
        return len(calls)

    executors = Executors()
    executors.add_tool(PythonExecutor(look, grace_s=0.05))
    async with planfold.open_app("sqlite:///:memory:", executors=executors, load=False) as app:
        retry = RetryPolicy(attempts=3, base=0.01, cap=0.01)
        await submit(app, task("look", timeout=5.0, retry=retry))
        view = await finish(app)
        let_go.set()
    assert (view.status, view.questions) == ("completed", [])
    assert view.task(1).result == 2


@pytest.mark.parametrize("tool", ["pay", "shell"])
async def test_a_once_task_over_its_timeout_is_asked_about(
    tmp_path: Path, tool: str, until: Until, let_pass: Callable[[float], None]
) -> None:
    """It has begun, so its effect may have happened: ``retry`` does not repeat it."""
    ledger = tmp_path / "ledger"

    @planfold.tool
    async def pay() -> None:
        with ledger.open("a") as paid:
            paid.write("paid\n")
        await asyncio.Event().wait()

    arguments = {"script": f"echo paid >> {ledger}; sleep 60"} if tool == "shell" else {}
    async with planfold.open_app("sqlite:///:memory:", tools=[pay]) as app:
        retry = RetryPolicy(attempts=3, base=0.01, cap=0.01)
        await submit(app, task(tool, arguments=arguments, timeout=5.0, retry=retry))
        running = asyncio.ensure_future(app.run(PLAN_ID))
        await until(lambda: ledger.exists() and ledger.read_text())
        let_pass(5.0)
        view = await running
    assert (view.status, ledger.read_text()) == ("awaiting_answer", "paid\n")
    assert "timed out after 5 s" in view.questions[0].question


async def test_a_once_task_that_is_cancelled_after_it_began_is_named(tmp_path: Path) -> None:
    began = asyncio.Event()

    @planfold.tool
    async def pay() -> None:
        began.set()
        await asyncio.Event().wait()

    executors = Executors()
    executors.add_tool(PythonExecutor(pay, grace_s=0.05))
    async with planfold.open_app("sqlite:///:memory:", executors=executors, load=False) as app:
        await submit(app, task("pay"))
        async with app.worker():
            await began.wait()
            await app.cancel(PLAN_ID)
            view = await app.result(PLAN_ID)
    assert view.status == "cancelled"
    assert view.summary is not None
    assert view.summary.unknown == (1,)


@pytest.mark.parametrize("ends", ["raises", "says that it failed"])
async def test_an_interrupted_once_task_is_asked_about_at_once_however_it_ends(
    database: str, ends: str
) -> None:
    """Not when a worker starts again: what it reports about its interruption shows nothing."""
    began = asyncio.Event()

    async def execute(_: TaskContext) -> Outcome:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            if ends == "raises":
                raise ConnectionError("the bank hung up")
            return TaskFailed("interrupted")  # noqa: B012
        raise AssertionError

    async with planfold.open_app(database, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="pay", effect="once"))
        async with app.worker(drain_s=0):
            await began.wait()
        (question,) = (await app.view(PLAN_ID)).questions
    assert "Was this done? pay" in question.question


async def test_a_once_tool_whose_result_cannot_be_recorded_is_asked_about(
    each_database: str,
) -> None:
    charged = []

    @planfold.tool(retry=3)
    def charge(cents: int) -> Any:
        charged.append(cents)
        return PurePosixPath("/receipts/1")

    @planfold.tool(effect="safe")
    def note(receipt: str) -> str:
        return receipt

    async with planfold.open_app(each_database, tools=[charge, note]) as app:
        await submit(
            app,
            task("charge", label="charge", arguments={"cents": 5}),
            task("note", arguments={"receipt": "$charge.receipt"}),
        )
        view = await finish(app)
        (question,) = view.questions
        assert 'Was this done? charge (called with {"cents":5}; it ran to its' in question.question
        assert "cannot be recorded: the result of charge is not JSON" in question.question
        with pytest.raises(CommandRejected, match=r"task 2 uses \$1.receipt: .* result=\.\.\."):
            await app.answer(PLAN_ID, "charge", "done")
        await app.answer(PLAN_ID, "charge", "done", result={"receipt": "/receipts/1"})
        view = await finish(app)
    assert view.status == "completed"
    assert view.task(2).result == "/receipts/1"
    assert charged == [5]


async def test_the_jitter_of_every_retry_is_recorded() -> None:
    policy = RetryPolicy(attempts=2, base=0.01, cap=0.01)

    async def execute(_: TaskContext) -> Outcome:
        return TaskCompleted("\ud800")  # cannot be recorded

    async with planfold.open_app("sqlite:///:memory:", executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="look", effect="safe", retry=policy))
        await finish(app)
        (scheduled,) = await app.store.read(Query(event_type="RetryScheduled"))
    jitter = scheduled.metadata.jitter
    assert jitter is not None
    assert scheduled.event.delay == retry_delay(policy, 1, jitter)
