"""One task in full, and what an approval approves."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold.drafting.changes import PlanDiff, plan_diff
from planfold.planner.state import PlannerState
from planfold.planner.tasks import TaskSpec
from planfold.readmodels.plan_fold import PlanFold
from planfold.readmodels.plan_view import TaskView, plan_view


class TaskDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A task at one ``version`` of the plan: its state, how it was planned, the ``arguments`` with
    references resolved (None: not yet), and what people answered to what it ``asked``."""

    version: int
    task: TaskView
    spec: TaskSpec
    arguments: dict[str, Any] | None
    asked: tuple[str, ...]
    answers: tuple[str, ...]


class RevisionDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval of ``revision_hash`` approves: the ``tasks``, and what ``changes`` since
    the revision that was approved last (None: none was)."""

    revision_hash: str
    approved: bool
    tasks: tuple[TaskSpec, ...]
    changes: PlanDiff | None


def task_details(plan_id: str, state: PlannerState, task_id: int) -> TaskDetails:
    """A task of a plan in this state. Raises KeyError."""
    task = state.tasks[task_id]
    return TaskDetails(
        version=state.version,
        task=plan_view(plan_id, state).task(task_id),
        spec=task.spec,
        arguments=task.arguments,
        asked=task.asked,
        answers=task.answers,
    )


def revision_details(fold: PlanFold) -> RevisionDetails:
    """The revision at the end of a fold."""
    state = fold.state
    tasks = tuple(task.spec for task in state.tasks.values() if not task.superseded)
    return RevisionDetails(
        revision_hash=state.revision_hash,
        approved=state.approved,
        tasks=tasks,
        changes=plan_diff(fold.approved, tasks) if fold.approved else None,
    )
