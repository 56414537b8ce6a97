"""A model's answers during an evaluation are durable steps."""

from __future__ import annotations

import json
from typing import Any

from evals.dataset import Dataset, Example
from evals.drafted import Attempted
from evals.evaluation import TOOL, ExampleExecutor
from evals.graphs import Node, TaskGraph
from planfold.llm.model import Answer, ModelUnavailable
from planfold.llm.scripted import Reply, ScriptedModel
from planfold.planner.commands import StepBegun
from planfold.testing.executors import ToolRun, run_tool
from planfold.tools.tool import Tool

GOLD = TaskGraph((Node("wash"), Node("cook")), {0: (), 1: (0,)})
EXAMPLE = Example("one", "wash, then cook", (Tool(name="wash_it"),), GOLD)
DATA = Dataset("worfbench", "d1", (EXAMPLE,))
ARGUMENTS = {"example": "one", "planner": "scripted", "dataset": "d1"}


def answer_with(*tasks: dict[str, Any]) -> str:
    return json.dumps({"tasks": list(tasks)})


def task(label: str, *after: str) -> dict[str, Any]:
    return {"label": label, "description": label, "kind": "processing", "depends_on": list(after)}


GOOD = answer_with(task("wash"), task("cook", "wash"))
BAD = answer_with(task("wash"), task("cook", "nowhere"))


async def evaluate(*replies: Reply, steps: dict[str, Any] | None = None) -> tuple[ToolRun, int]:
    """One attempt, and how many calls the model got."""
    model = ScriptedModel(replies)
    run = await run_tool(ExampleExecutor(DATA, model), ARGUMENTS, steps=steps)
    return run, len(model.requests)


async def test_a_plan_is_kept_as_the_graph_to_compare() -> None:
    run, _ = await evaluate(GOOD)
    done = Attempted.from_json(run.result)
    assert done.graph == GOLD
    assert (done.rounds, done.calls, done.faults) == (0, 1, ())
    assert done.tokens > 0


async def test_recorded_answers_are_not_asked_for_again() -> None:
    first, _ = await evaluate(BAD, ModelUnavailable("away"))
    assert "away" in first.error
    assert len(first.steps) == 1
    second, calls = await evaluate(GOOD, steps=first.steps)
    done = Attempted.from_json(second.result)
    assert (calls, done.calls, done.rounds) == (1, 2, 1)
    third, calls = await evaluate(steps=second.steps)
    assert (calls, third.result) == (0, second.result)


async def test_every_call_is_reserved_with_its_request() -> None:
    run, _ = await evaluate(GOOD)
    (begun,) = [event for event in run.events if isinstance(event, StepBegun)]
    assert begun.about == "scripted"
    assert begun.request_hash in begun.key
    assert begun.reserve.calls == 1


async def test_a_refusal_is_no_plan() -> None:
    run, _ = await evaluate(Answer("I will not", finish="refusal"))
    done = Attempted.from_json(run.result)
    assert done.graph is None
    assert "refused" in done.faults[0]


async def test_faults_that_stay_are_no_plan() -> None:
    run, calls = await evaluate(*[BAD] * 9)
    done = Attempted.from_json(run.result)
    assert (done.graph, done.rounds, calls) == (None, 3, 4)
    assert "nowhere" in done.faults[0]


async def test_another_data_set_is_refused() -> None:
    executor = ExampleExecutor(DATA, None)
    run = await run_tool(executor, {**ARGUMENTS, "dataset": "d2"})
    assert "has changed" in run.error


def test_the_tool_takes_what_the_plan_passes() -> None:
    assert set(TOOL.parameters["required"]) == set(ARGUMENTS)
