"""Schedules on both backends: two workers, an outage, changed tools, processes that are killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import planfold
from planfold import App, PlanDraft, TaskDraft
from planfold.errors import CommandRejected, ConfigurationError, InvalidPlan, NotFound
from planfold.log import Query
from planfold.runtime.aggregate import SCHEDULES
from planfold.runtime.occurrences import AT_ONCE, Occurrences
from planfold.runtime.timers import SHORTEST_PAUSE_S, Timers
from planfold.schedules.schedule import schedule_id
from planfold.testing import ManualClock
from planfold.types import ScheduleView
from tests.schedules.calendars import Rule, occurrences, start_of

Until = Callable[[Callable[[], object]], Awaitable[None]]
YEAR, DAY = 2026, 86_400.0
ASK = PlanDraft(title="Ask", tasks=[TaskDraft(description="Well?", choices=["yes", "no"])])


def hand_over(app: App, name: str) -> Awaitable[float | None]:
    return Occurrences(app.store, app.dispatcher, app.executors).hand_over(schedule_id(name))


async def begun(app: App, name: str) -> list[float]:
    """The occurrences whose plans exist, by the log."""
    heads = await app.plans(limit=None, tags=[f"schedule={name}"])
    firsts = [(await app.store.read_versions(h.aggregate_id, limit=1))[0] for h in heads]
    said = [envelope.metadata.extra["occurrence"] for envelope in firsts]
    return sorted(datetime.fromisoformat(text).timestamp() for text in said)


MONTHS = (3, 4, 10, 11)
DAYS = (1, 4, 5, 8, *range(25, 32))  # among them those of all changes of clocks
RULE = Rule(
    "30 2 1,4,5,8,25-31 3,4,10,11 *",
    lambda d: d.month in MONTHS and d.day in DAYS,
    (2,),
    (30,),
)
ZONES = (
    ("skip", "Europe/Zurich"),
    ("once", "America/New_York"),
    ("all", "Australia/Lord_Howe"),
    ("all", "UTC"),
)


DAILY = Rule("30 2 * * *", lambda _: True, (2,), (30,))


@pytest.mark.parametrize(
    "rule", [RULE, pytest.param(DAILY, marks=pytest.mark.soak)], ids=["weeks", "days"]
)
async def test_a_year_of_two_workers(each_database: str, rule: Rule) -> None:
    """Clocks are set in the zones; all workers are down from 27 to 30 March, and for three days
    beginning at the change of clocks of October."""
    clock = ManualClock(float(start_of(YEAR)))
    begins = (datetime(YEAR, 3, 27, 5, tzinfo=UTC), datetime(YEAR, 10, 24, 20, tzinfo=UTC))
    down = [(each.timestamp(), each.timestamp() + 3 * DAY) for each in begins]
    async with AsyncExitStack() as stack:
        opened = planfold.open_app(each_database, clock=clock)
        one = await stack.enter_async_context(opened)
        two = await stack.enter_async_context(planfold.open_app(each_database, clock=clock))
        known = {}
        for catch_up, zone in ZONES:
            name = f"{catch_up}-{zone.rpartition('/')[2]}"
            known[name] = occurrences(rule, zone, YEAR)
            await one.add_schedule(
                name, rule.expression, ASK, tz=zone, catch_up=catch_up, overlap="allow"
            )
        for name, times in known.items():
            looks = [at + 1.0 for at in times if not any(a <= at < b for a, b in down)]
            for now in sorted([*looks, *(end for _, end in down)]):
                clock.now = now
                await asyncio.gather(hand_over(one, name), hand_over(two, name))
            missed = [at for at in times if any(a <= at < b for a, b in down)]
            lost = {"skip": missed, "all": [], "once": missed[:2] + missed[3:-1]}
            assert len(missed) == 6
            left_out = lost[name.partition("-")[0]]
            assert await begun(two, name) == [at for at in times if at not in left_out]
            view = await two.schedule(name)
            assert view.submitted == len(times) - len(left_out)
            assert (view.missed_since > 0) is bool(left_out)
            clock.now = float(start_of(YEAR))


async def test_a_worker_runs_what_is_due(each_database: str, until: Until) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(each_database, clock=clock) as app:
        added = await app.add_schedule("tick", "*/5 * * * *", "1. Run `true`", approved_by="ada")
        assert added.next_at == clock.now + 300
        async with app.worker():
            clock.advance(301)
            app.store.wakeup.notify("work")
            plan_id = "tick-20260101T0005Z"

            async def there() -> bool:
                return await app.store.head(plan_id) is not None

            await until(there)
            plan = await app.result(plan_id)
        assert (plan.status, plan.tags) == ("completed", ("schedule=tick",))
        first = (await app.store.read_versions(plan_id, limit=1))[0].metadata
        assert first.extra == {"schedule": "tick", "occurrence": "2026-01-01T00:05:00Z"}
        assert (await app.schedule("tick")).previous == plan_id


async def test_overlapping_occurrences_wait_for_the_end(each_database: str, until: Until) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(each_database, clock=clock) as app:
        await app.add_schedule("q", "* * * * *", ASK, overlap="queue", approved_by="ada")
        await app.add_schedule("s", "* * * * *", ASK, overlap="skip", approved_by="ada")
        for _ in range(3):
            clock.advance(60)
            for name in ("q", "s"):
                await hand_over(app, name)
        assert [len(await begun(app, name)) for name in ("q", "s")] == [1, 1]
        assert ((await app.schedule("q")).waiting, (await app.schedule("s")).overlapped) == (2, 2)
        assert await hand_over(app, "q") is not None  # a time to look again
        async with app.worker():
            for plan_id in ("q-20260101T0001Z", "q-20260101T0002Z"):

                async def asks(plan_id: str = plan_id) -> bool:
                    head = await app.store.head(plan_id)
                    return head is not None and head.head["status"] == "awaiting_answer"

                await until(asks)
                await app.answer(plan_id, 1, "yes")
                await app.result(plan_id)
        assert len(await begun(app, "q")) >= 2


async def test_long_outages_are_made_up_for_in_parts(database: str) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(database, clock=clock) as app:
        await app.add_schedule("m", "* * * * *", ASK, catch_up="all", overlap="skip")
        clock.advance(60 * 3 * AT_ONCE)
        while (again := await hand_over(app, "m")) is not None:
            assert again == 0.0
        view = await app.schedule("m")
        assert (view.submitted, view.overlapped) == (1, 3 * AT_ONCE - 1)
        assert view.next_at == clock.now + 60


async def test_a_backlog_does_not_keep_other_streams(database: str) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(database, clock=clock) as app:
        await app.add_schedule("m", "* * * * *", ASK, catch_up="all", overlap="allow")
        clock.advance(60 * 3 * AT_ONCE)
        faults: list[Any] = []
        occurrences = Occurrences(app.store, app.dispatcher, app.executors)
        parts = (app.store, app.dispatcher, (SCHEDULES,), None, faults.append)
        rounds = Timers(*parts, {"schedule": occurrences.hand_over})
        for each in range(1, 4):
            pause = await rounds.round()
            assert (await app.schedule("m")).submitted == each * AT_ONCE
            assert (pause <= SHORTEST_PAUSE_S) is (each < 3)
        assert faults == []


# --- approval and tools -----------------------------------------------------------------------


def tools(effect: Any) -> list[Any]:
    @planfold.tool(name="report", effect=effect)
    def report() -> str:
        """Write a report."""
        return "done"

    return [report]


REPORT = PlanDraft(tasks=[TaskDraft(description="Report", tool="report")])


async def test_where_tools_have_changed_a_plan_waits_for_approval(database: str) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(database, clock=clock, tools=tools("safe")) as app:
        view = await app.add_schedule("r", "0 * * * *", REPORT, overlap="allow", approved_by="ada")
        clock.advance(3_600)
        await hand_over(app, "r")
        assert await app.status("r-20260101T0100Z") == "running"
        assert (await app.planner("r-20260101T0100Z")).state.revision_hash == view.revision_hash
    heard: list[Any] = []

    async def hear(notification: Any) -> None:
        heard.append(notification)

    async with planfold.open_app(database, clock=clock, tools=tools("once")) as app:
        clock.advance(3_600)
        end = await app.log.last_position()
        await hand_over(app, "r")
        assert await app.status("r-20260101T0200Z") == "awaiting_approval"
        async with app.log.notify("desk", hear, after=end) as consumer:
            await consumer.caught_up(await app.log.last_position())
        assert [(each.kind, each.plan_id) for each in heard] == [("approval", "r-20260101T0200Z")]
        first = (await app.store.read_versions("r-20260101T0200Z", limit=1))[0].metadata
        assert first.extra["approved_revision"] == view.revision_hash


async def test_a_worker_without_the_tools_leaves_it_to_another(database: str, until: Until) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(database, clock=clock, tools=tools("safe")) as app:
        await app.add_schedule("r", "0 * * * *", REPORT, approved_by="ada")
        clock.advance(3_600)
        async with planfold.open_app(database, clock=clock) as other:
            why = "of the schedule 'r' cannot be made with the tools of this worker: task 1, tool"
            with pytest.raises(ConfigurationError, match=why):
                await hand_over(other, "r")
            async with other.worker() as worker:
                await until(lambda: isinstance(worker.fault, ConfigurationError))
            assert (await other.schedule("r")).starting == ("r-20260101T0100Z",)
        await hand_over(app, "r")
        assert await begun(app, "r") == [clock.now]


async def test_an_id_that_is_in_use_is_reported(database: str) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(database, clock=clock) as app:
        await app.add_schedule("n", "0 * * * *", ASK)
        await app.submit("1. Run `true`", plan_id="n-20260101T0100Z")
        clock.advance(3_600)
        await hand_over(app, "n")
        view = await app.schedule("n")
        assert (view.submitted, view.starting) == (0, ())
        assert view.fault.startswith("n-20260101T0100Z: this plan began with other tasks")

        clock.advance(3_600)  # the plan of others, which has not ended, holds nothing back
        await hand_over(app, "n")
        view = await app.schedule("n")
        assert (view.previous, view.submitted, view.overlapped) == ("n-20260101T0200Z", 1, 0)


async def test_a_run_by_hand_under_an_id_in_use_is_refused(database: str) -> None:
    async with planfold.open_app(database) as app:
        await app.add_schedule("n", "0 0 1 1 *", ASK)
        await app.submit("1. Run `true`", plan_id="n-run-1")
        with pytest.raises(CommandRejected, match=r"n-run-1: .* takes the next id"):
            await app.run_schedule("n")
        assert await app.run_schedule("n") == "n-run-2"


# --- decisions of people ----------------------------------------------------------------------


async def test_pause_run_and_remove(each_database: str) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(each_database, clock=clock) as app:
        await app.add_schedule("n", "0 * * * *", ASK, tags=["a"], approved_by="ada")
        again = await app.add_schedule("n", "0 * * * *", ASK, tags=["a"], approved_by="ada")
        assert isinstance(again, ScheduleView)
        assert again.tags == ("schedule=n", "a")
        assert await app.pause_schedule("n", reason="why", by="ada") is True
        assert await app.pause_schedule("n") is False
        clock.advance(7_200)
        await hand_over(app, "n")
        assert (await app.schedule("n")).next_at is None
        with pytest.raises(CommandRejected, match="is paused; unpause it first"):
            await app.run_schedule("n")
        assert await app.unpause_schedule("n", by="ada") is True
        assert (await app.schedule("n")).next_at == clock.now + 3_600
        assert await app.run_schedule("n", by="bob") == "n-run-1"
        assert await app.status("n-run-1") == "awaiting_answer"
        with pytest.raises(CommandRejected, match="plan n-run-1 of the schedule 'n' has not ended"):
            await app.run_schedule("n")
        assert [view.name for view in await app.schedules()] == ["n"]
        await app.remove_schedule("n", by="ada")
        assert await app.schedules() == []
        for call in (app.schedule, app.pause_schedule, app.remove_schedule, app.run_schedule):
            with pytest.raises(NotFound, match="there is no schedule 'n'"):
                await call("n")
        await app.add_schedule("n", "30 * * * *", ASK)
        assert await app.status("n-run-1") == "awaiting_answer"


async def test_an_edit_changes_what_is_given(each_database: str) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(each_database, clock=clock) as app:
        added = await app.add_schedule("n", "0 * * * *", ASK, tags=["a"], approved_by="ada")
        clock.advance(3_600)
        await hand_over(app, "n")
        before = await app.schedule("n")
        edited = await app.edit_schedule("n", cron="30 * * * *", overlap="queue", by="bob")
        assert (edited.cron, edited.overlap, edited.catch_up) == ("30 * * * *", "queue", "once")
        assert edited.next_at == clock.now + 1_800
        kept = ("previous", "submitted", "revision_hash", "approved_by", "tags", "tz")
        assert [getattr(edited, name) for name in kept] == [getattr(before, name) for name in kept]
        assert edited.submitted == 1
        events = await app.log.read(Query(stream_id="schedule"))
        assert await app.edit_schedule("n", cron="30 * * * *") == edited
        assert await app.log.read(Query(stream_id="schedule")) == events

        plan = "---\nparams: {who: {default: all}}\n---\n1. Run `echo $params.who`\n"
        waits = await app.edit_schedule("n", plan=plan, params={"who": "you"}, tags=["b"])
        assert waits.revision_hash != added.revision_hash
        assert (waits.approved_by, waits.tags) == (None, ("schedule=n", "b"))
        async with planfold.open_app(each_database, load=False) as bare:
            approved = await bare.edit_schedule("n", approved_by="ada")
        assert (approved.approved_by, approved.revision_hash) == ("ada", waits.revision_hash)
        await app.cancel(edited.previous)
        plan_id = await app.run_schedule("n")
        view = await app.run(plan_id)
        assert (view.status, view.task(1).result["stdout"]) == ("completed", "you")


async def test_edits_at_the_same_time_keep_each_other(each_database: str) -> None:
    async with planfold.open_app(each_database) as one, planfold.open_app(each_database) as two:
        await one.add_schedule("n", "0 * * * *", ASK, approved_by="ada")
        await asyncio.gather(
            one.edit_schedule("n", cron="30 * * * *"),
            two.edit_schedule("n", overlap="queue"),
            one.edit_schedule("n", plan="1. Run `true`"),
            two.edit_schedule("n", tags=["b"]),
        )
        edited = await two.schedule("n")
    assert (edited.cron, edited.overlap) == ("30 * * * *", "queue")
    assert (edited.approved_by, edited.tags) == (None, ("schedule=n", "b"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cron": "60 * * * *"}, "its minute cannot be '60': use 0 to 59"),
        ({"cron": ""}, "it has 0 fields"),
        ({"tz": "Mars"}, "there is no time zone 'Mars'"),
        ({"overlap": "x"}, "overlap: 'x' is not one of"),
        ({"params": {"a": 1}}, "give the plan again with them"),
        ({"tags": ["a b"]}, "is not a tag"),
        ({"approved_by": "a\0"}, "approved_by holds a NUL"),
    ],
)
async def test_an_edit_that_is_refused_changes_nothing(
    database: str, change: dict[str, Any], why: str
) -> None:
    async with planfold.open_app(database) as app:
        added = await app.add_schedule("n", "0 0 1 1 *", ASK)
        with pytest.raises(CommandRejected, match=why):
            await app.edit_schedule("n", **change)
        with pytest.raises(InvalidPlan):
            await app.edit_schedule("n", plan=PlanDraft(tasks=[]))
        with pytest.raises(NotFound, match="there is no schedule 'm'"):
            await app.edit_schedule("m", cron="0 * * * *")
        assert await app.schedule("n") == added


async def test_a_run_by_hand_without_tools_is_left_to_workers(database: str) -> None:
    async with planfold.open_app(database) as app:
        await app.add_schedule("n", "0 0 1 1 *", ASK, overlap="queue")
        async with planfold.open_app(database, load=False) as bare:
            assert await bare.run_schedule("n") == "n-run-1"
            assert (await bare.schedule("n")).starting == ("n-run-1",)
            with pytest.raises(ConfigurationError, match="opened with load=False"):
                await bare.add_schedule("m", "0 0 1 1 *", ASK)
        assert await app.run_schedule("n") == "n-run-2"
        assert await app.status("n-run-1") == "awaiting_approval"
        assert (await app.schedule("n")).waiting == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "a b"}, "'a b' is not the name of a schedule"),
        ({"name": "x" * 41}, "is not the name of a schedule"),
        ({"cron": "* * *"}, "cron '\\* \\* \\*': it has 3 fields"),
        ({"cron": "\0 * * * *"}, "cron holds a NUL"),
        ({"cron": 7}, "cron must be a text"),
        ({"tz": "Mars"}, "tz: there is no time zone 'Mars'"),
        ({"catch_up": "never"}, "catch_up: 'never' is not one of all, once, skip"),
        ({"overlap": "x"}, "overlap: 'x' is not one of allow, queue, skip"),
        ({"tags": ["a b"]}, "is not a tag"),
        ({"approved_by": "a\0"}, "approved_by holds a NUL"),
        ({"config": planfold.PlannerConfig(max_parallel=0)}, "max_parallel must be at least 1"),
    ],
)
async def test_what_is_no_schedule_is_refused(
    database: str, change: dict[str, Any], why: str
) -> None:
    given: dict[str, Any] = {"name": "n", "cron": "* * * * *", "plan": ASK}
    async with planfold.open_app(database) as app:
        with pytest.raises(CommandRejected, match=why):
            await app.add_schedule(**given | change)
        with pytest.raises(InvalidPlan):
            await app.add_schedule("n", "* * * * *", PlanDraft(tasks=[]))
        assert not await app.log.read(Query())


# --- kill -9 ----------------------------------------------------------------------------------

KILLED = """
import asyncio, sys
import planfold
from planfold.runtime.occurrences import Occurrences
from planfold.testing import ManualClock
from planfold.types import ScheduleView
from tests.crash.failpoints import Failpoints

