"""One worker: outcomes, retries, timeouts, cancellation, routes, and its own end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

import pytest

import planfold
from planfold.errors import Permanent, PlanfoldError, Transient
from planfold.eventstore.port import Append
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner.commands import (
    ApprovePlan,
    CancelPlan,
    CancelTask,
    NeedsClarification,
    TaskCompleted,
)
from planfold.planner.events import CancelRequested, TaskStatusUpdated
from planfold.planner.planner import Planner
from planfold.planner.tasks import PlanStatus, RetryPolicy, TaskStatus
from planfold.runtime import attempt as attempt_module
from planfold.runtime import mailbox as mailbox_module
from planfold.runtime.attempt import Attempt
from planfold.runtime.reporter import Unobserved
from planfold.runtime.runner import Runner
from plans import PLAN_ID, Until, completed, events, finish, processing, running, submit, task
from testbed.patience import PATIENCE_S

QUICK = RetryPolicy(attempts=3, base=0.01)


@planfold.tool(effect="safe")
async def echo(value: Any = None) -> Any:
    return value


@planfold.tool(effect="safe")
async def obedient(context: planfold.TaskContext) -> str:
    await context.cancelled.wait()
    raise Permanent("stopped as asked")


class Gate:
    """A tool that says when it has begun and continues when it is let through."""

    def __init__(self, effect: Any = "safe") -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()

        @planfold.tool(effect=effect)
        async def gated() -> str:
            self.begun.set()
            await self.open.wait()
            return "done"

        self.tool = gated


def failing(times: int, error: type[Exception] = RuntimeError) -> Any:
    @planfold.tool(effect="safe")
    async def shaky(context: planfold.TaskContext) -> int:
        if context.attempt <= times:
            raise error(f"attempt {context.attempt}")
        return context.attempt

    return shaky


# --- outcomes ----------------------------------------------------------------------------------


async def test_results_flow_from_task_to_task(database: str) -> None:
    async with planfold.open_app(database, tools=[echo]) as app:
        await submit(
            app,
            task("echo", arguments={"value": {"n": [1, 2**70, "\0"]}}),
            task("echo", arguments={"value": "$1.n"}),
        )
        view = await finish(app)
    assert view.status is PlanStatus.Completed
    assert view.task(2).result == [1, 2**70, "\0"]


async def test_a_failed_attempt_is_tried_again_after_its_delay(database: str) -> None:
    async with planfold.open_app(database, tools=[failing(2)]) as app:
        await submit(app, task("shaky", retry=QUICK))
        view = await finish(app)
        scheduled = await events(app, "RetryScheduled")
    assert (view.status, view.task(1).result) == (PlanStatus.Completed, 3)
    assert [0 <= s.delay <= bound for s, bound in zip(scheduled, (0.01, 0.02), strict=True)]


async def test_attempts_run_out(database: str) -> None:
    async with planfold.open_app(database, tools=[failing(9), echo]) as app:
        await submit(app, task("shaky", retry=QUICK), task("echo", depends_on=[1]))
        view = await finish(app)
    assert view.status is PlanStatus.Failed
    assert [t.status for t in view.tasks] == [TaskStatus.Failed, TaskStatus.Skipped]
    assert "attempt 3" in (view.task(1).error or "")


async def test_a_permanent_failure_is_not_tried_again(database: str) -> None:
    async with planfold.open_app(database, tools=[failing(9, Permanent)]) as app:
        await submit(app, task("shaky", retry=QUICK))
        view = await finish(app)
    assert (view.status, view.task(1).attempt) == (PlanStatus.Failed, 1)


async def test_an_attempt_has_its_time(database: str) -> None:
    async with planfold.open_app(database, tools=[Gate().tool]) as app:
        await submit(app, task("gated", timeout=0.03, retry=RetryPolicy(attempts=2, base=0.01)))
        view = await finish(app)
    assert (view.status, view.task(1).attempt) == (PlanStatus.Failed, 2)
    assert "timed out after 0.03 s" in (view.task(1).error or "")


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, object(), float("nan")])
async def test_the_outcome_is_asked_where_the_result_cannot_be_recorded(
    database: str, value: Any
) -> None:
    async def execute(_: planfold.TaskContext) -> Outcome:
        return TaskCompleted(value)

    async with planfold.open_app(database, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out"))
        view = await finish(app)
    if value != value:  # NaN is null in JSON; that is for executors to refuse
        assert view.task(1).result is None
    else:
        assert view.status is PlanStatus.AwaitingAnswer
        assert "its result cannot be recorded" in view.questions[0].question


async def test_an_executor_may_ask_and_continues_with_the_answer(database: str) -> None:
    async def execute(context: planfold.TaskContext) -> Outcome:
        if not context.task.answers:
            return NeedsClarification("Which one?")
        return TaskCompleted(context.task.answers[0])

    async with planfold.open_app(database, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out"))
        assert (await finish(app)).status is PlanStatus.AwaitingAnswer
        await app.answer(PLAN_ID, 1, "this one")
        view = await finish(app)
    assert (view.status, view.task(1).result) == (PlanStatus.Completed, "this one")


async def test_a_question_is_answered_by_its_default_at_the_deadline(database: str) -> None:
    question = planfold.TaskDraft(
        description="Go on?", choices=["yes", "no"], default="yes", deadline=0.05
    )
    async with planfold.open_app(database, tools=[echo]) as app:
        await submit(app, question, task("echo", arguments={"value": "$1"}))
        async with app.worker(), asyncio.timeout(PATIENCE_S):
            view = await app.result(PLAN_ID)
    assert (view.status, view.task(2).result) == (PlanStatus.Completed, "yes")


async def test_no_more_tasks_run_at_once_than_the_worker_has_slots(database: str) -> None:
    at_once = most = 0

    @planfold.tool(effect="safe")
    async def crowd() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1

    async with planfold.open_app(database, tools=[crowd]) as app:
        await submit(app, *(task("crowd") for _ in range(40)))
        async with app.worker(concurrency=7), asyncio.timeout(PATIENCE_S):
            assert (await app.result(PLAN_ID)).status is PlanStatus.Completed
    assert most == 7


# --- cancelling --------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["same", "other"])
@pytest.mark.parametrize("what", ["task", "plan"])
async def test_a_running_task_is_asked_to_stop(
    database: str, process: str, what: str, until: Until
) -> None:
    async with (
        planfold.open_app(database, tools=[obedient, echo]) as app,
        planfold.open_app(database, tools=[obedient, echo]) as other,
    ):
        await submit(app, task("obedient"), task("echo", depends_on=[1]), task("echo"))
        async with app.worker():
            await until(lambda: running(app))
            await until(lambda: completed(app, 3))
            sender = app if process == "same" else other
            await sender.send(PLAN_ID, CancelTask(1) if what == "task" else CancelPlan())
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result(PLAN_ID)
        assert await app.store.queue.queued(PLAN_ID) == []
    assert view.status is PlanStatus.Cancelled
    statuses = [t.status for t in view.tasks]
    second = TaskStatus.Skipped if what == "task" else TaskStatus.Cancelled
    assert statuses == [TaskStatus.Cancelled, second, TaskStatus.Completed]


async def test_each_of_two_workers_in_a_process_is_asked_to_stop(
    database: str, until: Until
) -> None:
    async with planfold.open_app(database, tools=[obedient]) as app:
        plans = [await submit(app, task("obedient"), plan_id=f"p{n}") for n in range(3)]
        runs = asyncio.gather(*(app.run(plan_id) for plan_id in plans))

        async def all_run() -> bool:
            return all([await running(app, plan_id=plan_id) for plan_id in plans])

        await until(all_run)
        for plan_id in plans:
            await app.send(plan_id, CancelPlan())
        async with asyncio.timeout(PATIENCE_S):
            views = await runs
    assert {view.status for view in views} == {PlanStatus.Cancelled}


@pytest.mark.parametrize("effect", ["once", "safe"])
async def test_what_does_not_stop_is_cut_off_after_the_grace(
    database: str, monkeypatch: pytest.MonkeyPatch, effect: Any
) -> None:
    monkeypatch.setattr(attempt_module, "CANCEL_GRACE_S", 0.05)

    begun = asyncio.Event()

    async def execute(_: planfold.TaskContext) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("it never ends")

    async with planfold.open_app(database, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="deaf", effect=effect))
        async with app.worker():
            await begun.wait()
            await app.send(PLAN_ID, CancelTask(1))
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result(PLAN_ID)
    assert view.task(1).status is TaskStatus.Cancelled
    assert view.task(1).outcome_unknown is (effect == "once")
    assert "did not stop" in (view.task(1).error or "")


async def test_a_task_that_is_done_before_it_hears_of_its_cancellation_counts(
    database: str,
) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=[gate.tool]) as app:
        await submit(app, task("gated"))
        async with app.worker():
            await gate.begun.wait()
            await app.send(PLAN_ID, CancelTask(1))
            gate.open.set()
            view = await app.result(PLAN_ID)
    assert (view.task(1).status, view.task(1).result) == (TaskStatus.Completed, "done")


async def test_a_task_that_is_cancelled_before_anybody_takes_it_never_starts(
    database: str,
) -> None:
    started = []

    @planfold.tool(effect="once")
    async def start() -> None:
        started.append(1)

    async with planfold.open_app(database, tools=[start]) as app:
        await submit(app, task("start"))
        await app.send(PLAN_ID, CancelPlan())
        view = await finish(app)
    assert (view.status, started) == (PlanStatus.Cancelled, [])
    assert not view.task(1).outcome_unknown


# --- routes ------------------------------------------------------------------------------------


async def test_a_worker_takes_only_its_routes(database: str, until: Until) -> None:
    async with planfold.open_app(database, tools=[echo]) as app:
        await submit(app, task("echo", route="gpu"), task("echo"))
        async with app.worker(routes=["gpu"]):
            await until(lambda: completed(app, 1))
        assert (await app.store.queue.queued(PLAN_ID))[0].starts == 0
        assert (await finish(app)).status is PlanStatus.Completed


async def test_what_this_worker_cannot_do_is_left_to_others(database: str, until: Until) -> None:
    async with (
        planfold.open_app(database, tools=[echo]) as able,
        planfold.open_app(database, executors=processing_only()) as unable,
    ):
        await submit(able, task("echo", effect="once"))
        worker = unable.worker()
        async with worker:
            await until(lambda: "echo" in worker._slots.declined)
            assert (await finish(able)).status is PlanStatus.Completed


def processing_only() -> Executors:
    async def execute(_: planfold.TaskContext) -> Outcome:
        raise AssertionError("there is nothing for it")

    return processing(execute)


# --- its own end -------------------------------------------------------------------------------


async def test_a_worker_that_stops_drains_what_runs(database: str) -> None:
    gate = Gate("once")
    async with planfold.open_app(database, tools=[gate.tool]) as app:
        await submit(app, task("gated"), task("gated", depends_on=[1]))
        async with app.worker() as worker:
            await gate.begun.wait()
            stopping = asyncio.ensure_future(worker.stop(drain_s=20))
            await asyncio.sleep(0)
            gate.open.set()
            await stopping
            view = await app.view(PLAN_ID)
            assert [t.status for t in view.tasks] == [TaskStatus.Completed, TaskStatus.Running]
            (waiting,) = await app.store.queue.queued(PLAN_ID)
            assert (waiting.owner, waiting.starts) == (None, 0)
        assert (await finish(app)).status is PlanStatus.Completed


async def test_what_was_leased_but_never_begun_is_given_back_unstarted(database: str) -> None:
    """The worker stops while the commit that leases the next task to it is on its way."""

    @planfold.tool(effect="once")
    async def quick() -> int:
        return 1

    async with planfold.open_app(database, tools=[quick]) as app:
        for number in range(12):
            plan_id = f"p{number}"
            await submit(
                app,
                *(task("quick", depends_on=[n] if n else []) for n in range(3)),
                plan_id=plan_id,
            )
            worker = app.worker(plan_id=plan_id)
            async with worker:
                for _ in range(number):
                    await asyncio.sleep(0)
            assert await app.store.queue.owned(worker.owner) == []
            view = await finish(app, plan_id)
            assert view.status in (PlanStatus.Completed, PlanStatus.AwaitingAnswer)
            if view.questions:  # only what did begin may be asked about
                assert number > 4


async def test_what_is_cut_off_by_the_end_of_its_worker_counts_as_started(
    database: str,
) -> None:
    gate = Gate("once")
    async with planfold.open_app(database, tools=[gate.tool]) as app:
        await submit(app, task("gated"))
        async with app.worker() as worker:
            await gate.begun.wait()
            await worker.stop()
        view = await finish(app)
        (question,) = view.questions
    assert view.status is PlanStatus.AwaitingAnswer
    assert question.choices == ("done", "run it again", "failed")


async def test_a_cancellation_that_is_not_committed_stops_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker looks at a task while the cancellation is on its way to the log."""
    runs: list[int] = []

    @planfold.tool(effect="safe")
    async def work() -> int:
        runs.append(1)
        return 1

    async with planfold.open_app(database, tools=[work]) as app:
        append, find = app.store.append, Runner._find
        on_its_way, looked = asyncio.Event(), asyncio.Event()

        def failing(decision: Append) -> Awaitable[int]:
            if not any(isinstance(event, CancelRequested) for event, _ in decision.events):
                return append(decision)
            on_its_way.set()

            async def fail() -> int:
                await looked.wait()
                raise Transient("the database is away")

            return fail()

        async def looking(runner: Runner, attempt: Attempt) -> Any:
            await on_its_way.wait()
            looked.set()
            return await find(runner, attempt)

        monkeypatch.setattr(app.store, "append", failing)
        draft = planfold.PlanDraft(title="a plan", tasks=[task("work")])
        async with app.worker():
            await app.submit(draft, plan_id=PLAN_ID)
            revision = (await app.view(PLAN_ID)).revision_hash
            monkeypatch.setattr(Runner, "_find", looking)
            await app.send(PLAN_ID, ApprovePlan(revision, "me"))
            with pytest.raises(Transient):
                await app.send(PLAN_ID, CancelTask(1))
            result = await app.result(PLAN_ID)
    assert looked.is_set()
    assert (result.status, runs) == (PlanStatus.Completed, [1])


