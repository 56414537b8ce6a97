"""Durable before visible: what may begin before its commit, and what happens to it when that
fails. On both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import planfold
from planfold.app import App
from planfold.errors import CommandRejected, Conflict, PlanfoldError, Transient
from planfold.eventstore.port import Append
from planfold.executors.python import PythonExecutor
from planfold.executors.registry import Executors
from planfold.planner.events import TaskStatusUpdated
from planfold.planner.tasks import PlanStatus, RetryPolicy, TaskStatus
from planfold.runtime import outbox
from planfold.runtime.leases import Leases
from plans import PLAN_ID, Until, events, finish, submit, task

CHAIN = 12


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    name = "database" if request.param == "sqlite" else "postgres_database"
    found: str = request.getfixturevalue(name)
    return found


@pytest.fixture(autouse=True)
def _no_suspects(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a worker asks for suspects it takes nothing: then a task waits for its commit."""

    async def none(_: Leases) -> bool:
        return False

    monkeypatch.setattr(Leases, "_claim_suspect", none)


class Gate:
    """Wraps the log of an app. While it is shut, appends wait; ``fault`` is raised instead
    of the next one, or after it where ``written``."""

    def __init__(self, app: App) -> None:
        self.appends: list[Append] = []
        self.fault: Exception | None = None
        self.written = False
        self.open = asyncio.Event()
        self.open.set()
        self._append = app.store.append
        app.store.append = self.append  # type: ignore[method-assign,assignment]

    async def append(self, append: Append) -> int:
        self.appends.append(append)
        await self.open.wait()
        fault, self.fault = self.fault, None
        if fault is not None and not self.written:
            raise fault
        position = await self._append(append)
        if fault is not None:
            raise fault
        return position


class Draws:
    """A safe tool that returns another number each time, and what was done with the numbers."""

    def __init__(self, effect: Any = "once") -> None:
        self.drawn: list[int] = []
        self.used: list[int] = []

        @planfold.tool(effect="safe")
        async def draw() -> int:
            self.drawn.append(len(self.drawn))
            return self.drawn[-1]

        @planfold.tool(effect=effect)
        async def use(number: int) -> int:
            self.used.append(number)
            return number

        self.tools = [draw, use]


@pytest.fixture
async def draws(address: str) -> AsyncIterator[tuple[App, Draws]]:
    draws = Draws()
    async with planfold.open_app(address, tools=draws.tools) as app:
        yield app, draws


def then(tool: str, number: int, **rest: Any) -> planfold.TaskDraft:
    return task(tool, id=number, depends_on=[number - 1] if number > 1 else [], **rest)


async def test_steps_of_a_safe_chain_share_commits(
    draws: tuple[App, Draws], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "GATHER_S", 60.0)
    app, drawn = draws
    gate = Gate(app)
    await submit(app, *(then("draw", number) for number in range(1, CHAIN + 1)))
    submitted = len(gate.appends)
    view = await finish(app)
    assert view.status == PlanStatus.Completed
    assert [t.result for t in view.tasks] == drawn.drawn == list(range(CHAIN))
    assert len(gate.appends) - submitted <= 2
    (last,) = gate.appends[-1:]
    assert len(set(last.times)) > 1  # each event has the time of its own decision
    # What was dispatched and settled here was never in the queue; the first task was.
    assert len(last.queue) <= 1


async def test_with_every_step_nothing_begins_before_its_commit(address: str, until: Until) -> None:
    drawn = Draws()
    settings = planfold.Settings(database=address, durability="every-step")
    async with planfold.open_app(settings, tools=drawn.tools) as app, app.worker():
        gate = Gate(app)
        gate.open.clear()
        submitting = asyncio.create_task(submit(app, then("draw", 1), then("draw", 2)))
        await until(lambda: gate.appends)
        assert drawn.drawn == []
        gate.open.set()
        await submitting
        view = await app.result(PLAN_ID)
    assert view.status == PlanStatus.Completed
    assert [len(append.times) for append in gate.appends] == [0, 0, 0]


