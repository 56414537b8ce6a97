"""The commands of a plan, and the reports of executors. Plain values, which include the time."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold.planner.budget import Budget, Spend
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import ParentTask, TaskSpec

# --- executor events: what executors and people report, inside HandleExecutorEvent ------------


class TaskCompleted(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, gc=False):
    """The task is done; ``result`` is JSON."""

    result: Any = None


class TaskFailed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, gc=False):
    """The attempt failed; ``retryable`` False says that another one would fail as well."""

    error: str
    retryable: bool = True


class NeedsClarification(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The task cannot continue without an answer (``completes``: the answer is its result). With
    a ``key`` the answer is recorded as the value of that inner step."""

    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    deadline: float | None = None  # seconds from now
    completes: bool = False
    key: str = ""


class ClarificationProvided(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A person's answer; ``failed`` reports that the work asked for could not be done.
    ``result`` is the task's result where the answer says that an attempt with an unknown outcome
    was done. Without one the result is null, which is refused where a task that has not started
    uses the result."""

    answer: str
    by: str = ""
    failed: bool = False
    result: Any = msgspec.UNSET


class TaskProgressed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A note about an attempt's progress, for display."""

    note: str


class StepBegun(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An inner step that costs something is about to begin; ``reserve`` is its reservation.

    ``about`` says what it is (a model, a tool), ``request_hash`` what it is asked. ``partial`` is
    what the task has so far, for a person, should the budget not allow it.
    """

    key: str
    about: str = ""
    request_hash: str = ""
    reserve: Spend = Spend()
    partial: Any = None


class StepCompleted(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An inner step of a task is done; its value is kept for later attempts. ``spent`` replaces
    the reservation."""

    key: str
    value: Any = None
    spent: Spend | None = None


class StepAbandoned(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An inner step that had begun failed; only the amount ``spent`` is kept."""

    key: str
    error: str = ""
    spent: Spend = Spend()


class TasksProposed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A drafting task has found tasks, checked by the plan compiler. With ``replace`` they
    replace all tasks that have not started; else they are added."""

    tasks: tuple[TaskSpec, ...]
    replace: bool = False


class ContextSummarised(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A model has summarised the results of the tasks ``covers``. With a ``basis``, the digest of
    its input, a summary of outdated results is ignored."""

    summary: str
    covers: tuple[int, ...] = ()
    basis: str = ""


class OutcomeUnknown(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An attempt was interrupted, and it is unknown whether its effect happened.

    ``started_at``: when it was started, in seconds since the epoch. ``ended``: it has certainly
    ended (its process is dead); else a changed answer does not start the task again before a
    person has said how it ended.
    """

    reason: str
    started_at: float | None = None
    ended: bool = False


ExecutorEvent = (
    TaskCompleted
    | TaskFailed
    | NeedsClarification
    | ClarificationProvided
    | TaskProgressed
    | StepBegun
    | StepCompleted
    | StepAbandoned
    | TasksProposed
    | ContextSummarised
    | OutcomeUnknown
)


# --- commands ----------------------------------------------------------------------------------


class Initialize(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Begin a plan of checked tasks; ``approved_by`` skips the wait for approval. The tasks of
    ``pause_before`` get break-points. ``tags`` are words to find the plan by: up to 20, each of up
    to 50 letters, digits and ``. _ : / = -``. ``parent`` is the task whose sub-plan it is.
    ``occurrence`` is the time that the plan is for, with its offset from UTC, as in
    ``2026-12-01T02:00:00+01:00``; where it is empty, that is the time at which it begins."""

    title: str
    tasks: tuple[TaskSpec, ...]
    goal: str = ""
    config: PlannerConfig = PlannerConfig()
    approved_by: str | None = None
    pause_before: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    parent: ParentTask | None = None
    occurrence: str = ""


class HandleExecutorEvent(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, gc=False):
    """An executor or a person reports on a task.

    ``attempt`` None means the present one (a person answers a question, not an attempt);
    ``now`` is in seconds since the epoch and ``jitter`` in [0, 1): they make a retry's delay.
    ``epoch`` is that of the lease under which an attempt reports, 0 where it is not known: a step
    that begins again under the same one was delivered twice; under another one the first was
    interrupted.
    """

    task_id: int
    event: ExecutorEvent
    attempt: int | None = None
    now: float = 0.0
    jitter: float = 0.5
    epoch: int = 0


class Continue(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, gc=False):
    """Do all that is due at ``now``: dispatch, retry, apply defaults, complete."""

    now: float = 0.0


class CompactContext(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Replace the context's older part by ``summary``, or by an extract where it is None."""

    summary: str | None = None


class ApprovePlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Let the plan run at exactly this revision."""

    revision_hash: str
    by: str = ""


class RevisePlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Replace every task that has not started by ``tasks``; those that have started stay. The
    ``superseded`` ones ended without completing: the plan's outcome no longer depends on them,
    and no task of the revision may depend on them. A skipped or cancelled task that never started
    may have its id in ``tasks``: the revision then plans it again."""

    tasks: tuple[TaskSpec, ...]
    approved_by: str | None = None
    superseded: tuple[int, ...] = ()


class Replan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Let the model replan the tasks that have not started; ``reason`` says why. The new tasks
    are a revision that waits for approval."""

    reason: str = ""


class AddBudget(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Raise the plan's budget, and continue the tasks that wait for it."""

    budget: Budget
    by: str = ""


class RetryTask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Run a failed, cancelled or skipped task again, what was skipped because of it, and its
    handlers: tasks with ``run_if``. A handler of effect ``once`` that ran does not run again,
    unless its failure was reported."""

    task_id: int


class RegisterWait(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An attempt of a wait for a signal is now known where the signals of its name and key are; or
    the sub-plan ``plan_id`` of a task has begun or (``stop``) was cancelled. The worker that did so
    sends this; it changes nothing where the wait has ended."""

    task_id: int
    attempt: int
    plan_id: str | None = None
    stop: bool = False


class ContinueSubPlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The task of the parent is at this ``attempt``. A later one than before runs again what did
    not complete, with its followers; workers send this."""

    attempt: int


class ConfirmEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The parent has the end of this sub-plan, or no longer needs it; workers send this."""

    attempt: int


class ChangeAnswer(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Give another answer to a question: exactly the tasks that descend from it run again, each
    once its present attempt has ended. Those of effect ``once`` that may have had their effect must
    be in ``repeat``."""

    task_id: int
    answer: str
    by: str = ""
    repeat: tuple[int, ...] = ()


class TagPlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Add tags to the plan and remove others, at any time."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    by: str = ""


class NameCheckpoint(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Give the plan's present version a name, to restore it later."""

    name: str


class ForkPlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """Begin a plan that continues ``origin`` from its ``version`` on, with other tasks or answers.

    ``tasks`` replace those with the same ids. ``answers`` hold at once, or as soon as the question
    is asked; ``kept`` ones only when it is asked. ``happened`` are tasks whose effect happened, or
    may happen, in an origin after ``version``; those of effect ``once``, and those in which a model
    plans, are refused unless they are in ``repeat``. ``by`` gave the answers. ``checksum`` is that
    of the origin's event at ``version``; :meth:`App.send` adds it. ``undone`` tasks were undone in
    the origin after ``version``; they run again, as do those that were before.
    """

    origin: str
    version: int
    tasks: tuple[TaskSpec, ...] = ()
    answers: dict[int, str] = {}
    kept: dict[int, str] = {}
    happened: tuple[int, ...] = ()
    repeat: tuple[int, ...] = ()
    by: str = ""
    approved_by: str | None = None
    checksum: str = ""
    undone: tuple[int, ...] = ()


class CancelTask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Cancel a task, with ``subtree`` also all its descendants. A running task is asked to
    stop."""

    task_id: int
    subtree: bool = False
    reason: str = ""


class CancelPlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Cancel the plan: finished tasks stay finished, running tasks are asked to stop."""

    reason: str = ""


class PausePlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Start nothing more of the plan, or (``task_ids``) nothing of these tasks: they get
    break-points. Attempts that run, and those that are queued, end."""

    task_ids: tuple[int, ...] = ()
    reason: str = ""
    by: str = ""


class UnpausePlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Continue a paused plan; where it is not paused, lift the break-points that it has reached.
    With ``task_ids`` lift the break-points of these tasks instead."""

    task_ids: tuple[int, ...] = ()
    by: str = ""


class SkipTask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Do without a task. An attempt that runs is stopped first; one of effect ``once`` is not."""

    task_id: int
    reason: str = ""
    by: str = ""


class CompleteTask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A person did what the task is about, with this ``result`` (none: null, which is refused where
    a task that has not started uses it). An attempt that runs is stopped first; one of effect
    ``once`` is not."""

    task_id: int
    result: Any = msgspec.UNSET
    reason: str = ""
    by: str = ""


class UndoPlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Undo what a plan that has ended did: its completed tasks that have an undo, the last one
    first. Those that were undone stay so."""

    by: str = ""


Command = (
    Initialize
    | HandleExecutorEvent
    | Continue
    | CompactContext
    | ApprovePlan
    | RevisePlan
    | Replan
    | AddBudget
    | RetryTask
    | RegisterWait
    | ContinueSubPlan
    | ConfirmEnd
    | ChangeAnswer
    | TagPlan
    | NameCheckpoint
    | ForkPlan
    | CancelTask
    | CancelPlan
    | PausePlan
    | UnpausePlan
    | SkipTask
    | CompleteTask
    | UndoPlan
)
