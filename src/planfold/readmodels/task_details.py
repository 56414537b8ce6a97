"""All details of one task, and of the revision that an approval approves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from planfold.drafting.changes import PlanDiff, TaskChange, plan_diff
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.fields import kind_of
from planfold.drafting.model.current_plan import has_started
from planfold.drafting.revision import draft_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, RetryPolicy, Task, TaskSpec, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.planner.undone import without_undo_tasks
from planfold.readmodels.labels import labelled, labels_of, parent_labels, with_labels
from planfold.readmodels.plan_fold import PlanFold
from planfold.readmodels.plan_view import TaskView, plan_view
from planfold.tools.tool import Toolbox


class TaskDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A task at one ``version`` of the plan: its state, how it was planned, the ``arguments`` with
    references resolved (None: not yet), and what people answered to what it ``asked``. The ``spec``
    names other tasks by their labels."""

    version: int
    task: TaskView
    spec: TaskSpec
    arguments: dict[str, Any] | None
    asked: tuple[str, ...]
    answers: tuple[str, ...]


class RevisionDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval of ``revision_hash`` approves: the ``tasks``, and what ``changes`` since
    the revision that was approved last (None: none was). Tasks name others by their labels."""

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
        spec=with_labels(task.spec, parent_labels(task, state.tasks)),
        arguments=task.arguments,
        asked=task.asked,
        answers=task.answers,
    )


def revision_details(fold: PlanFold) -> RevisionDetails:
    """The revision at the end of a fold."""
    state = fold.state
    counted = (t for t in state.tasks.values() if not t.superseded and t.spec.undoes is None)
    tasks = tuple(task.spec for task in counted)
    return RevisionDetails(
        revision_hash=state.revision_hash,
        approved=state.approved,
        tasks=tuple(labelled(tasks)),
        changes=_changes(fold.approved, tasks) if fold.approved else None,
    )


def remaining_draft(state: PlannerState, tools: Toolbox) -> PlanDraft:
    """The part of the plan that a revision may change, as a draft to edit: tasks that have not
    started, and tasks that did not complete. Fields with their usual values are left out."""
    left = [
        task.spec
        for task in without_undo_tasks(state).values()
        if not (task.superseded or task.spec.drafts) and _may_change(task)
    ]
    labels = labels_of(task.spec for task in state.written().values() if not task.superseded)
    tasks = [_draft_of(with_labels(spec, labels), labels, tools) for spec in left]
    return PlanDraft(title=state.title, tasks=tasks)


def _may_change(task: Task) -> bool:
    return not has_started(task) or (
        task.status in ENDED and task.status is not TaskStatus.Completed
    )


def _draft_of(spec: TaskSpec, labels: Mapping[int, str], tools: Toolbox) -> TaskDraft:
    draft = draft_of(spec)
    tool = tools.get(spec.tool.name) if spec.tool else None
    asks = spec.kind is NodeKind.Clarification
    usual = (
        (tool.effect, tool.retry) if tool else (Effect.Safe if asks else Effect.Once, RetryPolicy())
    )
    return replace(
        draft,
        kind=None if kind_of(replace(draft, kind=None)) is draft.kind else draft.kind,
        effect=None if draft.effect is usual[0] else draft.effect,
        retry=None if draft.retry == usual[1] else draft.retry,
        depends_on=[labels.get(parent, parent) for parent in spec.depends_on],
    )


def _changes(before: Iterable[TaskSpec], after: Iterable[TaskSpec]) -> PlanDiff:
    """What a revision changes, found by id and shown by label; a renamed label does not count as a
    change of the tasks that refer to it."""
    diff = plan_diff(before, after)
    old, new = ({spec.id: spec for spec in labelled(specs)} for specs in (before, after))
    return PlanDiff(
        added=tuple(new[spec.id] for spec in diff.added),
        removed=tuple(old[spec.id] for spec in diff.removed),
        changed=tuple(TaskChange(old[c.after.id], new[c.after.id], c.fields) for c in diff.changed),
        same=diff.same,
    )