class Observer:
    """What a worker reports as recorded."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def reported(self, aggregate_id: str, events: Any) -> None:
        self.events += events

    def trouble(self, fault: PlanfoldError) -> None: ...


async def begun(app: App, draws: Draws, gate: Gate, until: Until) -> asyncio.Task[str]:
    """Submit two draws and what uses the second; returns when both are drawn and nothing of it
    is durable."""
    gate.open.clear()
    tasks = then("draw", 1), then("draw", 2), then("use", 3, arguments={"number": "$2"})
    submitting = asyncio.create_task(submit(app, *tasks))
    await until(lambda: draws.drawn == [0, 1])
    return submitting


async def results(app: App) -> list[Any]:
    """What the log holds as results, in the order of the tasks."""
    updates = await events(app, "TaskStatusUpdated")
    done = {e.task_id: e.result for e in updates if e.status == TaskStatus.Completed}
    return [done[number] for number in sorted(done)]


@pytest.mark.parametrize("effect", ["once", "keyed"])
async def test_only_safe_tasks_begin_before_their_commit_and_none_is_reported(
    address: str, effect: str, until: Until
) -> None:
    draws, observer = Draws(effect), Observer()
    async with planfold.open_app(address, tools=draws.tools) as app, app.worker(observer=observer):
        gate = Gate(app)
        submitting = await begun(app, draws, gate, until)
        assert (draws.used, observer.events, submitting.done()) == ([], [], False)
        assert await app.store.version(PLAN_ID) == 0
        gate.open.set()
        await submitting
        view = await app.result(PLAN_ID)
        assert (draws.used, await results(app)) == ([1], [0, 1, 1])
        assert any(isinstance(event, TaskStatusUpdated) for event in observer.events)
    assert view.status == PlanStatus.Completed


async def test_after_a_conflict_safe_work_runs_again_and_no_forgotten_value_is_used(
    draws: tuple[App, Draws], until: Until
) -> None:
    app, drawn = draws
    async with app.worker():
        gate = Gate(app)
        submitting = await begun(app, drawn, gate, until)
        gate.fault = Conflict("another writer was first")
        gate.open.set()
        await submitting
        view = await app.result(PLAN_ID)
        assert view.status == PlanStatus.Completed
        assert (drawn.drawn, drawn.used, await results(app)) == ([0, 1, 2, 3], [3], [2, 3, 3])


@pytest.mark.parametrize("written", [False, True])
async def test_when_the_store_is_away_what_began_early_counts_for_nothing(
    draws: tuple[App, Draws], until: Until, written: bool
) -> None:
    app, drawn = draws
    async with app.worker():
        gate = Gate(app)
        submitting = await begun(app, drawn, gate, until)
        gate.fault, gate.written = Transient("away"), written
        gate.open.set()
        with pytest.raises(Transient):
            await submitting
        if not written:
            assert await app.store.version(PLAN_ID) == 0
            await submit(
                app, then("draw", 1), then("draw", 2), then("use", 3, arguments={"number": "$2"})
            )
        view = await app.result(PLAN_ID)
        assert view.status == PlanStatus.Completed
        assert (drawn.used, await results(app)) == ([3], [2, 3, 3])


async def test_an_attempt_that_began_before_a_commit_that_failed_is_stopped(
    address: str, until: Until
) -> None:
    stopped: list[str] = []
    begun: list[str] = []

    @planfold.tool(effect="safe")
    async def slow() -> str:
        begun.append("begun")
        if len(begun) > 1:
            return "second"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("stopped")
            raise
        return "first"

    executors = Executors()
    executors.add_tool(PythonExecutor(slow, grace_s=0.05))
    async with (
        planfold.open_app(address, executors=executors, load=False) as app,
        app.worker() as worker,
    ):
        gate = Gate(app)
        gate.open.clear()
        submitting = asyncio.create_task(submit(app, task("slow")))
        await until(lambda: begun)
        gate.fault = Conflict("another writer was first")
        gate.open.set()
        await submitting
        view = await app.result(PLAN_ID)
        assert view.task(1).result == "second"
        await until(lambda: stopped)
        await until(lambda: worker.running == 0)
        assert await app.store.queue.owned(worker.owner) == []


async def test_a_reader_sees_only_what_is_durable(draws: tuple[App, Draws], until: Until) -> None:
    app, drawn = draws
    async with app.worker():
        gate = Gate(app)
        submitting = await begun(app, drawn, gate, until)
        reading = asyncio.create_task(app.view(PLAN_ID))
        await asyncio.wait([reading], timeout=0.01)
        assert not reading.done()
        gate.open.set()
        view = await reading
        assert view.version <= await app.store.version(PLAN_ID)
        assert [t.id for t in view.tasks if t.status == TaskStatus.Completed][:2] == [1, 2]
        await submitting
        await app.result(PLAN_ID)


async def test_a_worker_that_stops_while_its_commit_is_on_its_way_leaves_nothing_behind(
    draws: tuple[App, Draws], until: Until
) -> None:
    app, drawn = draws
    gate = Gate(app)
    async with app.worker(drain_s=0.0) as worker:
        submitting = await begun(app, drawn, gate, until)
        asyncio.get_running_loop().call_later(0.05, gate.open.set)
    await submitting
    assert await app.store.queue.owned(worker.owner) == []
    assert (await finish(app)).status == PlanStatus.Completed
    assert drawn.used == (await results(app))[2:]


async def test_a_refusal_rests_on_what_it_was_decided_on(
    draws: tuple[App, Draws], until: Until
) -> None:
    app, drawn = draws
    async with app.worker():
        gate = Gate(app)
        submitting = await begun(app, drawn, gate, until)
        refused = asyncio.create_task(app.answer(PLAN_ID, 1, "yes", by="test"))
        await asyncio.wait([refused], timeout=0.01)
        assert not refused.done()
        gate.open.set()
        await submitting
        with pytest.raises(CommandRejected):
            await refused
        await app.result(PLAN_ID)


async def test_a_commit_stops_no_attempt_that_a_later_one_dispatched(
    address: str, until: Until
) -> None:
    fail, tick, release, again = (asyncio.Event() for _ in range(4))
    told: list[bool] = []

    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=0.0005, cap=0.0005))
    async def flaky(context: planfold.TaskContext) -> str:
        if context.attempt == 1:
            await fail.wait()
            raise RuntimeError("not yet")
        again.set()
        await release.wait()
        told.append(context.cancelled.is_set())
        return "fine"

    @planfold.tool(effect="safe")
    async def ticker() -> None:
        await tick.wait()

    observer = Observer()
    async with (
        planfold.open_app(address, tools=[flaky, ticker]) as app,
        app.worker(observer=observer),
    ):
        ticks = (task("ticker", id=n, depends_on=[n - 1] if n > 2 else []) for n in range(2, 40))
        await submit(app, task("flaky", id=1), *ticks)
        gate = Gate(app)
        gate.open.clear()
        fail.set()
        await until(lambda: gate.appends)  # the failure is on its way to the log
        tick.set()
        await again.wait()  # what follows it has dispatched the second attempt
        gate.open.set()
        await until(lambda: observer.events)
        release.set()
        view = await app.result(PLAN_ID)
    assert (view.status, view.task(1).result, told) == (PlanStatus.Completed, "fine", [False])


async def test_nothing_begins_early_until_some_commits_have_succeeded(
    draws: tuple[App, Draws],
) -> None:
    app, _ = draws
    async with app.worker():
        gate = Gate(app)
        gate.fault = Conflict("another process writes here")
        await submit(app, *(then("draw", number) for number in range(1, CHAIN + 1)))
        view = await app.result(PLAN_ID)
        assert view.status == PlanStatus.Completed
        assert not any(append.times for append in gate.appends)
        assert len(gate.appends) > CHAIN
