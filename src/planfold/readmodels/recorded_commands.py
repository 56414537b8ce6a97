"""The command behind a decision, read or rebuilt from the log alone.

A small command is recorded beside its first event. A worker's report, or a command that was too
large to be recorded, is rebuilt from its events, so that deciding it gives exactly these events. If
the events are not enough for that (for example, the cost of a step that the budget refused),
nothing is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from planfold.compaction.errors import compact_error_message
from planfold.eventstore.envelope import Envelope
from planfold.planner import commands as c
from planfold.planner import events as e
from planfold.planner.outcomes import handle_executor_event
from planfold.planner.state import PlannerState
from planfold.planner.tasks import REPLANNING, Task, TaskStatus

Attempts = Mapping[int, tuple[int, int]]
"""Task and attempt of each event that dispatched one, by version."""

REPEATED: Final = frozenset({"TaskProgressed", "TasksProposed", "ContextSummarised", "StepBegun"})
"""Reports that one attempt may make several times under one causation id."""

_STOPPED_ASKING: Final = "stopped when it asked: "
_UNKNOWN: Final = "outcome unknown: "
_MARK: Final = "\0reason\0"


class Cause(NamedTuple):
    """What a causation id says: the ``version`` of the event behind the command (None: it came
    from outside the plan), and the ``name`` of the command or report."""

    version: int | None
    name: str


def cause_of(envelope: Envelope) -> Cause:
    """The cause of a recorded event."""
    head = f"{envelope.aggregate_id}#"
    cause = envelope.metadata.causation_id
    if not cause.startswith(head):
        return Cause(None, "")
    version, _, name = cause[len(head) :].partition("/")
    return Cause(int(version) if version.isdecimal() else None, name.partition(":")[0])


def decided_at(envelope: Envelope) -> float:
    """When the decision was made, in seconds since the epoch."""
    return envelope.metadata.now or envelope.recorded_at


def recorded_command(
    state: PlannerState, events: Sequence[Envelope], attempts: Attempts
) -> c.Command | None:
    """The command whose first event is the first of ``events``, which share a causation id;
    ``state`` is the plan before it. None where the log does not say it exactly."""
    first = events[0]
    if first.metadata.command is not None:
        read = _read(first.metadata.command)
        if isinstance(read, c.ChangeAnswer) and not read.repeat:  # older logs do not say it
            read = replace(read, repeat=tuple(state.tasks))
        return read
    cause = cause_of(first)
    if cause.name == "Continue":
        return c.Continue(decided_at(first))
    if cause.name == "CompactContext":
        return c.CompactContext()
    if cause.version is not None and (made := attempts.get(cause.version)):
        return _report(state, first, cause.name, *made)
    return _asked(state, [envelope.event for envelope in events], first)


def _read(command: Any) -> c.Command | None:
    try:
        (value,) = command.values()
        read: c.Command = msgspec.json.decode(msgspec.json.encode(value), type=c.Command)
    except (msgspec.MsgspecError, AttributeError, ValueError):
        return None
    return read


def _report(
    state: PlannerState, first: Envelope, name: str, task_id: int, attempt: int
) -> c.Command | None:
    task, rebuild = state.tasks.get(task_id), _REPORTS.get(name)
    report = rebuild(state, task, first) if task is not None and rebuild is not None else None
    if report is None:
        return None
    jitter = first.metadata.jitter
    if jitter is None and isinstance(first.event, e.RetryScheduled):
        return None
    epoch = first.event.epoch if isinstance(first.event, e.StepStarted) else 0
    return c.HandleExecutorEvent(
        task_id, report, attempt, decided_at(first), 0.5 if jitter is None else jitter, epoch
    )


# --- reports of executors ------------------------------------------------------------------------


def _completed(_: PlannerState, __: Task, first: Envelope) -> c.ExecutorEvent | None:
    event = first.event
    return c.TaskCompleted(event.result) if isinstance(event, e.TaskStatusUpdated) else None


def _failed(state: PlannerState, task: Task, first: Envelope) -> c.ExecutorEvent | None:
    """A report of a failure. Whether it was retryable is seen from whether a retry followed."""
    if isinstance(first.event, e.ClarificationRequested):  # an undo that failed
        return c.TaskFailed(first.event.error, retryable=False) if first.event.error else None
    error = _error(state, first.event)
    return None if error is None else c.TaskFailed(error, isinstance(first.event, e.RetryScheduled))


def _error(state: PlannerState, event: Any) -> str | None:
    """An error that would be recorded as this one; the reported one may have been longer."""
    if not isinstance(event, e.RetryScheduled | e.TaskStatusUpdated):
        return None
    error = event.error or ""
    kept = compact_error_message(error, state.config.error_char_limit)
    return error if kept == error else None


def _needs_answer(_: PlannerState, task: Task, first: Envelope) -> c.ExecutorEvent | None:
    match first.event:
        case e.TaskStatusUpdated() if task.by_hand is not None:
            return c.NeedsClarification("")  # whose text is not recorded
        case e.TaskStatusUpdated(error=str(error)) if error.startswith(_STOPPED_ASKING):
            return c.NeedsClarification(error.removeprefix(_STOPPED_ASKING))
        case e.ClarificationRequested() as asked:
            wait = _seconds(decided_at(first), asked.deadline)
            if wait is None and asked.deadline is not None:
                return None
            completes = asked.then == "complete"
            return c.NeedsClarification(
                asked.question, asked.choices, asked.default, wait, completes, asked.key
            )
    return None


def _seconds(now: float, deadline: float | None) -> float | None:
    """The length of the wait that ends at ``deadline``, rounded where ``now`` plus that is exactly
    the deadline."""
    if deadline is None:
        return None
    wait = deadline - now
    return next((w for w in (round(wait, 3), round(wait, 6), wait) if now + w == deadline), None)


def _progressed(_: PlannerState, __: Task, first: Envelope) -> c.ExecutorEvent | None:
    event = first.event
    return c.TaskProgressed(event.note or "") if isinstance(event, e.TaskStatusUpdated) else None


def _step_begun(_: PlannerState, __: Task, first: Envelope) -> c.ExecutorEvent | None:
    match first.event:
        case e.StepStarted(_, key, about, request_hash, reserved):
            return c.StepBegun(key, about, request_hash, reserved)
    return None


def _step_completed(_: PlannerState, __: Task, first: Envelope) -> c.ExecutorEvent | None:
    match first.event:
        case e.StepRecorded(_, key, value, spent):
            return c.StepCompleted(key, value, spent)
    return None


def _step_abandoned(_: PlannerState, __: Task, first: Envelope) -> c.ExecutorEvent | None:
    match first.event:
        case e.StepFailed(_, key, error, spent):
            return c.StepAbandoned(key, error, spent)
    return None


def _proposed(state: PlannerState, _: Task, first: Envelope) -> c.ExecutorEvent | None:
    match first.event:
        case e.PlanRevised(removed, tasks, _, superseded):
            known = any(spec.id in state.tasks for spec in tasks)
            return c.TasksProposed(tasks, replace=bool(removed or superseded or known))
    return None


def _summarised(_: PlannerState, __: Task, first: Envelope) -> c.ExecutorEvent | None:
    match first.event:
        case e.ContextCompacted(summary, covers=tuple(covers)):
            return c.ContextSummarised(summary, covers)
    return None


def _unknown(state: PlannerState, task: Task, first: Envelope) -> c.ExecutorEvent | None:
    match first.event:
        case e.ClarificationRequested(started_at=started_at, ended=ended) as asked:
            reason = _reason(state, task, asked)
            return None if reason is None else c.OutcomeUnknown(reason, started_at, ended)
        case e.TaskStatusUpdated(_, TaskStatus.Cancelled, error=str(said)):
            return c.OutcomeUnknown(said.removeprefix(_UNKNOWN), ended=True)
    error = _error(state, first.event)
    return None if error is None else c.OutcomeUnknown(error, ended=True)


def _reason(state: PlannerState, task: Task, asked: e.ClarificationRequested) -> str | None:
    """The reason inside the question to a person. The question is made again with a mark as the
    reason, to find the planner's words around it."""
    report = c.OutcomeUnknown(_MARK, asked.started_at, asked.ended)
    for event in handle_executor_event(state, c.HandleExecutorEvent(task.id, report)):
        if isinstance(event, e.ClarificationRequested):
            return _between(asked.question, event.question)
        break
    return None


