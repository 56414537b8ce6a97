"""An evaluation is a plan: one task per example. So it is resumed like any other plan, and what a
model was paid for is never paid for again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Final

import msgspec

from evals.dataset import Dataset, Example
from evals.drafted import (
    Attempted,
    PaidModel,
    attempted,
    draft_by_model,
    draft_by_text,
)
from evals.scores import ExampleScore, score_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.errors import Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.llm.model import Model
from planfold.planner.budget import Spend
from planfold.planner.commands import TaskCompleted
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, TaskStatus
from planfold.tools.tool import Tool

TEXT: Final = "text"  # the name of the planner that needs no model
TOOL: Final = Tool(
    name="evaluate_example",
    description="Plan one example of a data set, for scoring.",
    parameters={
        "type": "object",
        "properties": {
            "example": {"type": "string"},
            "planner": {"type": "string"},
            "dataset": {"type": "string"},
        },
        "required": ["example", "planner", "dataset"],
        "additionalProperties": False,
    },
    effect=Effect.Safe,
    literal=frozenset({"example", "planner", "dataset"}),
)


class ExampleExecutor:
    """Plans one example with ``model``, or with the text drafter where there is none. The plan is
    kept for scoring; it is not run."""

    tool = TOOL
    resumable = True

    def __init__(self, dataset: Dataset, model: Model | None) -> None:
        self._dataset = dataset
        self._examples = {example.id: example for example in dataset.examples}
        self._model = model

    async def execute(self, context: TaskContext) -> Outcome:
        """Raises Permanent where the plan was made for another data set."""
        if context.arguments["dataset"] != self._dataset.digest:
            raise Permanent("the data set has changed since this evaluation began; begin another")
        example = self._examples[context.arguments["example"]]
        if self._model is None:
            return TaskCompleted(attempted(example, draft_by_text(example)).to_json())
        model = PaidModel(self._model, context)
        drafted = await draft_by_model(example, model)
        return TaskCompleted(attempted(example, drafted, model.spent).to_json())


def sampled(dataset: Dataset, limit: int | None, seed: int) -> list[Example]:
    """All examples, or ``limit`` of them drawn by ``seed``, in the order of the file."""
    examples = list(dataset.examples)
    if limit is None or limit >= len(examples):
        return examples
    chosen = random.Random(seed).sample(range(len(examples)), limit)
    return [examples[place] for place in sorted(chosen)]


def evaluation_id(dataset: Dataset, examples: Sequence[Example], planner: str) -> str:
    """The same for the same evaluation, so that a repeated request continues it."""
    parts = [dataset.digest, planner, *(example.id for example in examples)]
    digest = hashlib.blake2b(msgspec.json.encode(parts), digest_size=5)
    return f"eval-{digest.hexdigest()}"


def evaluation_plan(dataset: Dataset, examples: Sequence[Example], planner: str) -> PlanDraft:
    tasks = [
        TaskDraft(
            description=f"Plan {example.id}",
            tool=TOOL.name,
            arguments={"example": example.id, "planner": planner, "dataset": dataset.digest},
        )
        for example in examples
    ]
    title = f"Evaluate {planner} on {dataset.kind} ({len(examples)} examples)"
    return PlanDraft(tasks=tasks, title=title[:200])


class Evaluated(msgspec.Struct, frozen=True):
    """``unanswered`` maps examples that could not be planned (the model was unavailable, the
    budget used up) to the reason; they are in no score. ``spent`` includes failed calls."""

    scores: tuple[ExampleScore, ...]
    unanswered: dict[str, str]
    spent: Spend


def evaluated(dataset: Dataset, state: PlannerState) -> Evaluated:
    """The scores of an evaluation's plan as far as it has come."""
    examples = {example.id: example for example in dataset.examples}
    scores: list[ExampleScore] = []
    unanswered: dict[str, str] = {}
    for task in state.tasks.values():
        call = task.spec.tool
        if call is None or call.name != TOOL.name:
            continue
        example = examples[call.arguments["example"]]
        if task.status is TaskStatus.Completed:
            scores.append(score_example(dataset, example, Attempted.from_json(task.result)))
        else:
            asked = state.questions.get(task.id)
            unanswered[example.id] = (
                asked.question if asked else task.error or task.status.value.replace("_", " ")
            )
    return Evaluated(tuple(scores), unanswered, state.spent)


def score_example(dataset: Dataset, example: Example, done: Attempted) -> ExampleScore:
    valid = done.graph is not None
    return ExampleScore(
        id=done.id,
        valid_before=valid and done.rounds == 0,
        valid_after=valid,
        score=None
        if done.graph is None
        else score_plan(done.graph, example.gold, dataset.similarity),
        rounds=done.rounds,
        calls=done.calls,
        tokens=done.tokens,
        cost=done.cost,
        seconds=done.seconds,
        faults=done.faults,
    )
