"""Statistics of plans that really run: kept up to date as they run, and built again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import planfold
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.planner.commands import CancelPlan
from planfold.planner.events import PlanningCompleted
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.statistics import Figures, Statistics
from planfold.runtime import kept_statistics
from planfold.runtime.kept_statistics import NAME, KeptStatistics, statistics_of
from planfold.subscriptions.projection import project
from planfold.transfer.export_file import ExportFile
from planfold.transfer.importer import import_file
from plans import Until, task
from testbed.patience import PATIENCE_S

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
        await _counted_and_saved(app)
        await app.submit(PLAN, plan_id="after")
        last = await app.store.last_position()
    async with planfold.open_app(each_database) as app:
        read = _noted(app)
        (total,) = (await app.statistics()).figures().values()
        assert (total.plans_begun, read) == (2, ["after"])
        saved = await _saved(app)
        # Of a log that was longer, as before a backup was restored, and of another epoch.
        for changed in (replace(saved[0], position=last + 9), replace(saved[0], epoch=7)):
            await app.store.checkpoints.save_read_model(NAME, changed, saved[1])
            read.clear()
            (total,) = (await app.statistics()).figures().values()
            assert (total.plans_begun, read) == (2, ["before", "after"])
        await app.store.checkpoints.save_read_model(NAME, *saved)
        read.clear()
        (total,) = (await app.statistics(rebuild=True)).figures().values()
        assert (total.plans_begun, read) == (2, ["before", "after"])
        assert await app.store.checkpoints.read_model(NAME) is None


async def test_plans_that_are_archived_do_not_count(each_database: str, tmp_path: Path) -> None:
    async with planfold.open_app(each_database) as app:
        await app.submit(PLAN, plan_id="kept")
        await app.submit(PLAN, plan_id="moved")
        await app.send("moved", CancelPlan())
        assert (await _counted_and_saved(app)).plans_begun == 2
        assert (await app.archive(tmp_path, older_than=-60)).streams == 1
        (total,) = (await app.statistics()).figures().values()
        assert (total.plans_begun, total.plans) == (1, {})


async def test_what_was_counted_before_plans_were_archived_is_not_saved(
    each_database: str, tmp_path: Path
) -> None:
    async with planfold.open_app(each_database) as app, planfold.open_app(each_database) as other:
        await app.submit(PLAN, plan_id="kept")
        await app.submit(PLAN, plan_id="moved")
        await app.send("moved", CancelPlan())
        worker, last = KeptStatistics(app.store), await app.store.last_position()
        await project(app.store, worker, query=Query(stream_id="plan"), until=last)
        assert (await other.archive(tmp_path, older_than=-60)).streams == 1
        await worker.save()
        assert await app.store.checkpoints.read_model(NAME) is None
        (total,) = (await other.statistics()).figures().values()
        assert (total.plans_begun, total.plans) == (1, {})
        await app.submit(PLAN, plan_id="later")
        assert (await _counted_and_saved(app)).plans_begun == 2
        saved = await _saved(app)
        await other.store.checkpoints.forget_read_models()
        await app.store.checkpoints.save_read_model(NAME, *saved)  # at the same moment
        read = _noted(other)
        await other.statistics()
        assert read == ["kept", "later"]


async def test_who_counts_while_plans_are_archived_counts_again(
    each_database: str, tmp_path: Path
) -> None:
    """And does not save what it had counted before; a plan that is imported counts once."""
    async with planfold.open_app(each_database) as app:
        kept = KeptStatistics(app.store)
        await app.submit(PLAN, plan_id="gone")
        await app.cancel("gone")
        await project(app.store, kept, until=await app.store.last_position())
        archived = await app.archive(tmp_path, older_than=-1)
        await kept.save()
        assert not (await app.statistics()).figures()
        with Path(archived.files[0]).open("rb") as file:  # noqa: ASYNC230
            await import_file(app.store, ExportFile(file, "archive"))
        await app.submit(PLAN, plan_id="next")
        await project(app.store, kept, until=await app.store.last_position())
        await kept.save()
        for found in (kept.found, await app.statistics(), await app.statistics(rebuild=True)):
            (total,) = found.figures().values()
            assert (total.plans_begun, dict(total.plans)) == (2, {"cancelled": 1})


async def test_what_is_counted_is_saved_now_and_then(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_statistics, "SAVE_EVERY", 2)
    async with planfold.open_app(each_database) as app:
        for number in range(6):
            await app.submit(PLAN, plan_id=f"plan-{number}")
        kept, last = KeptStatistics(app.store), await app.store.last_position()
        await project(app.store, kept, query=Query(stream_id="plan"), until=last)
        place, _ = await _saved(app)
        assert place.position == last
        monkeypatch.setattr(app.store.checkpoints, "save_read_model", _refuse)
        await kept.save()  # the next start counts more
        (total,) = kept.found.figures().values()
        assert total.plans_begun == 6


async def _refuse(*_: object) -> None:
    raise planfold.Transient("the database is read-only")


async def _counted_and_saved(app: planfold.App) -> Figures:
    kept, last = KeptStatistics(app.store), await app.store.last_position()
    await project(app.store, kept, query=Query(stream_id="plan"), until=last)
    await kept.save()
    (total,) = kept.found.figures().values()
    return total


def _noted(app: planfold.App) -> list[str]:
    """The plans of the events that are counted from now on."""
    noted: list[str] = []
    read = app.store.read

    async def read_and_note(*args: Any, **more: Any) -> list[Envelope]:
        found = await read(*args, **more)
        noted.extend(envelope.aggregate_id for envelope in found)
        return found

    app.store.read = read_and_note  # type: ignore[method-assign]
    return noted


async def _saved(app: planfold.App) -> tuple[Checkpoint, bytes]:
    saved = await app.store.checkpoints.read_model(NAME)
    assert saved is not None
    return saved


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
    async with asyncio.timeout(PATIENCE_S):
        await app.result(plan_id)


async def _at_the_end(app: planfold.App, live: Statistics) -> bool:
    last = await app.store.last_position()
    return live.checkpoint is not None and live.checkpoint.position == last
