"""Why a plan or a task does not run: each reason, brought about for real, on both databases."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import planfold
from planfold import SharedLimit
from planfold.drafting.draft import UndoDraft
from planfold.planner.budget import Budget, Spend
from planfold.planner.commands import AddBudget, CancelTask
from planfold.planner.config import PlannerConfig
from planfold.planner.items import item_id
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.explanation import Explanation
from planfold.readmodels.reason import Reason, ReasonKind, WorkerFit
from planfold.readmodels.timeline import Phase, PhaseSpan
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, Until, completed, finish, running, submit, task

SCRIPT = Path(__file__).with_name("holding_process.py")


class Gate:
    """A tool that waits until the test opens the gate."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

        @planfold.tool(name="wait", effect="safe")
        async def wait() -> str:
            await self.opened.wait()
            return "done"

        self.tool = wait


def kinds(found: Explanation) -> list[str]:
    return [reason.kind.value for reason in found.reasons]


def only(found: Explanation) -> Reason:
    (reason,) = found.reasons
    return reason


def phases(found: Explanation) -> list[tuple[str, float]]:
    return [(span.phase.value, span.seconds(found.at)) for span in found.history]


def asks(text: str, **more: Any) -> planfold.TaskDraft:
    return planfold.TaskDraft(description=text, kind=NodeKind.Clarification, **more)


async def plan_of(
    app: planfold.App, *tasks: planfold.TaskDraft, approved_by: str | None = "test", **config: Any
) -> str:
    draft = planfold.PlanDraft(title="a plan", tasks=list(tasks))
    return await app.submit(
        draft, plan_id=PLAN_ID, approved_by=approved_by, config=PlannerConfig(**config)
    )


async def test_approval(each_database: str) -> None:
    clock = ManualClock()
    async with planfold.open_app(each_database, clock=clock) as app:
        await plan_of(app, asks("Which?"), asks("Why?", depends_on=[1]), approved_by=None)
        began = clock.now
        clock.advance(60)
        (reason,) = (await app.why(PLAN_ID)).reasons
        assert (reason.kind, reason.tasks, reason.since) == ("approval", (1, 2), began)
        assert (await app.view(PLAN_ID)).revision_hash in reason.remedy
        found = await app.why(PLAN_ID, 2)
        assert (kinds(found), phases(found)) == (["approval"], [("approval", 60)])
        await app.approve(PLAN_ID)
        assert kinds(await app.why(PLAN_ID)) == ["answer"]


async def test_a_pause(each_database: str) -> None:
    clock = ManualClock()
    async with planfold.open_app(each_database, clock=clock) as app:
        await plan_of(app, asks("Which?"), asks("Why?", depends_on=[1]))
        await app.pause(PLAN_ID, by="ann", reason="incident")
        paused = clock.now
        clock.advance(5)
        await app.answer(PLAN_ID, 1, "a")
        for found in (await app.why(PLAN_ID), await app.why(PLAN_ID, 2)):
            (reason,) = found.reasons
            assert (reason.kind, reason.since) == ("pause", paused)
            assert all(said in reason.text for said in ("ann", "incident")), reason.text
        await app.unpause(PLAN_ID)
        assert kinds(await app.why(PLAN_ID)) == ["answer"]


async def test_a_task_that_was_undone(each_database: str) -> None:
    @planfold.tool(effect="safe")
    def works() -> None: ...

    async with planfold.open_app(each_database, tools=[works]) as app:
        made = planfold.TaskDraft(description="make", tool="works", undo=UndoDraft(tool="works"))
        await plan_of(app, made)
        await app.run(PLAN_ID)
        await app.undo(PLAN_ID, by="ada")
        await app.run(PLAN_ID)
        assert kinds(await app.why(PLAN_ID, 1)) == ["undone"]
        [reason] = (await app.why(PLAN_ID)).reasons
        assert (reason.text, reason.tasks) == ("was undone: 1 of 1", (1,))


