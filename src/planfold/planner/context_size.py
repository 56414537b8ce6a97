"""Bookkeeping of results and answers during folding, so that the size of a plan's context is known
without rendering it, and outdated results do not stay in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from planfold.compaction.tokens import estimate_tokens, text_tokens
from planfold.planner.events import ContextCompacted
from planfold.planner.items import STRIDE
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskSpec, TaskStatus

QUESTION: Final = NodeKind.Clarification  # looking up a member takes time
LINE_TOKENS = 4  # of a line about a task, besides its description and what it says of it


def remember_plan(state: PlannerState, spec: TaskSpec, sign: int = 1) -> None:
    """A task joined the plan, or left it (``sign`` -1)."""
    state.plan_tokens += sign * (LINE_TOKENS + text_tokens(spec.description))


def remember_result(state: PlannerState, task: Task, result: Any) -> None:
    """Count the result of a completed task. If a question's answer changed, the new result replaces
    the old one. Results of a map's items count with the map."""
    spec = task.spec  # the properties of Task cost a call, and this runs for every task folded
    if spec.id >= STRIDE:
        return
    if spec.kind is QUESTION and spec.for_each is None:
        state.answer_tokens += _line_tokens(task, result) - _line_tokens(task, task.result)
        return
    remember_ordinary(state, spec, result)


def remember_ordinary(state: PlannerState, spec: TaskSpec, result: Any) -> None:
    """Count the result of a completed task that is neither a question nor an item."""
    tokens = 0
    if result is not None:
        tokens = text_tokens(result) if type(result) is str else estimate_tokens(result)
    state.uncompacted.append(spec.id)
    state.context_tokens += tokens
    state.fresh_tokens += LINE_TOKENS + text_tokens(spec.description) + tokens


def remember_answer(state: PlannerState, task: Task, question: str, answer: str) -> None:
    """A person answered what a task asked while it ran."""
    task.asked = (*task.asked, question)
    task.answers = (*task.answers, answer)
    if task.spec.id < STRIDE:
        state.answer_tokens += _answer_tokens(question, answer)


def forget(state: PlannerState, task_ids: Collection[int]) -> None:
    """Fold the reset of tasks: their results and answers no longer count, and their lines in the
    summary are outdated."""
    items = [state.tasks[i] for i in task_ids if i >= STRIDE]
    for item in items:
        item.asked = ()
    tasks = [state.tasks[i] for i in task_ids if i < STRIDE]
    done = {task.id for task in tasks if task.status is TaskStatus.Completed}
    fresh = done.intersection(state.uncompacted) if done else set()
    for task in tasks:
        for question, answer in zip(task.asked, task.answers, strict=False):
            state.answer_tokens -= _answer_tokens(question, answer)
        task.asked = ()
        if task.kind is NodeKind.Clarification and task.spec.for_each is None:
            state.answer_tokens -= _line_tokens(task, task.result)
        elif task.id in fresh:
            state.context_tokens -= estimate_tokens(task.result)
            state.fresh_tokens -= _line_tokens(task, task.result)
        elif task.id in done and state.context_summary:
            state.stale.append(task.id)
    if fresh:
        state.uncompacted = [i for i in state.uncompacted if i not in fresh]


def remember_summary(state: PlannerState, event: ContextCompacted) -> None:
    """The results that the event covers are in the summary now."""
    state.context_summary = event.summary
    state.context_tokens = event.tokens_after
    state.stale = []
    if event.covers is None:
        state.uncompacted, state.fresh_tokens = [], 0
        return
    covered = set(event.covers).intersection(state.uncompacted)
    state.uncompacted = [i for i in state.uncompacted if i not in covered]
    for task_id in covered:
        task = state.tasks[task_id]
        state.fresh_tokens -= _line_tokens(task, task.result)


def _line_tokens(task: Task, result: Any) -> int:
    """The most tokens that a result needs in the context; 0 where there is none."""
    if result is None and task.kind is NodeKind.Clarification:
        return 0
    return LINE_TOKENS + estimate_tokens(task.description) + estimate_tokens(result)


def _answer_tokens(question: str, answer: str) -> int:
    return 2 * LINE_TOKENS + estimate_tokens(question) + estimate_tokens(answer)
