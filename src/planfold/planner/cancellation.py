"""Cancellation, and the effect of a task's end on its dependents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planfold.errors import CommandRejected, NotFound
from planfold.planner.commands import CancelPlan, CancelTask
from planfold.planner.events import (
    CancelRequested,
    Event,
    PlanCancelled,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.graph import blocks
from planfold.planner.items import id_text
from planfold.planner.maps import items_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import ByHand, Task, TaskStatus, in_words
from planfold.planner.transitions import ENDED


def find_task(state: PlannerState, task_id: int) -> Task:
    """Raises NotFound when the plan has no such task."""
    task = state.tasks.get(task_id)
    if task is None:
        raise NotFound(f"the plan has no task {id_text(task_id)}; its tasks are {_ids(state)}")
    return task


def skip_dependents(
    state: PlannerState, roots: Iterable[int], skipped: set[int]
) -> Iterator[Event]:
    """Planned tasks below ``roots`` will never start: they become Skipped, except those with a
    ``run_if`` of their own. ``skipped`` collects them, so that several roots in one decision skip
    each task once."""
    frontier = list(roots)
    for root in frontier:
        for child in state.schedule.children[root]:
            task = state.tasks[child]
            if task.spec.run_if != "completed":
                continue
            if child not in skipped and task.status is TaskStatus.Planned:
                skipped.add(child)
                frontier.append(child)
                yield skip(child, root)


def skip(task_id: int, parent: int) -> TaskStatusUpdated:
    """``task_id`` cannot start, because of ``parent``: skip it."""
    error = f"it needs task {id_text(parent)}, which did not complete"
    return TaskStatusUpdated(task_id, TaskStatus.Skipped, error=error, skip_reason="failure")


def blocking_parent(state: PlannerState, task: Task) -> int | None:
    """A parent that ended in a way that keeps ``task`` from starting (again)."""
    if task.spec.run_if != "completed":
        return None
    return next((i for i in task.depends_on if blocks(state.tasks[i])), None)


def root_cause(state: PlannerState, task: Task) -> int | None:
    """The task that keeps ``task`` from starting: one above it that did not complete and was not
    itself skipped because of another task. None if there is none."""
    cause = found = blocking_parent(state, task)
    while found is not None:
        cause, above = found, state.tasks[found]
        found = blocking_parent(state, above) if above.status is TaskStatus.Skipped else None
    return cause


def cancel_task(state: PlannerState, command: CancelTask) -> Iterator[Event]:
    """Decide ``CancelTask``."""
    task = find_task(state, command.task_id)
    below = list(state.schedule.descendants([task.id])) if command.subtree else []
    doomed = with_active_items(state, [task, *(state.tasks[i] for i in below)])
    if all(t.status in ENDED or t.cancel_requested for t in doomed):
        if task.status is TaskStatus.Cancelled or task.cancel_requested:
            return
        raise CommandRejected(
            f"task {id_text(task.id)} {in_words(task.status)}; there is nothing to cancel"
        )
    yield from stop(state, doomed, command.reason)
    if _ends_at_once(task):
        yield from skip_dependents(state, [task.id], set(below))


def cancel_plan(state: PlannerState, command: CancelPlan) -> Iterator[Event]:
    """Decide ``CancelPlan``: tasks that have not started are cancelled, running tasks are asked to
    stop, and finished tasks stay finished."""
    if state.cancelled:
        return
    if state.undoing:
        raise CommandRejected(
            "the plan is being undone; answer what it asks, or skip or cancel its undo tasks"
        )
    if state.outcome is not None:
        raise CommandRejected(f"the plan {in_words(state.status)}; there is nothing to cancel")
    yield PlanCancelled(command.reason)
    yield from stop(state, with_active_items(state, state.written().values()), command.reason)


def with_active_items(state: PlannerState, tasks: Iterable[Task]) -> list[Task]:
    """``tasks`` and the running or asking items of the maps among them. Other items end with their
    map."""
    found = list(tasks)
    active = (TaskStatus.Running, TaskStatus.NeedsClarification)
    for task in tuple(found):
        found += (item for item in items_of(state, task) if item.status in active)
    return found


def stopped(
    state: PlannerState,
    task: Task,
    error: str,
    *,
    unknown: bool = False,
    result: object = None,
) -> Iterator[Event]:
    """End a task that was asked to stop. ``result``: if it completed anyway. A decision by hand
    holds even then."""
    if task.by_hand is not None:
        yield as_decided(task.id, task.by_hand, unknown=unknown, result=result)
        return
    yield TaskStatusUpdated(
        task.id, TaskStatus.Cancelled, result, error or None, outcome_unknown=unknown
    )
    if task.cancel_requested:
        yield from skip_dependents(state, [task.id], set())
    else:
        yield from run_again(state, task)


def as_decided(
    task_id: int, said: ByHand, *, unknown: bool = False, result: object = None
) -> TaskStatusUpdated:
    """End a task as a person decided. ``unknown`` and ``result`` are the outcome of its attempt."""
    completed = said.status is TaskStatus.Completed
    return TaskStatusUpdated(
        task_id,
        said.status,
        said.result if completed else result,
        None if completed else str(said),
        outcome_unknown=unknown and not completed,
        skip_reason=None if completed else "by_hand",
    )


def run_again(state: PlannerState, task: Task) -> Iterator[Event]:
    """The outdated attempt of ``task`` has ended: plan the next one, unless a parent has become
    incomplete in the meantime."""
    yield TasksReset((task.id,), "answer_changed")
    if (parent := blocking_parent(state, task)) is not None:
        yield skip(task.id, parent)
        yield from skip_dependents(state, [task.id], set())


def _ends_at_once(task: Task) -> bool:
    """Whether the task can end without waiting for a worker or a sub-plan to stop."""
    if task.waits:
        return not task.runs_plan
    return task.status in (TaskStatus.Planned, TaskStatus.NeedsClarification)


def stop(state: PlannerState, tasks: Iterable[Task], reason: str) -> Iterator[Event]:
    """Ask the running ones of ``tasks`` to stop, and cancel the waiting ones."""
    running: list[int] = []
    for task in tasks:
        if _ends_at_once(task):
            question = state.questions.get(task.id)
            unknown = question is not None and question.then == "outcome"
            yield TaskStatusUpdated(
                task.id, TaskStatus.Cancelled, error=reason or None, outcome_unknown=unknown
            )
        elif task.status is TaskStatus.Running and not task.cancel_requested:
            running.append(task.id)
    if running:
        yield CancelRequested(tuple(running), reason)


def _ids(state: PlannerState) -> str:
    ids = sorted(state.written())
    shown = ", ".join(map(str, ids[:10]))
    return shown if len(ids) <= 10 else f"{shown}, ... {ids[-1]}"
