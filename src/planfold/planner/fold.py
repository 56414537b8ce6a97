"""What each event changes in a ``PlannerState``: the memory of a plan, without its decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from planfold.errors import CorruptLog
from planfold.handler import Handler
from planfold.planner import transitions as t
from planfold.planner.again import plan_again
from planfold.planner.budget import Spend
from planfold.planner.commands import Command
from planfold.planner.context_size import (
    remember_answer,
    remember_plan,
    remember_result,
    remember_summary,
)
from planfold.planner.events import (
    BudgetAdded,
    CancelRequested,
    CheckpointNamed,
    ClarificationReceived,
    ClarificationRequested,
    ContextCompacted,
    Event,
    MapExpanded,
    PlanApproved,
    PlanCancelled,
    PlanForked,
    PlanningCompleted,
    PlanPaused,
    PlanRevised,
    PlanTagged,
    PlanUnpaused,
    RetryScheduled,
    StepFailed,
    StepRecorded,
    StepStarted,
    TaskDecided,
    TaskDispatched,
    TasksPlanned,
    TasksReset,
    TaskStatusUpdated,
    WaitRegistered,
    WaitStarted,
)
from planfold.planner.graph import change
from planfold.planner.items import STRIDE
from planfold.planner.maps import (
    answer_of_item_changed,
    end_items,
    expand,
    item_ended,
    items_of,
    results_in_order,
)
from planfold.planner.names import fold_checkpoint, fold_tags
from planfold.planner.pauses import fold_pause, fold_unpause
from planfold.planner.questions import Question, error_of
from planfold.planner.state import PlannerState, forget_parents
from planfold.planner.step_costs import (
    fold_step_failed,
    fold_step_recorded,
    fold_step_started,
    settle_all,
)
from planfold.planner.sub_plans import FOLD_SUB_PLANS, leave_family, stop_sub_plan
from planfold.planner.tasks import ByHand, Task, TaskSpec, TaskStatus
from planfold.planner.waits import fold_registration, fold_start

RUNNING: Final = TaskStatus.Running  # looking up a member costs more than the rest of a change
COMPLETED: Final = TaskStatus.Completed


class PlanMemory(Handler[Command, Event]):
    """The half of a planner that remembers: ``state``, and what events change in it."""

    def __init__(self, state: PlannerState | None = None) -> None:
        self.state = state or PlannerState()

    def apply(self, event: Event) -> None:
        """Advance by one event. Raises CorruptLog where the event is not legal."""
        state = self.state
        state.updated_at = self.recorded_at
        fold_event(state, event)
        state.version += 1

    def take_in(self, events: Iterable[Event], times: Iterable[float]) -> None:
        """See :meth:`Handler.take_in`. One loop: a history is long, and folding an event short."""
        state, fold = self.state, _FOLD
        event = None
        try:
            for event, state.updated_at in zip(events, times, strict=False):
                fold[type(event)](state, event)
                state.version += 1
        except KeyError as fault:
            raise _illegal(event, fault) from None
        self.recorded_at = state.updated_at


def fold_event(state: PlannerState, event: Event) -> None:
    """Advance by one event.

    Raises:
        CorruptLog: the event is not legal in this state, so the log is not a plan's log.
    """
    try:
        _FOLD[type(event)](state, event)
    except KeyError as fault:
        raise _illegal(event, fault) from None


def _illegal(event: Any, fault: KeyError) -> CorruptLog:
    if type(event) not in _FOLD:
        return CorruptLog(f"a plan has no event {type(event).__name__}")
    return CorruptLog(
        f"{type(event).__name__} is about task {fault}, which the plan does not have; "
        "a history must begin with TasksPlanned"
    )


def _planned(state: PlannerState, event: TasksPlanned) -> None:
    if state.initialized:
        raise CorruptLog("the plan was initialized twice")
    state.title, state.goal, state.config = event.title, event.goal, event.config
    state.budget, state.tags = event.config.budget, event.tags
    state.parent = event.parent
    state.initial_hash = state.revision_hash = event.revision_hash
    state.created_at = state.updated_at
    _add(state, event.tasks)


def _approved(state: PlannerState, event: PlanApproved) -> None:
    _must_have_begun(state)
    state.approved = event.revision_hash == state.revision_hash


def _revised(state: PlannerState, event: PlanRevised) -> None:
    _must_have_begun(state)
    replaced = [spec.id for spec in event.tasks if spec.id in state.tasks]
    for task_id in (*event.removed, *replaced):
        remember_plan(state, state.tasks.pop(task_id).spec, -1)
    state.drafting = [i for i in state.drafting if i in state.tasks]
    for task_id in event.removed:
        state.breakpoints.pop(task_id, None)
    for task_id in event.superseded:
        task = state.tasks[task_id]
        task.superseded = True
        for item in items_of(state, task):
            item.superseded = True
    state.revision_hash, state.approved, state.outcome = event.revision_hash, False, None
    _add(state, event.tasks)
    if event.removed:
        forget_parents(state)


def _add(state: PlannerState, specs: tuple[TaskSpec, ...]) -> None:
    for spec in specs:
        status = TaskStatus.Completed if spec.done else TaskStatus.Planned
        state.tasks[spec.id] = Task(spec, status)
        remember_plan(state, spec)
        if spec.drafts:
            state.drafting.append(spec.id)
        if spec.proposed:
            state.spent += Spend(tasks=1)
    state.__dict__.pop("schedule", None)


def _must_have_begun(state: PlannerState) -> None:
    if not state.revision_hash:
        raise CorruptLog("a history must begin with TasksPlanned")


def _dispatched(state: PlannerState, event: TaskDispatched) -> None:
    task = state.tasks[event.task_id]
    change(state, task, t.DISPATCHED)
    if not task.started_at:
        task.started_at = state.updated_at
    task.attempt = event.attempt
    task.arguments = event.arguments
    task.note = None


def _status_updated(state: PlannerState, event: TaskStatusUpdated) -> None:
    task = state.tasks[event.task_id]
    if event.skip_reason is not None:
        task.skip_reason = event.skip_reason  # before its children look at it
    after = change(state, task, _STATUS_TRIGGER[event.status])
    if after is RUNNING:
        task.note = event.note
        return
    _end(state, task, after, event)


def _decided(state: PlannerState, event: TaskDecided) -> None:
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


def _expanded(state: PlannerState, event: MapExpanded) -> None:
    task = state.tasks[event.task_id]
    change(state, task, t.EXPANDED)
    task.started_at = task.started_at or state.updated_at
    task.attempt += 1
    expand(state, event)


def _finish(state: PlannerState, task: Task, result: Any) -> None:
    remember_result(state, task, result)
    task.result = result
    task.error = None


def _retry_scheduled(state: PlannerState, event: RetryScheduled) -> None:
    task = state.tasks[event.task_id]
    change(state, task, t.RETRY_SCHEDULED, event.at)
    task.failures += 1
    task.error = event.error
    task.waiting_since = state.updated_at


def _asked(state: PlannerState, event: ClarificationRequested) -> None:
    task = state.tasks[event.task_id]
    change(state, task, t.ASKED)
    task.started_at = task.started_at or state.updated_at
    task.waiting_since = state.updated_at
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


def _answered(state: PlannerState, event: ClarificationReceived) -> None:
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
        task.error = error_of(question, event.answer)
        if event.task_id >= STRIDE:
            item_ended(state, task)
    elif question is not None and question.then == "resume":
        remember_answer(state, task, question.question, event.answer)
        if question.key:
            state.steps_by_task.setdefault(event.task_id, {})[question.key] = event.answer


def _reset(state: PlannerState, event: TasksReset) -> None:
    _must_have_begun(state)
    plan_again(state, event.task_ids, afresh=event.reason not in ("retry", "by_hand"))


def _forked(state: PlannerState, event: PlanForked) -> None:
    _must_have_begun(state)
    state.__dict__.pop("schedule", None)  # the changed tasks may depend on others
    for task_id, answer in event.answers.items():
        _answered(state, ClarificationReceived(task_id, answer, event.by))
    if event.again:
        plan_again(state, event.again, afresh=True)
    if event.interrupted:
        plan_again(state, event.interrupted, afresh=False)
    leave_family(state, event.interrupted)
    for spec in event.tasks:
        task = state.tasks[spec.id]
        remember_plan(state, task.spec, -1)
        remember_plan(state, spec)
        task.spec = spec
    state.approved = state.approved and event.revision_hash == state.revision_hash
    state.revision_hash = event.revision_hash
    state.origins = ((event.origin, event.version), *state.origins)
    state.prepared, state.checkpoints = dict(event.prepared), {}
    state.paused, state.breakpoints = None, {}
    state.created_at = state.updated_at
    state.version = 0


def _budget_added(state: PlannerState, event: BudgetAdded) -> None:
    _must_have_begun(state)
    state.budget = state.budget.raised_by(event.budget)


def _cancel_requested(state: PlannerState, event: CancelRequested) -> None:
    for task_id in event.task_ids:
        task = state.tasks[task_id]
        change(state, task, t.CANCEL_REQUESTED)
        task.cancel_requested = not event.restart
        task.outdated = task.outdated or event.restart
        if event.restart:
            task.by_hand = None
        stop_sub_plan(state, task)
        if task.elements is not None and (schedule := state.__dict__.get("schedule")):
            schedule.gate(task)
    if event.restart:
        state.cancelled = False


def _cancelled(state: PlannerState, event: PlanCancelled) -> None:
    _must_have_begun(state)
    state.cancelled, state.cancel_reason = True, event.reason


def _compacted(state: PlannerState, event: ContextCompacted) -> None:
    _must_have_begun(state)
    remember_summary(state, event)


def _completed(state: PlannerState, event: PlanningCompleted) -> None:
    _must_have_begun(state)
    state.outcome = event.outcome


_STATUS_TRIGGER = {status: f"TaskStatusUpdated:{status.value}" for status in TaskStatus}

_FOLD: dict[type, Callable[[PlannerState, Any], None]] = {
    TasksPlanned: _planned,
    PlanApproved: _approved,
    PlanRevised: _revised,
    TaskDispatched: _dispatched,
    MapExpanded: _expanded,
    WaitStarted: fold_start,
    WaitRegistered: fold_registration,
    **FOLD_SUB_PLANS,
    TaskStatusUpdated: _status_updated,
    RetryScheduled: _retry_scheduled,
    ClarificationRequested: _asked,
    ClarificationReceived: _answered,
    TasksReset: _reset,
    StepRecorded: fold_step_recorded,
    StepStarted: fold_step_started,
    StepFailed: fold_step_failed,
    BudgetAdded: _budget_added,
    CancelRequested: _cancel_requested,
    PlanCancelled: _cancelled,
    ContextCompacted: _compacted,
    PlanPaused: fold_pause,
    PlanUnpaused: fold_unpause,
    TaskDecided: _decided,
    PlanTagged: fold_tags,
    CheckpointNamed: fold_checkpoint,
    PlanForked: _forked,
    PlanningCompleted: _completed,
}
