"""A change of a task's status during folding, and tasks that are planned again."""

from __future__ import annotations

from typing import Final

from planfold.errors import CorruptLog
from planfold.planner import transitions as t
from planfold.planner.context_size import forget
from planfold.planner.items import STRIDE
from planfold.planner.maps import drop_items, item_reset
from planfold.planner.state import PlannerState
from planfold.planner.step_costs import settle_all
from planfold.planner.tasks import Task, TaskStatus, in_words

_next_status: Final = t.TRANSITIONS.get
ASKING: Final = TaskStatus.NeedsClarification  # looking up a member takes time


def change(
    state: PlannerState, task: Task, trigger: str, not_before: float | None = None
) -> TaskStatus:
    """Give ``task`` the status that the trigger leads to; returns it."""
    before = task.status
    after = _next_status((before, trigger))
    if after is None:
        raise CorruptLog(
            f"{trigger} is not legal for task {task.spec.id}, which {in_words(before)}"
        )
    if after is not before or trigger is t.RESET:
        if (schedule := state.__dict__.get("schedule")) is not None:
            schedule.move(task, after, not_before)
        else:
            task.status = after
            task.not_before = not_before
        if before is ASKING:
            state.questions.pop(task.spec.id, None)
    return after


def plan_again(state: PlannerState, task_ids: tuple[int, ...], *, afresh: bool) -> None:
    """``afresh``: also the inner steps are done again."""
    forget(state, task_ids)
    for task_id in task_ids:
        task = state.tasks[task_id]
        change(state, task, t.RESET)
        settle_all(state, task_id)
        task.result, task.error, task.note, task.arguments = None, None, None, None
        task.failures, task.answers = 0, ()
        task.started_at = task.finished_at = 0.0
        task.cancel_requested = task.outcome_unknown = task.superseded = False
        task.outdated = task.confirmed = False
        task.skip_reason = None
        task.halted = False
        if task_id >= STRIDE:
            item_reset(state, task)
        if afresh and task.elements is not None:
            drop_items(state, task)
        if afresh:
            task.run += 1
            state.steps_by_task.pop(task_id, None)
            state.begun_by_task.pop(task_id, None)
    state.outcome, state.cancelled = None, False
