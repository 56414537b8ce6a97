"""What of a plan's state is stored in snapshots; everything else is derived from it."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold.planner.commands import PlannerConfig
from planfold.planner.events import PlanOutcome, Then
from planfold.planner.spending import Budget, Spend
from planfold.planner.tasks import Task


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question that waits for a person. ``deadline``: seconds since the epoch, or None."""

    task_id: int
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    deadline: float | None = None
    then: Then = "complete"
    key: str = ""  # of the inner step that the answer is the value of
    partial: Any = None  # what the task has so far, where its budget is used up


class Facts(msgspec.Struct):
    """A plan as folded. The schedule is not in here: it is built from the tasks."""

    title: str = ""
    goal: str = ""
    config: PlannerConfig = msgspec.field(default_factory=PlannerConfig)
    initial_hash: str = ""
    revision_hash: str = ""
    approved: bool = False
    tasks: dict[int, Task] = {}
    questions: dict[int, Question] = {}
    steps: dict[int, dict[str, Any]] = {}
    begun: dict[int, dict[str, Spend]] = {}  # inner steps that have not ended: what is reserved
    budget: Budget = Budget()
    spent: Spend = Spend()
    drafting: list[int] = []  # tasks in which a model plans
    cancelled: bool = False
    cancel_reason: str = ""
    outcome: PlanOutcome | None = None
    context_summary: str = ""
    context_tokens: int = 0
    uncompacted: list[int] = []  # finished tasks that the summary does not cover yet
    stale: list[int] = []  # tasks that were reset after the summary had covered them
    fresh_tokens: int = 0  # estimates of what the context's parts take: results that are not
    answer_tokens: int = 0  # in the summary, people's answers,
    plan_tokens: int = 0  # and one line for each task