async def main():
    points = Failpoints(int(sys.argv[3]))
    async with planfold.open_app(sys.argv[1], clock=ManualClock(float(sys.argv[2]))) as app:
        append = app.store.append
        async def watched(decision):
            points.reach("before")
            position = await append(decision)
            points.reach("after")
            return position
        app.store.append = watched
        await Occurrences(app.store, app.dispatcher, app.executors).hand_over("schedule/n")
    print(len(points.names))

asyncio.run(main())
"""


@pytest.mark.parametrize("point", [2, 4])  # decided; submitted
async def test_a_worker_that_is_killed_while_it_submits(each_database: str, point: int) -> None:
    clock = ManualClock(float(start_of(YEAR)))
    async with planfold.open_app(each_database, clock=clock) as app:
        await app.add_schedule("n", "0 * * * *", ASK, approved_by="ada")
        clock.advance(3_600)
        command = [sys.executable, "-c", KILLED, each_database, str(clock.now), str(point)]
        root = Path(__file__).parents[2]
        ended = await asyncio.to_thread(
            subprocess.run, command, cwd=root, capture_output=True, text=True
        )
        assert ended.returncode == -9, ended.stderr
        await hand_over(app, "n")
        await hand_over(app, "n")
        assert await begun(app, "n") == [clock.now]
        assert (await app.schedule("n")).submitted == 1
        assert len(await app.log.read(Query(stream_id="schedule"))) == 3


async def test_a_schedule_is_looked_at_when_it_is_due(database: str) -> None:
    clock, looks = ManualClock(float(start_of(YEAR))), list[str]()

    async def look(stream: str, _: object) -> None:
        looks.append(stream)

    async with planfold.open_app(database, clock=clock) as app:
        for name in ("a", "b"):
            await app.add_schedule(name, "0 * * * *", ASK)
        await app.add_schedule("later", "0 0 1 6 *", ASK)
        faults: list[Any] = []
        parts = (app.store, app.dispatcher, (SCHEDULES,), None, faults.append)
        rounds = Timers(*parts, {"schedule": look})
        for _ in range(3):
            await rounds.round()
        assert looks == []
        clock.advance(3_600)
        await rounds.round()
        assert sorted(looks) == ["schedule/a", "schedule/b"]
        assert faults == []
