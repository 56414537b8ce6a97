"""Waits that end although a clock was set or other streams cannot be continued."""

from __future__ import annotations

import asyncio

import pytest

import planfold
from planfold.planner.commands import HandleExecutorEvent, TaskFailed, TaskProgressed
from planfold.planner.tasks import RetryPolicy
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
