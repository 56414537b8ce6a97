"""Faults between the queue's table of leases and what a worker runs, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncpg
import pytest
from lost_answers import lose_append, lose_append_of, lose_claim

import planfold
from planfold.errors import LeaseLost, PlanfoldError, Transient
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.planner.budget import Spend
from planfold.planner.commands import TaskCompleted
from planfold.planner.events import StepStarted
from planfold.planner.tasks import PlanStatus, RetryPolicy
from planfold.runtime import attempt as attempt_module
from planfold.runtime import leases as leases_module
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, Until, completed, events, finish, processing, submit, task
from testbed.patience import PATIENCE_S
from testbed.proxies import CuttingProxy

HOUR_S = 3_600.0


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    name = "database" if request.param == "sqlite" else "postgres_database"
    found: str = request.getfixturevalue(name)
    return found


class Work:
    """A tool that counts its runs, and returns when the gate is open."""

    def __init__(self, effect: Any = "once", **options: Any) -> None:
        self.runs = 0
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

        @planfold.tool(effect=effect, **options)
        async def work() -> str:
            self.runs += 1
            self.begun.set()
            await self.gate.wait()
            return "result"

        self.tool = work


class Troubles:
    """An observer that keeps what does not work."""

    def __init__(self) -> None:
        self.faults: list[PlanfoldError] = []

    def reported(self, aggregate_id: str, events: object) -> None: ...

    def trouble(self, fault: PlanfoldError) -> None:
        self.faults.append(fault)


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [40.0, HOUR_S, -HOUR_S])
async def test_a_worker_keeps_its_live_task_when_the_clock_steps(
    address: str, step: float, until: Until
) -> None:
    clock, work = ManualClock(), Work()
    async with planfold.open_app(address, tools=[work.tool], clock=clock) as app:
        await submit(app, task("work"))
        async with app.worker() as worker:
            await work.begun.wait()
            clock.advance(step)
            app.store.wakeup.notify()

            async def renewed() -> bool:
                (lease,) = await app.store.queue.owned(worker.owner)
                return lease.expires >= clock() + 29 or step < 0

            await until(renewed)
            work.gate.set()
            view = await app.result(PLAN_ID)
    assert (view.status, view.task(1).result, work.runs) == (PlanStatus.Completed, "result", 1)


async def test_a_wait_is_not_longer_than_its_pause_when_the_clock_goes_back(
    address: str,
) -> None:
    clock, attempts = ManualClock(), []

    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=0.2, cap=0.2))
    async def flaky() -> int:
        attempts.append(clock())
        if len(attempts) == 1:
            clock.advance(-HOUR_S)
            raise ValueError("not yet")
        return len(attempts)

    async with planfold.open_app(address, tools=[flaky], clock=clock) as app:
        await submit(app, task("flaky"))
        view = await finish(app)
    assert (view.status, len(attempts)) == (PlanStatus.Completed, 2)


async def test_a_wait_is_bounded_too_where_the_process_began_after_the_clock_went_back(
    address: str,
) -> None:
    clock, attempts = ManualClock(), []

    @planfold.tool(effect="safe", retry=RetryPolicy(attempts=2, base=0.2, cap=0.2))
    async def flaky() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return len(attempts)

    async with planfold.open_app(address, tools=[flaky], clock=clock) as app:
        await submit(app, task("flaky"))
        async with app.worker():
            async for envelope in app.watch(PLAN_ID):
                if envelope.event_type == "RetryScheduled":
                    break
            clock.advance(-HOUR_S)
    clock = ManualClock(clock() if not attempts[1:] else 0.0)
    async with planfold.open_app(address, tools=[flaky], clock=clock) as app:
        view = await finish(app)
    assert (view.status, len(attempts)) == (PlanStatus.Completed, 2)


async def test_a_standstill_is_reported_with_what_ran(
    address: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    work, troubles = Work("safe"), Troubles()
    async with planfold.open_app(address, tools=[work.tool]) as app:
        await submit(app, task("work"))
        async with app.worker(observer=troubles):
            await work.begun.wait()
            loop = asyncio.get_running_loop()
            real = loop.time
            monkeypatch.setattr(loop, "time", lambda: real() + 41.0)
            app.store.wakeup.notify()
            await until(lambda: any("suspended for" in str(f) for f in troubles.faults))
            work.gate.set()
            view = await app.result(PLAN_ID)
    assert (view.status, work.runs) == (PlanStatus.Completed, 1)
    assert any("work" in str(fault) for fault in troubles.faults)


# --- lost answers -------------------------------------------------------------------------------


async def test_a_task_begins_whose_commit_lost_its_answer(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(_: leases_module.Leases) -> bool:
        return False

    # While a worker asks for suspects, commits lease it nothing.
    monkeypatch.setattr(leases_module.Leases, "_claim_suspect", none)
    first, second = Work("once"), Work("once")
    first.gate.set()
    second.gate.set()
    second.tool.tool = planfold.tool(name="second", effect="once")(second.tool.function).tool
    async with planfold.open_app(address, tools=[first.tool, second.tool]) as app:
        await submit(app, task("work"), task("second", depends_on=[1]))
        lost = lose_append(app, monkeypatch, lambda decision: bool(decision.leased))
        view = await finish(app)
    assert lost, "no commit leased a task"
    assert (view.status, first.runs, second.runs) == (PlanStatus.Completed, 1, 1)


async def test_a_task_begins_whose_claim_lost_its_answer(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work("once")
    work.gate.set()
    async with planfold.open_app(address, tools=[work.tool]) as app:
        await submit(app, task("work"))
        lost = lose_claim(app, monkeypatch)
        view = await finish(app)
    assert lost
    assert (view.status, view.task(1).result, work.runs) == (PlanStatus.Completed, "result", 1)


async def test_a_claim_that_comes_to_light_begins_nothing_that_runs_already(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, again = Work("once"), asyncio.Event()
    async with planfold.open_app(address, tools=[work.tool]) as app:
        await submit(app, task("work"))
        assert not lose_claim(app, monkeypatch, again)
        async with app.worker(), asyncio.timeout(PATIENCE_S):
            await work.begun.wait()  # found by a comparison
            await again.wait()
            work.gate.set()
            view = await app.result(PLAN_ID)
    assert (view.status, view.task(1).result, work.runs) == (PlanStatus.Completed, "result", 1)


async def test_an_answer_that_a_proxy_cuts_off_loses_no_task(postgres_database: str) -> None:
    work = Work("once")
    work.gate.set()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CuttingProxy(postgres_database))
        app = await stack.enter_async_context(planfold.open_app(proxy.address, tools=[work.tool]))
        await submit(app, *(task("work", depends_on=[n] if n else []) for n in range(12)))
        async with app.worker():
            for _ in range(4):
                cut = proxy.cut_after_request(lambda m: m.kind == "E" or m.kind == "Q")
                async with asyncio.timeout(PATIENCE_S):
                    await cut.wait()
                async with proxy.refusing():
                    await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result(PLAN_ID)
    assert view.status is PlanStatus.Completed
    assert work.runs == 12


@pytest.mark.parametrize("effect", ["once", "safe"])
async def test_a_task_that_never_began_is_released_as_not_started(
    address: str, monkeypatch: pytest.MonkeyPatch, effect: str
) -> None:
    """The database cannot be reached from the claim until a while after the look at the plan."""
    work, faults = Work(effect), []
    work.gate.set()
    async with planfold.open_app(address, tools=[work.tool]) as app:
        await submit(app, task("work"))
        look, release = app.dispatcher.view, app.store.queue.release

        def failing(call: Callable[..., Any], times: int) -> Callable[..., Any]:
            async def fail(*args: Any, **options: Any) -> Any:
                nonlocal times
                reads = "at_least" in options and not options["at_least"]  # no worker does that
                if times > 0 and options and not reads:
                    times -= 1
                    faults.append(call)
                    raise Transient("the database is away")
                return await call(*args, **options)

            return fail

        monkeypatch.setattr(app.store.queue, "release", failing(release, 2))
        monkeypatch.setattr(app.dispatcher, "view", failing(look, 1))
        monkeypatch.setattr(app.dispatcher, "seen", lambda *_: None)
        view = await finish(app)
    assert len(faults) == 3
    assert (view.status, work.runs) == (PlanStatus.Completed, 1)


# --- executors that cancel themselves -----------------------------------------------------------


async def raises_cancelled(_: TaskContext) -> Outcome:
    raise asyncio.CancelledError


async def cancels_its_own_task(_: TaskContext) -> Outcome:
    current = asyncio.current_task()
    assert current is not None
    current.cancel()
    await asyncio.sleep(0)
    raise AssertionError("it was cancelled")


@pytest.mark.parametrize("execute", [raises_cancelled, cancels_its_own_task])
async def test_an_executor_that_cancels_itself_has_failed(address: str, execute: Any) -> None:
    retry = RetryPolicy(attempts=3, base=0.0)
    async with planfold.open_app(address, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out", retry=retry))
        view = await finish(app)
        scheduled = await events(app, "RetryScheduled")
    assert (view.status, view.task(1).attempt) == (PlanStatus.Failed, 3)
    assert "the executor cancelled itself" in (view.task(1).error or "")
    assert len(scheduled) == 2


class Abort(BaseException):
    """As the cancellation of other event loops, and the exits of test runners, are."""


@pytest.mark.parametrize(
    "fault",
    [
        Abort("enough"),
        SystemExit(0),
        GeneratorExit("enough"),
        BaseExceptionGroup("enough", [asyncio.CancelledError(), ValueError("enough")]),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("as_tool", [False, True], ids=["executor", "tool"])
async def test_what_is_no_exception_fails_the_attempt_too(
    database: str, fault: BaseException, as_tool: bool
) -> None:
    async def execute(_: TaskContext) -> Outcome:
        raise fault

    @planfold.tool(effect="once")
    async def work() -> None:
        raise fault

    draft = task("work") if as_tool else planfold.TaskDraft(description="work it out")
    executors = None if as_tool else processing(execute)
    async with planfold.open_app(database, tools=[work], executors=executors) as app:
        await submit(app, draft)
        view = await finish(app)
    assert view.status is PlanStatus.Failed
    assert type(fault).__name__ in (view.task(1).error or "")


async def test_a_question_that_is_asked_in_a_group_is_asked(database: str) -> None:
    async def execute(context: TaskContext) -> Outcome:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(context.ask("which", "Which one?"))
        return TaskCompleted(asked.result())

    async with planfold.open_app(database, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out"))
        view = await finish(app)
        assert view.status is PlanStatus.AwaitingAnswer
        await app.answer(PLAN_ID, 1, "that one")
        assert (await finish(app)).task(1).result == "that one"


async def test_a_paid_step_whose_begin_lost_its_answer_is_charged_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []

    async def execute(context: TaskContext) -> Outcome:
        async def call(again: bool) -> tuple[str, Spend]:
            calls.append(again)
            return "answer", Spend(calls=1, tokens=5)

        return TaskCompleted(await context.paid("ask", call, reserve=Spend(calls=1, tokens=9)))

    async with planfold.open_app(address, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out"))
        lost = lose_append_of(app, monkeypatch, StepStarted)
        view = await finish(app)
        spent = (await app.planner(PLAN_ID)).state.spent
        started = await events(app, "StepStarted")
    assert lost
    assert (view.status, view.task(1).result, calls) == (PlanStatus.Completed, "answer", [False])
    assert (spent.calls, spent.tokens, len(started)) == (1, 5, 1)


# --- the end of a worker ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "status"),
    [("safe", PlanStatus.Completed), ("once", PlanStatus.AwaitingAnswer)],
)
async def test_a_failure_that_comes_of_the_workers_end_is_none(
    address: str, effect: Any, status: PlanStatus
) -> None:
    runs: list[int] = []
    begun = asyncio.Event()

    @planfold.tool(effect=effect)
    async def work() -> str:
        runs.append(1)
        begun.set()
        if len(runs) == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ConnectionError("interrupted") from None
        return "result"

    async with planfold.open_app(address, tools=[work]) as app:
        await submit(app, task("work"))
        async with app.worker(drain_s=0.0):
            await begun.wait()
        assert not await events(app, "TaskStatusUpdated")
        assert (await finish(app)).status is status


async def test_a_worker_ends_although_a_tool_catches_its_cancellation(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_module, "UNSTOPPABLE_S", 0.05)
    begun, observer, runs = asyncio.Event(), Troubles(), []

    @planfold.tool(effect="safe")
    async def stubborn() -> str:
        runs.append(1)
        begun.set()
        while len(runs) == 1:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return "result"

    async with planfold.open_app(address, tools=[stubborn]) as app:
        await submit(app, task("stubborn"))
        async with asyncio.timeout(PATIENCE_S):
            async with app.worker(drain_s=0.0, observer=observer):
                await begun.wait()
        assert "stubborn caught CancelledError" in str(observer.faults)
        assert (await finish(app)).status is PlanStatus.Completed
    assert len(runs) == 2


# --- a store that cannot be written for a while ------------------------------------------------


async def test_a_result_outlasts_a_failover_to_a_server_that_is_read_only_at_first(
    postgres_database: str, until: Until
) -> None:
    work, observer = Work(), Troubles()
    name = postgres_database.rpartition("/")[2]
    direct = await asyncpg.connect(postgres_database)
    await direct.execute("SET default_transaction_read_only = off")

    async def set_up(setting: str) -> None:
        await direct.execute(f"ALTER DATABASE {name} {setting}")

    async def cut() -> None:
        await direct.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = $1 AND pid <> pg_backend_pid()",
            name,
        )

    async with planfold.open_app(postgres_database, tools=[work.tool]) as app:
        await submit(app, task("work"))
        async with app.worker(observer=observer):
            await work.begun.wait()
            await set_up("SET default_transaction_read_only = on")
            await cut()
            work.gate.set()
            await until(lambda: any("read-only" in str(fault) for fault in observer.faults))
            # Connections of the read-only time stay as they are: the worker must give them up.
            await set_up("RESET default_transaction_read_only")
            await until(lambda: completed(app, 1))
    await direct.close()
    assert work.runs == 1


async def test_a_worker_whose_parts_are_cancelled_from_outside_says_so(
    address: str, until: Until
) -> None:
    """As a tool does that cancels every task of the event loop."""
    work, troubles = Work("safe"), Troubles()
    work.gate.set()
    async with planfold.open_app(address, tools=[work.tool]) as app:
        before = asyncio.all_tasks()
        async with app.worker(observer=troubles):
            await submit(app, task("work"))
            await app.result(PLAN_ID)
            for other in asyncio.all_tasks() - before:
                if "WorkerLoop" in repr(other):
                    other.cancel()
            await until(lambda: len(troubles.faults) == 2)
    assert "cancelled from outside" in str(troubles.faults[0])


# --- the observer -------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", ["safe", "once"])
@pytest.mark.parametrize("fault", [ValueError("mine"), LeaseLost("mine", 1), Transient("mine")])
async def test_a_fault_of_the_observer_changes_nothing_else(
    address: str, effect: Any, fault: Exception
) -> None:
    """Each task is claimed, because it is under a limit: a plan that is barred would stop."""

    class Observed(Troubles):
        def reported(self, aggregate_id: str, events: object) -> None:
            raise fault

    @planfold.tool(effect=effect, limit="one")
    async def work() -> str:
        return "result"

    limits, observer = {"one": planfold.SharedLimit(concurrency=1)}, Observed()
    async with planfold.open_app(address, tools=[work], limits=limits) as app:
        await submit(app, task("work", label="a"), task("work", depends_on=["a"]))
        async with app.worker(observer=observer) as worker:
            view = await asyncio.wait_for(app.result(PLAN_ID), 10)
    assert (view.status, worker.fenced) == (PlanStatus.Completed, 0)
    assert len(observer.faults) == 2
    assert all("mine" in str(found) for found in observer.faults)
