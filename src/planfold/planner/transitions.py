"""Every legal change of a task's status: one table, status x trigger -> status.

A trigger is an event's name, with a variant where one event can mean several things. What is not
in the table is not legal: ``fold_event`` refuses it. ``docs/reference/task-status.md``
is drawn from here.
"""

from __future__ import annotations

from typing import Final

from planfold.planner.tasks import TaskStatus as S

DISPATCHED: Final = "TaskDispatched"
EXPANDED: Final = "MapExpanded"
WAIT_STARTED: Final = "WaitStarted"
WAIT_REGISTERED: Final = "WaitRegistered"
COMPLETED: Final = "TaskStatusUpdated:completed"
FAILED: Final = "TaskStatusUpdated:failed"
CANCELLED: Final = "TaskStatusUpdated:cancelled"
SKIPPED: Final = "TaskStatusUpdated:skipped"
PROGRESSED: Final = "TaskStatusUpdated:running"
RETRY_SCHEDULED: Final = "RetryScheduled"
ASKED: Final = "ClarificationRequested"
ANSWERED: Final = "ClarificationReceived:complete"
ANSWERED_RESUME: Final = "ClarificationReceived:resume"
ANSWERED_FAIL: Final = "ClarificationReceived:fail"
RESET: Final = "TasksReset"
SKIPPED_BY_HAND: Final = "TaskDecided:skipped"
COMPLETED_BY_HAND: Final = "TaskDecided:completed"
STEP_STARTED: Final = "StepStarted"
STEP_RECORDED: Final = "StepRecorded"
STEP_FAILED: Final = "StepFailed"
CANCEL_REQUESTED: Final = "CancelRequested"

TRANSITIONS: Final[dict[tuple[S, str], S]] = {
    (S.Planned, DISPATCHED): S.Running,
    (S.Planned, EXPANDED): S.Running,  # a map
    (S.Planned, WAIT_STARTED): S.Running,
    (S.Planned, ASKED): S.NeedsClarification,
    (S.Planned, FAILED): S.Failed,  # a reference to a result that lacks the field
    (S.Planned, CANCELLED): S.Cancelled,
    (S.Planned, SKIPPED): S.Skipped,
    (S.Planned, SKIPPED_BY_HAND): S.Skipped,
    (S.Planned, COMPLETED_BY_HAND): S.Completed,
    (S.Planned, RESET): S.Planned,
    (S.Running, WAIT_REGISTERED): S.Running,
    (S.Running, COMPLETED): S.Completed,
    (S.Running, FAILED): S.Failed,
    (S.Running, CANCELLED): S.Cancelled,
    (S.Running, PROGRESSED): S.Running,
    (S.Running, RETRY_SCHEDULED): S.Planned,
    (S.Running, ASKED): S.NeedsClarification,
    (S.Running, STEP_STARTED): S.Running,
    (S.Running, STEP_RECORDED): S.Running,
    (S.Running, STEP_FAILED): S.Running,
    (S.Running, CANCEL_REQUESTED): S.Running,
    (S.Running, SKIPPED_BY_HAND): S.Running,  # its attempt ends first
    (S.Running, COMPLETED_BY_HAND): S.Running,
    (S.Running, SKIPPED): S.Skipped,  # then it is skipped
    (S.Running, RESET): S.Planned,  # in a fork, and in old logs: now the attempt ends first
    (S.NeedsClarification, ANSWERED): S.Completed,
    (S.NeedsClarification, ANSWERED_RESUME): S.Planned,
    (S.NeedsClarification, ANSWERED_FAIL): S.Failed,
    (S.NeedsClarification, CANCEL_REQUESTED): S.NeedsClarification,  # may it still be running?
    (S.NeedsClarification, CANCELLED): S.Cancelled,
    (S.NeedsClarification, SKIPPED_BY_HAND): S.Skipped,
    (S.NeedsClarification, COMPLETED_BY_HAND): S.Completed,
    (S.NeedsClarification, RESET): S.Planned,
    (S.Completed, ANSWERED): S.Completed,  # the answer was changed
    (S.Completed, RESET): S.Planned,
    (S.Failed, RESET): S.Planned,
    (S.Cancelled, RESET): S.Planned,
    (S.Skipped, RESET): S.Planned,
}

TRIGGERS: Final = (
    DISPATCHED,
    EXPANDED,
    WAIT_STARTED,
    WAIT_REGISTERED,
    PROGRESSED,
    STEP_STARTED,
    STEP_RECORDED,
    STEP_FAILED,
    COMPLETED,
    FAILED,
    RETRY_SCHEDULED,
    ASKED,
    ANSWERED,
    ANSWERED_RESUME,
    ANSWERED_FAIL,
    CANCEL_REQUESTED,
    CANCELLED,
    SKIPPED,
    SKIPPED_BY_HAND,
    COMPLETED_BY_HAND,
    RESET,
)

ENDED: Final = frozenset({S.Completed, S.Failed, S.Cancelled, S.Skipped})
