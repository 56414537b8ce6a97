"""``HandleExecutorEvent``: what a report from an executor or a person means for the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from planfold.compaction.errors import compact_error_message
from planfold.compaction.truncation import truncate_middle
from planfold.errors import CommandRejected
from planfold.planner.answers import receive_answer
from planfold.planner.cancellation import (
    blocking_parent,
    find_task,
    run_again,
    skip_dependents,
    stopped,
)
from planfold.planner.commands import (
    ClarificationProvided,
    ContextSummarised,
    HandleExecutorEvent,
    NeedsClarification,
    OutcomeUnknown,
    StepAbandoned,
    StepBegun,
    StepCompleted,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
    TasksProposed,
)
from planfold.planner.context import summarise_context
from planfold.planner.events import (
    ClarificationRequested,
    Event,
    RetryScheduled,
    TaskStatusUpdated,
)
from planfold.planner.items import id_text, map_of
from planfold.planner.questions import OUTCOME_CHOICES, RETRY
from planfold.planner.revisions import propose_tasks
from planfold.planner.state import PlannerState
from planfold.planner.steps import abandon_step, begin_step, complete_step
from planfold.planner.tasks import Effect, Task, TaskStatus
from planfold.planner.undo import how_to_undo
from planfold.retries import retry_delay

RUNNING: Final = TaskStatus.Running  # looking up a member takes time
COMPLETED: Final = TaskStatus.Completed
_ARGUMENTS = 400  # characters of a call's arguments in a question


def handle_executor_event(state: PlannerState, command: HandleExecutorEvent) -> Iterable[Event]:
    """Decide ``HandleExecutorEvent``. Reports of earlier attempts, and reports of an attempt
    that has ended, change nothing: delivery may be at-least-once."""
    task, report = state.tasks.get(command.task_id), command.event
    if task is None and command.attempt is not None and map_of(command.task_id) in state.tasks:
        return ()  # the item's map was planned again, so the item is gone
    task = task or find_task(state, command.task_id)
    if command.attempt is not None and command.attempt > task.attempt:
        raise CommandRejected(
            f"task {id_text(task.id)} is at attempt {task.attempt}; attempt {command.attempt} was "
            "never dispatched"
        )
    if command.attempt is not None and command.attempt < task.attempt:
        return ()
    if isinstance(report, ClarificationProvided):
        return receive_answer(state, task, report)
    if task.spec.for_each is not None:
        raise CommandRejected(
            f"task {task.id} is a map; what runs are its items: report on {task.id}[0]"
        )
    if task.status is not RUNNING:
        return ()
    if isinstance(report, TaskCompleted):  # nearly always
        return _completed(state, task, report.result)
    return _reported(state, task, command)


def _reported(state: PlannerState, task: Task, command: HandleExecutorEvent) -> Iterator[Event]:
    report = command.event
    match report:
        case TaskFailed():
            yield from _failed(state, task, command, report)
        case NeedsClarification():
            if task.stopping:
                yield from stopped(state, task, f"stopped when it asked: {report.question}")
            else:
                yield _question(task, report, command.now)
        case TaskProgressed(note):
            if note != task.note:
                yield TaskStatusUpdated(task.id, RUNNING, note=note)
        case StepBegun():
            yield from begin_step(state, task, report, command.epoch)
        case StepCompleted():
            yield from complete_step(state, task, report)
        case StepAbandoned():
            yield from abandon_step(state, task, report)
        case TasksProposed():
            yield from propose_tasks(state, task, report)
        case ContextSummarised():
            yield from summarise_context(state, report)
        case OutcomeUnknown():
            yield from _unknown(state, task, command, report)


def _completed(state: PlannerState, task: Task, result: object) -> Iterable[Event]:
    if task.by_hand is not None:
        return stopped(state, task, "", result=result)
    if task.outdated and task.cancel_requested:
        error = "it completed, but an answer on which it rests was changed"
        return stopped(state, task, error, result=result)
    completed: list[Event] = [TaskStatusUpdated(task.spec.id, COMPLETED, result=result)]
    if task.outdated:
        completed += run_again(state, task)
    return completed


def _failed(
    state: PlannerState, task: Task, command: HandleExecutorEvent, report: TaskFailed
) -> Iterator[Event]:
    error = compact_error_message(report.error, state.config.error_char_limit)
    if task.stopping:
        yield from stopped(state, task, error)
        return
    policy, failures = task.spec.retry, task.failures + 1
    again = report.retryable and failures < policy.attempts
    if again and blocking_parent(state, task) is None:
        delay = retry_delay(policy, failures, command.jitter)
        yield RetryScheduled(task.id, delay, command.now + delay, error)
        return
    if task.spec.undoes is not None:
        yield how_to_undo(task, error)
        return
    yield TaskStatusUpdated(task.id, TaskStatus.Failed, error=error)
    if task.spec.on_failure == "stop":
        yield from skip_dependents(state, [task.id], set())


def _question(task: Task, report: NeedsClarification, now: float) -> ClarificationRequested:
    return ClarificationRequested(
        task.id,
        report.question,
        report.choices,
        report.default,
        None if report.deadline is None else now + report.deadline,
        "complete" if report.completes else "resume",
        report.key,
    )


def _unknown(
    state: PlannerState, task: Task, command: HandleExecutorEvent, report: OutcomeUnknown
) -> Iterator[Event]:
    """An attempt ended with an unknown outcome. A person is asked only if the task must not run
    twice; with the same key, or without an effect, another attempt is harmless."""
    effect = task.spec.effect
    may_overlap = task.outdated and not report.ended and effect is not Effect.Safe
    if may_overlap and not task.cancel_requested:
        yield _whether_ended(task, report)
    elif task.stopping:
        error = f"outcome unknown: {report.reason}"
        yield from stopped(state, task, error, unknown=effect is not Effect.Safe)
    elif effect is not Effect.Once:
        yield from _failed(state, task, command, TaskFailed(report.reason))
    else:
        yield _whether_done(task, report)


def _whether_done(task: Task, report: OutcomeUnknown) -> ClarificationRequested:
    return ClarificationRequested(
        task.id,
        f"Was this done? {task.description} ({_call(task)}{report.reason}; it was not run again, "
        "because running it twice may do harm)",
        OUTCOME_CHOICES,
        then="outcome",
        started_at=report.started_at,
        ended=report.ended,
    )


def _whether_ended(task: Task, report: OutcomeUnknown) -> ClarificationRequested:
    return ClarificationRequested(
        task.id,
        f"Has this ended? {task.description} ({_call(task)}{report.reason}; an answer on which it "
        "rests was changed, so it must run again, but not while it may still be running)",
        (RETRY,),
        then="outcome",
        started_at=report.started_at,
    )


def _call(task: Task) -> str:
    """The arguments of the task's tool call, for the person who has to find out its outcome.
    Secrets appear as references."""
    call = task.spec.tool
    arguments = task.arguments or (call.arguments if call else {})
    if not arguments:
        return ""
    text = msgspec.json.encode(arguments).decode()
    return f"called with {truncate_middle(text, _ARGUMENTS)}; "
