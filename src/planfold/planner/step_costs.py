"""Bookkeeping of what inner steps cost, during folding: reservations that end."""

from __future__ import annotations

from planfold.planner import transitions as t
from planfold.planner.budget import Spend, total
from planfold.planner.events import StepFailed, StepRecorded, StepStarted
from planfold.planner.graph import change
from planfold.planner.state import PlannerState


def settle(state: PlannerState, task_id: int, key: str, spent: Spend | None) -> None:
    """End a step. The cost of an interrupted step is not known; its reservation is counted as
    spent, because the service that was called may charge for it."""
    begun = state.begun_by_task.get(task_id)
    reserved = begun.pop(key, None) if begun else None
    if begun is not None and not begun:
        del state.begun_by_task[task_id]
    if state.begun_under and (under := state.begun_under.get(task_id)):
        under.pop(key, None)
    if spent is None:
        spent = reserved
    if spent is not None:
        state.spent += spent


def settle_all(state: PlannerState, task_id: int) -> None:
    """End all steps of a stopped task: reservations count as spent. The interrupted steps stay
    recorded, because their effects may have happened."""
    if begun := state.begun_by_task.get(task_id):
        state.spent += total(begun.values())
        state.begun_by_task[task_id] = dict.fromkeys(begun, Spend())
        state.begun_under.pop(task_id, None)


def fold_step_recorded(state: PlannerState, event: StepRecorded) -> None:
    """Fold the value of an inner step."""
    change(state, state.tasks[event.task_id], t.STEP_RECORDED)
    state.steps_by_task.setdefault(event.task_id, {})[event.key] = event.value
    settle(state, event.task_id, event.key, event.spent)


def fold_step_started(state: PlannerState, event: StepStarted) -> None:
    """Fold the beginning of an inner step: its reservation."""
    change(state, state.tasks[event.task_id], t.STEP_STARTED)
    settle(state, event.task_id, event.key, None)
    state.begun_by_task.setdefault(event.task_id, {})[event.key] = event.reserved
    if event.epoch:
        under = (state.tasks[event.task_id].attempt, event.epoch)
        state.begun_under.setdefault(event.task_id, {})[event.key] = under


def fold_step_failed(state: PlannerState, event: StepFailed) -> None:
    """Fold the failure of an inner step."""
    change(state, state.tasks[event.task_id], t.STEP_FAILED)
    settle(state, event.task_id, event.key, event.spent)