async def test_a_worker_may_be_entered_again(database: str) -> None:
    async with planfold.open_app(database, tools=[echo]) as app:
        worker = app.worker()
        for plan_id in ("first", "second"):
            await submit(app, task("echo"), plan_id=plan_id)
            async with worker:
                assert (await app.result(plan_id)).status is PlanStatus.Completed
                assert [record.owner for record in await app.store.queue.workers()] == [
                    worker.owner
                ]
            assert not await app.store.queue.workers()


async def test_a_worker_that_stops_saves_the_state_of_plans_that_have_not_ended(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "SNAPSHOT_AT_REST", 4)
    gate = Gate()
    async with planfold.open_app(database, tools=[echo, gate.tool]) as app:
        await submit(app, task("echo"), plan_id="ended")
        await finish(app, "ended")
        await submit(app, task("echo"), task("gated", depends_on=[1]))
        async with app.worker(drain_s=0):
            await gate.begun.wait()
        assert await app.store.checkpoints.snapshot("ended") is None
        version, data = await app.store.checkpoints.snapshot(PLAN_ID) or (0, b"")
        assert version == (await app.view(PLAN_ID)).version
        saved = Planner.restore(data)
        assert saved is not None
        assert saved.snapshot() == (await app.planner(PLAN_ID)).snapshot()
    gate.open.set()
    async with planfold.open_app(database, tools=[echo, gate.tool]) as app:
        assert (await finish(app)).status == "completed"


