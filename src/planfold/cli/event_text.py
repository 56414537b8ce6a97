"""Events in plain words, for ``log`` and for progress without a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from planfold.cli.terminal import clean, clock, counted, date_and_time, duration, fit, in_json
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.planner.budget import Budget, Spend
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
MOST: Final = 400  # characters of one detail


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
    words = _about_a_task(event) or _about_a_step(event) or _about_a_sub_plan(event)
    words = words or _about_the_plan(event)
    return words._replace(detail=fit(words.detail, MOST))


def _about_a_task(event: Any) -> Words | None:
    match event:
        case TaskDispatched(task_id, attempt):
            return Words("queued", task_id, f"attempt {attempt}" if attempt > 1 else "")
        case TaskStatusUpdated(task_id, TaskStatus.Running):
            return Words("progress", task_id, clean(event.note or ""))
        case TaskStatusUpdated(task_id, status):
            detail = clean(event.error) if event.error else short_result(event.result)
            return Words(str(status.value), task_id, detail)
        case WaitStarted(task_id):
            key = "" if event.key is None else f"for the key {clean(event.key)}"
            until = "" if event.until is None else f"until {date_and_time(event.until)}"
            return Words("waits", task_id, ", ".join(filter(None, (key, until))))
        case WaitRegistered(task_id, _, str() as plan_id, stop):
            return Words("cancels" if stop else "began", task_id, f"the plan {clean(plan_id)}")
        case WaitRegistered(task_id):
            return Words("listens", task_id, "")
        case RetryScheduled(task_id):
            return Words("retries", task_id, f"in {duration(event.delay)}: {clean(event.error)}")
        case ClarificationRequested(task_id):
            choices = f" [{' / '.join(map(clean, event.choices))}]" if event.choices else ""
            since = f" (started {date_and_time(event.started_at)})" if event.started_at else ""
            return Words("asks", task_id, clean(event.question) + since + choices)
        case TaskDecided(task_id):
            found = short_result(event.result)
            what = f"{event.status.value} by hand{_by(event.by)}" + f": {found}" * bool(found)
            return Words("decided", task_id, _because(what, event.reason))
        case ClarificationReceived(task_id):
            by = _by(event.by)
            verb = "could not" if event.leads_to == "fail" else "answered"
            result = event.result if event.result is not msgspec.UNSET else None
            said = "" if result is None else f", with the result {short_result(result)}"
            return Words(verb, task_id, f"{clean(event.answer)}{said}{by}")
    return None


def _about_a_step(event: Any) -> Words | None:
    match event:
        case StepStarted(task_id):
            what = clean(event.about or event.key)
            return Words(
                "calls", task_id, f"{what} again: it was interrupted" if event.again else what
            )
        case StepRecorded(task_id):
            cost = f" ({spent_words(event.spent)})" if event.spent else ""
            said = short_result(event.value)
            return Words("step", task_id, f"{clean(event.key)}{cost} = {said}")
        case StepFailed(task_id):
            return Words("call failed", task_id, f"{clean(event.key)}: {clean(event.error)}")
    return None


def _about_a_sub_plan(event: Any) -> Words | None:
    match event:
        case TasksPlanned(parent=parent) if parent is not None:
            words = _about_the_plan(event)
            of = f", for task {id_text(parent.task_id)} of {clean(parent.plan_id)}"
            return words._replace(detail=words.detail + of)
        case SubPlanContinued(attempt):
            return Words("continued", None, f"for attempt {attempt} of the task of its parent")
        case EndReported():
            return Words("reported", None, "its end to its parent")
    return None


def _about_the_plan(event: Any) -> Words:
    match event:
        case TasksPlanned():
            detail = f"{counted(len(event.tasks), 'task')}, revision {event.revision_hash}"
            return Words("planned", None, f"{clean(event.title)} ({detail})".strip())
        case PlanApproved():
            return Words("approved", None, f"revision {event.revision_hash}{_by(event.by)}")
        case PlanRevised():
            named = "; ".join(f"{name_of(s)}: {clean(s.description)}" for s in event.tasks[:3])
            few = 0 < len(event.tasks) <= 3
            detail = named if few else f"{counted(len(event.tasks), 'task')} planned"
            detail += f", {len(event.removed)} removed" if event.removed else ""
            return Words("revised", None, f"{detail} (revision {event.revision_hash})")
        case MapExpanded(task_id, count):
            return Words("expanded", task_id, f"{counted(count, 'item')} to run")
        case TasksReset():
            return Words("planned", None, f"{tasks_words(event.task_ids)}: {_WHY[event.reason]}")
        case PlanPaused() | PlanUnpaused():
            return _paused(event)
        case CancelRequested():
            return Words("stopping", None, _because(tasks_words(event.task_ids), event.reason))
        case PlanCancelled():
            return Words("cancelled", None, _because("the plan", event.reason))
        case ContextCompacted():
            detail = f"context from {event.tokens_before:,} to {event.tokens_after:,} tokens"
            return Words("compacted", None, detail)
        case PlanForked():
            return Words("forked", None, _forked(event))
        case PlanTagged():
            return Words("tagged", None, _tags(event) + _by(event.by))
        case CheckpointNamed():
            return Words("checkpoint", None, clean(event.name))
        case BudgetAdded():
            return Words("budget", None, f"{budget_words(event.budget)} more{_by(event.by)}")
        case PlanningCompleted():
            return Words(event.outcome, None, f"the plan: {summary_words(event.summary)}")
        case Undecoded():
            return Words("unreadable", None, clean(event.reason))
    return Words(clean(type(event).__name__), None, "")


def _forked(event: PlanForked) -> str:
    what = [f"{clean(event.origin)} at version {event.version}"]
    what += [f"{tasks_words(event.again)} again"] if event.again else []
    what += [f"{tasks_words(event.interrupted)} from the beginning"] if event.interrupted else []
    return "; ".join(what)


def _paused(event: PlanPaused | PlanUnpaused) -> Words:
    what = f"before {tasks_words(event.task_ids)}" if event.task_ids else "the plan"
    what += _by(event.by)
    if isinstance(event, PlanPaused):
        return Words("paused", None, _because(what, event.reason))
    return Words("unpaused", None, what)


def _tags(event: PlanTagged) -> str:
    return " ".join(
        [*(f"+{clean(t)}" for t in event.added), *(f"-{clean(t)}" for t in event.removed)]
    )


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
    return "; ".join(words)


def spent_words(spent: Spend) -> str:
    """ "1,203 tokens, $0.0120, 3 calls": what is not zero."""
    return ", ".join(
        _amount(name, value) for name in Spend.__struct_fields__ if (value := getattr(spent, name))
    )


def budget_words(budget: Budget) -> str:
    """ "20,000 tokens, $1.00": what has a bound."""
    return ", ".join(
        _amount(name, value)
        for name in Budget.__struct_fields__
        if (value := getattr(budget, name)) is not None
    )


def _amount(name: str, value: float) -> str:
    if name == "cost":
        return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"
    if name == "seconds":
        return f"{value:,.1f} s of calls"
    amount = counted(int(value), name.removesuffix("s"))
    return f"{amount} proposed" if name == "tasks" else amount


def short_result(result: Any) -> str:
    """A task's result in a few words; of a command's output the last line."""
    if result is None:
        return ""
    if isinstance(result, str):
        return clean(result)
    if isinstance(result, dict) and "exit_code" in result:
        output = str(result.get("stdout") or result.get("stderr") or "")
        last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
        return clean(last[:2000].strip())
    if isinstance(result, dict):
        answer = result.get("answer", result)
        if isinstance(answer, dict) and "usage" in answer:
            return _said(answer)
    if isinstance(result, dict) and "drafter" in result:
        return _drafted(result)
    if isinstance(result, dict) and isinstance(result.get("status"), int) and "url" in result:
        return clean(f"{result['status']} {result['url']}")
    return in_json(result)[: 4 * MOST]


def _said(answer: dict[str, Any]) -> str:
    """What a model answered: its text, or the tools it calls."""
    if text := str(answer.get("text") or ""):
        return clean(text[: 4 * MOST])
    calls = answer.get("calls")
    names = [str(call.get("name")) for call in calls or () if isinstance(call, dict)]
    return clean(f"calls {', '.join(names)}") if names else ""


def _drafted(result: dict[str, Any]) -> str:
    """The outcome of a drafting task."""
    rounds, warnings = result.get("rounds"), result.get("warnings") or []
    tasks = result.get("tasks")
    said = f"{counted(tasks, 'task') if isinstance(tasks, int) else tasks} planned"
    said += " from the text" if result["drafter"] == "text" else " by the model"
    said += f", in {rounds} rounds" if isinstance(rounds, int) and rounds > 1 else ""
    return clean("; ".join([said, *(f"warning: {warning}" for warning in warnings)]))


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
