"""Undo: the tasks that revert what a plan did, the last completion first.

They join the plan when it has failed or was cancelled and everything has ended, or when a person
wants it later. Each starts when the one before has ended, however it ended; one that fails asks a
person before the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from planfold.compaction.truncation import truncate_middle
from planfold.errors import CommandRejected
from planfold.planner.commands import UndoPlan
from planfold.planner.events import ClarificationRequested, PlanOutcome, UndoPlanned
from planfold.planner.items import id_text
from planfold.planner.maps import items_of
from planfold.planner.questions import OUTCOME_CHOICES
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Task, TaskStatus, in_words
from planfold.planner.undone import is_undone

_LISTED: Final = 20  # tasks that a question names
_DESCRIPTION: Final = 200  # characters of a description in it,
_ERROR: Final = 400  # and of an error
_TRACEBACK: Final = "Traceback (most recent call last)"


def to_undo(state: PlannerState) -> list[Task]:
    """The completed tasks and items that have an undo and were not undone, in the order in which
    they would be: the last completion first. A fork does not undo what its origin did."""
    if not state.completions:  # nearly all plans: their tasks need not be looked at
        return []
    found = [
        task
        for task in state.tasks.values()
        if task.completion and task.status is TaskStatus.Completed and not is_undone(state, task)
    ]
    return sorted(found, key=lambda task: task.completion, reverse=True)


def stays(state: PlannerState) -> list[Task]:
    """What may have changed the world and cannot be undone: completed tasks without an undo that do
    more than read, and tasks that began and did not complete."""
    return [task for task in state.tasks.values() if _stays(state, task)]


def _stays(state: PlannerState, task: Task) -> bool:
    spec = task.spec
    asks = spec.kind is NodeKind.Clarification
    mapped = spec.for_each is not None  # its items are counted instead
    if spec.effect is Effect.Safe or spec.undoes is not None or spec.done or asks or mapped:
        return False
    if task.status is TaskStatus.Completed:
        return spec.undo is None or not task.completion
    began = task.attempt > 0 and task.status is not TaskStatus.Skipped
    return began or task.outcome_unknown


def undo_counts(state: PlannerState) -> tuple[int, int]:
    """How many tasks were undone, and of how many."""
    if not state.completions:
        return 0, 0
    wanted = [task for task in state.tasks.values() if task.undo_task]
    return sum(is_undone(state, task) for task in wanted), len(wanted)


def undone_items(state: PlannerState, task: Task) -> tuple[int, int]:
    """How many items of a map were undone, and of how many completed ones."""
    items = [item for item in items_of(state, task) if item.status is TaskStatus.Completed]
    return sum(is_undone(state, item) for item in items), len(items)


def was_undone(state: PlannerState, task: Task) -> bool:
    """Whether a completed task was undone, or a map in all of its items that completed."""
    if not state.completions:
        return False
    if not task.elements:
        return is_undone(state, task)
    undone, completed = undone_items(state, task)
    return undone > 0 and undone == completed


def undo_before(state: PlannerState, outcome: PlanOutcome) -> UndoPlanned | None:
    """The event that plans undo tasks before a plan ends as failed or cancelled. None if there is
    nothing to undo, or that was decided before."""
    policy = state.config.undo
    if policy == "never":
        return None
    found = [task for task in to_undo(state) if not task.undo_task]
    if not found:
        return None
    ids = tuple(task.id for task in found)
    return UndoPlanned(ids, _question(state, outcome, found) if policy == "ask" else "")


def undo_plan(state: PlannerState, command: UndoPlan) -> Iterator[UndoPlanned]:
    """Decide ``UndoPlan``."""
    if state.undoing:
        return
    if state.outcome is None:
        raise CommandRejected(
            f"the plan {in_words(state.status)}; only a plan that has ended is undone: cancel it"
        )
    found = to_undo(state)
    if not found:
        raise CommandRejected(
            "there is nothing to undo: no task that completed has an undo, or all were undone"
        )
    yield UndoPlanned(tuple(task.id for task in found), by=command.by)


def how_to_undo(task: Task, error: str) -> ClarificationRequested:
    """Ask a person about a failed undo. The undo tasks after it wait: their effects happened
    earlier, and the failed one may depend on them."""
    question = (
        f"This could not be undone. {task.description} (it failed: {_message(error)}; undo it by "
        f"hand and answer {OUTCOME_CHOICES[0]!r}, or answer {OUTCOME_CHOICES[2]!r} to leave it as "
        "it is: the remaining tasks are undone then)"
    )
    return ClarificationRequested(
        task.id, question, OUTCOME_CHOICES, then="outcome", ended=True, error=error
    )


def _message(error: str) -> str:
    """The line of an error that says what went wrong: the first line, or the last one of a
    traceback."""
    lines = [line for line in error.splitlines() if line.strip()] or [""]
    before, traceback, _ = lines[0].partition(_TRACEBACK)
    return truncate_middle(before + lines[-1] if traceback else lines[0], _ERROR)


def _question(state: PlannerState, outcome: PlanOutcome, found: Sequence[Task]) -> str:
    became = "has failed" if outcome == "failed" else "was cancelled"
    lines = [f"The plan {became}. Undo what it did? In this order:", *_listed(found)]
    if left := stays(state):
        lines += ["This is not undone:", *_listed(left)]
    return "\n".join(lines)


def _listed(tasks: Sequence[Task]) -> Iterator[str]:
    for task in tasks[:_LISTED]:
        said = truncate_middle(" ".join(task.description.split()), _DESCRIPTION)
        yield f"- {id_text(task.id)}: {said}{_how_it_ended(task)}"
    if len(tasks) > _LISTED:
        yield f"- and {len(tasks) - _LISTED:,} more"


def _how_it_ended(task: Task) -> str:
    if task.outcome_unknown:
        return " (its outcome is unknown)"
    return "" if task.status is TaskStatus.Completed else f" ({in_words(task.status)})"
