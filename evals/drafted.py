"""What a planner made of an example, and what that cost; how planners are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from evals.dataset import Example
from evals.graphs import TaskGraph, graph_of
from planfold.drafting.compiler import compile_plan
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.model.drafter import Wish, draft_tasks
from planfold.drafting.text.drafter import parse_text
from planfold.errors import InvalidPlan
from planfold.executors.context import TaskContext
from planfold.llm.model import Answer, Model, ModelRejected, ModelUnavailable, Request
from planfold.planner.budget import Spend
from planfold.planner.tasks import TaskSpec
from planfold.tools.tool import Toolbox


class Drafted(msgspec.Struct, frozen=True, omit_defaults=True):
    """``tasks`` are checked; None where the draft was not valid in the end, for these ``faults``.
    ``rounds`` is how often the planner got its faults and tried again."""

    tasks: tuple[TaskSpec, ...] | None
    rounds: int = 0
    faults: tuple[str, ...] = ()


class Attempted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of an example: the graph that is compared, not the score, so that a better
    score asks no model again. ``tokens`` are in and out, ``cost`` US dollars, ``seconds`` those
    of the model's calls."""

    id: str
    graph: TaskGraph | None
    rounds: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    faults: tuple[str, ...] = ()

    def to_json(self) -> Any:
        return msgspec.to_builtins(self, str_keys=True)

    @classmethod
    def from_json(cls, value: Any) -> Attempted:
        """Raises msgspec.ValidationError for anything else."""
        return msgspec.convert(value, cls, str_keys=True)


class PaidModel:
    """A model whose every answer is a durable step of the running task: an attempt that comes
    after a crash gets the answers that are recorded, and pays for the others only."""

    def __init__(self, model: Model, context: TaskContext) -> None:
        self.name = model.name
        self.spent = Spend()
        self.fault: ModelUnavailable | ModelRejected | None = None
        self._model = model
        self._context = context
        self._calls = 0

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """Raises what the model raises (``fault`` keeps that), and BudgetUsedUp. The text arrives
        in one piece."""
        self._calls += 1
        digest = request.digest()

        async def call(again: bool) -> tuple[Any, Spend]:
            answer = await self._model.ask(request)
            return msgspec.to_builtins(answer), answer.spend

        try:
            value = await self._context.paid(
                f"call {self._calls}: {digest}",
                call,
                reserve=self._model.reserve(request),
                about=self.name,
                request_hash=digest,
            )
        except (ModelUnavailable, ModelRejected) as fault:
            self.fault = fault
            raise
        answer = msgspec.convert(value, Answer)
        self.spent += answer.spend
        if on_text is not None and answer.text:
            on_text(answer.text)
        return answer

    def reserve(self, request: Request) -> Spend:
        return self._model.reserve(request)


async def draft_by_model(example: Example, model: PaidModel) -> Drafted:
    """The model drafter's plan, after as many rounds of repair as in a real plan. Where a real one
    would fall back on the text drafter, there is no plan here.

    Raises ModelUnavailable and ModelRejected: they say nothing about the planner.
    """
    tools = Toolbox(example.tools)
    candidates = Candidates(tools)

    async def ask(_: int, request: Request, on_text: Callable[[str], None]) -> Answer:
        return await model.ask(request, on_text=on_text)

    drafted = await draft_tasks(Wish(text=example.request), tools, candidates, ask)
    if model.fault is not None:
        raise model.fault
    if drafted.complete:
        specs = candidates.accepted
        return Drafted(tuple(specs[key] for key in sorted(specs)), drafted.rounds - 1)
    faults = (drafted.stopped,) if drafted.stopped else tuple(map(str, drafted.faults))
    return Drafted(None, drafted.rounds - 1, faults)


def draft_by_text(example: Example) -> Drafted:
    """The text drafter's plan: no model, no cost, no repair."""
    tools = Toolbox(example.tools)
    draft = parse_text(example.request, known_tools=[tool.name for tool in tools])
    try:
        return Drafted(compile_plan(draft, tools))
    except InvalidPlan as invalid:
        return Drafted(None, faults=tuple(map(str, invalid.faults)))


_NOTHING: Final = Spend()


def attempted(example: Example, drafted: Drafted, spent: Spend = _NOTHING) -> Attempted:
    """What is kept of it."""
    return Attempted(
        id=example.id,
        graph=None if drafted.tasks is None else graph_of(drafted.tasks),
        rounds=drafted.rounds,
        calls=spent.calls,
        tokens=spent.tokens,
        cost=spent.cost,
        seconds=spent.seconds,
        faults=_shortened(drafted.faults),
    )


def _shortened(faults: Sequence[str], most: int = 20, chars: int = 300) -> tuple[str, ...]:
    return tuple(fault[:chars] for fault in faults[:most])
