"""Statistics of plans that really run: kept up to date meanwhile, and built again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

import planfold
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.planner.commands import CancelPlan
from planfold.planner.events import PlanningCompleted
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.statistics import Statistics
from planfold.runtime import kept_statistics
from planfold.runtime.kept_statistics import NAME, KeptStatistics, statistics_of
from planfold.subscriptions.projection import project
from plans import Until, task

PLANS = 24
PLAN = planfold.PlanDraft(title="one", tasks=[planfold.TaskDraft(description="x")])


async def test_live_equals_built_again(each_database: str, until: Until) -> None:
    chance = random.Random(11)

    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=0.0))
    async def shaky() -> None:
        if chance.random() < 0.3:
            raise planfold.Transient("no luck")

    async with planfold.open_app(each_database, tools=[shaky]) as app, app.worker(concurrency=4):
        live = statistics_of(app.store)
        following = asyncio.create_task(project(app.store, live, query=Query(stream_id="plan")))
        await asyncio.gather(*[_one_plan(app, number, chance) for number in range(PLANS)])
        await until(lambda: _at_the_end(app, live))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        again = await app.statistics()
        outcomes = [plan.head["status"] for plan in await app.plans()]
        spent = (await app.statistics(since=app.store.clock() + 60)).figures()
        kept = await app.statistics()
        rebuilt = await app.statistics(rebuild=True)
    for found in (again, kept, rebuilt):
        assert (live.groups, live.titles) == (found.groups, found.titles)
        assert live.checkpoint == found.checkpoint
    assert live.checkpoint == again.checkpoint
    (total,) = live.figures().values()
    assert total.plans == {status: outcomes.count(status) for status in set(outcomes)}
    assert (total.plans_begun, total.answers) == (PLANS, PLANS - outcomes.count("cancelled"))
    assert total.running.count <= total.attempts == total.queued.count
    assert list(live.figures("tool")) == ["", "shaky"]
    assert not spent


async def test_a_start_counts_only_what_came_after_what_was_saved(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        await app.submit(PLAN, plan_id="before")
        await app.statistics(rebuild=True)
        await app.submit(PLAN, plan_id="after")
        last = await app.store.last_position()
    async with planfold.open_app(each_database) as app:
        read = _noted(app)
        (total,) = (await app.statistics()).figures().values()
        assert (total.plans_begun, read) == (2, ["after"])
        kept = KeptStatistics(app.store)
        await app.store.checkpoints.save_read_model(NAME, *await _saved(app, position=last + 9))
        assert await kept.load() is None  # of a log that was longer: a backup was restored
        await app.store.checkpoints.save_read_model(NAME, *await _saved(app, epoch=7))
        read.clear()
        (total,) = (await app.statistics()).figures().values()
        assert (total.plans_begun, read) == (2, ["before", "after"])
        place, _ = await _saved(app)
        await app.store.checkpoints.save_read_model(NAME, place, None)
        (total,) = (await app.statistics()).figures().values()
        assert total.plans_begun == 2


async def test_what_is_counted_is_saved_now_and_then(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_statistics, "SAVE_EVERY", 2)
    async with planfold.open_app(each_database) as app:
        for number in range(3):
            await app.submit(PLAN, plan_id=f"plan-{number}")
        assert await app.store.checkpoints.read_model(NAME) is None
        for number in range(3):
            await app.submit(PLAN, plan_id=f"more-{number}")
        await app.statistics()
        place, _ = await _saved(app)
        assert place.position == await app.store.last_position()
        monkeypatch.setattr(app.store.checkpoints, "save_read_model", _refuse)
        await app.submit(PLAN, plan_id="later")
        (total,) = (await app.statistics(rebuild=True)).figures().values()
        assert total.plans_begun == 7


async def _refuse(*_: object) -> None:
    raise planfold.Transient("the database is read-only")


def _noted(app: planfold.App) -> list[str]:
    """The plans of the events that are counted from now on."""
    read: list[str] = []
    subscribe = app.store.subscribe

    async def noted(*args: Any, **more: Any) -> AsyncIterator[Envelope]:
        async for envelope in subscribe(*args, **more):
            read.append(envelope.aggregate_id)
            yield envelope

    app.store.subscribe = noted  # type: ignore[method-assign]
    return read


async def _saved(app: planfold.App, **changes: Any) -> tuple[Checkpoint, bytes]:
    saved = await app.store.checkpoints.read_model(NAME)
    assert saved is not None
    return replace(saved[0], **changes), saved[1]


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_counters_of_10_000_plans_are_what_a_count_of_the_events_says(
    each_database: str,
) -> None:
    chance = random.Random(12)

    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=0.0))
    async def shaky() -> None:
        if chance.random() < 0.3:
            raise planfold.Transient("no luck")

    async with planfold.open_app(each_database, tools=[shaky]) as app, app.worker(concurrency=64):
        for batch in range(0, 10_000, 200):
            await asyncio.gather(*[_one_plan(app, batch + n, chance) for n in range(200)])
        counted, ends = Counter[str](), Counter[str]()
        after = 0
        while page := await app.store.read(Query(stream_id="plan"), after=after, limit=5_000):
            after = page[-1].position
            counted.update(type(envelope.event).__name__ for envelope in page)
            ends.update(e.event.outcome for e in page if isinstance(e.event, PlanningCompleted))
        (total,) = (await app.statistics()).figures().values()
    assert total.plans_begun == counted["TasksPlanned"] == 10_000
    assert total.plans == ends
    assert total.attempts == counted["TaskDispatched"] == total.queued.count
    assert total.answers == counted["ClarificationReceived"]
    assert total.questions == counted["ClarificationRequested"]
    assert total.retries == counted["RetryScheduled"] > 0


async def _one_plan(app: planfold.App, number: int, chance: random.Random) -> None:
    asked = planfold.TaskDraft(description="Go on?", kind=NodeKind.Clarification)
    draft = planfold.PlanDraft(
        title=f"title {number % 3}", tasks=[asked, task("shaky"), task("shaky", depends_on=[1, 2])]
    )
    plan_id = await app.submit(draft, approved_by="me")
    if number % 6 == 0:
        await app.send(plan_id, CancelPlan("not wanted"))
    else:
        await app.answer(plan_id, 1, "yes")
    async with asyncio.timeout(20):
        await app.result(plan_id)


async def _at_the_end(app: planfold.App, live: Statistics) -> bool:
    last = await app.store.last_position()
    return live.checkpoint is not None and live.checkpoint.position == last
