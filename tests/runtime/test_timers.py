"""Waits that end although a clock was set or other streams cannot be continued."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import planfold
from planfold.errors import CorruptLog, PlanfoldError
from planfold.planner.commands import HandleExecutorEvent, TaskFailed, TaskProgressed
from planfold.planner.tasks import RetryPolicy
from planfold.runtime import timers as timers_module
from planfold.runtime.aggregate import PLAN
from planfold.runtime.timers import Timers
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, events, submit, task

HOUR_S = 3_600.0


@planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=1.0, cap=1.0))
def flaky() -> int:
    return 1


async def test_a_wait_is_not_lengthened_by_what_is_written_after_the_clock_went_back(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with planfold.open_app(database, tools=[flaky], clock=clock) as app:
        await submit(app, task("flaky"), task("flaky"))
        failed = HandleExecutorEvent(1, TaskFailed("not yet"), 1, clock(), jitter=0.9)
        await app.send(PLAN_ID, failed)
        timers = Timers(app.store, app.dispatcher, (PLAN,), None, pytest.fail)
        assert await timers.round() <= 1.0
        clock.advance(-HOUR_S)
        await app.send(PLAN_ID, HandleExecutorEvent(2, TaskProgressed("half"), 1, clock()))
        assert await timers.round() <= 1.0
        assert len(await events(app, "TaskDispatched")) == 2
        loop = asyncio.get_running_loop()
        later = loop.time() + 1.5
        monkeypatch.setattr(loop, "time", lambda: later)
        await timers.round()
        assert len(await events(app, "TaskDispatched")) == 3


async def test_streams_that_cannot_be_continued_do_not_hide_the_others(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers_module, "AT_ONCE", 2)
    clock, faults, looks = ManualClock(), list[PlanfoldError](), list[str]()
    async with planfold.open_app(database, tools=[flaky], clock=clock) as app:
        for number in range(5):
            plan_id = f"plan-{number}"
            await submit(app, task("flaky"), plan_id=plan_id)
            await app.send(plan_id, HandleExecutorEvent(1, TaskFailed("no"), 1, clock()))
            clock.advance(0.001)
        clock.advance(1.0)
        view = app.dispatcher.view

        async def damaged(aggregate: Any, aggregate_id: str, **options: Any) -> Any:
            looks.append(aggregate_id)
            if aggregate_id != "plan-4":
                raise CorruptLog(f"{aggregate_id}#1 is damaged")
            return await view(aggregate, aggregate_id, **options)

        monkeypatch.setattr(app.dispatcher, "view", damaged)
        timers = Timers(app.store, app.dispatcher, (PLAN,), None, faults.append)
        for _ in range(6):
            await timers.round()
        assert len(await events(app, "TaskDispatched", "plan-4")) == 2
    assert sorted(looks) == [f"plan-{number}" for number in range(5)]  # each of them once
    assert len(faults) == 4


async def test_each_wait_of_a_plan_is_bounded_by_its_own_length(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    loop = asyncio.get_running_loop()
    time, passed = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: time() + passed)
    question = planfold.TaskDraft(
        description="Deploy?", kind="clarification", default="no", deadline=600.0
    )
    async with planfold.open_app(database, tools=[flaky], clock=clock) as app:
        await submit(app, task("flaky"), question)
        await app.send(PLAN_ID, HandleExecutorEvent(1, TaskFailed("no"), 1, clock(), jitter=0.9))
        timers = Timers(app.store, app.dispatcher, (PLAN,), None, pytest.fail)
        await timers.round()
        clock.advance(-24 * HOUR_S)
        passed = 2.0
        await timers.round()
        assert len(await events(app, "TaskDispatched")) == 2  # the retry: the first wait
        assert await timers.round() <= 1.0
        passed = 590.0
        await timers.round()
        assert not await events(app, "ClarificationReceived")
        passed = 603.0
        await timers.round()
        assert [e.by for e in await events(app, "ClarificationReceived")] == ["deadline"]
