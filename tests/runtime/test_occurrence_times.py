"""``$occurrence`` in plans that schedules begin, on both backends, and in those of people."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import planfold
from planfold import App, Parameter, PlanDraft, TaskDraft
from planfold.readmodels.replay import Replayer
from planfold.runtime.occurrences import Occurrences
from planfold.schedules.schedule import schedule_id
from planfold.testing import ManualClock


@planfold.tool(effect="safe")
def say(at: str, day: str) -> str:
    """Say when it is."""
    return f"{at} {day}"


WORDS = {"at": "$occurrence", "day": "d-$occurrence.date.tar"}
SAY = TaskDraft(description="Say", tool="say", arguments=WORDS, label="say")
INNER = PlanDraft(title="Inner", tasks=[SAY])
BELOW = TaskDraft(description="Below", plan=INNER, label="below")
PLAN = PlanDraft(title="Night", tasks=[SAY, BELOW])
BEFORE = datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp()  # clocks are set in the night after
DAY = 86_400.0


def hand_over(app: App, name: str) -> Awaitable[float | None]:
    return Occurrences(app.store, app.dispatcher, app.executors).hand_over(schedule_id(name))


async def said(app: App, plan_id: str) -> set[str]:
    plan = await app.run(plan_id)
    assert plan.status == "completed", plan.tasks
    own, below = (plan.task(label).result for label in ("say", "below"))
    return {own, below["say"]}


async def differs(app: App, plan_id: str) -> Any:
    replayer = Replayer(plan_id)
    for envelope in await app.store.read_versions(plan_id):
        replayer.take(envelope)
    return replayer.finish().difference


async def test_each_occurrence_has_its_time_in_the_zone_of_the_schedule(
    each_database: str,
) -> None:
    clock = ManualClock(BEFORE)
    async with planfold.open_app(each_database, clock=clock, tools=[say]) as app:
        view = await app.add_schedule(
            "n",
            "30 23 * * *",
            PLAN,
            tz="Europe/Zurich",
            catch_up="all",
            overlap="allow",
            approved_by="ada",
        )
        clock.advance(2 * DAY)  # an outage over a change of clocks
        await hand_over(app, "n")
        for plan_id, at, day in (
            ("n-20261024T2130Z", "2026-10-24T23:30:00+02:00", "d-2026-10-24.tar"),
            ("n-20261025T2230Z", "2026-10-25T23:30:00+01:00", "d-2026-10-25.tar"),
        ):
            state = (await app.planner(plan_id)).state
            assert (state.approved, state.revision_hash) == (True, view.revision_hash)
            assert await said(app, plan_id) == {f"{at} {day}"}
            assert await differs(app, plan_id) is None
            assert await differs(app, f"{plan_id}.2") is None
        fork = await app.fork("n-20261024T2130Z", at="say")
        assert await said(app, fork.plan_id) == {"2026-10-24T23:30:00+02:00 d-2026-10-24.tar"}


async def test_a_run_by_hand_is_for_the_time_at_which_it_begins(each_database: str) -> None:
    clock = ManualClock(BEFORE + 0.7)
    async with planfold.open_app(each_database, clock=clock, tools=[say]) as app:
        await app.add_schedule("n", "@daily", PLAN, tz="Europe/Zurich", approved_by="ada")
        plan_id = await app.run_schedule("n")
        plain = await app.submit(PLAN, approved_by="me")
        clock.advance(DAY)
        assert await said(app, plan_id) == {"2026-10-24T14:00:00+02:00 d-2026-10-24.tar"}
        assert await said(app, plain) == {"2026-10-24T12:00:00Z d-2026-10-24.tar"}
        fork = await app.fork(plain, at="say")
        assert await said(app, fork.plan_id) == {"2026-10-24T12:00:00Z d-2026-10-24.tar"}


async def test_it_is_a_value_of_a_parameter_below(database: str) -> None:
    inner = PlanDraft(
        params={"day": Parameter()},
        tasks=[
            TaskDraft(
                description="Say",
                tool="say",
                arguments={"at": "$params.day", "day": "$occurrence.date"},
                label="say",
            )
        ],
    )
    outer = TaskDraft(
        description="Below", plan=inner, arguments={"day": "$occurrence.date"}, label="below"
    )
    async with planfold.open_app(database, clock=ManualClock(BEFORE), tools=[say]) as app:
        plan = await app.run(await app.submit(PlanDraft(tasks=[outer]), approved_by="me"))
        assert plan.task("below").result == {"say": "2026-10-24 2026-10-24"}
