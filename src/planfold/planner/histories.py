"""A long history is folded in one loop. Nearly all of it are dispatches and completions of ordinary
tasks; those change what their functions in ``task_folds`` change, with fewer calls and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from planfold.planner.context_size import QUESTION, remember_ordinary
from planfold.planner.events import TaskDispatched, TaskStatusUpdated
from planfold.planner.items import STRIDE
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus

PLANNED: Final = TaskStatus.Planned  # looking up a member takes time
RUNNING: Final = TaskStatus.Running
COMPLETED: Final = TaskStatus.Completed


def fold_history(
    state: PlannerState,
    history: Iterable[tuple[Any, float]],
    fold: Callable[[PlannerState, Any], None],
) -> None:
    """Fold events with the times at which they were recorded; ``fold`` folds any event."""
    version, at, find = state.version, state.updated_at, state.tasks.get
    plain = "schedule" not in state.__dict__
    for event, at in history:
        kind = type(event)
        if plain and kind is TaskStatusUpdated:
            task = find(event.task_id)
            if task is not None and _complete(state, task, event, at):
                version += 1
                continue
        elif plain and kind is TaskDispatched:
            task = find(event.task_id)
            if task is not None and task.status is PLANNED:
                _dispatch(task, event, at)
                version += 1
                continue
        state.version, state.updated_at = version, at
        fold(state, event)
        version, find = state.version + 1, state.tasks.get
        plain = "schedule" not in state.__dict__
    state.version, state.updated_at = version, at


def _dispatch(task: Task, event: TaskDispatched, at: float) -> None:
    task.status, task.attempt = RUNNING, event.attempt
    if not task.started_at:
        task.started_at = at
    if task.not_before is not None:  # reading a field takes a tenth of writing it
        task.not_before = None
    if task.arguments is not event.arguments:
        task.arguments = event.arguments
    if task.note is not None:
        task.note = None


def _complete(state: PlannerState, task: Task, event: TaskStatusUpdated, at: float) -> bool:
    """False, and nothing is changed, where it is not an ordinary task that completes."""
    spec, result = task.spec, event.result
    if (
        event.status is not COMPLETED
        or event.skip_reason is not None
        or task.status is not RUNNING
        or spec.undo is not None
        or spec.for_each is not None
        or spec.kind is QUESTION
        or spec.id >= STRIDE
        or state.begun_by_task
    ):
        return False
    task.status, task.finished_at, task.result = COMPLETED, at, result
    if task.not_before is not None:
        task.not_before = None
    if task.error is not None:
        task.error = None
    if task.cancel_requested:
        task.cancel_requested = False
    if task.outcome_unknown is not event.outcome_unknown:
        task.outcome_unknown = event.outcome_unknown
    remember_ordinary(state, spec, result)
    return True
