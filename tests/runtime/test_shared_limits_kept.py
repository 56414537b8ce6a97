"""Limits over all workers: rates, locks, servers that ask to wait, and workers that are killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from limits_driver import LIMITS, call, hold

import planfold
from planfold import PlanDraft, Settings, SharedLimit, TaskContext, TaskDraft
from planfold.shared_limits import START_WITHIN_S
from planfold.testing import ManualClock
from planfold.types import ReasonKind
from testbed.patience import PATIENCE_S

Until = Callable[[Callable[[], object]], Awaitable[None]]
MINUTE = 60.0 + START_WITHIN_S


def tasks(number: int, tool: str, **fields: Any) -> PlanDraft:
    return PlanDraft(
        title="Calls",
        tasks=[
            TaskDraft(label=f"t{n}", description="call", tool=tool, **fields) for n in range(number)
        ],
    )


def undrained(database: str) -> Settings:
    """What runs is interrupted when its worker stops."""
    return Settings(database=database, limits=LIMITS, drain_s=0.0)


async def test_no_more_than_the_rate_start_in_any_minute(database: str, until: Until) -> None:
    clock, starts = ManualClock(), list[float]()

    @planfold.tool(effect="safe", limit="api")
    async def ask() -> None:
        starts.append(clock())

    limits = {"api": SharedLimit(rate="5/min")}
    async with planfold.open_app(database, tools=[ask], limits=limits, clock=clock) as app:
        plans = [await app.submit(tasks(6, "ask"), approved_by="me") for _ in range(3)]
        async with app.worker(), app.worker(), app.worker():
            for allowed in (5, 10, 15, 18):
                await until(lambda allowed=allowed: len(starts) >= allowed)  # type: ignore[misc]
                found = {reason.kind for reason in (await app.why(plans[0])).reasons}
                assert found <= {ReasonKind.SharedLimit, ReasonKind.Running}
                for step in (MINUTE - 7.0, 6.9, 0.2):
                    assert len(starts) == allowed
                    clock.advance(step)
                    app.store.wakeup.notify()
                    await asyncio.sleep(0)
        assert [(await app.status(plan)) for plan in plans] == ["completed"] * 3
    assert all(later - first >= 60.0 for first, later in zip(starts, starts[5:], strict=False))


async def test_a_lock_is_held_by_one_task_of_all_workers(each_database: str) -> None:
    running, most = 0, 0

    @planfold.tool(effect="once", limit="lock")
    async def deploy() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async def work() -> None:
        async with planfold.open_app(each_database, tools=[deploy], limits=LIMITS) as app:
            plan_id = await app.submit(tasks(4, "deploy"), approved_by="me")
            assert (await asyncio.wait_for(app.run(plan_id), 60)).status == "completed"

    await asyncio.gather(work(), work())
    assert most == 1


async def test_others_start_while_a_task_waits_for_its_limit(database: str, until: Until) -> None:
    done = list[str]()

    @planfold.tool(effect="safe")
    def note(what: str) -> None:
        done.append(what)

    draft = PlanDraft(
        title="Both",
        tasks=[
            TaskDraft(description="h", tool="hold", arguments={"file": "/dev/null"}),
            TaskDraft(description="h", tool="hold", arguments={"file": "/dev/null"}),
            *[
                TaskDraft(description="n", tool="note", arguments={"what": str(n)})
                for n in range(20)
            ],
        ],
    )
    async with planfold.open_app(undrained(database), tools=[hold, note]) as app:
        plan_id = await app.submit(draft, approved_by="me")
        async with app.worker(concurrency=2):
            await until(lambda: len(done) == 20)
            why = await app.why(plan_id, 2)
            assert why.reasons[0].text == "waits for the limit 'lock': 1 of 1 task runs"
            assert why.reasons[0].until is None


async def test_what_is_cancelled_waits_for_no_limit(each_database: str, until: Until) -> None:
    clock, starts = ManualClock(), list[str]()

    @planfold.tool(effect="safe", limit="api")
    def ask() -> None:
        starts.append("began")

    limits = {"api": SharedLimit(rate="1/h")}
    async with planfold.open_app(each_database, tools=[ask], limits=limits, clock=clock) as app:
        first, second, third = [await app.submit(tasks(1, "ask"), approved_by="me") for _ in "123"]
        async with app.worker():
            assert (await app.result(first)).status == "completed"
            await until(lambda: app.store.queue.opens_in())
            await app.cancel(second)
            assert (await app.result(second)).status == "cancelled"
            assert starts == ["began"]
            clock.advance(3_601)
            app.store.wakeup.notify()
            assert (await app.result(third)).status == "completed"


async def test_a_server_that_asks_to_wait_is_heeded_by_all(database: str, until: Until) -> None:
    clock, calls = ManualClock(), list[float]()

    @planfold.tool(effect="safe", limit="api", retry={"attempts": 3, "base": 0.0})
    async def ask(context: TaskContext) -> None:
        calls.append(clock())
        if len(calls) == 1:
            await asyncio.to_thread(context.retry_after, 30.0)
            raise RuntimeError("429")

    opened = planfold.open_app(database, tools=[ask], limits=LIMITS, clock=clock)
    async with opened as app:
        plan_id = await app.submit(tasks(1, "ask"), approved_by="me")
        async with app.worker():
            await until(lambda: app.store.queue.opens_in())
            [reason] = (await app.why(plan_id)).reasons
            assert reason.text == "waits for the limit 'api': a server has asked to wait"
            assert reason.until == pytest.approx(clock() + 30.0)
    opened = planfold.open_app(database, tools=[ask], limits=LIMITS, clock=clock)
    async with opened as app, app.worker():
        other = await app.submit(tasks(1, "ask"), approved_by="me")
        await until(lambda: app.store.queue.opens_in())
        assert len(calls) == 1
        clock.advance(30.1)
        app.store.wakeup.notify()
        await until(lambda: len(calls) == 3)
        assert (await app.run(other)).status == "completed"


async def test_an_attempt_that_would_begin_late_is_claimed_again(database: str) -> None:
    clock, began = ManualClock(), list[tuple[float, float]]()

    @planfold.tool(effect="once", limit="api")
    async def ask() -> None:
        began.append((clock(), 0.0))

    async with planfold.open_app(database, tools=[ask], limits=LIMITS, clock=clock) as app:
        plan_id = await app.submit(tasks(1, "ask"), approved_by="me")
        claim, late = app.store.queue.claim, [START_WITHIN_S + 0.1]

        async def slow(*args: Any, **more: Any) -> Any:
            leases = await claim(*args, **more)
            if leases and late:
                clock.advance(late.pop())  # the answer of the database took that long
            return leases

        app.store.queue.claim = slow  # type: ignore[method-assign]
        assert (await asyncio.wait_for(app.run(plan_id), 30)).status == "completed"
        [state] = [s for s in await app.store.queue.limits() if s.name == "api"]
        assert state.started == 1, "the first claim does not count"
    assert len(began) == 1


@pytest.mark.parametrize("ahead", [-100.0, 1.0])
async def test_the_clock_of_a_worker_may_differ_from_that_of_the_queue(
    database: str, ahead: float
) -> None:
    """As where that of a server was set since this process heard of it (simulation, seed 751)."""
    clock, began = ManualClock(), list[float]()

    @planfold.tool(effect="once", limit="api")
    async def ask() -> None:
        began.append(clock())

    async with planfold.open_app(database, tools=[ask], limits=LIMITS, clock=clock) as app:
        app.store.clock = lambda: clock() + ahead  # not that of its queue
        plan_id = await app.submit(tasks(1, "ask"), approved_by="me")
        assert (await asyncio.wait_for(app.run(plan_id), PATIENCE_S)).status == "completed"
    assert len(began) == 1


async def test_a_task_under_a_limit_never_starts_in_the_commit_that_dispatches_it(
    database: str,
) -> None:
    """A chain of safe tasks is speculated upon; one under a limit is claimed each time."""
    draft = PlanDraft(
        title="Chain",
        tasks=[
            TaskDraft(
                description="c", tool="call", arguments={"file": "/dev/null"}, depends_on=[n][:n]
            )
            for n in range(6)
        ],
    )
    async with planfold.open_app(database, tools=[call], limits=LIMITS) as app:
        plan = await app.run(await app.submit(draft, approved_by="me"))
        assert plan.status == "completed"
        [state] = [s for s in await app.store.queue.limits() if s.name == "api"]
        assert state.started == 6


def worker(database: str, *more: str) -> Popen[bytes]:
    driver = Path(__file__).with_name("limits_driver.py")
    process = Popen([sys.executable, str(driver), database, *more], stdout=PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"works\n"
    return process


async def test_the_lock_of_a_worker_that_is_killed_is_free(
    each_database: str, tmp_path: Path, until: Until
) -> None:
    file = tmp_path / "calls"
    holder = worker(each_database)
    try:
        async with planfold.open_app(undrained(each_database), tools=[call, hold]) as app:
            draft = tasks(2, "hold", arguments={"file": str(file)})
            await app.submit(draft, approved_by="me")
            await until(lambda: file.exists() and file.read_text())  # made, and written to
            holder.kill()
            holder.wait()
            async with app.worker():
                await until(lambda: file.read_text().count("\n") == 2)
                [lock] = [s for s in await app.store.queue.limits() if s.name == "lock"]
                assert lock.held == 1
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_eight_workers_start_60_in_a_minute(
    each_database: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """In any sliding minute, by the clock of the calls themselves; and few less."""
    file = tmp_path / "calls"
    async with planfold.open_app(each_database, tools=[call, hold], limits=LIMITS) as app:
        workers = [worker(each_database) for _ in range(8)]
        try:
            for _ in range(10):
                draft = tasks(16, "call", arguments={"file": str(file)})
                await app.submit(draft, approved_by="me")
            async with asyncio.timeout(300):
                while not file.exists() or file.read_text().count("\n") < 150:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        finally:
            for process in workers:
                process.kill()
                process.wait()
    times = sorted(map(float, file.read_text().split()))
    shortest = min(later - first for first, later in zip(times, times[60:], strict=False))
    utilisation = 120.0 / (times[120] - times[0])
    record_property("shortest time of 61 starts", shortest)
    record_property("utilisation", utilisation)
    assert shortest >= 60.0
    assert utilisation >= 0.95


@pytest.mark.parametrize("end", ["cancel", "skip"])
async def test_a_task_that_waits_for_its_limit_can_be_stopped(
    each_database: str, until: Until, end: str
) -> None:
    began = asyncio.Event()

    @planfold.tool(effect="safe", limit="lock")
    async def deploy(context: TaskContext) -> None:
        began.set()
        await context.cancelled.wait()

    async with planfold.open_app(each_database, tools=[deploy], limits=LIMITS) as app:
        holds = await app.submit(tasks(1, "deploy"), approved_by="me")
        async with app.worker(drain_s=0.0):
            await asyncio.wait_for(began.wait(), 60)
            waits = await app.submit(tasks(1, "deploy"), approved_by="me")
            if end == "skip":
                await app.skip(waits, "t0")
            else:
                await app.cancel(waits)
            ended = await asyncio.wait_for(app.run(waits), 60)
            assert ended.status == ("completed" if end == "skip" else "cancelled")
            assert await app.status(holds) == "running"
