"""The present state of a plan, for a model that is to replan it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from planfold.compaction.errors import compact_error_message
from planfold.compaction.tokens import CHARS_PER_TOKEN
from planfold.compaction.truncation import truncate_middle
from planfold.planner.graph import blocks
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskSpec, TaskStatus
from planfold.planner.undone import without_undo_tasks

SHARE: Final = 0.5  # of the token budget: what the listing may take
WIDEST: Final = 2_000  # characters of one result
NARROWEST: Final = 40
DESCRIBED: Final = 300  # characters of a description


class CurrentPlan(msgspec.Struct, frozen=True):
    """The existing tasks that new tasks may depend on or replace.

    ``existing`` may be depended on, ``closed`` may not (id -> why). ``kept`` have not started but
    must stay, because something that has started waits for them. ``replaceable`` are the labels of
    tasks that the new plan replaces. ``untrusted``: results of tools and models are in
    ``text``.
    """

    existing: dict[int, TaskSpec] = {}
    closed: dict[int, str] = {}
    labels_closed: dict[str, int] = {}
    replaceable: dict[str, int] = {}
    kept: tuple[TaskSpec, ...] = ()
    text: str = ""
    untrusted: bool = False


def current_plan(plan: PlannerState, own: int) -> CurrentPlan:
    """The present state of the plan around the drafting task ``own``."""
    tasks = {i: task for i, task in without_undo_tasks(plan).items() if not task.spec.drafts}
    started = {i for i, task in tasks.items() if has_started(task)}
    kept = ancestors(tasks, (i for i in started if not tasks[i].superseded)) - started
    shown = [task for i, task in tasks.items() if i != own]
    existing, closed, replaceable = {}, {}, {}
    for task_id, task in tasks.items():
        if task_id not in started | kept:
            if task.spec.label:
                replaceable[task.spec.label] = task_id
        elif blocks(task) or task.superseded:
            closed[task_id] = why_closed(task)
        else:
            existing[task_id] = task.spec
    labels = {tasks[i].spec.label: i for i in closed if not tasks[i].superseded}
    budget = int(plan.config.token_budget * SHARE) * CHARS_PER_TOKEN
    return CurrentPlan(
        existing,
        closed,
        {label: i for label, i in labels.items() if label},
        replaceable,
        tuple(tasks[i].spec for i in sorted(kept)),
        _listing(shown, kept, budget),
        any(_has_untrusted_text(task) for task in shown),
    )


def has_started(task: Task) -> bool:
    """Whether a revision has to leave the task as it is."""
    return task.status is not TaskStatus.Planned or task.attempt > 0 or task.spec.done


def _has_untrusted_text(task: Task) -> bool:
    said = task.result is not None or task.error is not None
    return said and task.kind is not NodeKind.Clarification


def why_closed(task: Task) -> str:
    """Why no new task may depend on this one, which did not complete."""
    verb = "was" if task.status in (TaskStatus.Skipped, TaskStatus.Cancelled) else "has"
    return f"{verb} {task.status.value}"


def ancestors(tasks: Mapping[int, Task], roots: Iterable[int]) -> set[int]:
    """``roots`` and all tasks that they descend from."""
    found = set(roots)
    stack = list(found)
    while stack:
        for parent in tasks[stack.pop()].depends_on:
            if parent in tasks and parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def _listing(tasks: list[Task], kept: set[int], budget: int) -> str:
    """One line of JSON per task. Results get the same room each; where not even the bare lines
    fit, the earliest are left out and counted."""
    bare = [len(_line(task, kept, 0)) + 1 for task in tasks]
    said = max(1, sum(task.result is not None or task.error is not None for task in tasks))
    width = min(WIDEST, max(NARROWEST, (budget - sum(bare)) // said - NARROWEST))
    lines: list[str] = []
    for task in reversed(tasks):
        line = _line(task, kept, width)
        budget -= len(line) + 1
        if budget < 0:
            lines.append(f"({len(tasks) - len(lines)} earlier tasks are not listed)")
            break
        lines.append(line)
    return "\n".join(reversed(lines))


def _line(task: Task, kept: set[int], width: int) -> str:
    status = str(task.status.value)
    line: dict[str, Any] = {"id": task.id}
    if task.spec.label:
        line["label"] = task.spec.label
    line["status"] = "stays, planned" if task.id in kept else status
    line["description"] = truncate_middle(task.description, DESCRIBED)
    if task.spec.wait is not None and task.spec.wait.plan is not None:
        line["plan"] = task.spec.wait.plan.get("title", "")
    elif task.tool is not None:
        line["tool"] = task.tool.name
    if status == TaskStatus.Planned.value:
        line |= _decides(task.spec)
    if task.result is not None and width:
        said = task.result
        text = said if isinstance(said, str) else msgspec.json.encode(said).decode()
        line["answer" if task.kind is NodeKind.Clarification else "result"] = truncate_middle(
            text, width
        )
    if task.error is not None and width:
        line["error"] = compact_error_message(task.error, max(width, 200))
    return msgspec.json.encode(line).decode()


def _decides(spec: TaskSpec) -> dict[str, str]:
    """When and how often a task that has not started would run."""
    said = {
        "when": spec.when,
        "run_if": None if spec.run_if == "completed" else spec.run_if,
        "for_each": None if spec.for_each is None else spec.for_each.items,
    }
    return {field: value for field, value in said.items() if value is not None}
