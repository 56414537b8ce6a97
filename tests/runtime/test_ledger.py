"""Where a plan's time went, of plans that really ran."""

from __future__ import annotations

import asyncio

import pytest

import planfold
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.ledger import Ledger
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, Until, finish, task
from testbed.patience import PATIENCE_S


def entries(ledger: Ledger) -> list[tuple[int, str, float]]:
    return [(e.task_id, e.phase.value, e.seconds(0.0)) for e in ledger.entries]


async def test_the_time_goes_to_what_held_the_plan_up(each_database: str) -> None:
    clock = ManualClock()

    @planfold.tool(effect="safe")
    async def build() -> None:
        clock.advance(50)

    async with planfold.open_app(each_database, tools=[build], clock=clock) as app:
        draft = planfold.PlanDraft(
            tasks=[
                task("build"),
                planfold.TaskDraft(description="Which?", kind=NodeKind.Clarification),
                task("build", depends_on=[1, 2]),
            ]
        )
        await app.submit(draft, plan_id=PLAN_ID)
        clock.advance(30)
        await app.approve(PLAN_ID)
        await finish(app)
        clock.advance(100)
        so_far = await app.ledger(PLAN_ID)
        assert entries(so_far) == [(2, "approval", 30), (2, "answer", 150)]
        await app.answer(PLAN_ID, 2, "this")
        clock.advance(7)
        await finish(app)
        ledger = await app.ledger(PLAN_ID)
    assert entries(ledger) == [
        (2, "approval", 30),
        (2, "answer", 150),
        (3, "worker", 7),
        (3, "running", 50),
    ]
    assert ledger.seconds == 237
    assert list(ledger.by_phase.items()) == [
        ("answer", 150), ("running", 50), ("approval", 30), ("worker", 7)
    ]  # fmt: skip
    assert (ledger.longest, ledger.gain) == (2, 100), "task 1 takes 50 s all the same"
    assert ledger.running == 100


async def test_a_slot_and_the_delay_of_a_retry_have_their_part(
    each_database: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planfold.runtime.reporter.random.random", lambda: 0.9)  # 36 s
    clock, failures = ManualClock(), [1]

    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=40.0))
    async def shaky() -> None:
        clock.advance(10)
        if failures:
            failures.pop()
            raise planfold.Transient("no luck")

    async with planfold.open_app(each_database, tools=[shaky], clock=clock) as app:
        draft = planfold.PlanDraft(
            tasks=[task("shaky", depends_on=[2]), task("shaky"), task("shaky")]
        )
        config = PlannerConfig(max_parallel=1)
        await app.submit(draft, plan_id=PLAN_ID, approved_by="me", config=config)
        async with asyncio.timeout(PATIENCE_S), app.worker():
            await until(lambda: _has_ended(app, 3))
            clock.advance(40)
            await app.result(PLAN_ID)
        ledger = await app.ledger(PLAN_ID)
        second = (await app.why(PLAN_ID, 2)).history
    assert [task_id for task_id, _, _ in entries(ledger)][-1] == 1
    assert sum(ledger.by_phase.values()) == ledger.seconds
    assert ledger.by_phase["running"] == 30, "both attempts of task 2, and task 1"
    phases = [span.phase for span in second]
    assert (phases[:2], phases[-1]) == (["running", "retry"], "running")


async def test_items_that_wait_for_their_turn_wait_for_no_worker_and_their_map_runs(
    database: str,
) -> None:
    clock = ManualClock()

    @planfold.tool(effect="safe")
    async def rows() -> list[int]:
        return [10, 30, 20]

    @planfold.tool(effect="safe")
    async def take(seconds: int) -> None:
        clock.advance(seconds)

    each = {"arguments": {"seconds": "$item"}, "for_each": "$1", "concurrency": 1}
    async with planfold.open_app(database, tools=[rows, take], clock=clock) as app:
        draft = planfold.PlanDraft(tasks=[task("rows"), task("take", label="each", **each)])
        await app.submit(draft, plan_id=PLAN_ID, approved_by="me")
        await finish(app)
        ledger = await app.ledger(PLAN_ID)
        third = (await app.why(PLAN_ID, "2[2]")).history
        figures = (await app.statistics()).figures()[""]
    assert ledger.by_phase == {"items": 60}
    assert ledger.running == 30, "that of the longest item"
    assert [(span.phase, span.seconds(0.0)) for span in third if span.end] == [
        ("map_limit", 40),
        ("running", 20),
    ]
    assert figures.queued.summary()["seconds"] == 0


async def test_items_that_wait_for_answers_wait_for_a_person(database: str) -> None:
    clock = ManualClock()

    @planfold.tool(effect="safe")
    async def people() -> list[str]:
        return ["ada", "ben"]

    async with planfold.open_app(database, tools=[people], clock=clock) as app:
        asked = planfold.TaskDraft(description="$item?", kind="clarification", for_each="$1")
        draft = planfold.PlanDraft(tasks=[task("people"), asked])
        await app.submit(draft, plan_id=PLAN_ID, approved_by="ada")
        await app.run(PLAN_ID)
        for item in ("2[0]", "2[1]"):
            clock.advance(100)
            await app.answer(PLAN_ID, item, "yes")
        await finish(app)
        ledger = await app.ledger(PLAN_ID)
    assert entries(ledger) == [(2, "answer", 200)]
    assert ledger.by_phase == {"answer": 200}


async def test_the_time_of_maps_that_run_item_by_item_counts_once(database: str) -> None:
    clock = ManualClock()

    @planfold.tool(effect="safe")
    async def rows() -> list[int]:
        return [10, 10, 10]

    @planfold.tool(effect="safe")
    async def take(seconds: int) -> int:
        clock.advance(seconds)
        return seconds // 2

    item: dict[str, object] = {"arguments": {"seconds": "$item"}}
    draft = planfold.PlanDraft(
        tasks=[
            task("rows"),
            task("take", for_each="$1", **item),
            task("take", for_each="$2", item_by_item=True, **item),
        ]
    )
    one = PlannerConfig(max_parallel=1)
    async with planfold.open_app(database, tools=[rows, take], clock=clock) as app:
        await app.submit(draft, plan_id=PLAN_ID, approved_by="me", config=one)
        await finish(app)
        ledger = await app.ledger(PLAN_ID)
    assert ledger.by_phase == {"items": 45}, "10, 5, 10, 5, 10, 5: what began is finished first"
    assert entries(ledger) == [(2, "items", 40), (3, "items", 5)]
    assert (ledger.longest, ledger.gain) == (2, 40)


async def _has_ended(app: planfold.App, number: int) -> bool:
    return (await app.view(PLAN_ID)).task(number).status == "completed"
