"""Workers that die, that are only thought dead, and that share one database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

import planfold
from planfold.app import App
from planfold.errors import Transient
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import Lease
from planfold.planner.commands import ApprovePlan
from planfold.planner.tasks import PlanStatus, TaskStatus
from planfold.runtime import leases as leases_module
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, Until, events, finish, ghost, submit, task
from testbed.patience import PATIENCE_S

LEASE_S = 30.0
WORKERS, PLANS, TASKS = 3, 4, 12


class Calls:
    """A tool that counts its calls; the first one can be made to hang."""

    def __init__(self, effect: Any, *, first_hangs: bool = False) -> None:
        self.keys: list[str] = []
        self.begun, self.release = asyncio.Event(), asyncio.Event()

        @planfold.tool(effect=effect)
        async def call(context: planfold.TaskContext) -> str:
            self.keys.append(context.idempotency_key)
            number = len(self.keys)
            self.begun.set()
            if first_hangs and number == 1:
                await self.release.wait()
            return f"call {number}"

        self.tool = call


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def die(app: App, clock: ManualClock, times: int = 1) -> None:
    """Lease what waits to workers that die, one after the other."""
    for number in range(times):
        await ghost(app, f"ghost-{number}")
        clock.advance(LEASE_S + 1)


def without_locks(app: App) -> None:
    """As on a file system without locks: only leases show whether the app's workers live."""

    def refuse(*_: object) -> int:
        raise OSError("no locks here")

    app.store.queue._liveness._locked_file = refuse  # type: ignore[attr-defined]


# --- after a crash -----------------------------------------------------------------------------


@pytest.mark.parametrize("effect", ["safe", "keyed"])
async def test_what_may_be_repeated_is_run_again_under_the_same_key(
    database: str, clock: ManualClock, effect: str
) -> None:
    calls = Calls(effect)
    async with planfold.open_app(database, tools=[calls.tool], clock=clock) as app:
        await submit(app, task("call"))
        await die(app, clock)
        view = await finish(app)
    assert (view.status, view.task(1).attempt) == (PlanStatus.Completed, 1)
    assert calls.keys == ["p/1/1"]


@pytest.mark.parametrize(
    ("answer", "status", "made"),
    [("done", "completed", 0), ("run it again", "completed", 1), ("failed", "failed", 0)],
)
async def test_what_may_not_be_repeated_is_asked_about(
    database: str, clock: ManualClock, answer: str, status: str, made: int
) -> None:
    calls = Calls("once")
    async with planfold.open_app(database, tools=[calls.tool], clock=clock) as app:
        await submit(app, task("call"))
        await die(app, clock)
        view = await finish(app)
        assert (view.status, calls.keys) == (PlanStatus.AwaitingAnswer, [])
        assert "Was this done?" in view.questions[0].question
        assert "may still be running, so look before you" in view.questions[0].question
        await app.answer(PLAN_ID, 1, answer)
        view = await finish(app)
    assert (view.status, len(calls.keys)) == (status, made)


async def test_a_task_that_kills_its_workers_is_given_up(database: str, clock: ManualClock) -> None:
    calls = Calls("safe")
    async with planfold.open_app(database, tools=[calls.tool], clock=clock) as app:
        await submit(app, task("call"))
        await die(app, clock, times=5)
        view = await finish(app)
        log = await app.store.read(Query(aggregate_id=PLAN_ID))
    failed = next(e for e in log if getattr(e.event, "status", None) is TaskStatus.Failed)
    # When it began in the first of these workers, and not when it was given up.
    assert failed.metadata.claimed_at == failed.metadata.began_at + 5 * (LEASE_S + 1)
    assert (view.status, calls.keys) == (PlanStatus.Failed, [])
    assert "5 workers lost it while they ran it: the tool 'call'" in (view.task(1).error or "")


async def test_an_inner_step_is_not_repeated(database: str) -> None:
    made: list[str] = []
    stuck = asyncio.Event()

    @planfold.tool(effect="safe")
    async def steps(context: planfold.TaskContext) -> Any:
        first = await context.once("charge", lambda: made.append("charge") or {"id": (1, 2)})
        if not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()
        return [first, await context.once("mail", lambda: made.append("mail"))]

    async with planfold.open_app(database, tools=[steps]) as app:
        await submit(app, task("steps"))
        async with app.worker() as worker:
            await stuck.wait()
            await worker.stop()
    async with planfold.open_app(database, tools=[steps]) as app:
        view = await finish(app)
    assert view.task(1).result == [{"id": [1, 2]}, None]
    assert made == ["charge", "mail"]


# --- only thought dead -------------------------------------------------------------------------


