"""What a process logs of its plans: one record for each fact, with its fields."""

from __future__ import annotations

import logging

import pytest

import planfold
from planfold.planner.tasks import RetryPolicy
from planfold.testing import ManualClock
from plans import PLAN_ID, finish, submit, task


def records(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, int | None, str | None]]:
    return [
        (r.levelname, r.event, getattr(r, "task_id", None), getattr(r, "status", None))
        for r in caplog.records
        if r.name == "planfold.plans"
    ]


async def test_a_run_is_logged_fact_by_fact(
    each_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    @planfold.tool(effect="safe")
    def build() -> str:
        return "secret result"

    @planfold.tool(effect="safe")
    def broken() -> None:
        raise ValueError("it is broken\x1b[2J")

    with caplog.at_level(logging.INFO, "planfold"):
        async with planfold.open_app(each_database, tools=[build, broken]) as app:
            await submit(app, task("build"), task("broken", depends_on=[1]))
            await finish(app)
    assert records(caplog) == [
        ("INFO", "TasksPlanned", None, None),
        ("INFO", "PlanApproved", None, None),
        ("INFO", "TaskDispatched", 1, None),
        ("INFO", "TaskStatusUpdated", 1, "completed"),
        ("INFO", "TaskDispatched", 2, None),
        ("WARNING", "TaskStatusUpdated", 2, "failed"),
        ("INFO", "PlanningCompleted", None, None),
    ]
    found = [r for r in caplog.records if r.name == "planfold.plans"]
    assert {(r.plan_id, r.correlation_id) for r in found} == {(PLAN_ID, PLAN_ID)}
    assert "it is broken" in found[-2].error
    assert found[3].getMessage() == "p task 1: TaskStatusUpdated completed"
    failed = "p task 2: TaskStatusUpdated failed: ValueError: it is broken\\x1b[2J"
    assert found[-2].getMessage() == failed  # without its traceback, which is in the field
    assert "secret" not in str([vars(record) for record in found])


async def test_what_time_brings_about_is_logged(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, runs = ManualClock(), []

    @planfold.tool(effect="safe")
    def flaky() -> None:
        runs.append(1)
        clock.advance(100)
        if len(runs) == 1:
            raise OSError("not now")

    with caplog.at_level(logging.INFO, "planfold"):
        async with planfold.open_app(database, tools=[flaky], clock=clock) as app:
            retry = RetryPolicy(attempts=2, base=0.001)
            await submit(app, task("flaky", retry=retry))
            await finish(app)
    said = [record.getMessage() for record in caplog.records]
    assert "p task 1: RetryScheduled: OSError: not now" in said
    assert [(level, event) for level, event, *_ in records(caplog)][3:] == [
        ("WARNING", "RetryScheduled"),
        ("INFO", "TaskDispatched"),
        ("INFO", "TaskStatusUpdated"),
        ("INFO", "PlanningCompleted"),
    ]


async def test_nothing_is_made_for_a_log_that_is_off(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "planfold.plans"):
        async with planfold.open_app(database) as app:
            await submit(app, task("shell", arguments={"argv": ["true"]}))
            await finish(app)
    assert records(caplog) == []
