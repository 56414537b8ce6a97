"""An explanation as lines: each reason with since when, who, and the command that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.cli.access import command_line
from planfold.cli.next_steps import reason_steps, step_lines
from planfold.cli.terminal import (
    STATUS_STYLES,
    Line,
    clean,
    counted,
    date_and_time,
    duration,
    fit,
    wrapped,
)
from planfold.planner.items import id_text
from planfold.planner.tasks import PlanStatus, TaskStatus, in_words
from planfold.readmodels.labels import (
    manner_of,
    name_of,
    named,
    parent_labels,
    status_word,
    with_labels,
)
from planfold.readmodels.reason import ReasonKind
from planfold.readmodels.timeline import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planfold.cli.next_steps import Step
    from planfold.planner.state import PlannerState
    from planfold.planner.tasks import Task
    from planfold.readmodels.explanation import Explanation
    from planfold.readmodels.ledger import Ledger
    from planfold.readmodels.plan_fold import PlanFold
    from planfold.readmodels.reason import Reason

_STYLES = {
    ReasonKind.Failed: "bad",
    ReasonKind.Cancelled: "bad",
    ReasonKind.Skipped: "dim",
    ReasonKind.Running: "busy",
    ReasonKind.Stopping: "busy",
    ReasonKind.Items: "busy",
}
_AWAITED = {
    Phase.Approval: "approval",
    Phase.Parents: "its parents",
    Phase.Pause: "a person to unpause it",
    Phase.Retry: "the next attempt",
    Phase.PlanLimit: "a free slot of the plan",
    Phase.RouteLimit: "a free slot of its route",
    Phase.MapLimit: "its turn among the items of its map",
    Phase.Answer: "an answer",
    Phase.Budget: "more budget",
    Phase.Worker: "a worker",
    Phase.Wait: "a time or a signal",
}


def explanation_lines(found: Explanation, db: str | None, width: int) -> list[Line]:
    """What ``planfold why`` prints."""
    status = found.status.value
    lines: list[Line] = [
        [
            (f"{clean(found.plan_id)}  ", "dim"),
            (status_word(status), STATUS_STYLES.get(status, "")),
        ]
    ]
    if found.task_status is not None:
        name = named([found.task_id or 0], found.labels)
        lines[0] += [(f"; {name} ", ""), (_standing(found), "bold")]
    elif found.status is PlanStatus.Running and not _runs(found):
        lines[0].append(("; no task runs now", ""))
    named_before: set[Step] = set()
    for reason in found.reasons:
        steps = [s for s in reason_steps(reason, found, db) if s not in named_before]
        named_before.update(steps)
        lines += [[], *_reason_lines(reason, found, width), *step_lines(steps)]
    if found.left_out:
        words = command_line(db, "why", found.plan_id, "--history")
        more = f"... and {counted(found.left_out, 'more task')} that did not complete; all: "
        lines += [[], [(more, "dim"), (words, "busy")]]
    elif not found.reasons:
        lines.append([("Nothing holds it up.", "")])
    if found.history:
        lines += [[], [("So far", "bold")], *_history_lines(found)]
    elif found.task_id is not None:
        name = found.labels.get(found.task_id) or id_text(found.task_id)
        words = command_line(db, "why", found.plan_id, name, "--history")
        lines += [[], [("Its log is long. What it waited for so far: ", "dim"), (words, "busy")]]
    return lines


def _reason_lines(reason: Reason, found: Explanation, width: int) -> Iterator[Line]:
    several = len(reason.tasks) > 1
    names = named(reason.tasks, found.labels)
    text = f"{names} {_plural(reason.text) if several else reason.text}"
    style = _STYLES.get(reason.kind, "ask")
    for part in wrapped(clean(text), width):
        yield [(part, style)]
    for fact in _facts(reason, found):
        yield [(fit(f"  {clean(fact)}", width), "dim")]
    for part in wrapped(f"Remedy: {clean(reason.remedy)}", width, "  ", "  "):
        yield [(part, "")]


def _runs(found: Explanation) -> bool:
    return any(r.kind in (ReasonKind.Running, ReasonKind.Stopping) for r in found.reasons)


def _standing(found: Explanation) -> str:
    """The status of a task in words. The plan says "running" once a task is dispatched; only the
    queue knows whether a worker runs it."""
    if any(r.kind is ReasonKind.Wait and found.task_id in r.tasks for r in found.reasons):
        return "waits"
    if found.task_status is TaskStatus.Running:
        return "is running" if _runs(found) else "is queued"
    return in_words(found.task_status or TaskStatus.Planned)


def _plural(text: str) -> str:
    """The predicate of one task, said of several."""
    for one, many in (("waits ", "wait "), ("runs ", "run "), ("was ", "were "), ("has ", "have ")):
        if text.startswith(one):
            return many + text.removeprefix(one)
    return text


def _facts(reason: Reason, found: Explanation) -> Iterator[str]:
    now = found.at
    if reason.since is not None:
        yield f"since {date_and_time(reason.since)}, for {duration(now - reason.since)}"
    if reason.until is not None:
        yield f"until {date_and_time(reason.until)}, in {duration(reason.until - now)}"
    if reason.limit is not None:
        ahead = f"; {counted(reason.ahead, 'task')} before it" if reason.ahead else ""
        yield f"taken by {named(reason.by, found.labels)}{ahead}"
    for worker in reason.workers:
        yield f"{worker.owner} {worker.constraint or 'may take it'}"


def _history_lines(found: Explanation) -> Iterator[Line]:
    limited = any(reason.kind is ReasonKind.SharedLimit for reason in found.reasons)
    for span in found.history:
        words = phase_words(span.phase)
        if span.end is None and span.phase is Phase.Worker and limited:
            words = "waiting for a shared limit"
        if span.by is not None:
            words += f"; {named([span.by], found.labels)} was the last"
        if span.attempt > 1:
            words += f" (attempt {span.attempt})"
        lasts = "" if span.end is not None else ", so far"
        took = duration(span.seconds(found.at))
        yield [(f"  {date_and_time(span.start)}  ", "dim"), (f"{took:<12} {words}{lasts}", "")]


def ledger_lines(ledger: Ledger, state: PlannerState, width: int) -> list[Line]:
    """What ``planfold stats ID`` prints."""
    names = {i: name_of(task.spec) for i, task in state.tasks.items()}
    parts = [
        f"{duration(seconds)} {phase_words(Phase(phase))}"
        for phase, seconds in ledger.by_phase.items()
    ]
    took = "took" if state.outcome is not None else "has taken"
    text = f"{clean(ledger.plan_id)} {took} {duration(ledger.seconds)}: {', '.join(parts)}"
    lines: list[Line] = [[(part, "bold")] for part in wrapped(text, width)]
    for entry in ledger.entries:
        when, seconds = date_and_time(entry.start), duration(entry.seconds(0.0))
        name = names.get(entry.task_id, id_text(entry.task_id))
        words = f"{seconds:<12} {name}: {phase_words(entry.phase)}"
        lines.append([(f"  {when}  ", "dim"), (words, "")])
    if ledger.longest is not None:
        name, gain = names[ledger.longest], duration(ledger.gain)
        lines.append([(f"Shortening {name} helps most: by up to {gain}.", "")])
    lines.append([(f"Without any waiting it takes {duration(ledger.running)}.", "")])
    return lines


def phase_words(phase: Phase) -> str:
    """ "waiting for an answer", "running"."""
    if phase is Phase.Ended:
        return "until it was planned again"
    if phase in (Phase.Running, Phase.Stopping):
        return phase.value
    if phase is Phase.Items:
        return "running its items"
    return f"waiting for {_AWAITED[phase]}"


def waiting_words(task: Task, now: float) -> str:
    """The words for a wait in a list: "waits 1 d 3 h for payment.settled"."""
    left = "" if task.until is None else f" {duration(max(task.until - now, 0.0))}"
    if task.runs_plan:
        return f"runs {clean(task.plan_id)}" if task.plan_id else "begins its plan"
    signal = task.spec.wait.signal if task.spec.wait is not None else None
    return f"waits{left}" if signal is None else f"waits{left} for {clean(signal)}"


def manner_words(fold: PlanFold, task: Task) -> str:
    """How a task runs, if that is unusual; other tasks by their labels."""
    return manner_of(with_labels(task.spec, parent_labels(task, fold.state.tasks)))
