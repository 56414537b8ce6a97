"""What each event changes in a ``PlannerState``: the memory of a plan, without its decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from planfold.errors import CorruptLog
from planfold.handler import Handler
from planfold.planner import plan_folds, task_folds
from planfold.planner.commands import Command
from planfold.planner.events import (
    BudgetAdded,
    CancelRequested,
    CheckpointNamed,
    ClarificationReceived,
    ClarificationRequested,
    ContextCompacted,
    EndReported,
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
    SubPlanContinued,
    TaskDecided,
    TaskDispatched,
    TasksPlanned,
    TasksReset,
    TaskStatusUpdated,
    UndoPlanned,
    WaitRegistered,
    WaitStarted,
)
from planfold.planner.histories import fold_history
from planfold.planner.names import fold_checkpoint, fold_tags
from planfold.planner.pauses import fold_pause, fold_unpause
from planfold.planner.state import PlannerState
from planfold.planner.step_costs import (
    fold_step_failed,
    fold_step_recorded,
    fold_step_started,
)
from planfold.planner.sub_plans import fold_continuation, fold_report
from planfold.planner.undone import fold_undo
from planfold.planner.waits import fold_registration, fold_start


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
        """See :meth:`Handler.take_in`."""
        fold_history(self.state, zip(events, times, strict=False), fold_event)
        self.recorded_at = self.state.updated_at


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


_FOLD: dict[type, Callable[[PlannerState, Any], None]] = {
    TasksPlanned: plan_folds.planned,
    PlanApproved: plan_folds.approved,
    PlanRevised: plan_folds.revised,
    TaskDispatched: task_folds.dispatched,
    MapExpanded: task_folds.expanded,
    WaitStarted: fold_start,
    WaitRegistered: fold_registration,
    SubPlanContinued: fold_continuation,
    EndReported: fold_report,
    TaskStatusUpdated: task_folds.status_updated,
    RetryScheduled: task_folds.retry_scheduled,
    ClarificationRequested: task_folds.asked,
    ClarificationReceived: task_folds.answered,
    TasksReset: task_folds.reset,
    StepRecorded: fold_step_recorded,
    StepStarted: fold_step_started,
    StepFailed: fold_step_failed,
    BudgetAdded: plan_folds.budget_added,
    CancelRequested: task_folds.cancel_requested,
    PlanCancelled: plan_folds.cancelled,
    ContextCompacted: plan_folds.compacted,
    PlanPaused: fold_pause,
    PlanUnpaused: fold_unpause,
    TaskDecided: task_folds.decided,
    PlanTagged: fold_tags,
    CheckpointNamed: fold_checkpoint,
    PlanForked: plan_folds.forked,
    UndoPlanned: fold_undo,
    PlanningCompleted: plan_folds.completed,
}
