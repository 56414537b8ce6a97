"""Tasks that are planned again, during folding."""

from __future__ import annotations

from planfold.planner import transitions as t
from planfold.planner.context_size import forget
from planfold.planner.graph import change
from planfold.planner.items import STRIDE
from planfold.planner.maps import drop_items, item_reset, items_of
from planfold.planner.state import PlannerState
from planfold.planner.step_costs import settle_all
from planfold.planner.undone import forget_undo_of, forget_what_was_left


def plan_again(state: PlannerState, task_ids: tuple[int, ...], *, afresh: bool) -> None:
    """Plan a task again. ``afresh``: its inner steps are done again too."""
    forget(state, task_ids)
    if any(state.tasks[task_id].superseded for task_id in task_ids):
        state.__dict__.pop("schedule", None)  # they count again
    for task_id in task_ids:
        task = state.tasks[task_id]
        change(state, task, t.RESET)
        settle_all(state, task_id)
        task.result, task.error, task.note, task.arguments = None, None, None, None
        task.failures, task.answers = 0, ()
        task.started_at = task.finished_at = 0.0
        if task.superseded:
            for item in items_of(state, task):
                item.superseded = False
        task.cancel_requested = task.outcome_unknown = task.superseded = False
        task.outdated = task.confirmed = False
        task.skip_reason = task.by_hand = None
        task.halted = False
        forget_undo_of(state, task)
        if task_id >= STRIDE:
            item_reset(state, task)
        if afresh and task.elements is not None:
            drop_items(state, task)
        if afresh:
            task.run += 1
            task.plan_id = None
            state.steps_by_task.pop(task_id, None)
            state.begun_by_task.pop(task_id, None)
    if all(i in state.tasks and state.tasks[i].spec.undoes for i in task_ids):
        state.undoing = True  # the plan itself does not continue
    else:
        state.cancelled = False
        if state.outcome is not None:
            forget_what_was_left(state)
    state.outcome = None
