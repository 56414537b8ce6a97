"""Tasks that run plans, on both backends: results and failures handed up, cancelled together, once
under kills."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sub_plan_process import echo

import planfold
from planfold import Parameter, PlanDraft, RetryPolicy, TaskDraft
from planfold.commands import Planner
from planfold.log import Query, events
from planfold.runtime.signal_delivery import SignalDelivery
from planfold.runtime.sub_plans import SubPlans, handovers
from testbed.patience import PATIENCE_S

Until = Callable[[Callable[[], object]], Awaitable[None]]


class Gate:
    """A tool that fails, or waits, until it is opened."""

    def __init__(self) -> None:
        self.open = False
        self.calls: Counter[str] = Counter()

    def tools(self) -> list[Any]:
        @planfold.tool(effect="once")
        def once(text: str) -> str:
            self.calls[text] += 1
            return text

        @planfold.tool(effect="safe")
        def fails(text: str) -> str:
            if not self.open:
                raise ValueError(f"no {text}")
            return text

        @planfold.tool(effect="safe")
        async def waits(text: str, context: planfold.TaskContext) -> str:
            while not self.open and not context.cancelled.is_set():  # noqa: ASYNC110 - two ends
                await asyncio.sleep(0.002)
            if not self.open:
                raise asyncio.CancelledError
            return text

        return [echo, once, fails, waits]


def step(tool: str, label: str, *after: str, text: str = "$params.v") -> TaskDraft:
    return TaskDraft(
        label=label,
        description=tool,
        tool=tool,
        arguments={"text": text},
        depends_on=list(after),
    )


def inner(*steps: TaskDraft) -> PlanDraft:
    return PlanDraft(title="Inner $params.v", params={"v": Parameter()}, tasks=list(steps))


def outer(plan: PlanDraft, value: str = "x", **fields: Any) -> PlanDraft:
    task = TaskDraft(label="sub", description="s", plan=plan, arguments={"v": value}, **fields)
    return PlanDraft(title="Outer", tasks=[task, step("echo", "end", text="it $sub:status")])


async def log_of(app: planfold.App, plan_id: str) -> list[Any]:
    return [e.event for e in await app.log.read(Query(aggregate_id=plan_id))]


async def test_a_result_is_handed_up(each_database: str) -> None:
    gate = Gate()
    async with planfold.open_app(each_database, tools=gate.tools()) as app:
        draft = outer(inner(step("once", "a"), step("echo", "", "a", text="$a!")), "$first/$$5")
        draft.tasks[0].plan.tasks[1].label = None  # type: ignore[union-attr]
        draft.tasks.insert(0, step("echo", "first", text="1"))
        plan_id = await app.submit(draft, approved_by="me", tags=["nightly"], priority=3)
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.task("sub").result == {"a": "1/$5"}
        assert plan.task("end").result == "it completed"
        child = await app.view(f"{plan_id}.2")
        assert plan.task("sub").plan_id == child.id
        assert child.parent is not None
        assert (child.parent.plan_id, child.parent.task_id) == (plan_id, 2)
        assert (child.title, child.tags, child.priority) == ("Inner 1/$5", ("nightly",), 3)
        assert gate.calls == {"1/$5": 1}


async def test_another_attempt_continues_the_plan(each_database: str) -> None:
    gate = Gate()
    async with planfold.open_app(each_database, tools=gate.tools()) as app:
        plan_id = await app.submit(
            outer(inner(step("once", "a"), step("fails", "b", "a"))), approved_by="me"
        )
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.status == "failed"
        assert (plan.task("sub").error or "").startswith(
            "its plan failed: task b: ValueError: no x"
        )
        gate.open = True
        assert await app.retry(plan_id, "sub")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.task("sub").result == {"a": "x", "b": "x"}
        assert gate.calls == {"x": 1}  # what had completed was not done again
        assert len(await app.plans()) == 2


async def test_its_retries_are_those_of_the_task(database: str) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=gate.tools()) as app:
        retry = RetryPolicy(attempts=3, base=0.001)
        draft = outer(inner(step("fails", "b")), retry=retry)
        plan_id = await app.submit(draft, approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert (plan.task("sub").status, plan.task("sub").attempt) == ("failed", 3)
        assert (await app.view(f"{plan_id}.1")).task("b").attempt == 3


async def test_they_are_cancelled_together(each_database: str, until: Until) -> None:
    gate = Gate()
    async with planfold.open_app(each_database, tools=gate.tools()) as app:
        nested = PlanDraft(tasks=[TaskDraft(description="n", plan=inner(step("waits", "w")))])
        nested.tasks[0].arguments = {"v": "deep"}
        plan_id = await app.submit(
            PlanDraft(tasks=[TaskDraft(description="o", plan=nested)]), approved_by="me"
        )
        async with app.worker() as worker:
            await until(lambda: worker.running)
            await app.cancel(plan_id, reason="enough")
            assert (await asyncio.wait_for(app.result(plan_id), PATIENCE_S)).status == "cancelled"
        for child in (f"{plan_id}.1", f"{plan_id}.1.1"):
            assert (await app.status(child)) == "cancelled"
        cancelled = [e for e in await log_of(app, f"{plan_id}.1.1") if hasattr(e, "reason")]
        assert cancelled[0] == events.PlanCancelled("enough")


async def test_a_map_runs_plans(database: str) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=gate.tools()) as app:
        draft = outer(inner(step("once", "a")), "$item.n", for_each='[{"n":"1"},{"n":"2"}]')
        plan_id = await app.submit(draft, approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.task("sub").result == [{"a": "1"}, {"a": "2"}]
        assert [item.plan_id for item in plan.task("sub").items] == [
            f"{plan_id}.1-0",
            f"{plan_id}.1-1",
        ]


async def test_a_plan_of_one_worker_waits_for_a_person_below(database: str) -> None:
    async with planfold.open_app(database, tools=Gate().tools()) as app:
        ask = TaskDraft(label="go", description="Go?", choices=["yes", "no"])
        nested = PlanDraft(tasks=[TaskDraft(description="n", plan=PlanDraft(tasks=[ask]))])
        plan_id = await app.submit(
            PlanDraft(tasks=[TaskDraft(label="o", description="o", plan=nested)]), approved_by="me"
        )
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        deepest = f"{plan_id}.1.1"
        assert plan.stopped_because == f"its sub-plan {deepest}: task go waits for an answer"
        assert plan.task("o").waits_for == f"its plan {plan_id}.1 to end"
        why = await app.why(plan_id, "o")
        assert [reason.plan_id for reason in why.reasons] == [f"{plan_id}.1"]
        await app.answer(deepest, "go", "yes")
        assert (await asyncio.wait_for(app.run(plan_id), PATIENCE_S)).status == "completed"


async def test_a_value_that_does_not_fit_fails_the_task(database: str) -> None:
    async with planfold.open_app(database, tools=Gate().tools()) as app:
        plan = PlanDraft(
            params={"v": Parameter(type="integer")}, tasks=[step("echo", "a", text="$params.v")]
        )
        draft = outer(plan, "$first")
        draft.tasks.insert(0, step("echo", "first", text="no number"))
        plan_id = await app.submit(draft, approved_by="me")
        view = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert "its plan cannot begin: plan, params.v: is a string" in (
            view.task("sub").error or ""
        )
        assert len(await app.plans()) == 1


async def test_an_id_that_is_taken_fails_the_task(database: str) -> None:
    async with planfold.open_app(database, tools=Gate().tools()) as app:
        await app.submit("1. Wait", plan_id="p.1")
        await app.submit(outer(inner(step("echo", "a"))), plan_id="p", approved_by="me")
        view = await asyncio.wait_for(app.run("p"), PATIENCE_S)
        assert view.task("sub").error == "its plan cannot begin: there is another plan 'p.1'"


async def test_a_result_that_is_too_large_fails_the_task(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planfold.executors.recordable.recordable.__defaults__", (10,))
    async with planfold.open_app(database, tools=[echo]) as app:
        plan_id = await app.submit(outer(inner(step("echo", "a")), "0123456789"), approved_by="me")
        view = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert "too large" in (view.task("sub").error or "")


async def test_a_cancelled_sub_plan_is_a_failure_of_its_task(database: str, until: Until) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=gate.tools()) as app:
        draft = outer(inner(step("waits", "w")), retry=RetryPolicy(attempts=3, base=0.001))
        plan_id = await app.submit(draft, approved_by="me")
        async with app.worker() as worker:
            await until(lambda: worker.running)
            await app.cancel(f"{plan_id}.1", reason="by mistake")
            view = await asyncio.wait_for(app.result(plan_id), PATIENCE_S)
            assert view.task("sub").error == "its plan was cancelled: by mistake"
            gate.open = True
            await app.retry(plan_id, "sub")
            view = await asyncio.wait_for(app.result(plan_id), PATIENCE_S)
            assert view.task("sub").result == {"w": "x"}


async def test_what_is_handed_over_twice_counts_once(database: str) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=gate.tools()) as app:
        plan_id = await app.submit(outer(inner(step("once", "a"))), approved_by="me")
        sub_plans = SubPlans(app.store, app.dispatcher, app.executors.toolbox)
        due = handovers(SignalDelivery(app.store, app.dispatcher, 1.0), sub_plans)["plan"]
        state = (await app.planner(plan_id)).state
        await asyncio.gather(*(sub_plans.hand_over(plan_id, state, state.tasks[1]) for _ in "12"))
        child = f"{plan_id}.1"
        assert len([e for e in await log_of(app, child) if isinstance(e, events.TasksPlanned)]) == 1
        assert (await asyncio.wait_for(app.run(plan_id), PATIENCE_S)).status == "completed"
        before = len(await log_of(app, plan_id))
        late = Planner.restore((await app.planner(child)).snapshot())
        assert late is not None
        late.state.end_reported = False  # as a worker knows it that is late
        await due(child, late)
        assert len(await log_of(app, plan_id)) == before
        assert gate.calls == {"x": 1}


async def test_a_task_that_stops_before_its_plan_begins_begins_nothing(database: str) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=gate.tools()) as app:
        plan_id = await app.submit(outer(inner(step("once", "a"))), approved_by="me")
        sub_plans = SubPlans(app.store, app.dispatcher, app.executors.toolbox)
        early = (await app.planner(plan_id)).state
        await app.cancel(plan_id)
        assert (await asyncio.wait_for(app.run(plan_id), PATIENCE_S)).status == "cancelled"
        await sub_plans.hand_over(plan_id, early, early.tasks[1])  # it has not heard of it
        assert (await app.status(f"{plan_id}.1")) == "cancelled"
        assert not gate.calls


async def test_a_stop_between_two_attempts_needs_no_end(database: str) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=gate.tools()) as app:
        plan_id = await app.submit(outer(inner(step("fails", "b"))), approved_by="me")
        assert (await asyncio.wait_for(app.run(plan_id), PATIENCE_S)).status == "failed"
        await app.retry(plan_id, "sub")
        await app.cancel(plan_id, "sub")
        view = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert view.task("sub").status == "cancelled"


async def test_a_pause_is_about_one_plan(database: str, until: Until) -> None:
    gate = Gate()
    async with planfold.open_app(database, tools=gate.tools()) as app:
        plan_id = await app.submit(outer(inner(step("waits", "w"))), approved_by="me")
        async with app.worker() as worker:
            await until(lambda: worker.running)
            await app.pause(plan_id)
            gate.open = True

            async def paused() -> bool:
                return await app.status(plan_id) == "paused"

            await until(paused)
            assert (await app.view(plan_id)).task("sub").status == "completed"
            await app.unpause(plan_id)
            assert (await asyncio.wait_for(app.result(plan_id), PATIENCE_S)).status == "completed"


async def test_it_moves_with_its_sub_plans_and_waits_for_its_end_to_be_known(
    tmp_path: Path, until: Until
) -> None:
    gate = Gate()
    async with planfold.open_app(f"sqlite:///{tmp_path}/a.db", tools=gate.tools()) as app:
        plan_id = await app.submit(outer(inner(step("echo", "a"))), approved_by="me")
        assert (await asyncio.wait_for(app.run(plan_id), PATIENCE_S)).status == "completed"
        child = f"{plan_id}.1"

        async def told() -> bool:
            return (await app.planner(child)).state.end_reported

        async with app.worker():
            await until(told)
        archived = await app.archive(tmp_path / "archive", older_than=0.0)
        assert archived.streams == 2


@pytest.mark.slow
async def test_under_kills_it_begins_once_and_its_end_counts_once(each_database: str) -> None:
    """Between the beginning of a plan and the note of it, between its end and that of the task,
    between that and the note of it."""
    gate = Gate()
    async with planfold.open_app(each_database, tools=gate.tools()) as app:
        plan_id = await app.submit(outer(inner(step("echo", "a"))), approved_by="me")
        process = str(Path(__file__).with_name("sub_plan_process.py"))
        for killer in ("RegisterWait", "HandleExecutorEvent", "ConfirmEnd"):
            worker = await asyncio.create_subprocess_exec(
                sys.executable, process, each_database, killer
            )
            assert await asyncio.wait_for(worker.wait(), 60) == -9
        view = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert view.task("sub").result == {"a": "x"}
        kinds = Counter(type(event).__name__ for event in await log_of(app, plan_id))
        assert (kinds["WaitStarted"], kinds["WaitRegistered"]) == (1, 1)
        of_child = Counter(type(event).__name__ for event in await log_of(app, f"{plan_id}.1"))
        assert (of_child["TasksPlanned"], of_child["PlanningCompleted"]) == (1, 1)
        assert of_child["EndReported"] <= 1
