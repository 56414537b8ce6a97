"""A durable step gives its task only a value that the log holds, on both databases."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lost_answers import lose_append_of

import planfold
from planfold.errors import LeaseLost
from planfold.eventstore.queue import Lease
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.planner.budget import Spend
from planfold.planner.commands import HandleExecutorEvent, OutcomeUnknown, TaskCompleted
from planfold.planner.events import StepRecorded
from planfold.planner.tasks import Effect, PlanStatus
from planfold.runtime.attempt import Attempt
from planfold.testing.executors import task_for
from plans import PLAN_ID, events, finish, processing, submit


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    name = "database" if request.param == "sqlite" else "postgres_database"
    found: str = request.getfixturevalue(name)
    return found


@pytest.mark.parametrize("paid", [False, True])
async def test_a_step_whose_record_lost_its_answer_has_its_value(
    address: str, monkeypatch: pytest.MonkeyPatch, paid: bool
) -> None:
    async def execute(context: TaskContext) -> Outcome:
        if paid:
            return TaskCompleted(await context.paid("step", pay, reserve=Spend(calls=1)))
        return TaskCompleted(await context.once("step", lambda: (1, "value")))

    async def pay(again: bool) -> tuple[object, Spend]:
        return (1, "value"), Spend(calls=1)

    async with planfold.open_app(address, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out"))
        lost = lose_append_of(app, monkeypatch, StepRecorded)
        view = await finish(app)
        recorded = await events(app, "StepRecorded")
    assert lost
    assert (view.status, view.task(1).result) == (PlanStatus.Completed, [1, "value"])
    assert len(recorded) == 1


@pytest.mark.parametrize("paid", [False, True])
async def test_a_step_that_ends_after_its_attempt_gives_no_value(address: str, paid: bool) -> None:
    begun, gate, seen = asyncio.Event(), asyncio.Event(), list[object]()

    async def value() -> str:
        begun.set()
        await gate.wait()
        return "not in the log"

    async def pay(again: bool) -> tuple[str, Spend]:
        return await value(), Spend(calls=1)

    async def execute(context: TaskContext) -> Outcome:
        try:
            if paid:
                seen.append(await context.paid("step", pay, reserve=Spend(calls=1)))
            else:
                seen.append(await context.once("step", value))
        except BaseException as fault:
            seen.append(type(fault))
            raise
        return TaskCompleted("mine")

    async with planfold.open_app(address, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out"))
        async with app.worker():
            await begun.wait()
            await app.send(PLAN_ID, HandleExecutorEvent(1, TaskCompleted("another's"), 1))
            gate.set()
            view = await app.result(PLAN_ID)
    assert (view.task(1).result, seen) == ("another's", [LeaseLost])
    assert not await _recorded(address)


async def test_a_task_of_a_tool_that_outlives_its_attempt_begins_no_step(database: str) -> None:
    ran, left, gate = list[str](), list[asyncio.Future[object]](), asyncio.Event()

    async def effect(again: bool = False) -> tuple[str, Spend]:
        ran.append("effect")
        return "value", Spend()

    async def once(context: TaskContext) -> object:
        await gate.wait()
        return await context.once("next", effect)

    async def paid(context: TaskContext) -> object:
        await gate.wait()
        return await context.paid("next", effect, reserve=Spend(calls=1))

    async def execute(context: TaskContext) -> Outcome:
        inner = context.guarded({}, None).inner("call", {})
        left.extend(asyncio.ensure_future(step(inner)) for step in (once, paid))
        await asyncio.Event().wait()  # until its timeout
        raise AssertionError

    async with planfold.open_app(database, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work", effect=Effect.Safe, timeout=0.05))
        view = await finish(app)
        gate.set()
        faults = await asyncio.gather(*left, return_exceptions=True)
    assert view.status is PlanStatus.Failed
    assert [type(fault) for fault in faults] == [LeaseLost, LeaseLost]
    assert ran == []


async def test_a_lost_attempt_begins_no_step(tmp_path: Path) -> None:
    lease = Lease("plan-1", 1, 1, "main", epoch=1, starts=1, expires=0.0, cause="plan-1-1")
    running, ran = Attempt(lease, lambda: False), list[str]()

    class Losing:
        async def execute(self, context: TaskContext) -> Outcome:
            inner = context.inner("call", {})
            running.lose()
            return TaskCompleted(await inner.once("step", lambda: ran.append("effect")))

    context = TaskContext(
        plan_id="plan-1",
        task=task_for("any"),
        arguments={},
        report=_no_report,
        steps={},
        workspace=tmp_path,
        files_dir=tmp_path,
    )
    outcome = await running.perform(Losing(), context)
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.reason.startswith("LeaseLost: the attempt has ended")
    assert ran == []


async def _no_report(event: object) -> None:
    raise AssertionError(f"{event} was reported")


async def _recorded(address: str) -> list[object]:
    async with planfold.open_app(address) as app:
        return list(await events(app, "StepRecorded"))
