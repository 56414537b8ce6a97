"""What ``doctor`` finds where the database does not agree with its log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import apsw
import asyncpg
import pytest
from command_line import called, question, sh, shown, write_plan

import planfold
from planfold.cli.consistency import clock_faults, lease_notes, plan_faults
from planfold.testing import ManualClock


def planted(*statements: str) -> list[str]:
    """The faults that are found after a change of the database behind planfold's back."""
    with apsw.Connection(".planfold/planfold.db") as raw:
        for statement in statements:
            raw.execute(statement)
    found: list[str] = json.loads(called("doctor", "--json", code=1))["faults"]
    return found


def test_a_sound_database_has_no_fault() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true"), sh("b", "true", "a")))
    called("run", "--yes", write_plan(sh("a", "true")))
    called("run", "--yes", write_plan(question("q")), code=3)
    found = json.loads(called("doctor", "--json"))
    assert found["plans_compared"] == 3
    assert found["faults"] == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM task_queue", "task 1 is not in the task queue"),
        ("UPDATE task_queue SET task_id = 2", "task 2 is in the task queue and not running"),
        ("UPDATE streams SET head = json_set(head, '$.total', 7)", "lists is wrong (total)"),
    ],
)
def test_what_disagrees_with_the_log_is_named(statement: str, fault: str) -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true"), sh("b", "true", "a")))
    faults = planted(statement)
    assert any(fault in each and shown()["id"] in each for each in faults), faults
    assert all("restore" in each for each in faults)


def test_a_server_is_compared_too(postgres_database: str) -> None:
    address = ("--db", postgres_database)
    called("run", "--yes", "--detach", write_plan(sh("a", "true")), *address)

    async def damage() -> None:
        connection = await asyncpg.connect(postgres_database)
        await connection.execute("DELETE FROM planfold.task_queue")
        await connection.close()

    def faults() -> list[str]:
        found: dict[str, Any] = json.loads(called("doctor", "--json", *address, code=1))
        return [f for f in found["faults"] if "may be lost" not in f]  # the server's fsync is off

    assert faults() == []
    asyncio.run(damage())
    assert ["not in the task queue" in fault for fault in faults()] == [True]


async def test_clocks_that_differ_are_named() -> None:
    clock = ManualClock(1_000.0)
    async with planfold.open_app("sqlite:///plans.db", clock=clock) as app:
        await app.submit("1. Which?", plan_id="p")
        plans = await app.plans()
        assert clock_faults(app, plans, 1_001.0) == []
        (ahead,) = clock_faults(app, plans, 1_060.0)
        assert "this host's clock is 1 min 0 s ahead of" in ahead
        (behind,) = clock_faults(app, plans, 940.0)
        assert "behind" in behind
        assert "NTP" in behind
    past = ManualClock(400.0)
    async with planfold.open_app("sqlite:///plans.db", clock=past) as app:
        (future,) = clock_faults(app, await app.plans(), 400.0)
        assert "10 min 0 s in the future" in future


async def test_leases_of_workers_that_hang_are_named() -> None:
    clock = ManualClock()
    async with planfold.open_app("sqlite:///plans.db", clock=clock) as app:
        await app.submit("1. Run `true`", approved_by="me")
        await app.store.queue.claim("worker-1", 1)
        assert await lease_notes(app) == []
        clock.advance(60)
        (note,) = await lease_notes(app)
    assert "1 lease ran out" in note
    assert "planfold worker" in note


async def test_a_state_that_the_log_does_not_say_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with planfold.open_app("sqlite:///plans.db") as app:
        plan_id = await app.submit("1. Which?")
        plans = await app.plans()
        assert await plan_faults(app, plans) == []
        wrong = await app.planner(plan_id)
        wrong.state.title = "another"

        async def planner(_: str) -> Any:
            return wrong

        monkeypatch.setattr(app, "planner", planner)
        (fault,) = await plan_faults(app, plans)
    assert plan_id in fault
    assert "its snapshot is wrong; delete its row" in fault


async def test_a_plan_that_moves_on_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written between the look at its state and the one at its queue."""
    async with planfold.open_app("sqlite:///plans.db") as app:
        plan_id = await app.submit("1. Run `true`", approved_by="me")
        plans, queued = await app.plans(), app.store.queue.queued
        approved = False

        async def later(aggregate_id: str) -> Any:
            nonlocal approved
            if not approved:
                approved = True
                await app.cancel(plan_id)
            return await queued(aggregate_id)

        monkeypatch.setattr(app.store.queue, "queued", later)
        assert await plan_faults(app, plans) == []
        assert approved