async def test_parents_and_what_holds_them_up(each_database: str) -> None:
    clock = ManualClock()
    async with planfold.open_app(each_database, clock=clock) as app:
        first = asks("Which?", default="a", deadline=600)
        await plan_of(app, first, asks("2?", depends_on=[1]), asks("3?", depends_on=[2]))
        began = clock.now
        clock.advance(5)
        parents, answer = (await app.why(PLAN_ID, 3)).reasons
        assert (parents.kind, parents.by, parents.text) == ("parents", (2,), "waits for task 2")
        assert (answer.kind, answer.tasks, answer.since) == ("answer", (1,), began)
        assert answer.until == began + 600
        assert "'a' holds" in answer.remedy
        await app.answer(PLAN_ID, 1, "b")
        clock.advance(7)
        found = await app.why(PLAN_ID, 2)
        start = found.history[0].start
        assert found.history == (
            PhaseSpan(2, Phase.Parents, start, start + 5, by=1),
            PhaseSpan(2, Phase.Answer, start + 5, None),
        )
        assert phases(found) == [("parents", 5), ("answer", 7)]
        assert kinds(await app.why(PLAN_ID)) == ["answer"], "no wait for a parent in a plan"


async def test_a_map_and_its_items(each_database: str, until: Until) -> None:
    gate = Gate()

    @planfold.tool(effect="safe")
    async def find() -> list[int]:
        return [1, 2, 3]

    @planfold.tool(effect="safe")
    async def look(number: int) -> None:
        await gate.opened.wait()

    each = planfold.TaskDraft(
        description="look", tool="look", arguments={"number": "$item"}, for_each="$1"
    )
    each.concurrency = 1
    async with planfold.open_app(each_database, tools=[find, look]) as app, app.worker():
        await plan_of(app, task("find"), each)
        await until(lambda: _runs_an_item(app))
        items = only(await app.why(PLAN_ID, 2))
        assert (items.kind, items.text) == ("items", "runs its items: 0 of 3 have ended")
        assert (items.by, items.remedy) == ((item_id(2, 0),), "see what 2[0] waits for")
        limit = only(await app.why(PLAN_ID, item_id(2, 2)))
        assert (limit.kind, limit.limit, limit.by) == ("map_limit", 1, (item_id(2, 0),))
        assert limit.text == (
            "waits for a free slot: the plan runs at most 1 items of task 2 at once"
        )
        of_plan = {r.kind.value: r.tasks for r in (await app.why(PLAN_ID)).reasons}
        assert of_plan["map_limit"] == (item_id(2, 1), item_id(2, 2))
        await app.cancel(PLAN_ID, 2)
        stopped = only(await app.why(PLAN_ID, "2[2]"))
        assert (stopped.kind, stopped.text) == ("parents", "starts no more: task 2 ends")
        gate.opened.set()


async def test_the_budget(each_database: str) -> None:
    @planfold.tool(effect="safe")
    async def costly(context: planfold.TaskContext) -> str:
        async def call(again: bool) -> tuple[str, Spend]:
            return "said", Spend(tokens=10)

        return str(await context.paid("ask", call, reserve=Spend(tokens=10)))

    async with planfold.open_app(each_database, tools=[costly]) as app:
        await plan_of(app, task("costly"), budget=Budget(tokens=5))
        await finish(app)
        (reason,) = (await app.why(PLAN_ID)).reasons
        assert (reason.kind, reason.tasks) == ("budget", (1,))
        assert "10 tokens more wanted" in reason.text
        await app.send(PLAN_ID, AddBudget(Budget(tokens=50)))
        await finish(app)
        found = await app.why(PLAN_ID, 1)
        assert not found.reasons
        assert {span.phase for span in found.history} >= {Phase.Budget, Phase.Running}


async def test_the_limit_of_the_plan(each_database: str, until: Until) -> None:
    gate = Gate()
    async with planfold.open_app(each_database, tools=[gate.tool]) as app, app.worker():
        await plan_of(app, *[task("wait")] * 5, max_parallel=2)
        await until(lambda: running(app, 2))
        found = await app.why(PLAN_ID, 4)
        reason = only(found)
        assert (reason.kind, reason.by, reason.limit, reason.ahead) == ("plan_limit", (1, 2), 2, 1)
        assert reason.since == found.history[-1].start
        assert (found.history[-1].phase, found.history[-1].end) == ("plan_limit", None)
        whole = await app.why(PLAN_ID)
        (limit,) = [reason for reason in whole.reasons if reason.kind == "plan_limit"]
        assert limit.tasks == (3, 4, 5)
        gate.opened.set()
        await until(lambda: completed(app, 5))
        assert (await app.why(PLAN_ID, 4)).history[0].phase == "plan_limit"


