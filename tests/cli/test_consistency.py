"""What ``doctor`` finds where the database does not agree with its log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest
from command_line import call, called, question, sh, write_plan

import planfold
from planfold.cli.consistency import clock_faults, lease_notes, plan_faults
from planfold.testing import ManualClock

PLANS = ("--db", "sqlite:///plans.db")
REPAIR = "`planfold doctor --repair` puts that right"


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    """A new database, once on each backend."""
    if request.param == "sqlite":
        return "sqlite:///plans.db"
    found: str = request.getfixturevalue("postgres_database")
    return found


def change(address: str, statement: str) -> None:
    """Write to the database behind planfold's back."""
    if address.startswith("sqlite"):
        with apsw.Connection("plans.db") as raw:
            raw.execute(statement.format(""))
        return

    async def damage() -> None:
        connection = await asyncpg.connect(address)
        await connection.execute(statement.format("planfold."))
        await connection.close()

    asyncio.run(damage())


def doctor(address: str, *words: str) -> dict[str, Any]:
    """What it says, without that the server of the tests may lose writes."""
    server = not address.startswith("sqlite")
    out = call("doctor", "--json", "--db", address, *words).output
    assert out.startswith("{"), out
    found: dict[str, Any] = json.loads(out)
    found["faults"] = [f for f in found["faults"] if not (server and "may be lost" in f)]
    return found


def test_a_sound_database_has_no_fault() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true"), sh("b", "true", "a")))
    called("run", "--yes", write_plan(sh("a", "true")))
    called("run", "--yes", write_plan(question("q")), code=3)
    found = json.loads(called("doctor", "--json"))
    assert found["plans_compared"] == 3
    assert found["faults"] == []


DAMAGES = {
    "a lost row": ("DELETE FROM {0}task_queue", "task 1 is not in the task queue"),
    "a row too many": (
        "UPDATE {0}task_queue SET task_id = 2",
        "task 2 is in the task queue and not running",
    ),
    "a row of another attempt": (
        "UPDATE {0}task_queue SET attempt = 7",
        "task 1 is not in the task queue",
    ),
    "a wrong head": (
        """UPDATE {0}streams SET head = replace(head, '"total":2', '"total":7')""",
        "its line in lists is wrong (total)",
    ),
    "a row of no plan": (
        "UPDATE {0}task_queue SET aggregate_id = 'gone'",
        "tasks of gone are queued, and there is no such plan",
    ),
}


@pytest.mark.parametrize("effect", ["safe", "once"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_disagrees_with_the_log_is_named_and_repaired(
    address: str, damage: str, effect: str
) -> None:
    statement, fault = DAMAGES[damage]
    plan = write_plan(sh("a", "echo x >> ran.txt", effect=effect), sh("b", "true", "a"))
    called("run", "--yes", "--detach", plan, "--db", address)
    assert doctor(address)["faults"] == []
    change(address, statement)
    faults = doctor(address)["faults"]
    assert any(fault in each and each.endswith(REPAIR) for each in faults), faults
    repaired = " ".join(doctor(address, "--repair")["repaired"])
    assert doctor(address)["faults"] == []
    assert doctor(address, "--repair")["repaired"] == []
    asked = effect == "once" and "not in the task queue" in repaired  # it may have begun
    called("resume", "--db", address, code=3 if asked else 0)
    assert Path("ran.txt").exists() is not asked


def test_a_wrong_snapshot_is_made_again(address: str) -> None:
    """It reads well, and is not what the log says."""
    called("run", "--yes", "--id", "plan-a", write_plan(question("q")), "--db", address, code=3)

    async def plant() -> None:
        async with planfold.open_app(address) as app:
            wrong = await app.planner("plan-a")
            wrong.state.title = "another"
            data, version = wrong.snapshot(), wrong.state.version
            await app.store.checkpoints.save_snapshot("plan-a", version, data)

    asyncio.run(plant())
    (fault,) = doctor(address)["faults"]
    assert fault.endswith(f"so its snapshot is wrong; {REPAIR}")
    assert len(doctor(address, "--repair")["repaired"]) == 1
    assert doctor(address)["faults"] == []


def test_doctor_says_what_it_repaired() -> None:
    called("run", "--yes", "--detach", "--id", "p", write_plan(sh("a", "true")), *PLANS)
    change(PLANS[1], DAMAGES["a lost row"][0])
    assert REPAIR in called("doctor", *PLANS, code=1)
    out = called("doctor", "--repair", *PLANS)
    assert "repaired: p: task 1 is not in the task queue, so no worker runs it\n" in out
    assert "Nothing is wrong." in out


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
    assert "its snapshot is wrong; `planfold doctor --repair`" in fault


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
