"""Pauses and decisions by hand while workers run: several workers, stops, and both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

import planfold
from planfold import App, PlanDraft, TaskContext, TaskDraft, TaskStatus
from planfold.executor import Executors
from planfold.log import events
from planfold.types import ByHand
from testbed.patience import PATIENCE_S

GATES: dict[str, asyncio.Event] = {}
RAN: list[str] = []


@planfold.tool(effect="safe")
async def step(name: str) -> str:
    RAN.append(name)
    if name in GATES:
        await GATES[name].wait()
    return name


@planfold.tool(effect="safe")
async def stoppable(name: str, context: TaskContext) -> str:
    RAN.append(name)
    await context.cancelled.wait()
    for _ in range(50):  # what follows could start now, if it did not wait
        await asyncio.sleep(0)
    RAN.append(f"{name} stopped")
    return "too late"


def chain(*names: str) -> PlanDraft:
    before: list[str] = []
    tasks = []
    for name in names:
        arguments = {"name": name}
        tasks.append(
            TaskDraft(
                label=name,
                description=name,
                tool="step",
                arguments=arguments,
                depends_on=list(before),
            )
        )
        before = [name]
    return PlanDraft(tasks=tasks)


async def test_a_fork_pauses_where_its_origin_would_have(database: str) -> None:
    async with opened(database) as app:
        plan_id = await app.submit(
            chain("a", "b", "c", "d"), approved_by="me", pause_before=["a", "c"]
        )
        await app.unpause(plan_id, by="me")
        assert (await app.run(plan_id)).status == "paused"
        await app.pause(plan_id, before=["d"], reason="look", by="ada")
        await app.pause(plan_id, by="bob")
        tried = await app.fork(plan_id, changes={"b.name": "B"}, dry_run=True)
        assert (tried.again, tried.pauses_before) == ((2,), (3, 4))
        fork = await app.fork(plan_id, changes={"b.name": "B"}, approved_by="me", fork_id="f")
        again = await app.fork(plan_id, changes={"b.name": "B"}, approved_by="me", fork_id="f")
        assert fork == again
        view = await app.run("f")
        assert (view.status, view.paused) == ("paused", None)
        assert [t.breakpoint and (t.breakpoint.by, t.breakpoint.reason) for t in view.tasks] == [
            *(None, None),
            ("me", ""),
            ("ada", "look"),
        ]
        await app.complete("f", "c", by="ada")
        done = await app.fork("f", dry_run=True)
        assert done.pauses_before == (4,)
        assert (await app.replay("f")).difference is None


async def test_a_run_ends_at_a_pause_and_why_names_it_beside_what_the_plan_waits_for(
    database: str,
) -> None:
    waits = TaskDraft(label="paid", description="Wait", wait_for="paid")
    asks = TaskDraft(label="go", description="Go?", kind="clarification", depends_on=["paid"])
    async with planfold.open_app(database) as app:
        plan_id = await app.submit(PlanDraft(tasks=[waits, asks]), approved_by="me")
        await app.pause(plan_id, reason="incident", by="ada")
        for about in (None, "go"):
            last = (await app.why(plan_id, about)).reasons[-1]
            assert last.text == "waits for a person to unpause the plan (paused by ada: incident)"
            assert last.tasks == (2,)
        assert len((await app.why(plan_id, "paid")).reasons) == 1
        async with asyncio.timeout(PATIENCE_S):
            assert (await app.run(plan_id)).stopped_because == "the plan is paused"


def opened(database: str) -> Any:
    RAN.clear()
    GATES.clear()
    return planfold.open_app(database, tools=[step, stoppable], executors=Executors())


async def test_a_pause_holds_for_several_workers_and_after_a_restart(
    each_database: str, until: Callable[..., Any]
) -> None:
    async with opened(each_database) as app:
        GATES["a"] = asyncio.Event()
        plan_id = await app.submit(chain("a", "b", "c"), approved_by="ada")
        async with app.worker(), app.worker():
            await until(lambda: RAN == ["a"])
            assert await app.pause(plan_id, reason="incident", by="ada")
            assert not await app.pause(plan_id, by="bob")
            GATES["a"].set()
            await until(lambda: _is(app, plan_id, "paused"))
    async with opened(each_database) as app:
        plan = await app.run(plan_id)
        assert plan.stopped_because == "the plan is paused"
        assert (plan.paused.by, plan.paused.reason) == ("ada", "incident")  # type: ignore[union-attr]
        [reason] = (await app.why(plan_id, "b")).reasons
        assert (reason.kind, reason.since) == ("pause", plan.paused.since)  # type: ignore[union-attr]
        assert await app.unpause(plan_id, by="bob")
        assert (await app.run(plan_id)).status == "completed"
        assert RAN == ["b", "c"]


async def test_a_running_attempt_is_stopped_before_what_follows_starts(
    each_database: str, until: Callable[..., Any]
) -> None:
    async with opened(each_database) as app:
        draft = chain("a", "b")
        draft.tasks[0] = replace(draft.tasks[0], tool="stoppable")
        plan_id = await app.submit(draft, approved_by="ada")
        async with app.worker():
            await until(lambda: RAN == ["a"])
            assert await app.complete(plan_id, "a", "by hand", by="ada", reason="did it")
            plan = await app.result(plan_id)
        assert (plan.status, plan.task("a").result) == ("completed", "by hand")
        assert RAN == ["a", "a stopped", "b"]
        said = ByHand(TaskStatus.Completed, "ada", "did it", "by hand")
        assert plan.task("a").by_hand == said
        log = [x.event for x in await app.log.read()]
        ended = next(i for i, x in enumerate(log) if _ends(x, 1))
        assert log.index(events.TaskDispatched(2, 1)) > ended


async def _is(app: App, plan_id: str, status: str) -> bool:
    return await app.status(plan_id) == status


def _ends(event: object, task_id: int) -> bool:
    return isinstance(event, events.TaskStatusUpdated) and event.task_id == task_id


async def test_a_run_ends_at_a_break_point_where_the_task_waits_since_it_reached_it(
    each_database: str,
) -> None:
    async with opened(each_database) as app:
        plan_id = await app.submit(chain("a", "b"), approved_by="ada", pause_before=["b"])
        plan = await app.run(plan_id)
        assert plan.stopped_because == "the plan is paused"
        found = await app.why(plan_id, "b")
        (reason,) = found.reasons
        assert reason.kind == "pause"
        assert reason.since == plan.task("a").finished_at
        assert reason.since == found.history[-1].start
        (alike,) = (await app.why(plan_id)).reasons
        assert alike.since == reason.since
        assert plan.task("b").breakpoint is not None
        assert plan.task("b").breakpoint.since < reason.since
