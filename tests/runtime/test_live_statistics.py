"""Statistics of plans that really run: kept up to date meanwhile, and built again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

import planfold
from planfold.eventstore.envelope import Query
from planfold.planner.commands import CancelPlan
from planfold.planner.events import PlanningCompleted
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.statistics import Statistics
from planfold.runtime.plan_reader import statistics_of
from planfold.subscriptions.projection import project
from plans import Until, task

PLANS = 24


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
    assert (live.groups, live.titles) == (again.groups, again.titles)
    assert live.checkpoint == again.checkpoint
    (total,) = live.figures().values()
    assert total.plans == {status: outcomes.count(status) for status in set(outcomes)}
    assert (total.plans_begun, total.answers) == (PLANS, PLANS - outcomes.count("cancelled"))
    assert total.running.count <= total.attempts == total.queued.count
    assert list(live.figures("tool")) == ["", "shaky"]
    assert not spent


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