def _between(question: str, marked: str) -> str | None:
    """The part of a question that is where ``marked`` has the mark."""
    before, _, after = marked.partition(_MARK)
    found = question.removeprefix(before).removesuffix(after)
    return found if before + found + after == question else None


_REPORTS: Final[dict[str, Callable[[PlannerState, Task, Envelope], c.ExecutorEvent | None]]] = {
    "TaskCompleted": _completed,
    "TaskFailed": _failed,
    "NeedsClarification": _needs_answer,
    "TaskProgressed": _progressed,
    "StepBegun": _step_begun,
    "StepCompleted": _step_completed,
    "StepAbandoned": _step_abandoned,
    "TasksProposed": _proposed,
    "ContextSummarised": _summarised,
    "OutcomeUnknown": _unknown,
}


# --- commands of people and programs that were too large to be recorded -------------------------


def _forking(forked: e.PlanForked, approved_by: str | None) -> c.ForkPlan:
    return c.ForkPlan(
        origin=forked.origin,
        version=forked.version,
        tasks=forked.tasks,
        answers=forked.answers,
        kept=forked.prepared,
        repeat=forked.repeat,
        by=forked.by,
        approved_by=approved_by,
        checksum=forked.checksum,
        undone=forked.again,  # of the same effect
    )


def _by_hand(events: Sequence[Any]) -> c.Command | None:
    match events[0]:
        case e.PlanPaused(task_ids, reason, by):
            return c.PausePlan(task_ids, reason, by)
        case e.PlanUnpaused(task_ids, by):
            return c.UnpausePlan(task_ids, by)
        case e.UndoPlanned(by=by):
            return c.UndoPlan(by)
        case e.PlanTagged(added, removed, by):
            return c.TagPlan(added, removed, by)
    for event in events[:3]:  # the first ones may be resets
        match event:
            case e.TaskDecided(task_id, TaskStatus.Completed, result, reason, by):
                return c.CompleteTask(task_id, result, reason, by)
            case e.TaskDecided(task_id, _, _, reason, by):
                return c.SkipTask(task_id, reason, by)
    return None


