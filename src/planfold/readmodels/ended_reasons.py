"""Reasons of tasks that did not complete or were undone, each with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from planfold.planner.graph import blocks
from planfold.planner.maps import items_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus
from planfold.planner.undo import undo_counts, undone_items
from planfold.planner.undone import is_undone
from planfold.readmodels.labels import error_with_labels
from planfold.readmodels.reason import Reason, ReasonKind, first_line, names_in, reason_of


def undone(state: PlannerState) -> list[Reason]:
    """The undone tasks of a plan as one reason; no reason if nothing was undone."""
    if not state.completions:  # nearly all plans: their tasks need not be looked at
        return []
    ids = tuple(i for i, task in state.tasks.items() if is_undone(state, task))
    if not ids:
        return []
    text = f"{'was' if len(ids) == 1 else 'were'} undone: {len(ids)} of {undo_counts(state)[1]}"
    remedy = "nothing: what was undone runs again when the plan continues"
    return [Reason(kind=ReasonKind.Undone, tasks=ids, text=text, remedy=remedy)]


def has_no_list(task: Task) -> bool:
    """Whether a map failed because its reference is not a list. A retry would fail in the same
    way."""
    of_map = task.spec.for_each is not None and task.elements is None
    return of_map and (task.error or "").startswith("for_each:")


def ended_reasons(state: PlannerState, task: Task) -> list[Reason]:
    """The reasons of a task that has ended; none if it completed and was not undone."""
    error = first_line(error_with_labels(task, state.tasks))
    match task.status:
        case TaskStatus.Completed:
            return _completed(state, task)
        case TaskStatus.Failed:
            attempts = f" (attempt {task.attempt})" if task.attempt > 1 else ""
            found = _remedied(state, ReasonKind.Failed, task, f"failed{attempts}: {error}")
            return [msgspec.structs.replace(found, signal=_signal_of(task))]
        case TaskStatus.Skipped if task.skip_reason == "by_hand":
            remedy = "nothing: a person decided so; a retry takes the decision back"
            return [reason_of(ReasonKind.Skipped, task, f"was {error}", remedy)]
        case TaskStatus.Skipped if task.not_needed:
            remedy = "nothing: the plan continues without it"
            return [reason_of(ReasonKind.Skipped, task, f"was not needed: {error}", remedy)]
        case TaskStatus.Skipped:
            root = _root_of_skip(state, task)
            if root is None:
                return [_remedied(state, ReasonKind.Skipped, task, f"was skipped: {error}")]
            became = "failed" if root.status is TaskStatus.Failed else "was cancelled"
            name = names_in(state, [root.id])
            text = f"was skipped: {name} {became}" + (
                f": {first_line(root.error)}" * bool(root.error)
            )
            remedy = f"retry {name}, or revise the plan"
            found = _remedied(state, ReasonKind.Skipped, task, text, remedy, by=[root.id])
            return [msgspec.structs.replace(found, signal=_signal_of(root))]
        case TaskStatus.Cancelled:
            unknown = ", and whether it was done is not known" if task.outcome_unknown else ""
            text = f"was cancelled{unknown}" + (f": {error}" if error else "")
            return [_remedied(state, ReasonKind.Cancelled, task, text)]
    return []


def _completed(state: PlannerState, task: Task) -> list[Reason]:
    undone, completed = undone_items(state, task)
    by = [task.undo_task] if is_undone(state, task) else []
    if not (undone or by):
        return []
    said = f"was undone: {undone:,} of {completed:,} items that completed"
    said = f"was undone by {names_in(state, by)}" if by else said
    remedy = "retry a task that did not complete: what was undone runs again"
    reason = reason_of(ReasonKind.Undone, task, said, _once_undone(state, remedy), by=by)
    return [msgspec.structs.replace(reason, since=_undone_at(state, task))]


def _undone_at(state: PlannerState, task: Task) -> float | None:
    """When the last undo of a task or its items completed."""
    undone = (each for each in (task, *items_of(state, task)) if is_undone(state, each))
    return max((state.tasks[each.undo_task].finished_at for each in undone), default=0.0) or None


def _signal_of(task: Task) -> str | None:
    return task.spec.wait.signal if task.spec.wait is not None else None


def _once_undone(state: PlannerState, remedy: str) -> str:
    """``remedy`` with the condition that the undo of the plan has to end first, if it is
    running."""
    if not state.undoing:
        return remedy
    first = "answer the open question" if state.questions else "wait until the undo has ended"
    return f"{first}; then {remedy}"


def _remedied(
    state: PlannerState,
    kind: ReasonKind,
    task: Task,
    text: str,
    retry: str = "retry the task, or revise the plan",
    by: Sequence[int] = (),
) -> Reason:
    """The end of a task that was to complete; ``retry`` is the remedy in the usual case."""
    if task.spec.undoes is not None:
        over = "nothing: what it was to undo has run again, or was undone by another task"
        again = _once_undone(state, "undo the plan again")
        return reason_of(kind, task, text, over if task.superseded else again, by=by)
    if task.superseded:
        return reason_of(kind, task, text, "nothing: a revision superseded it", by=by)
    if has_no_list(task):
        remedy = _once_undone(state, "revise the plan with a for_each that is a list")
        found = reason_of(kind, task, text, remedy)
        return found if state.undoing else msgspec.structs.replace(found, helps="revise")
    found = reason_of(kind, task, text, _once_undone(state, retry), by=by)
    return found if state.undoing else msgspec.structs.replace(found, helps="retry")


def _root_of_skip(state: PlannerState, task: Task) -> Task | None:
    """The task above a skipped one that did not complete and was not skipped itself."""
    seen = {task.id}
    while True:
        above = [state.tasks[i] for i in task.depends_on if blocks(state.tasks[i])]
        above = [t for t in above if t.id not in seen]
        if not above:
            return None
        task = min(above, key=lambda t: t.status is TaskStatus.Skipped)
        seen.add(task.id)
        if task.status is not TaskStatus.Skipped:
            return task
