"""Agents in real plans: a store, a worker, and people who answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agents import Diary, Guarded, calls, scripted, tool_turns

from planfold.app import App, open_app
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.eventstore.envelope import Query
from planfold.executors.agent.brief import fenced
from planfold.executors.agent.loop import AgentExecutor
from planfold.executors.human import HumanExecutor
from planfold.executors.python import PythonExecutor, tool
from planfold.executors.registry import Executors
from planfold.llm.model import Answer, ModelUnavailable, Request
from planfold.llm.scripted import ScriptedModel
from planfold.planner.budget import Budget, Spend
from planfold.planner.commands import AddBudget, CancelTask, RetryTask
from planfold.planner.events import (
    ClarificationRequested,
    ContextCompacted,
    StepFailed,
    StepRecorded,
    StepStarted,
)
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.plan_view import PlanView
from planfold.runtime.settings import Settings
from testbed.patience import PATIENCE_S

PLAN = "p"


@asynccontextmanager
async def opened(
    folder: Path, model: ScriptedModel, *tools: Any, **settings: Any
) -> AsyncIterator[App]:
    executors = Executors()
    for each in tools or Diary().tools():
        executors.add_tool(PythonExecutor(each, grace_s=0.2))
    executors.add(
        AgentExecutor(lambda _: model, executors, Guarded(), HumanExecutor()),
        kind=NodeKind.Processing,
    )
    address = f"sqlite:///{folder}/plans.db"
    configured = Settings(database=address, workspace=str(folder), model="scripted", **settings)
    async with open_app(configured, executors=executors) as app:
        yield app


async def submit(app: App, *tasks: TaskDraft) -> None:
    draft = PlanDraft(title="News", goal="Know the news", tasks=list(tasks))
    await app.submit(draft, plan_id=PLAN, approved_by="test")


def task(description: str = "Find out what is new", **rest: Any) -> TaskDraft:
    return TaskDraft(description=description, **rest)


async def events(app: App, *kinds: type[Any]) -> list[Any]:
    log = await app.store.read(Query(aggregate_id=PLAN))
    return [e.event for e in log if isinstance(e.event, kinds)]


def result(view: PlanView, task_id: int = 1) -> Any:
    return view.tasks[task_id - 1].result


async def test_tasks_get_what_went_before(tmp_path: Path) -> None:
    model = scripted(calls(("read", {"page": "a"})), '{"news": 3}', "Three news.")
    async with opened(tmp_path, model) as app:
        await submit(
            app,
            task("Read"),
            task("Which tone?", choices=["dry", "merry"]),
            task("Write", depends_on=[1, 2]),
        )
        await app.run(PLAN)
        await app.answer(PLAN, 2, "dry")
        view = await app.run(PLAN)
        assert view.status == "completed"
        assert [task.result for task in view.tasks] == [{"news": 3}, "dry", "Three news."]
        _, brief, material = model.requests[-1].messages
        assert "- Which tone?: dry" in brief.text
        assert fenced('{"news":3}') in material.text
        planner = await app.planner(PLAN)
        assert planner.state.reserved == Spend()
        assert planner.state.spent.calls == 4


async def test_a_question_of_the_model_goes_to_a_person(tmp_path: Path) -> None:
    model = scripted(
        calls(("ask_person", {"question": "Which?", "choices": ["red", "blue"]})), "done"
    )
    async with opened(tmp_path, model) as app:
        await submit(app, task())
        view = await app.run(PLAN)
        assert (view.questions[0].question, view.questions[0].choices) == (
            "Which?",
            ("red", "blue"),
        )
        await app.answer(PLAN, 1, "blue")
        assert result(await app.run(PLAN)) == "done"
        assert tool_turns(model.requests[1].messages) == ["The person answered: blue"]


@pytest.mark.parametrize("answer", ["allow once", "deny"])
async def test_what_a_model_wants_to_do_is_asked_about(tmp_path: Path, answer: str) -> None:
    model = scripted(calls(("shell", {"argv": ["touch", "made"]})), "done")
    settings = Settings(
        database=f"sqlite:///{tmp_path}/plans.db", workspace=str(tmp_path), model="scripted"
    )
    async with open_app(settings, models=lambda name: model) as app:
        await submit(app, task())
        view = await app.run(PLAN)
        assert view.questions[0].question.startswith("The plan wants to call shell:")
        assert not (tmp_path / "made").exists()
        await app.answer(PLAN, 1, answer)
        assert result(await app.run(PLAN)) == "done"
        assert (tmp_path / "made").exists() is (answer == "allow once")
        (told,) = tool_turns(model.requests[1].messages)
        assert ("a person denied shell" in told) is (answer == "deny")


# --- budgets -----------------------------------------------------------------------------------


async def test_a_budget_that_is_used_up_stops_it_until_there_is_more(tmp_path: Path) -> None:
    model = scripted(
        calls(("read", {"page": "a"}), text="So far so good."),
        calls(("read", {"page": "b"})),
        "done",
    )
    async with opened(tmp_path, model, budget=Budget(calls=3)) as app:
        await submit(app, task())
        view = await app.run(PLAN)
        assert view.status == "awaiting_answer"
        (asked,) = await events(app, ClarificationRequested)
        assert (asked.then, asked.partial) == ("budget", None)
        assert "3 calls of 3 calls used" in asked.question
        await app.send(PLAN, AddBudget(Budget(calls=1)))
        await app.run(PLAN)
        *_, asked = await events(app, ClarificationRequested)
        assert asked.partial == "So far so good."
        await app.send(PLAN, AddBudget(Budget(calls=5)))
        assert result(await app.run(PLAN)) == "done"
        assert len(model.requests) == 3
        assert (await app.planner(PLAN)).state.spent.calls == 5


async def test_calls_side_by_side_are_all_recorded_where_the_budget_ends(tmp_path: Path) -> None:
    diary = Diary()
    model = scripted(calls(*[("send", {"to": str(n)}) for n in range(4)]), "done")
    async with opened(tmp_path, model, *diary.tools(), budget=Budget(calls=3)) as app:
        await submit(app, task())
        await app.run(PLAN)
        assert diary.done == ["0", "1"]
        await app.send(PLAN, AddBudget(Budget(calls=50)))
        view = await app.run(PLAN)
        assert view.status == "completed"  # and no person is asked for the outcome of a call
        assert sorted(diary.done) == ["0", "1", "2", "3"]


# --- faults ------------------------------------------------------------------------------------


async def test_another_attempt_continues_where_the_model_went_away(tmp_path: Path) -> None:
    diary = Diary()
    model = scripted(calls(("send", {"to": "b"})), ModelUnavailable("503"), "done")
    async with opened(tmp_path, model, *diary.tools()) as app:
        await submit(app, task(retry=RetryPolicy(attempts=2, base=0.01)))
        assert result(await app.run(PLAN)) == "done"
        assert diary.done == ["b"]
        assert [step.key for step in await events(app, StepStarted)] == [
            *("model/1", "tool/1.1", "model/2", "model/2")
        ]
        assert [step.key for step in await events(app, StepFailed)] == ["model/2"]


async def test_a_timeout_is_for_one_attempt_and_what_was_done_stays(
    tmp_path: Path, let_pass: Callable[[float], None]
) -> None:
    waits = [True]

    @tool(effect="safe")
    async def slow() -> str:
        if waits.pop():
            let_pass(5.0)
            await asyncio.Event().wait()
        return "at last"

    waits.insert(0, False)
    model = scripted(calls(("slow", {})), "done")
    async with opened(tmp_path, model, slow) as app:
        await submit(app, task(timeout=5.0, retry=RetryPolicy(attempts=2, base=0.01)))
        assert result(await app.run(PLAN)) == "done"
        assert len(model.requests) == 2
        started = await events(app, StepStarted)
        assert [(step.key, step.again) for step in started] == [
            ("model/1", False),
            ("tool/1.1", False),
            ("tool/1.1", True),
            ("model/2", False),
        ]


@pytest.mark.parametrize("retry", [RetryPolicy(attempts=2, base=0.01), RetryPolicy()])
async def test_what_a_timeout_cut_off_is_not_run_twice_unasked(
    tmp_path: Path, retry: RetryPolicy, let_pass: Callable[[float], None]
) -> None:
    begun: list[str] = []

    @tool
    async def pay() -> str:
        begun.append("pay")
        if len(begun) == 1:
            let_pass(5.0)
            await asyncio.Event().wait()
        return "paid"

    async with opened(tmp_path, scripted(calls(("pay", {})), "done"), pay) as app:
        await submit(app, task(timeout=5.0, retry=retry))
        view = await app.run(PLAN)
        if retry.attempts == 1:
            assert view.tasks[0].error == "timed out after 5 s"
            await app.send(PLAN, RetryTask(1))
            view = await app.run(PLAN)
        assert view.status == "awaiting_answer"
        assert view.questions[0].question.startswith("Was this done? pay {} (")
        assert begun == ["pay"]
        await app.answer(PLAN, 1, "run it again")
        assert result(await app.run(PLAN)) == "done"
        assert begun == ["pay", "pay"]


# --- stopping ----------------------------------------------------------------------------------


class Slow(ScriptedModel):
    def __init__(self, asked: Callable[[], None]) -> None:
        super().__init__(())
        self.asked = asked

    async def ask(self, request: Request, *, on_text: Any = None) -> Answer:
        self.asked()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_task_can_be_cancelled_while_the_model_thinks(tmp_path: Path) -> None:
    asked = asyncio.Event()
    async with opened(tmp_path, Slow(asked.set)) as app:
        await submit(app, task())
        async with app.worker(drain_s=0), asyncio.timeout(PATIENCE_S):
            await asked.wait()
            await app.send(PLAN, CancelTask(1))
            view = await app.result(PLAN)
        assert view.tasks[0].status == "cancelled"
        assert view.tasks[0].error == "cancelled"


async def test_a_worker_that_stops_leaves_it_to_the_next(tmp_path: Path) -> None:
    asked = asyncio.Event()
    async with opened(tmp_path, Slow(asked.set)) as app:
        await submit(app, task())
        async with app.worker(drain_s=0), asyncio.timeout(PATIENCE_S):
            await asked.wait()
    async with opened(tmp_path, scripted("done")) as app:
        assert result(await app.run(PLAN)) == "done"
        assert [step.again for step in await events(app, StepStarted)] == [False, True]
        spent = (await app.planner(PLAN)).state.spent
        assert spent.calls == 2  # the interrupted call counts with its reservation


# --- the summary -------------------------------------------------------------------------------


async def test_one_summary_serves_all_that_begin_at_once(tmp_path: Path) -> None:
    long = "word " * 2_000
    summaries = []

    def reply(request: Request) -> str:
        if request.messages[0].text.startswith("Summarise"):
            summaries.append(request)
            return "Task 1 read all words."
        if "Read all" in request.messages[1].text:
            return long
        assert "Task 1 read all words." in request.messages[2].text
        return "done"

    model = scripted(*[reply] * 5)
    async with opened(tmp_path, model, summarise=True, token_budget=2_000) as app:
        await submit(app, task("Read all"), *[task("Write", depends_on=[1]) for _ in range(3)])
        view = await app.run(PLAN)
        assert [task.result for task in view.tasks[1:]] == ["done"] * 3
        assert len(summaries) == 1
        (compacted,) = await events(app, ContextCompacted)
        assert (compacted.summary, compacted.covers) == ("Task 1 read all words.", (1,))
        keys = [(step.task_id, step.key) for step in await events(app, StepRecorded)]
        assert sum(key == "summary" for _, key in keys) == 1