async def test_the_limit_of_a_route(each_database: str, until: Until) -> None:
    gate = Gate()
    async with planfold.open_app(each_database, tools=[gate.tool]) as app, app.worker():
        await plan_of(app, *[task("wait", route="gpu")] * 3, task("wait"), route_limits={"gpu": 1})
        await until(lambda: running(app, 4))
        (reason,) = (await app.why(PLAN_ID, 3)).reasons
        assert (reason.kind, reason.by, reason.limit, reason.ahead) == ("route_limit", (1,), 1, 1)
        assert "'gpu'" in reason.text
        assert "a free slot" in str((await app.view(PLAN_ID)).task(3).waits_for)
        gate.opened.set()
        await until(lambda: completed(app, 3))
        assert (await app.why(PLAN_ID, 3)).history[0].phase == "route_limit"


async def test_a_retry_without_a_worker_to_start_it(each_database: str, until: Until) -> None:
    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=3, base=100.0, cap=100.0))
    async def shaky() -> None:
        raise planfold.Transient("no luck")

    clock = ManualClock()
    async with planfold.open_app(each_database, tools=[shaky], clock=clock) as app:
        async with app.worker():
            await plan_of(app, task("shaky"))
            await until(lambda: _is(app, "retry"))  # and the worker has made itself known
            (reason,) = (await app.why(PLAN_ID)).reasons
            assert (reason.kind, reason.text) == (
                "retry",
                "waits for a retry after: Transient: no luck",
            )
            assert (await app.unclaimed(PLAN_ID)).attended, "the worker retries it"
        assert not (await app.unclaimed(PLAN_ID)).attended
        reason, missing = (await app.why(PLAN_ID)).reasons
        assert (reason.kind, missing.kind, missing.tool) == ("retry", "no_worker", "shaky")
        assert "none runs now" in missing.text
        assert reason.until is not None
        clock.now = max(reason.until, clock.now) + 1
        (reason,) = (await app.why(PLAN_ID)).reasons
        assert (reason.kind, reason.text) == ("no_worker", "waits for a worker to start it")
        assert reason.tool == "shaky"
        assert "start a worker" in reason.remedy


async def _runs_an_item(app: planfold.App) -> bool:
    items = (await app.view(PLAN_ID)).task(2).items
    return bool(items) and items[0].status == "running"


async def test_no_worker_and_what_each_lacks(each_database: str, until: Until) -> None:
    gate, other = Gate(), Gate()
    async with (
        planfold.open_app(each_database, tools=[gate.tool]) as app,
        planfold.open_app(each_database) as bare,
    ):
        await submit(app, task("wait", route="gpu"))
        (reason,) = (await app.why(PLAN_ID)).reasons
        assert (reason.kind, reason.workers) == ("no_worker", ())
        assert reason.remedy == "start a worker that serves the route 'gpu'"
        async with (
            app.worker(routes=["cpu", "net"]) as routes,
            app.worker(plan_id="another") as elsewhere,
            bare.worker() as without,
        ):
            lacks = {
                routes.owner: "serves only the routes cpu, net",
                elsewhere.owner: "serves only the plan another",
                without.owner: "does not have the tool wait",
            }
            await until(lambda: _constraints(app, lacks))
            (reason,) = (await app.why(PLAN_ID)).reasons
            assert reason.kind == "no_worker"
        assert not other.opened.is_set()


async def _constraints(app: planfold.App, wanted: dict[str, str]) -> bool:
    (reason,) = (await app.why(PLAN_ID)).reasons
    return {worker.owner: worker.constraint for worker in reason.workers} == wanted


