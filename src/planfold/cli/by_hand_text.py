"""What people decided about a plan, as lines: pauses, break-points, tasks done by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.cli.terminal import clean, clean_lines, date_and_time, wrapped
from planfold.planner.tasks import Task, TaskStatus
from planfold.readmodels.labels import error_with_labels, labels_of, named

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.planner.state import PlannerState
    from planfold.planner.tasks import Pause


def plan_facts(state: PlannerState) -> list[Line]:
    """The plan's tags, who paused it, and where it will pause."""
    lines: list[Line] = []
    if state.tags:
        lines.append([(f"tags: {', '.join(map(clean, state.tags))}", "dim")])
    if state.paused is not None:
        lines.append([(f"paused{_said(state.paused)}", "ask")])
    return [*lines, *before_lines(state)]


def before_lines(state: PlannerState, width: int = 10_000) -> list[Line]:
    """ "pauses before task 3 deploy"; of a plan without break-points nothing."""
    if not (before := sorted(state.breakpoints)):
        return []
    names = named(before, labels_of(state.tasks[i].spec for i in before))
    return [[(part, "ask")] for part in wrapped(clean(f"pauses before {names}"), width)]


def by_hand_lines(state: PlannerState, task: Task) -> list[Line]:
    """What a person decided about a task. That it was skipped is shown as its error instead."""
    lines: list[Line] = []
    if task.by_hand is not None and task.status is not TaskStatus.Skipped:
        what = "is to be " * (task.status is TaskStatus.Running) + str(task.by_hand)
        lines += [[(line, "ask")] for line in clean_lines(what)]
    if (pause := state.breakpoints.get(task.id)) is not None:
        lines.append([(f"break-point{_said(pause)}", "ask")])
    return lines


def why_not_needed(state: PlannerState, task: Task) -> str:
    """Why a task was not needed; else empty."""
    return error_with_labels(task, state.tasks) if task.not_needed else ""


def _said(pause: Pause) -> str:
    since = f" since {date_and_time(pause.since)}" if pause.since else ""
    by = f" by {clean(pause.by)}" if pause.by else ""
    return since + by + (f": {clean(pause.reason)}" if pause.reason else "")
