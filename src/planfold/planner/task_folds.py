"""How the events of a task change the state of its plan. Each function has the name of its
event."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planfold.planner import transitions as t
from planfold.planner.again import plan_again
from planfold.planner.context_size import (
    QUESTION,
    remember_answer,
    remember_ordinary,
    remember_result,
)
from planfold.planner.counterparts import pass_on
from planfold.planner.events import (
    CancelRequested,
    ClarificationReceived,
    ClarificationRequested,
    MapExpanded,
    RetryScheduled,
    TaskDecided,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.graph import change, move
from planfold.planner.items import STRIDE
from planfold.planner.maps import (
    answer_of_item_changed,
    end_items,
    expand,
    item_ended,
    results_in_order,
)
from planfold.planner.questions import Question, error_of
from planfold.planner.state import PlannerState, must_have_begun
from planfold.planner.step_costs import settle_all
from planfold.planner.sub_plans import stop_sub_plan
from planfold.planner.tasks import ByHand, Task, TaskStatus
from planfold.planner.undone import note_completion

PLANNED: Final = TaskStatus.Planned
RUNNING: Final = TaskStatus.Running  # looking up a member costs more than the rest of a change
COMPLETED: Final = TaskStatus.Completed
_STATUS_TRIGGER: Final = {status: f"TaskStatusUpdated:{status.value}" for status in TaskStatus}


def dispatched(state: PlannerState, event: TaskDispatched) -> None:
    task = state.tasks[event.task_id]
    if task.status is PLANNED:  # as change() does
        move(state, task, RUNNING)
    else:
        change(state, task, t.DISPATCHED)
    if not task.started_at:
        task.started_at = state.updated_at
    task.attempt = event.attempt
    task.arguments = event.arguments
    task.note = None


def status_updated(state: PlannerState, event: TaskStatusUpdated) -> None:
    task = state.tasks[event.task_id]
    spec = task.spec
    if (
        event.status is COMPLETED
        and event.skip_reason is None
        and task.status is RUNNING
        and spec.undo is None
        and spec.for_each is None
        and spec.kind is not QUESTION
        and event.task_id < STRIDE
        and not state.begun_by_task
    ):
        _complete(state, task, event)
        return
    if event.skip_reason is not None:
        task.skip_reason = event.skip_reason  # before its children look at it
    after = change(state, task, _STATUS_TRIGGER[event.status])
    if after is RUNNING:
        task.note = event.note
        return
    _end(state, task, after, event)


def decided(state: PlannerState, event: TaskDecided) -> None:
    task, status = state.tasks[event.task_id], event.status
    task.by_hand = ByHand(status, event.by, event.reason, event.result)
    question = state.questions.get(event.task_id)
    skipped = status is TaskStatus.Skipped
    unknown = skipped and question is not None and question.then == "outcome"
    if skipped and task.status is not RUNNING:
        task.skip_reason = "by_hand"
    after = change(state, task, f"TaskDecided:{status.value}")
    if after is not RUNNING:
        error = str(task.by_hand) if skipped else None
        ended = TaskStatusUpdated(
            event.task_id, status, event.result, error, outcome_unknown=unknown
        )
        _end(state, task, after, ended)


def _complete(state: PlannerState, task: Task, event: TaskStatusUpdated) -> None:
    """What :func:`change` and :func:`_end` do of an ordinary task: the half of a long history."""
    move(state, task, COMPLETED)
    task.finished_at = state.updated_at
    task.result, task.error = event.result, None
    task.cancel_requested, task.outcome_unknown = False, event.outcome_unknown
    remember_ordinary(state, task.spec, event.result)


def _end(state: PlannerState, task: Task, after: TaskStatus, event: TaskStatusUpdated) -> None:
    task.finished_at = state.updated_at
    if state.begun_by_task:
        settle_all(state, event.task_id)
    if task.elements is not None:
        end_items(state, task)
    task.error = event.error
    task.cancel_requested = False
    task.outcome_unknown = event.outcome_unknown
    if after is COMPLETED:
        if state.begun_by_task:
            state.begun_by_task.pop(event.task_id, None)
        if task.elements is not None:
            _finish(state, task, results_in_order(state, task))
            task.error = event.error
            return
        _finish(state, task, event.result)
    elif event.task_id >= STRIDE:
        item_ended(state, task)


def expanded(state: PlannerState, event: MapExpanded) -> None:
    task = state.tasks[event.task_id]
    change(state, task, t.EXPANDED)
    task.started_at = task.started_at or state.updated_at
    task.attempt += 1
    expand(state, event)


def _finish(state: PlannerState, task: Task, result: Any) -> None:
    remember_result(state, task, result)
    task.result = result
    task.error = None
    if task.spec.id >= STRIDE:
        pass_on(state, task)
    if task.spec.undo is not None and task.spec.for_each is None:
        note_completion(state, task)


def retry_scheduled(state: PlannerState, event: RetryScheduled) -> None:
    task = state.tasks[event.task_id]
    change(state, task, t.RETRY_SCHEDULED, event.at)
    task.failures += 1
    task.error = event.error
    task.waiting_since = state.updated_at


def asked(state: PlannerState, event: ClarificationRequested) -> None:
    task = state.tasks[event.task_id]
    change(state, task, t.ASKED)
    task.started_at = task.started_at or state.updated_at
    task.waiting_since = state.updated_at
    if task.spec.undoes is not None:
        task.error = event.error or None
    state.questions[event.task_id] = Question(
        event.task_id,
        event.question,
        event.choices,
        event.default,
        event.deadline,
        event.then,
        event.key,
        event.partial,
        event.started_at,
        event.ended,
    )
    schedule = state.__dict__.get("schedule")
    if schedule is not None and event.deadline is not None:
        schedule.deadlines.set(event.deadline, event.task_id)


def answered(state: PlannerState, event: ClarificationReceived) -> None:
    trigger = f"ClarificationReceived:{event.leads_to}"
    question = state.questions.get(event.task_id)
    task = state.tasks[event.task_id]
    after = change(state, task, trigger)
    state.prepared.pop(event.task_id, None)
    if after in t.ENDED:
        task.finished_at = state.updated_at
    if after is COMPLETED:
        task.confirmed = event.result is not msgspec.UNSET
        _finish(state, task, event.result if task.confirmed else event.answer)
        if event.task_id >= STRIDE:
            answer_of_item_changed(state, event.task_id)
    elif after is TaskStatus.Failed:
        left = task.error if task.spec.undoes is not None else None  # an undo that failed
        task.error = left or error_of(question, event.answer)
        if event.task_id >= STRIDE:
            item_ended(state, task)
    elif question is not None and question.then == "resume":
        remember_answer(state, task, question.question, event.answer)
        if question.key:
            state.steps_by_task.setdefault(event.task_id, {})[question.key] = event.answer


def reset(state: PlannerState, event: TasksReset) -> None:
    must_have_begun(state)
    plan_again(state, event.task_ids, afresh=event.reason not in ("retry", "by_hand"))


def cancel_requested(state: PlannerState, event: CancelRequested) -> None:
    for task_id in event.task_ids:
        task = state.tasks[task_id]
        change(state, task, t.CANCEL_REQUESTED)
        task.cancel_requested = not event.restart
        task.outdated = task.outdated or event.restart
        if event.restart:
            task.by_hand = None
        stop_sub_plan(state, task)
        if task.elements is not None and (schedule := state.__dict__.get("schedule")):
            schedule.stop(task)
    if event.restart:
        state.cancelled = False