async def test_a_busy_worker(each_database: str, until: Until) -> None:
    gate = Gate()
    async with (
        planfold.open_app(each_database, tools=[gate.tool]) as app,
        app.worker(concurrency=1) as worker,
    ):
        await submit(app, task("wait"), task("wait"))
        await until(lambda: _holds_one(app, worker.owner))
        found = await app.why(PLAN_ID)
        running_, busy = sorted(found.reasons, key=lambda reason: reason.kind, reverse=True)
        assert (running_.kind, running_.text) == ("running", f"runs on {worker.owner}")
        assert running_.worker == worker.owner
        assert busy.kind == "busy_worker"
        assert busy.workers == (WorkerFit(worker.owner, "runs 1 of at most 1 tasks"),)
        queue = await app.unclaimed(PLAN_ID)
        assert (queue.attended, [*queue.tasks]) == (True, [*busy.tasks])
        assert queue.claimed_at == {running_.tasks[0]: running_.since}
        gate.opened.set()
        await until(lambda: completed(app, 2))
        history = (await app.why(PLAN_ID, busy.tasks[0])).history
        assert [span.phase for span in history] == ["worker", "running"]


async def _holds_one(app: planfold.App, owner: str) -> bool:
    lives = any(worker.owner == owner for worker in await app.store.queue.workers())
    return lives and len(await app.store.queue.owned(owner)) == 1


@pytest.mark.crash
async def test_the_lease_of_a_dead_worker(each_database: str, until: Until) -> None:
    from holding_process import hold

    async with planfold.open_app(each_database, tools=[hold]) as app:
        await submit(app, task("hold"))
        process = subprocess.Popen([sys.executable, str(SCRIPT), each_database])  # noqa: ASYNC220
        try:
            await until(lambda: _is(app, "running"))
            (reason,) = (await app.why(PLAN_ID)).reasons
            owner = reason.worker
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        await until(lambda: _is(app, "dead_worker"))
        (dead,) = (await app.why(PLAN_ID, 1)).reasons
        assert (dead.worker, dead.text.split(":")[1]) == (
            owner,
            f" {owner} has ended",
        )
        assert dead.since is not None
        assert "start a worker" in dead.remedy
        assert dead.tool == "hold"
        shown = (await app.unclaimed(PLAN_ID)).tasks
        assert shown == {1: dead.text.removeprefix("waits for ")}


async def _is(app: planfold.App, *wanted: str) -> bool:
    return kinds(await app.why(PLAN_ID)) == list(wanted)


async def test_a_lease_that_may_still_be_used(database: str) -> None:
    gate, clock = Gate(), ManualClock()
    async with planfold.open_app(database, tools=[gate.tool], clock=clock) as app:
        await submit(app, task("wait"))
        await app.store.queue.claim("far away", 1)
        (reason,) = (await app.why(PLAN_ID)).reasons
        assert (reason.kind, reason.worker) == ("dead_worker", "far away")
        assert "not seen" in reason.text
        assert (reason.until or 0) > clock.now


async def test_a_task_that_is_to_stop(each_database: str, until: Until) -> None:
    @planfold.tool(effect="safe")
    async def stubborn(context: planfold.TaskContext) -> None:
        begun.set()
        await context.cancelled.wait()
        await gate.opened.wait()

    gate, begun = Gate(), asyncio.Event()
    async with planfold.open_app(each_database, tools=[stubborn]) as app, app.worker():
        await submit(app, task("stubborn"))
        await until(begun.is_set)
        await app.send(PLAN_ID, CancelTask(1, reason="enough"))
        await until(lambda: _is(app, "stopping"))
        gate.opened.set()
        await until(lambda: _ended(app))
        assert [s.phase for s in (await app.why(PLAN_ID, 1)).history][-1] == "stopping"


async def _ended(app: planfold.App) -> bool:
    return (await app.view(PLAN_ID)).task(1).finished_at is not None