def _by_worker(event: Any) -> c.Command | None:
    match event:
        case e.WaitRegistered(task_id, attempt, plan_id, stop):
            return c.RegisterWait(task_id, attempt, plan_id, stop)
        case e.SubPlanContinued(attempt):
            return c.ContinueSubPlan(attempt)
        case e.EndReported(attempt):
            return c.ConfirmEnd(attempt)
    return None


def _asked(state: PlannerState, events: Sequence[Any], first: Envelope) -> c.Command | None:
    """A command that has the same effect as the recorded one. ``events`` are all events with its
    causation id."""
    if (decided := _by_hand(events) or _by_worker(events[0])) is not None:
        return decided
    approval = next((event for event in events if isinstance(event, e.PlanApproved)), None)
    approved_by = approval.by if approval is not None else None
    match first.event:
        case e.TasksPlanned(title, goal, tasks, _, config, tags, parent, occurrence):
            paused = [event.task_ids for event in events if isinstance(event, e.PlanPaused)]
            before = paused[0] if paused else ()
            about = (before, tags, parent, occurrence)
            return c.Initialize(title, tasks, goal, config, approved_by, *about)
        case e.PlanApproved(revision_hash, by):
            return c.ApprovePlan(revision_hash, by)
        case e.PlanRevised((), (spec,)) if spec.drafts:
            return c.Replan(spec.description.removeprefix(REPLANNING))
        case e.PlanRevised(_, tasks, _, superseded):
            return c.RevisePlan(tasks, approved_by, superseded)
        case e.PlanForked() as forked:
            return _forking(forked, approved_by)
        case e.CheckpointNamed(name):
            return c.NameCheckpoint(name)
        case e.BudgetAdded(budget, by):
            return c.AddBudget(budget, by)
        case e.PlanCancelled(reason):
            return c.CancelPlan(reason)
        case e.ContextCompacted(summary, covers=None):
            return c.CompactContext(summary)
        case e.ClarificationReceived(task_id, answer, by):
            if task_id not in state.questions:
                return c.ChangeAnswer(task_id, answer, by, tuple(state.tasks))  # all were allowed
            failed = first.event.leads_to == "fail"
            answered = c.ClarificationProvided(answer, by, failed, first.event.result)
            return c.HandleExecutorEvent(task_id, answered, now=decided_at(first))
        case e.TaskStatusUpdated(task_id, TaskStatus.Completed, result):
            return c.HandleExecutorEvent(task_id, c.TaskCompleted(result), now=decided_at(first))
    return None
