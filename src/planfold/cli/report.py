"""A plan's present state as lines: its tasks, open questions, and what a person can do next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planfold.cli.access import command_line
from planfold.cli.amount_text import budget_words, spent_words
from planfold.cli.approval_text import approval_lines, revision_lines
from planfold.cli.by_hand_text import by_hand_lines, plan_facts, why_not_needed
from planfold.cli.event_text import summary_words
from planfold.cli.fork_text import lineage_lines
from planfold.cli.next_steps import next_lines
from planfold.cli.question_text import question_lines, waiting_lines
from planfold.cli.reason_text import manner_words, waiting_words
from planfold.cli.result_text import short_result
from planfold.cli.schedule_text import submitted_lines
from planfold.cli.situation import NO_TASKS, NO_TIMES, Situation
from planfold.cli.terminal import (
    MARKS,
    STATUS_STYLES,
    Line,
    clean,
    clean_lines,
    counted,
    date_and_time,
    duration,
    fit,
    width_of,
    wrapped,
)
from planfold.cli.undo_text import undo_facts
from planfold.planner.items import id_text
from planfold.planner.maps import items_of
from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.planner.undo import undone_items
from planfold.planner.undone import is_undone
from planfold.readmodels.labels import shown_as, status_word
from planfold.readmodels.layout import reading_order
from planfold.readmodels.plan_fold import PlanFold
from planfold.readmodels.reasons import waits_for

if TYPE_CHECKING:
    pass

MOST_ITEMS: Final = 10  # of a map that are listed below it
SHOWN: Final = 200  # tasks that ``show`` prints of a larger plan
QUESTIONS: Final = 20  # that it prints then
_TELLING_ITEMS: Final = (
    *(TaskStatus.Failed, TaskStatus.Cancelled),
    *(TaskStatus.NeedsClarification, TaskStatus.Running),
)
_TELLING: Final = (
    (TaskStatus.Failed, TaskStatus.NeedsClarification, TaskStatus.Running),
    (TaskStatus.Cancelled, TaskStatus.Planned),
    (TaskStatus.Skipped,),
    (TaskStatus.Completed,),
)

# --- tasks ------------------------------------------------------------------------------------


def header_line(fold: PlanFold, unclaimed: Mapping[int, str] = NO_TASKS) -> Line:
    """Status and counts: "running, 3 of 7 tasks completed, 2 running, 1 queued"."""
    state = fold.state
    status = state.status.value
    counts = state.schedule.counts
    running = (state.tasks.get(i) for i in unclaimed)
    queued = sum(task is not None and task.status is TaskStatus.Running for task in running)
    completed, total = state.progress
    done = f"{completed} of {counted(total, 'task')} completed"
    spans: Line = [(status_word(status), STATUS_STYLES.get(status, "")), (f", {done}", "")]
    for count, what in (
        (state.schedule.slots - queued, "running"),
        (queued, "queued"),
        (counts[TaskStatus.Failed] - state.schedule.aside[TaskStatus.Failed], "failed"),
    ):
        if count:
            spans.append((f", {count} {what}", ""))
    if state.questions:
        spans.append((f", {counted(len(state.questions), 'question')} open", "ask"))
    return spans


def cost_words(fold: PlanFold) -> str:
    """What the plan has spent, and of how much; empty where no model was called."""
    state = fold.state
    spent, limit = spent_words(state.spent), budget_words(state.budget)
    if not spent:
        return f"may spend {limit}" if limit else ""
    return f"spent {spent}" + (f"; its budget: {limit}" if limit else "")


def task_line(
    fold: PlanFold,
    task: Task,
    *,
    width: int,
    pad: int,
    now: float,
    since: float = 0.0,
    unclaimed: Mapping[int, str] = NO_TASKS,
    claimed_at: Mapping[int, float] = NO_TIMES,
) -> Line:
    """One task on one line: mark, name, description, and on the right its time or why it waits.

    ``pad`` is the width of the ids. ``since`` is when this process started: times of running
    tasks are counted from there, or from when a worker claimed them (``claimed_at``).
    """
    status = shown_as(fold.state, task)
    if status == TaskStatus.Running and task.id in unclaimed:
        status = TaskStatus.Planned.value  # it is queued
    style = STATUS_STYLES[status]
    label = f"{clean(task.spec.label)}: " if task.spec.label else ""
    prefix = f"{MARKS[status]} {id_text(task.id):>{pad}} "
    begun = max(claimed_at.get(task.id) or fold.attempt_at.get(task.id, now), since)
    info = _info(fold, task, now, begun, unclaimed)
    room = width - len(prefix)
    text = label + clean(task.description)
    if task.status is TaskStatus.Running and task.note:
        text = f"{label}{clean(task.note)}"
    info = fit(info, max(room - width_of(text) - 2, room // 2))
    text = fit(text, room - width_of(info) - 2 if info else room)
    gap = " " * max(room - width_of(text) - width_of(info), 0)
    body = "dim" if task.status in (TaskStatus.Planned, TaskStatus.Skipped) else ""
    return [(prefix, style), (text, body), (gap, ""), (info, "dim" if style == "dim" else style)]


def _info(
    fold: PlanFold, task: Task, now: float, begun: float, unclaimed: Mapping[int, str]
) -> str:
    match task.status:
        case TaskStatus.Running:
            again = f"attempt {task.attempt}, " if task.attempt > 1 else ""
            if task.stopping:
                return "stopping"
            if task.elements is not None:
                ended = sum(item.status in ENDED for item in items_of(fold.state, task))
                return f"{ended:,} of {len(task.elements):,} items"
            if task.waits:
                return waiting_words(task, now)
            if task.id in unclaimed:
                return f"{again}waits for {unclaimed[task.id]}"
            return again + duration(now - begun)
        case TaskStatus.Planned if task.not_before is not None:
            wait = duration(max(task.not_before - now, 0.0))
            return f"attempt {task.attempt + 1} in {wait}: {clean(task.error or '')}"
        case TaskStatus.Completed if is_undone(fold.state, task):
            return "undone"
        case TaskStatus.Completed:
            return _undone_items(fold, task) or _took(fold, task, now)
        case TaskStatus.Failed | TaskStatus.Cancelled | TaskStatus.Skipped if task.superseded:
            return f"{task.status.value}, superseded"
        case TaskStatus.Failed:
            return f"failed, attempt {task.attempt}" if task.attempt > 1 else "failed"
        case TaskStatus.Cancelled:
            return "outcome unknown" if task.outcome_unknown else "cancelled"
        case TaskStatus.Skipped:
            by_hand = task.skip_reason == "by_hand"
            return "by hand" if by_hand else "not needed" if task.not_needed else "skipped"
    reason = waits_for(task, fold.state)
    return f"waits for {clean(reason)}" if reason else ""


def _undone_items(fold: PlanFold, task: Task) -> str:
    """How much of a map was undone; empty where nothing was, and for every other task."""
    undone, completed = undone_items(fold.state, task) if task.elements else (0, 0)
    if not undone:
        return ""
    return "undone" if undone == completed else f"{undone:,} of {completed:,} items undone"


def _took(fold: PlanFold, task: Task, now: float) -> str:
    """How long a completed task ran, or how long its question was open."""
    if task.by_hand is not None:
        return "by hand"
    started = fold.began_at.get(task.id, task.started_at)
    if not started:
        return ""
    took = duration((task.finished_at or now) - started)
    if task.kind is NodeKind.Clarification and task.spec.for_each is None:
        return f"answered after {took}"
    return "by an answer" if task.id in fold.by_answer else took


def plan_lines(
    situation: Situation,
    width: int,
    *,
    most: int | None = None,
    details: bool = True,
    more: str = "",
    planned: bool = True,
) -> list[Line]:
    """Title, status and tasks. With ``most``, tasks that completed are left out first; ``more`` is
    the command that prints them. Without ``planned``, those that have not started are left out."""
    fold = situation.fold
    lines: list[Line] = []
    if fold.state.title:
        lines.append([(fit(clean(fold.state.title), width), "bold")])
    lines.append(
        [(clean(fold.plan_id), "dim"), ("  ", ""), *header_line(fold, situation.unclaimed)]
    )
    lines += [*lineage_lines(fold), *submitted_lines(situation.schedule), *plan_facts(fold.state)]
    if cost := cost_words(fold):
        lines.append([(cost, "dim")])
    shown = _most_telling(fold, most)
    pad = id_width(fold)
    for task in (t for t in shown if planned or t.status is not TaskStatus.Planned):
        lines.append(_line_in(situation, task, width, pad))
        if details:
            lines += _details(fold, task, width)
        if task.elements is not None:
            lines += _item_lines(situation, task, width)
    if left := len(fold.state.written_ids()) - len(shown):
        how = f"; {more} prints them" if more else ""
        lines.append([(f"... and {left:,} more tasks{how}", "dim")])
    summary = fold.summary
    telling = summary and (summary.skipped, summary.cancelled, summary.unknown, summary.to_undo)
    if summary is not None and any(telling or ()):
        lines += [[(part, "")] for part in wrapped(summary_words(summary), width)]
    return lines


def _line_in(situation: Situation, task: Task, width: int, pad: int) -> Line:
    return task_line(
        situation.fold,
        task,
        width=width,
        pad=pad,
        now=situation.then or time.time(),
        unclaimed=situation.unclaimed,
        claimed_at=situation.claimed_at,
    )


def _item_lines(situation: Situation, task: Task, width: int) -> list[Line]:
    """The items of a map that say most: those that failed, ask or run."""
    fold = situation.fold
    items = list(items_of(fold.state, task))
    telling = [item for status in _TELLING_ITEMS for item in items if item.status is status]
    shown = sorted(telling[:MOST_ITEMS], key=lambda item: item.id)
    pad = max((len(id_text(item.id)) for item in shown), default=0)
    lines: list[Line] = []
    for item in shown:
        line = _line_in(situation, item, width - 2, pad)
        lines += [[("  ", ""), *line], *_details(fold, item, width)]
    more = len(telling) - len(shown)
    return [*lines, [(f"  ... and {more:,} more items", "dim")]] if more else lines


def id_width(fold: PlanFold) -> int:
    return len(str(max(fold.state.written_ids(), default=0)))


def specs_of(fold: PlanFold) -> list[Any]:
    """The tasks as written in the plan, without the items of maps."""
    return [task.spec for task in fold.state.written().values()]


def _most_telling(fold: PlanFold, most: int | None) -> list[Task]:
    """The tasks to show, in reading order; tasks that failed or have not ended are chosen before
    completed ones."""
    state, chosen = fold.state, list[Task]()
    if most is None or len(state.written_ids()) <= most:
        return [state.tasks[spec.id] for spec in reading_order(specs_of(fold))]
    for statuses in _TELLING:
        chosen += state.schedule.having(statuses, most - len(chosen), items=False)
    by_id = {task.id: task for task in chosen}
    return [by_id[spec.id] for spec in reading_order(by_id[i].spec for i in sorted(by_id))]


def _details(fold: PlanFold, task: Task, width: int) -> list[Line]:
    """The outcome of a task, below it: its error, or a shortened result."""
    indent = "    "
    if task.error and task.status in (TaskStatus.Failed, TaskStatus.Cancelled):
        found = clean_lines(task.error)
        lines = [part for line in found[:6] for part in wrapped(line, width, indent, indent)]
        if len(found) > 6:
            lines.append(f"{indent}... {len(found) - 6} more lines")
        return [[(line, "bad")] for line in lines]
    if task.status is TaskStatus.Completed:
        text = short_result(task.result)
        return [[(fit(indent + text, width), "dim")]] if text else []
    guard, said = manner_words(fold, task), why_not_needed(fold.state, task)
    said = said or guard
    return [[(fit(indent + clean(said), width), "dim")]] if said else []


def task_lines(situation: Situation, task: Task, width: int) -> list[Line]:
    """Everything about one task: ``show --task``."""
    fold = situation.fold
    lines = [_line_in(situation, task, width, 0)]
    first = "asked" if task.kind is NodeKind.Clarification else "queued"
    for name, at in ((first, task.started_at), ("ended", task.finished_at)):
        if at:
            lines.append([(f"{name} {date_and_time(at)}", "dim")])
    if guard := manner_words(fold, task):
        lines.append([(guard, "dim")])
    if said := why_not_needed(fold.state, task):
        lines += [[("not needed", "bold")], *([(line, "")] for line in clean_lines(said))]
    elif task.error:
        lines += [[("error", "bold")], *([(line, "bad")] for line in clean_lines(task.error))]
    lines += by_hand_lines(fold.state, task)
    lines += undo_facts(fold.state, task, width)
    if task.result is not None:
        lines.append([("result", "bold")])
        lines += [[(line, "")] for line in _result_lines(task.result)]
    return lines


def _result_lines(result: Any) -> list[str]:
    if isinstance(result, str):
        return clean_lines(result)
    if not isinstance(result, dict):
        return clean_lines(msgspec.json.format(msgspec.json.encode(result)).decode())
    lines: list[str] = []
    for key, value in result.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        found = clean_lines(text)
        if len(found) > 1:
            lines += [f"{clean(key)}:", *(f"  {line}" for line in found)]
        else:
            lines.append(f"{clean(key)}: {found[0] if found else ''}")
    return lines


def whole_report(
    situation: Situation, db: str | None, width: int, *, everything: bool = False
) -> list[Line]:
    """What ``show`` prints. ``everything``: all tasks also of a large plan. For a past state there
    is nothing to do next."""
    fold = situation.fold
    few, asked = (None, None) if everything else (SHOWN, QUESTIONS)
    more = command_line(db, "show", fold.plan_id, "--all")
    approved = situation.then is not None or fold.state.status is not PlanStatus.AwaitingApproval
    lines = plan_lines(situation, width, most=few, more=more, planned=approved)
    if situation.then is not None:
        when = f"as it was at version {fold.state.version}, {date_and_time(situation.then)}"
        for question in [*fold.state.questions.values()][:asked]:
            lines += [[], *question_lines(fold, question, width)]
        return [[(when, "dim")], *lines]
    lines += waiting_lines(situation.fold, db, width, most=asked)
    lines += revision_lines(situation.fold, width)
    lines += approval_lines(situation.fold, width)
    steps = next_lines(situation, db)
    return [*lines, [], [("Next:", "bold")], *steps] if steps else lines
