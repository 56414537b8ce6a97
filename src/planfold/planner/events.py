"""What has happened to a plan. Fields are only ever added, with defaults; see docs/reference."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from planfold.planner.budget import Budget, Spend
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import ParentTask, SkipReason, TaskSpec, TaskStatus

Then = Literal["complete", "resume", "outcome", "budget"]
AnswerLeadsTo = Literal["complete", "resume", "fail"]
PlanOutcome = Literal["completed", "failed", "cancelled"]


class TasksPlanned(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The plan begins; where it is a sub-plan, as a task of its ``parent``. ``occurrence`` is the
    time that a schedule began it for, as in ``2026-12-01T02:00:00+01:00``; where it is empty, the
    plan is for the time of this event."""

    title: str
    goal: str
    tasks: tuple[TaskSpec, ...]
    revision_hash: str
    config: PlannerConfig = PlannerConfig()
    tags: tuple[str, ...] = ()
    parent: ParentTask | None = None
    occurrence: str = ""


class PlanApproved(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """This revision was approved; its tasks may start."""

    revision_hash: str
    by: str = ""


class PlanRevised(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """``removed`` ids are gone, ``tasks`` are new or replace the task with the same id.
    ``superseded`` ones did not complete, and the plan's outcome no longer depends on them."""

    removed: tuple[int, ...]
    tasks: tuple[TaskSpec, ...]
    revision_hash: str
    superseded: tuple[int, ...] = ()


class TaskDispatched(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An attempt begins. ``arguments`` is set where references were resolved."""

    task_id: int
    attempt: int
    arguments: dict[str, Any] | None = None


class MapExpanded(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A map begins: it has an item for each of the ``count`` elements of its list, which is a
    result in the log already. After a retry the items that completed stay."""

    task_id: int
    count: int


class WaitStarted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A wait begins. It ends at ``until`` (seconds since the epoch; None: not by time) or,
    where it is for a signal, when one with its ``key`` comes (None: the key is the plan's id).
    Where it is for a sub-plan, ``arguments`` are the values of its parameters, with references
    resolved (None: as planned)."""

    task_id: int
    attempt: int
    until: float | None = None
    key: str | None = None
    arguments: dict[str, Any] | None = None


class WaitRegistered(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A wait for a signal is known where the signals of its name and key are; or the sub-plan
    ``plan_id`` of a task has begun, has begun again, or (``stop``) was cancelled."""

    task_id: int
    attempt: int
    plan_id: str | None = None
    stop: bool = False


class SubPlanContinued(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The end of this sub-plan is for this ``attempt`` of the task of its parent."""

    attempt: int


class EndReported(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The parent of this sub-plan has its end, for this ``attempt`` of its task."""

    attempt: int


class TaskStatusUpdated(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A task moved on: progress (``running``, with a ``note``), or its end. ``skip_reason``: a
    parent did not complete, its condition is false (or nothing before it ran, or failed), or a
    person decided so while it ran. The result of a map is the list of its items' results, and is
    not written again."""

    task_id: int
    status: TaskStatus
    result: Any = None
    error: str | None = None
    note: str | None = None
    outcome_unknown: bool = False
    skip_reason: SkipReason | None = None


class RetryScheduled(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The attempt failed; the next one starts at ``at`` (``delay`` seconds after the failure)."""

    task_id: int
    delay: float
    at: float
    error: str


class ClarificationRequested(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """``then`` says what the answer is: the task's result, the input with which the attempt
    continues, the outcome of an interrupted attempt, or the decision about a task that used up
    the budget (``partial``: its result so far). The answer is the value of the inner step ``key``,
    if there is one. ``deadline`` is in seconds since the epoch. Where the outcome is unknown,
    ``started_at`` says when the attempt was started (seconds since the epoch), and ``ended`` that
    it no longer runs. ``error`` is that of a task which undoes another one and failed."""

    task_id: int
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    deadline: float | None = None
    then: Then = "complete"
    key: str = ""
    partial: Any = None
    started_at: float | None = None
    ended: bool = False
    error: str = ""


class ClarificationReceived(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An answer, by a person or the deadline, and what it leads to. On a completed question: the
    answer was changed. The answer is the result of the task that it completes, unless a
    ``result`` is set: that of an attempt whose outcome was unknown."""

    task_id: int
    answer: str
    by: str = ""
    leads_to: AnswerLeadsTo = "complete"
    result: Any = msgspec.UNSET


class TasksReset(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """These tasks are planned again: a manual retry, an answer on which they depend changed, they
    are handlers of a task that is retried (or follow one), a person decides about one of them
    that did not complete, or they were undone and the plan continues."""

    task_ids: tuple[int, ...]
    reason: Literal["retry", "answer_changed", "handler", "by_hand", "undone"]


class StepStarted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An inner step that costs something began, and ``reserved`` is its reservation. ``again``: it
    had begun before and was interrupted, and the earlier reservation counts as spent. ``epoch``
    is that of the lease under which it began."""

    task_id: int
    key: str
    about: str = ""
    request_hash: str = ""
    reserved: Spend = Spend()
    again: bool = False
    epoch: int = 0


class StepRecorded(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An inner step of a running task is done; later attempts get its value."""

    task_id: int
    key: str
    value: Any = None
    spent: Spend | None = None


class StepFailed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An inner step that had begun failed; ``spent`` replaces its reservation."""

    task_id: int
    key: str
    error: str = ""
    spent: Spend = Spend()


class BudgetAdded(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The plan may spend more, by these amounts."""

    budget: Budget
    by: str = ""


class CancelRequested(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The workers that run these tasks are asked to stop them. With ``restart`` because an answer
    on which they depend was changed: once its attempt has ended, each is reset and runs again."""

    task_ids: tuple[int, ...]
    reason: str = ""
    restart: bool = False


class PlanCancelled(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The plan was cancelled; the events that follow say what happens to each task."""

    reason: str = ""


class ContextCompacted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """``summary`` replaces the results of the tasks ``covers``; None: of all tasks that had
    finished by then."""

    summary: str
    tokens_before: int
    tokens_after: int
    covers: tuple[int, ...] | None = None


class PlanPaused(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Nothing starts any more, or (``task_ids``) nothing of these tasks: they have break-points."""

    task_ids: tuple[int, ...] = ()
    reason: str = ""
    by: str = ""


class PlanUnpaused(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The break-points of ``task_ids`` are gone; without any, the plan is no longer paused."""

    task_ids: tuple[int, ...] = ()
    by: str = ""


class TaskDecided(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A person decided how a task ends: skipped, or completed with this ``result``. Where an
    attempt runs, it is stopped first, and the task ends with it."""

    task_id: int
    status: TaskStatus
    result: Any = None
    reason: str = ""
    by: str = ""


class PlanTagged(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The plan got tags, or lost them."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    by: str = ""


class CheckpointNamed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The version of this event has a name now."""

    name: str


class PlanForked(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """The first event of a fork: what it continues is the state of ``origin`` at ``version``.

    ``tasks`` replace those with the same ids. ``answers`` were given or changed; ``prepared`` ones
    hold when their question is asked. The tasks of ``again`` run again, because they or what they
    depend on was changed; those that were ``interrupted`` had begun, and begin again with the inner
    steps that are recorded. ``repeat`` are tasks of effect ``once`` that may do so."""

    origin: str
    version: int
    revision_hash: str
    tasks: tuple[TaskSpec, ...] = ()
    answers: dict[int, str] = {}
    prepared: dict[int, str] = {}
    again: tuple[int, ...] = ()
    interrupted: tuple[int, ...] = ()
    repeat: tuple[int, ...] = ()
    by: str = ""
    checksum: str = ""


class UndoPlanned(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The tasks ``task_ids`` are undone in this order: for each one the plan gets a task that
    reverts it, with the next free id, and each starts when the one before has ended. With a
    ``question`` a person is asked first; its task has the id before theirs. ``by``: the person who
    wanted it; empty: the plan did not complete."""

    task_ids: tuple[int, ...]
    question: str = ""
    by: str = ""


class PlanSummary(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How a plan ended: counts, and the ids of every task that did not complete. ``total`` and
    ``completed`` count tasks and items, without those that a revision superseded and those that
    undo others. Those of ``skipped`` that are in ``by_condition`` were not needed. Of ``to_undo``
    tasks ``undone`` were undone."""

    total: int
    completed: int
    failed: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()
    cancelled: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    by_condition: tuple[int, ...] = ()
    undone: int = 0
    to_undo: int = 0


class PlanningCompleted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Every task has ended. A retry, a changed answer or a revision may resume the plan."""

    outcome: PlanOutcome
    summary: PlanSummary


Event = (
    TasksPlanned
    | PlanApproved
    | PlanRevised
    | TaskDispatched
    | MapExpanded
    | WaitStarted
    | WaitRegistered
    | SubPlanContinued
    | EndReported
    | TaskStatusUpdated
    | RetryScheduled
    | ClarificationRequested
    | ClarificationReceived
    | TasksReset
    | StepStarted
    | StepRecorded
    | StepFailed
    | BudgetAdded
    | CancelRequested
    | PlanCancelled
    | ContextCompacted
    | PlanPaused
    | PlanUnpaused
    | TaskDecided
    | PlanTagged
    | CheckpointNamed
    | PlanForked
    | UndoPlanned
    | PlanningCompleted
)
