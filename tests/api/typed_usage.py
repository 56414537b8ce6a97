"""How programs use planfold, with their types: mypy checks this file strictly, and its functions
run as tests. ``assert_type`` says what a type checker must infer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, assert_type

import planfold
from planfold import (
    App,
    Budget,
    PlanDraft,
    PlanfoldError,
    PlanStatus,
    PlanView,
    Question,
    RetryPolicy,
    Settings,
    TaskContext,
    TaskDraft,
    TaskView,
    Worker,
)
from planfold.commands import CancelPlan, Command, RetryTask
from planfold.executor import Executors, Model, Outcome, TaskCompleted, Tool
from planfold.log import Checkpoint, Consumer, Envelope, Log, Projection, Query, events
from planfold.testing import ScriptedModel, run_tool
from planfold.types import (
    Archived,
    BudgetUsedUp,
    Observer,
    PythonTool,
    StreamHead,
    ToolExecutor,
    ToolRun,
)


@planfold.tool(effect="safe", retry=RetryPolicy(attempts=2))
async def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


@planfold.tool
def shout(text: str, context: TaskContext) -> str:
    """In capitals."""
    context.wait(context.progress("shouting"))
    return text.upper()


async def a_decorated_function_keeps_its_types() -> None:
    assert_type(await double(2), int)
    assert isinstance(double, PythonTool)
    assert_type(await run_tool(double, {"number": 4}), ToolRun)
    assert (await run_tool(shout, {"text": "hey"})).result == "HEY"


class Halves:
    """Brings its own tool; a step of it may cost more than the budget allows."""

    tool = Tool(name="half", description="Half of a number.")

    async def execute(self, context: TaskContext) -> Outcome:
        assert not issubclass(BudgetUsedUp, Exception)  # so `except Exception` lets it pass
        return TaskCompleted(context.arguments["number"] / 2)


async def an_executor_serves_a_tool() -> None:
    halves: ToolExecutor = Halves()
    executors = Executors()
    executors.add_tool(halves)
    assert_type(executors.tool_executors(), list[ToolExecutor])
    assert (await run_tool(halves, {"number": 3})).result == 1.5


class Seen:
    """Counts what a worker reports."""

    def __init__(self) -> None:
        self.events = 0
        self.faults: list[PlanfoldError] = []

    def reported(self, aggregate_id: str, events: Sequence[Any]) -> None:
        self.events += len(events)

    def trouble(self, fault: PlanfoldError) -> None:
        self.faults.append(fault)


async def a_worker_runs_beside_the_program() -> None:
    seen: Observer = Seen()
    draft = PlanDraft(tasks=[TaskDraft(description="two", tool="double", arguments={"number": 1})])
    async with planfold.open_app("sqlite:///:memory:", tools=[double]) as app:
        async with app.worker(concurrency=2, observer=seen) as worker:
            assert_type(worker, Worker)
            plan_id = await app.submit(draft, approved_by="me")
            plan = assert_type(await app.result(plan_id), PlanView)
        task = assert_type(plan.task(1), TaskView)
        assert (task.result, worker.running, worker.fault) == (2, 0, None)


async def a_person_decides() -> None:
    async with planfold.open_app("sqlite:///:memory:", executors=Executors()) as app:
        assert_type(app, App)
        draft = PlanDraft(tasks=[TaskDraft(description="Go?", choices=["yes", "no"])])
        plan_id = await app.submit(draft)
        await app.approve(plan_id, by="ada")
        plan = await app.run(plan_id)
        (question,) = assert_type(plan.questions, list[Question])
        await app.answer(plan_id, question.task_id, "yes", by="ada")
        assert_type(await app.change_answer(plan_id, 1, "no"), bool)
        await app.add_budget(plan_id, Budget(tokens=1_000))
        heads = assert_type(await app.plans(), list[StreamHead])
        assert heads[0].aggregate_id == plan_id
        assert (await app.status(plan_id)) is PlanStatus.Completed


async def commands_can_be_sent_by_hand() -> None:
    commands: list[Command] = [CancelPlan("not now"), RetryTask(1)]
    async with planfold.open_app("sqlite:///:memory:") as app:
        plan_id = await app.submit("1. Tell the team")
        for command in commands:
            assert await app.send(plan_id, command)


class Ends:
    """Counts ended plans."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None
        self.count = 0

    async def load(self) -> Checkpoint | None:
        return self.checkpoint

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        ended = [e for e in envelopes if isinstance(e.event, events.PlanningCompleted)]
        self.count += len(ended)
        self.checkpoint = checkpoint


async def the_log_is_read() -> None:
    ends = Ends()
    projection: Projection = ends
    heard: list[str] = []

    async def hear(envelope: Envelope) -> None:
        heard.append(envelope.event_type)

    async with planfold.open_app("sqlite:///:memory:", tools=[double]) as app:
        log = assert_type(app.log, Log)
        call = TaskDraft(description="two", tool="double", arguments={"number": 1})
        draft = PlanDraft(tasks=[call])
        await app.run(await app.submit(draft, approved_by="me"))
        await log.project(projection, until=await log.last_position())
        assert_type(log.subscribe(Query(stream_id="plan")), AsyncIterator[Envelope])
        assert_type(log.consumer("mail", hear, partitions=2), Consumer)
        assert [e.event_type for e in await log.read(Query(event_type="PlanApproved"))]
    assert ends.count == 1


async def a_model_can_be_replaced() -> None:
    model: Model = ScriptedModel(["Ahoy!"])
    models: Callable[[str], Model] = lambda name: model  # noqa: E731 - a function in one line
    settings = Settings(database="sqlite:///:memory:", model="scripted")
    async with planfold.open_app(settings, models=models) as app:
        plan = await app.run(await app.submit("1. Greet the crew", approved_by="me"))
        assert plan.task(1).result == "Ahoy!"


async def old_plans_are_archived(folder: Path) -> None:
    async with planfold.open_app(f"sqlite:///{folder}/plans.db") as app:
        plan_id = await app.submit("1. Tell the team")
        await app.reject(plan_id, by="ada")
        done = assert_type(await app.archive(folder, older_than=0.0), Archived)
        assert (done.streams, len(done.files)) == (1, 1)
