"""Pauses: a person holds back a plan, or a task of it. Attempts that run end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planfold.errors import CommandRejected
from planfold.planner.cancellation import find_task
from planfold.planner.commands import PausePlan, UnpausePlan
from planfold.planner.events import Event, PlanPaused, PlanUnpaused
from planfold.planner.items import STRIDE, id_text
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Pause, Task, in_words
from planfold.planner.transitions import ENDED


def pause_plan(state: PlannerState, command: PausePlan) -> Iterator[Event]:
    """Decide ``PausePlan``. A second pause changes nothing, and neither does a second break-point
    of a task."""
    if state.outcome is not None or state.cancelled:
        raise CommandRejected(f"the plan {in_words(state.status)}; there is nothing to pause")
    if not command.task_ids:
        if state.paused is None:
            yield PlanPaused((), command.reason, command.by)
        return
    for task_id in command.task_ids:
        _refuse(find_task(state, task_id))
    if new := _new(command.task_ids, state):
        yield PlanPaused(new, command.reason, command.by)


def unpause_plan(state: PlannerState, command: UnpausePlan) -> Iterator[Event]:
    """Decide ``UnpausePlan``. Where nothing is paused, nothing changes."""
    if command.task_ids:
        for task_id in command.task_ids:
            find_task(state, task_id)
        lifted = tuple(i for i in dict.fromkeys(command.task_ids) if i in state.breakpoints)
    elif state.paused is not None:
        yield PlanUnpaused((), command.by)
        return
    else:
        lifted = tuple(state.schedule.reached()) if state.breakpoints else ()
    if lifted:
        yield PlanUnpaused(lifted, command.by)


def _new(task_ids: Iterable[int], state: PlannerState) -> tuple[int, ...]:
    return tuple(i for i in dict.fromkeys(task_ids) if i not in state.breakpoints)


def _refuse(task: Task) -> None:
    if task.id >= STRIDE:
        raise CommandRejected(
            f"{id_text(task.id)} is an item of a map; a break-point is before the whole map"
        )
    if task.status in ENDED:
        raise CommandRejected(
            f"task {task.id} {in_words(task.status)}; there is nothing to pause before it"
        )


def fold_pause(state: PlannerState, event: PlanPaused) -> None:
    """Fold a pause or break-points."""
    pause = Pause(state.updated_at, event.by, event.reason)
    if not event.task_ids:
        state.paused = pause
    for task_id in event.task_ids:
        state.tasks[task_id]
        state.breakpoints[task_id] = pause
    _tell_schedule(state, event.task_ids, held=True)


def fold_unpause(state: PlannerState, event: PlanUnpaused) -> None:
    """Fold the end of a pause or of break-points."""
    if not event.task_ids:
        state.paused = None
    for task_id in event.task_ids:
        state.breakpoints.pop(task_id, None)
    _tell_schedule(state, event.task_ids, held=False)


def _tell_schedule(state: PlannerState, task_ids: Iterable[int], *, held: bool) -> None:
    if (schedule := state.__dict__.get("schedule")) is not None:
        for task_id in task_ids:
            schedule.hold(task_id, held)
