"""Decisions by hand: a person skips a task, or completes it in place of its executor.

A running attempt is stopped first. When it has ended, with any outcome, the task ends as the person
decided. The dependents of a skipped task behave as after a task that was not needed.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from planfold.errors import CommandRejected
from planfold.planner.answers import use_of
from planfold.planner.cancellation import (
    as_decided,
    find_task,
    root_cause,
    stop,
    with_active_items,
)
from planfold.planner.commands import CompleteTask, SkipTask
from planfold.planner.events import Event, TaskDecided
from planfold.planner.followers import reset_with_followers
from planfold.planner.items import id_text, map_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import ByHand, Effect, NodeKind, Task, TaskStatus, in_words
from planfold.planner.transitions import ENDED
from planfold.planner.undone import refuse_old_undo, refuse_while_undoing

_COMPLETED = TaskStatus.Completed


def skip_task(state: PlannerState, command: SkipTask) -> Iterator[Event]:
    """Decide ``SkipTask``. Skipping a task again changes nothing."""
    task = find_task(state, command.task_id)
    if task.not_needed:
        return
    yield from _decide(state, task, ByHand(TaskStatus.Skipped, command.by, command.reason))


def complete_task(state: PlannerState, command: CompleteTask) -> Iterator[Event]:
    """Decide ``CompleteTask``. Completing a task again with the same result changes nothing."""
    task, given = find_task(state, command.task_id), command.result
    result = None if given is msgspec.UNSET else given
    if task.by_hand is not None and task.status is _COMPLETED and task.result == result:
        return
    name = f"task {id_text(task.id)}"
    if task.spec.for_each is not None:
        raise CommandRejected(f"{name} is a map; complete its items, or skip it")
    if task.kind is NodeKind.Clarification:
        raise CommandRejected(f"{name} is a question; answer it instead")
    if given is msgspec.UNSET and (use := use_of(state, task)):
        raise CommandRejected(
            f"{use}: give the result of {name} with result=... (null where there is none)"
        ).about("result by hand")
    yield from _decide(state, task, ByHand(_COMPLETED, command.by, command.reason, result))


def _decide(state: PlannerState, task: Task, wanted: ByHand) -> Iterator[Event]:
    if task.by_hand is not None and task.status is TaskStatus.Running:
        if task.by_hand.status is wanted.status and task.by_hand.result == wanted.result:
            return
        raise CommandRejected(f"task {id_text(task.id)} is being stopped: it is {task.by_hand}")
    _refuse(state, task)
    if task.status in ENDED:
        _refuse_without_map(state, task)
        yield from reset_with_followers(state, task, "by_hand")
    yield TaskDecided(task.id, wanted.status, wanted.result, wanted.reason, wanted.by)
    if task.waits and not task.runs_plan:  # no worker has to stop the task first
        yield as_decided(task.id, wanted)
    elif task.status is TaskStatus.Running:
        yield from stop(state, with_active_items(state, [task]), str(wanted))


def _refuse_without_map(state: PlannerState, task: Task) -> None:
    """Refuse an item of an ended map: its map would have to run again."""
    of = state.tasks.get(map_of(task.id))
    if of is None or of.status not in ENDED or (cause := root_cause(state, of)) is None:
        return
    raise CommandRejected(
        f"task {id_text(task.id)} is an item of a map that needs task {id_text(cause)}, which "
        f"{in_words(state.tasks[cause].status)}; retry that one first"
    )


def _refuse(state: PlannerState, task: Task) -> None:
    name = f"task {id_text(task.id)}"
    if task.spec.undoes is None:
        refuse_while_undoing(state)
    refuse_old_undo(state, task)
    if state.cancelled and not state.undoing and state.outcome is None:
        raise CommandRejected("the plan is being cancelled; wait until it has ended")
    if task.status is _COMPLETED:
        raise CommandRejected(
            f"{name} is completed; nothing is left to decide (fork the plan to decide otherwise)"
        )
    if task.superseded or task.spec.drafts:
        why = "was superseded by a revision" if task.superseded else "drafts the plan"
        raise CommandRejected(f"{name} {why}; skip or complete another task, or revise the plan")
    if task.outdated and task.status not in ENDED:
        raise CommandRejected(
            f"an answer on which {name} depends was changed; wait until its attempt has ended"
        )
    for active in with_active_items(state, [task]):
        once = active.spec.effect is Effect.Once and active.spec.for_each is None
        if once and active.status is TaskStatus.Running:
            raise CommandRejected(
                f"task {id_text(active.id)} {in_words(active.status)}, and its effect (once) may "
                "happen in part; wait until it has ended, or cancel it and look at what was done"
            )
