"""Tasks that end their worker's process, and what ran beside them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from lost_answers import lose_claim
from suspect_process import tools

import planfold
from planfold.planner.tasks import PlanStatus
from planfold.runtime import leases as leases_module
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, Until, completed, submit, task
from testbed.patience import PATIENCE_S

SCRIPT = Path(__file__).with_name("suspect_process.py")
MOST_PROCESSES = 20
LEASE_S = 30.0


@pytest.mark.crash
async def test_only_the_task_that_kills_its_workers_fails(database: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with planfold.open_app(database, tools=tools(ledger)) as app:
        await submit(app, task("dies"), task("honest"))
    codes = []
    while 0 not in codes:
        assert len(codes) < MOST_PROCESSES, codes
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), database, PLAN_ID, str(ledger)
        )
        async with asyncio.timeout(PATIENCE_S):
            codes.append(await process.wait())
    assert codes == [*[7] * 5, 0]
    async with planfold.open_app(database, tools=tools(ledger)) as app:
        view = await app.view(PLAN_ID)
    killer, neighbour = view.tasks
    assert (killer.status, neighbour.status, neighbour.result) == ("failed", "completed", 1)
    assert "5 workers lost it while they ran it: the tool 'dies'" in (killer.error or "")
    assert "honest alone" in ledger.read_text().splitlines()


def blocking(name: str) -> tuple[Any, asyncio.Event, list[int]]:
    gate, runs = asyncio.Event(), list[int]()

    @planfold.tool(name=name, effect="safe")
    async def wait() -> int:
        runs.append(1)
        await gate.wait()
        return len(runs)

    return wait, gate, runs


async def crashed(app: planfold.App, plan_id: str, times: int) -> None:
    """Let workers that died have had the tasks of a plan."""
    clock = app.store.clock
    assert isinstance(clock, ManualClock)
    for number in range(times):
        assert await app.store.queue.claim(f"dead-{number}", 99, aggregate_id=plan_id)
        clock.advance(LEASE_S + 1)


async def test_nothing_runs_beside_a_suspect(database: str, until: Until) -> None:
    suspect, gate, runs = blocking("suspect")
    other, other_gate, other_runs = blocking("other")
    other_gate.set()
    async with planfold.open_app(database, tools=[suspect, other], clock=ManualClock()) as app:
        await submit(app, task("suspect"), task("suspect"), plan_id="bad")
        await crashed(app, "bad", 3)
        async with app.worker():
            await until(lambda: runs)
            await submit(app, task("other"), plan_id="good")
            assert len(runs) == 1, "a suspect ran beside a suspect"
            assert not other_runs
            gate.set()
            assert (await app.result("bad")).status is PlanStatus.Completed
            assert (await app.result("good")).status is PlanStatus.Completed
    assert len(runs) == 2


async def test_a_busy_worker_makes_room_for_a_suspect(
    database: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(leases_module, "RENEW_EVERY_S", 0.05)
    suspect, gate, runs = blocking("suspect")
    other, other_gate, other_runs = blocking("other")
    gate.set()
    async with planfold.open_app(database, tools=[suspect, other], clock=ManualClock()) as app:
        await submit(app, task("other"), *(task("other", depends_on=[1]) for _ in range(5)))
        async with app.worker(concurrency=1):
            await until(lambda: other_runs)
            await submit(app, task("suspect"), plan_id="bad")
            await crashed(app, "bad", 3)

            other_gate.set()
            assert (await app.result("bad")).status is PlanStatus.Completed
            assert (await app.result(PLAN_ID)).status is PlanStatus.Completed
    assert (len(runs), len(other_runs)) == (1, 6)


async def test_after_one_crash_everything_runs_side_by_side_again(
    database: str, until: Until
) -> None:
    suspect, gate, runs = blocking("suspect")
    async with planfold.open_app(database, tools=[suspect], clock=ManualClock()) as app:
        await submit(app, *(task("suspect") for _ in range(8)))
        await crashed(app, PLAN_ID, 1)
        async with app.worker():
            await until(lambda: len(runs) == 8)
            gate.set()
            assert (await app.result(PLAN_ID)).status is PlanStatus.Completed


async def test_a_tool_that_is_missing_does_not_stop_the_others_on_its_route(
    database: str, until: Until
) -> None:
    """A worker declines by tool: one task with an unknown tool leaves its route served."""
    known, gate, runs = blocking("known")
    missing, *_ = blocking("missing")
    gate.set()
    async with (
        planfold.open_app(database, tools=[known, missing]) as able,
        planfold.open_app(database, tools=[known]) as unable,
    ):
        await submit(able, task("missing", route="gpu"), task("known", route="gpu"))
        async with unable.worker(routes=["gpu"]):

            async def known_is_done() -> bool:
                return await completed(unable, 2)

            await until(known_is_done)

            async def has_declined() -> bool:
                workers = await able.store.queue.workers()
                return [worker.declined for worker in workers] == [("missing",)]

            await until(has_declined)
        assert len(runs) == 1
        missing_gate = await able.store.queue.queued(PLAN_ID)
        assert [(row.tool, row.owner) for row in missing_gate] == [("missing", None)]


async def test_a_plan_with_many_tasks_does_not_keep_another_waiting(
    database: str, until: Until
) -> None:
    """Chains fill every place; a plan that comes later begins before they have ended."""
    order: list[str] = []

    @planfold.tool(effect="safe")
    async def step(context: planfold.TaskContext) -> None:
        order.append(context.plan_id)

    chains = [task("step", depends_on=[n - 4] if n > 4 else []) for n in range(1, 401)]
    async with planfold.open_app(database, tools=[step]) as app:
        await submit(app, *chains, plan_id="long")
        async with app.worker(concurrency=2):
            await until(lambda: len(order) > 20)
            await submit(app, task("step"), plan_id="short")
            await app.result("short")
            place = order.index("short")
            await app.result("long")
    assert len(order) == 401
    assert place < 300, "the short plan waited for the long one"


async def test_a_suspect_whose_claim_lost_its_answer_runs_alone_too(
    database: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(leases_module, "RENEW_EVERY_S", 0.02)
    suspect, gate, runs = blocking("suspect")
    other, other_gate, other_runs = blocking("other")
    other_gate.set()
    async with planfold.open_app(database, tools=[suspect, other], clock=ManualClock()) as app:
        await submit(app, task("suspect"), plan_id="bad")
        await crashed(app, "bad", 3)
        lost = lose_claim(app, monkeypatch)
        async with app.worker():
            await until(lambda: runs)
            await submit(app, task("other"), plan_id="good")
            (slots,) = app.dispatcher.slots
            assert slots.alone
            assert not slots.reserved
            gate.set()
            for plan_id in ("bad", "good"):
                assert (await app.result(plan_id)).status is PlanStatus.Completed
    assert [lease.suspect for lease in lost] == [True]
    assert (len(runs), len(other_runs)) == (1, 1)