async def test_failed_and_skipped(each_database: str) -> None:
    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=0.0))
    async def bad() -> None:
        raise ValueError("boom")

    async with planfold.open_app(each_database, tools=[bad]) as app:
        await submit(app, task("bad"), asks("2?", depends_on=[1]), asks("3?", depends_on=[2]))
        await finish(app)
        failed, skipped = (await app.why(PLAN_ID)).reasons
        assert (failed.kind, failed.tasks) == ("failed", (1,))
        assert failed.text == "failed (attempt 2): ValueError: boom"
        assert (skipped.kind, skipped.tasks, skipped.by) == ("skipped", (2, 3), (1,))
        assert skipped.text == "was skipped: task 1 failed: ValueError: boom"
        (alone,) = (await app.why(PLAN_ID, 3)).reasons
        assert (alone.by, alone.remedy) == ((1,), "retry task 1, or revise the plan")
        assert alone.since == (await app.view(PLAN_ID)).task(3).finished_at


async def test_cancelled(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        await submit(app, asks("1?"), asks("2?", depends_on=[1]))
        await app.send(PLAN_ID, CancelTask(1, reason="not wanted"))
        cancelled, skipped = (await app.why(PLAN_ID)).reasons
        assert (cancelled.kind, cancelled.text) == ("cancelled", "was cancelled: not wanted")
        assert skipped.text == "was skipped: task 1 was cancelled: not wanted"


async def test_of_what_does_not_exist(database: str) -> None:
    async with planfold.open_app(database) as app:
        with pytest.raises(planfold.NotFound, match="no plan 'p'"):
            await app.why(PLAN_ID)
        await submit(app, asks("1?"))
        with pytest.raises(planfold.NotFound, match="no task 'x'"):
            await app.why(PLAN_ID, "x")


async def test_a_limit_over_all_workers(each_database: str, until: Until) -> None:
    gate, clock = Gate(), ManualClock()
    limits = {"lock": SharedLimit(concurrency=1), "rate": SharedLimit(rate="1/min")}
    opened = planfold.open_app(each_database, tools=[gate.tool], limits=limits, clock=clock)
    async with opened as app, app.worker():
        await plan_of(
            app,
            task("wait", limits=["lock", "rate"]),
            task("wait", limits=["lock"]),
            task("wait", limits=["rate"]),
            max_parallel=3,
        )

        async def is_claimed() -> bool:
            return [state.held for state in await app.store.queue.limits()] == [1, 1]

        await until(is_claimed)
        lock, rate = only(await app.why(PLAN_ID, 2)), only(await app.why(PLAN_ID, 3))
        assert (lock.kind, lock.until) == ("shared_limit", None)
        assert lock.text == "waits for the limit 'lock': 1 of 1 task runs"
        assert rate.text == "waits for the limit 'rate': 1 of 1 starts in the last 60 s"
        assert rate.until == pytest.approx(clock.now + 60.5)
        await app.store.queue.close(["rate"], 100.0)
        closed = only(await app.why(PLAN_ID, 3))
        assert closed.text == "waits for the limit 'rate': a server has asked to wait"
        assert closed.until == pytest.approx(clock.now + 100.0)
        gate.opened.set()
        ended = asyncio.ensure_future(finish(app))
        while not ended.done():  # a start that came too late for its claim waits for another minute
            clock.advance(101.0)
            await asyncio.wait([ended], timeout=1.0)
        await ended


async def test_a_limit_that_no_worker_has_declared(database: str, until: Until) -> None:
    gate, limits = Gate(), {"lock": SharedLimit(concurrency=1)}
    async with planfold.open_app(database, tools=[gate.tool], limits=limits) as app:
        await plan_of(app, task("wait", limits=["lock"]))
    async with planfold.open_app(database, tools=[gate.tool]) as app, app.worker():
        await until(app.store.queue.workers)
        reason = only(await app.why(PLAN_ID))
        assert reason.text == "waits for the limit 'lock', which no worker has declared"
        assert "planfold.toml" in reason.remedy


def test_every_kind_has_a_test() -> None:
    folder = Path(__file__).parent
    source = "".join((folder / f"test_{name}.py").read_text() for name in ("why", "undoing"))
    assert [kind for kind in ReasonKind if f'"{kind.value}"' not in source] == []


def test_the_page_has_every_kind_of_reason() -> None:
    page = Path(__file__).parents[2] / "docs/howto/explaining.md"
    _, _, behind = page.read_text(encoding="utf-8").partition("| kind | what it means |")
    rows = re.findall(r"^\| (`.*?`) \|", behind.partition("\n\n")[0], re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(ReasonKind)