async def test_what_a_tool_sets_in_its_context_is_not_seen_by_the_next_one(database: str) -> None:
    """Nor by one of another plan, which is dispatched in the same turn of the event loop, nor by
    the observer. What the sender of a plan sets is not seen either."""
    mark: ContextVar[str] = ContextVar("mark", default="unset")
    seen, observed = [], set[str]()

    class Watching(Unobserved):
        def reported(self, aggregate_id: str, events: object) -> None:
            observed.add(mark.get())

    @planfold.tool(effect="safe")
    async def marks() -> None:
        seen.append(mark.get())
        mark.set("set")

    mark.set("of the program")
    async with planfold.open_app(database, tools=[marks]) as app, app.worker(observer=Watching()):
        mark.set("of a sender")
        ids = [f"plan-{n}" for n in range(3)]
        for plan_id in ids:
            await submit(app, task("marks"), task("marks", depends_on=[1]), plan_id=plan_id)
        await asyncio.gather(*(app.result(plan_id) for plan_id in ids))
    assert seen == ["of the program"] * 6
    assert observed == {"of the program"}


async def test_a_report_that_fails_at_once_is_tried_again_and_its_task_does_not_run_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last report of a plan is decided and sent while its attempt still runs."""
    runs, running_then = [], []

    @planfold.tool(effect="safe")
    async def work() -> None:
        runs.append(1)

    class Watching(Unobserved):
        def trouble(self, fault: PlanfoldError) -> None:
            running_then.append(worker.running)

    async with planfold.open_app(database, tools=[work]) as app:
        append = app.store.append

        def failing(decision: Append) -> Awaitable[int]:
            if running_then or not any(type(e) is TaskStatusUpdated for e, _ in decision.events):
                return append(decision)
            failed = asyncio.get_running_loop().create_future()
            failed.set_exception(Transient("the database is away"))
            return failed

        monkeypatch.setattr(app.store, "append", failing)
        async with app.worker(observer=Watching()) as worker:
            await submit(app, task("work"))
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result(PLAN_ID)
    assert (view.status, runs, running_then) == (PlanStatus.Completed, [1], [1])
