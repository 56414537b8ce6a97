"""Events in plain words, for ``log`` and for progress without a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from planfold.cli.amount_text import budget_words, spent_words
from planfold.cli.result_text import MOST, short_result
from planfold.cli.terminal import clean, clock, counted, date_and_time, duration, fit
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.planner.events import (
    BudgetAdded,
    CancelRequested,
    CheckpointNamed,
    ClarificationReceived,
    ClarificationRequested,
    ContextCompacted,
    EndReported,
    MapExpanded,
    PlanApproved,
    PlanCancelled,
    PlanForked,
    PlanningCompleted,
    PlanPaused,
    PlanRevised,
    PlanSummary,
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
from planfold.planner.items import id_text
from planfold.planner.tasks import Task, TaskStatus
from planfold.readmodels.labels import name_of

_WHY: Final = {
    "retry": "retried by a person",
    "answer_changed": "an answer was changed",
    "handler": "what they handle is retried",
    "by_hand": "a person decides about one of them",
    "undone": "they were undone",
}
_STYLE: Final = {
    "completed": "good",
    "failed": "bad",
    "cancelled": "bad",
    "asks": "ask",
    "queued": "busy",
    "skipped": "dim",
    "progress": "dim",
    "step": "dim",
    "calls": "dim",
    "call failed": "bad",
    "unreadable": "bad",
}
NO_TASKS: Final[Mapping[int, Task]] = MappingProxyType({})


class Words(NamedTuple):
    """What happened: a verb, the task it is about (or None for the plan), and the rest."""

    verb: str
    task_id: int | None
    detail: str

    @property
    def style(self) -> str:
        return _STYLE.get(self.verb, "")


def words_for(event: Any) -> Words:
    """``event`` in plain words."""
    words = _words(event)
    return words._replace(detail=fit(words.detail, MOST))


@singledispatch
def _words(event: Any) -> Words:
    """The words of an event that has none of its own, written by a newer version."""
    return Words(clean(type(event).__name__), None, "")


# --- tasks ---


@_words.register
def _(event: TaskDispatched) -> Words:
    return Words("queued", event.task_id, f"attempt {event.attempt}" if event.attempt > 1 else "")


@_words.register
def _(event: TaskStatusUpdated) -> Words:
    if event.status is TaskStatus.Running:
        return Words("progress", event.task_id, clean(event.note or ""))
    detail = clean(event.error) if event.error else short_result(event.result)
    return Words(str(event.status.value), event.task_id, detail)


@_words.register
def _(event: MapExpanded) -> Words:
    return Words("expanded", event.task_id, f"{counted(event.count, 'item')} to run")


@_words.register
def _(event: WaitStarted) -> Words:
    key = "" if event.key is None else f"for the key {clean(event.key)}"
    until = "" if event.until is None else f"until {date_and_time(event.until)}"
    return Words("waits", event.task_id, ", ".join(filter(None, (key, until))))


@_words.register
def _(event: WaitRegistered) -> Words:
    if event.plan_id is None:
        return Words("registered", event.task_id, "for its signal")
    verb = "cancels" if event.stop else "began"
    return Words(verb, event.task_id, f"the plan {clean(event.plan_id)}")


@_words.register
def _(event: RetryScheduled) -> Words:
    return Words("retries", event.task_id, f"in {duration(event.delay)}: {clean(event.error)}")


@_words.register
def _(event: ClarificationRequested) -> Words:
    choices = f" [{' / '.join(map(clean, event.choices))}]" if event.choices else ""
    since = f" (started {date_and_time(event.started_at)})" if event.started_at else ""
    return Words("asks", event.task_id, clean(event.question) + since + choices)


@_words.register
def _(event: ClarificationReceived) -> Words:
    verb = "could not" if event.leads_to == "fail" else "answered"
    result = event.result if event.result is not msgspec.UNSET else None
    said = "" if result is None else f", with the result {short_result(result)}"
    return Words(verb, event.task_id, f"{clean(event.answer)}{said}{_by(event.by)}")


@_words.register
def _(event: TaskDecided) -> Words:
    found = short_result(event.result)
    what = f"{event.status.value} by hand{_by(event.by)}" + f": {found}" * bool(found)
    return Words("decided", event.task_id, _because(what, event.reason))


@_words.register
def _(event: StepStarted) -> Words:
    what = clean(event.about or event.key)
    return Words("calls", event.task_id, what + " again: it was interrupted" * event.again)


@_words.register
def _(event: StepRecorded) -> Words:
    cost = f" ({spent_words(event.spent)})" if event.spent else ""
    return Words("step", event.task_id, f"{clean(event.key)}{cost} = {short_result(event.value)}")


@_words.register
def _(event: StepFailed) -> Words:
    return Words("call failed", event.task_id, f"{clean(event.key)}: {clean(event.error)}")


# --- the plan ---


@_words.register
def _(event: TasksPlanned) -> Words:
    detail = f"{counted(len(event.tasks), 'task')}, revision {event.revision_hash}"
    if event.parent is not None:
        detail += f", for task {id_text(event.parent.task_id)} of {clean(event.parent.plan_id)}"
    return Words("planned", None, f"{clean(event.title)} ({detail})".strip())


@_words.register
def _(event: PlanApproved) -> Words:
    return Words("approved", None, f"revision {event.revision_hash}{_by(event.by)}")


@_words.register
def _(event: PlanRevised) -> Words:
    named = "; ".join(f"{name_of(s)}: {clean(s.description)}" for s in event.tasks[:3])
    few = 0 < len(event.tasks) <= 3
    detail = named if few else f"{counted(len(event.tasks), 'task')} planned"
    detail += f", {len(event.removed)} removed" if event.removed else ""
    return Words("revised", None, f"{detail} (revision {event.revision_hash})")


@_words.register
def _(event: TasksReset) -> Words:
    return Words("planned", None, f"{tasks_words(event.task_ids)}: {_WHY[event.reason]}")


@_words.register
def _(event: PlanPaused) -> Words:
    what = _held(event.task_ids) + _by(event.by)
    return Words("paused", None, _because(what, event.reason))


@_words.register
def _(event: PlanUnpaused) -> Words:
    return Words("unpaused", None, _held(event.task_ids) + _by(event.by))


@_words.register
def _(event: CancelRequested) -> Words:
    return Words("stopping", None, _because(tasks_words(event.task_ids), event.reason))


@_words.register
def _(event: SubPlanContinued) -> Words:
    return Words("continued", None, f"for attempt {event.attempt} of the task of its parent")


@_words.register
def _(_event: EndReported) -> Words:
    return Words("reported", None, "its end to its parent")


@_words.register
def _(event: PlanCancelled) -> Words:
    return Words("cancelled", None, _because("the plan", event.reason))


@_words.register
def _(event: ContextCompacted) -> Words:
    detail = f"context from {event.tokens_before:,} to {event.tokens_after:,} tokens"
    return Words("compacted", None, detail)


@_words.register
def _(event: PlanForked) -> Words:
    what = [f"{clean(event.origin)} at version {event.version}"]
    what += [f"{tasks_words(event.again)} again"] if event.again else []
    what += [f"{tasks_words(event.interrupted)} from the beginning"] if event.interrupted else []
    return Words("forked", None, "; ".join(what))


@_words.register
def _(event: UndoPlanned) -> Words:
    asked = ", if a person agrees" * bool(event.question)
    return Words("to undo", None, tasks_words(event.task_ids) + asked + _by(event.by))


@_words.register
def _(event: PlanTagged) -> Words:
    tags = [*(f"+{clean(t)}" for t in event.added), *(f"-{clean(t)}" for t in event.removed)]
    return Words("tagged", None, " ".join(tags) + _by(event.by))


@_words.register
def _(event: CheckpointNamed) -> Words:
    return Words("checkpoint", None, clean(event.name))


@_words.register
def _(event: BudgetAdded) -> Words:
    return Words("budget", None, f"{budget_words(event.budget)} more{_by(event.by)}")


@_words.register
def _(event: PlanningCompleted) -> Words:
    return Words(event.outcome, None, f"the plan: {summary_words(event.summary)}")


@_words.register
def _(event: Undecoded) -> Words:
    return Words("unreadable", None, clean(event.reason))


def _held(task_ids: Sequence[int]) -> str:
    return f"before {tasks_words(task_ids)}" if task_ids else "the plan"


def _by(name: str) -> str:
    return f" by {clean(name)}" if name else ""


def _because(what: str, reason: str) -> str:
    return f"{what}: {clean(reason)}" if reason else what


def tasks_words(ids: Sequence[int], most: int = 10) -> str:
    """ "task 3", or "tasks 3, 4, ..."."""
    shown = ", ".join(map(id_text, ids[:most])) + (", ..." if len(ids) > most else "")
    return f"task {shown}" if len(ids) == 1 else f"tasks {shown}"


def summary_words(summary: PlanSummary) -> str:
    """ "3 of 7 tasks completed; failed: 2; skipped: 4, 5"."""
    words = [f"{summary.completed} of {counted(summary.total, 'task')} completed"]
    kept_off = [i for i in summary.skipped if i not in set(summary.by_condition)]
    listed = {"failed": summary.failed, "skipped": kept_off, "not needed": summary.by_condition}
    listed |= {"cancelled": summary.cancelled, "unknown": summary.unknown}
    for name, ids in listed.items():
        if ids:
            name = "outcome unknown" if name == "unknown" else name
            words.append(f"{name}: {tasks_words(ids).partition(' ')[2]}")
    if summary.to_undo:
        words.append(f"undone: {summary.undone} of {summary.to_undo}")
    return "; ".join(words)


def run_words(envelope: Envelope) -> str:
    """When the attempt that this event ends began, and how long it ran: "began 12:01:03, 0.4 s".
    Empty where the event ends none, or an older version wrote it."""
    began, event = envelope.metadata.began_at, envelope.event
    ends = isinstance(event, RetryScheduled | ClarificationRequested) or (
        isinstance(event, TaskStatusUpdated)
        and event.status not in (TaskStatus.Running, TaskStatus.Skipped)
    )
    if not (began and ends) or _never_began(event):
        return ""
    return f"began {clock(began)}, {duration(max(envelope.recorded_at - began, 0.0))}"


def _never_began(event: Any) -> bool:
    """Whether an attempt was refused: one before it has an unknown outcome, or it was cancelled."""
    if isinstance(event, ClarificationRequested):
        return event.started_at is not None and not event.ended
    return isinstance(event, TaskStatusUpdated) and event.error == "cancelled before it began"


class TaskNames:
    """Ids and labels of the tasks that a plan's events name, and of the ``tasks`` that it has."""

    def __init__(self, tasks: Mapping[int, Task] = NO_TASKS) -> None:
        self._names: dict[int, str] = {}
        self._tasks = tasks

    def note(self, event: Any) -> None:
        if isinstance(event, (TasksPlanned, PlanRevised)):
            self._names.update((spec.id, name_of(spec)) for spec in event.tasks)

    def __getitem__(self, task_id: int) -> str:
        if task_id not in self._names and task_id in self._tasks:
            return name_of(self._tasks[task_id].spec)
        return self._names.get(task_id, id_text(task_id))