async def test_the_result_of_a_lost_lease_is_rejected(
    database: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    calls = Calls("safe", first_hangs=True)
    async with (
        planfold.open_app(database, tools=[calls.tool]) as slow,
        planfold.open_app(database, tools=[calls.tool]) as quick,
    ):
        without_locks(slow)
        await submit(slow, task("call"), task("call", depends_on=[1]))
        async with slow.worker() as worker:
            await calls.begun.wait()
            monkeypatch.setattr(slow.store, "generation", lambda *_: -1)  # it hears of no other
            take_over(database, worker.owner)
            async with quick.worker():
                await until(lambda: len(calls.keys) == 3)
                view = await quick.result(PLAN_ID)
            calls.release.set()
            await until(lambda: not worker.running)
        assert [t.result for t in view.tasks] == ["call 2", "call 3"]
        assert await quick.view(PLAN_ID) == view
        assert len(await events(quick, "TaskStatusUpdated")) == 2


async def test_a_lost_lease_is_noticed_and_its_task_asked_to_stop(database: str) -> None:
    begun, told = asyncio.Event(), asyncio.Event()

    @planfold.tool(effect="safe")
    async def wait(context: planfold.TaskContext) -> str:
        if begun.is_set():
            await told.wait()
            return "second"
        begun.set()
        await context.cancelled.wait()
        told.set()
        raise RuntimeError("stopped")

    async with (
        planfold.open_app(database, tools=[wait]) as slow,
        planfold.open_app(database, tools=[wait]) as quick,
    ):
        without_locks(slow)
        await submit(slow, task("wait"))
        async with slow.worker() as worker:
            await begun.wait()
            take_over(database, worker.owner)
            view = await finish(quick)
    assert (view.status, view.task(1).result) == (PlanStatus.Completed, "second")


def take_over(database: str, owner: str) -> None:
    """What another process does that takes a worker for dead: its rows are free, fenced off."""
    with closing(apsw.Connection(database.removeprefix("sqlite:///"))) as connection:
        sql = (
            "UPDATE task_queue SET owner = NULL, expires = NULL, epoch = epoch + 1 WHERE owner = ?"
        )
        connection.execute(sql, (owner,))
        assert connection.changes() == 1


async def test_a_worker_that_cannot_renew_stops_and_blames_no_task(
    database: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(leases_module, "RENEW_EVERY_S", 0.01)
    monkeypatch.setattr(leases_module, "GIVE_UP_RENEWING_S", 0.05)
    begun, stopped = asyncio.Event(), asyncio.Event()

    @planfold.tool(effect="safe")
    async def wait(context: planfold.TaskContext) -> str:
        begun.set()
        if not stopped.is_set():
            await context.cancelled.wait()
            stopped.set()
            raise RuntimeError("stopped")
        return "second"

    async with planfold.open_app(database, tools=[wait]) as app:
        renew = app.store.queue.renew

        async def locked(owner: str) -> list[Lease]:
            if begun.is_set() and not stopped.is_set():
                raise Transient("the database is locked")
            return await renew(owner)

        monkeypatch.setattr(app.store.queue, "renew", locked)
        await submit(app, task("wait"))
        view = await finish(app)
    assert (view.status, view.task(1).attempt) == (PlanStatus.Completed, 1)
    assert view.task(1).result == "second"


async def test_a_lease_is_renewed_while_its_task_runs(
    database: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(leases_module, "RENEW_EVERY_S", 0.01)
    calls = Calls("once", first_hangs=True)
    async with (
        planfold.open_app(database, tools=[calls.tool], clock=clock) as app,
        planfold.open_app(database, tools=[calls.tool], clock=clock) as other,
    ):
        await submit(app, task("call"))
        async with app.worker() as worker:
            await calls.begun.wait()
            for _ in range(2):
                clock.advance(LEASE_S * 0.9)

                async def renewed() -> bool:
                    (lease,) = await app.store.queue.owned(worker.owner)
                    return lease.expires == clock() + LEASE_S

                await until(renewed)
                assert await other.store.queue.claim("other", 1) == []
            calls.release.set()
            assert (await app.result(PLAN_ID)).status is PlanStatus.Completed


# --- other versions ----------------------------------------------------------------------------


async def test_a_plan_of_a_newer_version_is_left_to_newer_workers(
    database: str, until: Until
) -> None:
    calls = Calls("once")
    async with (
        planfold.open_app(database, tools=[calls.tool]) as newer,
        planfold.open_app(database, tools=[calls.tool]) as older,
    ):
        older.store.codec = Codec()
        await submit(newer, task("call"), task("call", depends_on=[1]))
        async with older.worker() as worker:
            await until(lambda: worker.fault is not None)
            assert (await finish(newer)).status is PlanStatus.Completed
    assert len(calls.keys) == 2


# --- several processes -------------------------------------------------------------------------


async def test_workers_in_several_processes_share_the_work(database: str, tmp_path: Path) -> None:
    async with planfold.open_app(database, tools=[_remote("once"), _remote("keyed")]) as app:
        for number in range(PLANS):
            plan = planfold.PlanDraft(title="shared", tasks=_layers())
            await app.submit(plan, plan_id=f"p{number}")
        processes = [start_worker(database, tmp_path / f"ledger{n}") for n in range(WORKERS)]
        try:
            for number in range(PLANS):
                revision = (await app.planner(f"p{number}")).state.revision_hash
                await app.send(f"p{number}", ApprovePlan(revision))
            async with asyncio.timeout(PATIENCE_S):
                views = [await app.result(f"p{number}") for number in range(PLANS)]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(PATIENCE_S)
    assert {view.status for view in views} == {PlanStatus.Completed}
    effects = Counter(line for n in range(WORKERS) for line in lines(tmp_path / f"ledger{n}"))
    assert len(effects) == PLANS * TASKS
    assert set(effects.values()) == {1}


def start_worker(database: str, ledger: Path) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("worker_process.py")
    return subprocess.Popen([sys.executable, script, database, ledger])


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _layers() -> list[planfold.TaskDraft]:
    tasks = []
    for number in range(1, TASKS + 1):
        layer = (number - 1) // 4
        parents = [n for n in range(1, number) if (n - 1) // 4 == layer - 1]
        tool = "once" if number % 2 else "keyed"
        tasks.append(task(tool, id=number, depends_on=list(parents)))
    return tasks


def _remote(name: str) -> Any:
    @planfold.tool(name=name, effect=name)  # type: ignore[call-overload]
    async def remote() -> None:
        raise AssertionError("the worker processes run it")

    return remote
