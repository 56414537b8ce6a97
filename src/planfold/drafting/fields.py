"""Checks of a task's own fields: texts, numbers, and fields that exclude each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from planfold.drafting.draft import Limits, PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, quoted
from planfold.errors import CommandRejected
from planfold.planner.references import LABEL
from planfold.planner.tasks import FileRef, ImageRef, Link, NodeKind, RetryPolicy
from planfold.printable import unicode_fault
from planfold.tags import check_tags

MAX_ID: Final = 2**31 - 1
MAX_SECONDS: Final = 1e9  # about 31 years: beyond it dates leave what databases can store


def kind_of(task: TaskDraft) -> NodeKind:
    """The task's kind, or the one that its fields imply (see TaskDraft)."""
    if task.kind is not None:
        return task.kind
    if task.tool is not None or task.plan is not None:
        return NodeKind.ToolCall
    return NodeKind.Clarification if task.choices else NodeKind.Processing


def check_plan_texts(draft: PlanDraft, limits: Limits, faults: Faults) -> None:
    for field, text in (("title", draft.title), ("goal", draft.goal)):
        if isinstance(text, str) and (message := unicode_fault(text)):
            faults.add(message, field=field, fix="remove that character")
    if isinstance(draft.title, str):
        _check_length("title", draft.title, None, "name_chars", limits.name_chars, faults)
    try:
        check_tags(draft.tags)
    except CommandRejected as fault:
        faults.add(str(fault), field="tags", fix="choose other tags")
    except TypeError:
        faults.add("must be a list of texts", field="tags", fix="pass a list of str")


def check_fields(
    task: TaskDraft, name: str, limits: Limits, faults: Faults, written: bytes
) -> None:
    """Every check that needs no other task and no tool. ``written`` is the task as JSON without its
    arguments; empty where it cannot be."""
    if not written or b"\\u0000" in written:
        for field, text in _texts(task):
            if message := unicode_fault(text):
                faults.add(message, task=name, field=field, fix="remove that character")
    _check_texts(task, name, faults)
    if not 0 < len(written) <= min(limits.description_chars, limits.name_chars):
        _check_lengths(task, name, limits, faults)
    _check_numbers(task, name, faults)
    _check_combination(task, name, faults)
    _check_order(task, name, faults)
    if kind_of(task) is NodeKind.Clarification:
        _check_question(task, name, faults)


def _check_texts(task: TaskDraft, name: str, faults: Faults) -> None:
    for field, value in (("description", task.description), ("tool", task.tool)):
        if value is not None and not value.strip():
            fix = "say what the task does" if field == "description" else "name a tool"
            faults.add("is empty", task=name, field=field, fix=fix)
    if task.route is not None and not task.route.strip():
        faults.add("is empty", task=name, field="route", fix="name a route, or leave it out")
    if task.label is not None and not LABEL.fullmatch(task.label):
        message = f"{quoted(task.label)} is not a label"
        if task.label.isdecimal():
            message = f"{quoted(task.label)} looks like an id"
        fix = "use a letter or _ first, then letters, digits, _ and -"
        faults.add(message, task=name, field="label", fix=fix)


def _check_lengths(task: TaskDraft, name: str, limits: Limits, faults: Faults) -> None:
    most = limits.description_chars
    _check_length("description", task.description, name, "description_chars", most, faults)
    for field in ("label", "route", "tool", "for_each", "item_label", "plan"):
        if field == "for_each" and str(task.for_each).startswith("["):
            continue  # a list in JSON: plan_bytes is its limit
        text = getattr(task, field)
        if field != "plan" or isinstance(text, str):
            _check_length(field, text, name, "name_chars", limits.name_chars, faults)


def _texts(task: TaskDraft) -> Iterator[tuple[str, str]]:
    yield "description", task.description
    texts = ("label", "route", "tool", "default", "when", "for_each", "item_label", "key")
    for field in (*texts, "wait_for", "at", "plan"):
        if isinstance(text := getattr(task, field), str):
            yield field, text
    for index, choice in enumerate(task.choices):
        yield f"choices[{index}]", choice
    for index, attachment in enumerate(task.attachments):
        match attachment:
            case Link(url=address):
                yield f"attachments[{index}].url", address
            case ImageRef(source=address):
                yield f"attachments[{index}].source", address
            case FileRef(path=address):
                yield f"attachments[{index}].path", address
        yield f"attachments[{index}].title", attachment.title


def _check_length(
    field: str, text: str | None, task: str | None, limit: str, most: int, faults: Faults
) -> None:
    if text is not None and len(text) > most:
        message = f"has {len(text):,} characters; the limit {limit} is {most:,}"
        faults.add(message, task=task, field=field, fix="shorten it")


def _check_numbers(task: TaskDraft, name: str, faults: Faults) -> None:
    if task.id is not None and not 1 <= task.id <= MAX_ID:
        fix = f"use a number from 1 to {MAX_ID}, or leave it out"
        faults.add(f"{quoted(task.id)} is out of range", task=name, field="id", fix=fix)
    for field in ("timeout", "deadline", "stall_timeout"):
        seconds = getattr(task, field)
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            fix = f"use seconds, more than 0 and at most {MAX_SECONDS:,.0f}"
            faults.add(f"{seconds} is out of range", task=name, field=field, fix=fix)
    if task.retry is not None:
        check_retry(task.retry, name, faults)


def _check_order(task: TaskDraft, name: str, faults: Faults) -> None:
    for field, given in (("when", task.when), ("run_if", task.run_if != "completed")):
        if given and task.done:
            faults.add(
                "is not used by a task that is done", task=name, field=field, fix="remove it"
            )


def check_retry(retry: RetryPolicy, name: str, faults: Faults) -> None:
    """The bounds of a retry policy, of a task or of a tool."""
    if not 1 <= retry.attempts <= 100:
        message = f"{quoted(retry.attempts)} is out of range"
        fix = "use 1 (no retry) to 100"
        faults.add(message, task=name, field="retry.attempts", fix=fix)
    for field, seconds in (("base", retry.base), ("cap", retry.cap)):
        if not 0 <= seconds <= MAX_SECONDS:
            fix = f"use seconds, 0 to {MAX_SECONDS:,.0f}"
            faults.add(f"{seconds} is out of range", task=name, field=f"retry.{field}", fix=fix)
    if retry.base > retry.cap and retry.base != RetryPolicy().base:  # a cap alone may be below it
        message = f"{retry.base} is above the longest wait, retry.cap, which is {retry.cap}"
        faults.add(message, task=name, field="retry.base", fix="raise retry.cap, or lower this")
    if not (math.isfinite(retry.factor) and retry.factor > 0):
        message = f"{retry.factor} is out of range"
        faults.add(message, task=name, field="retry.factor", fix="use a number above 0, say 2")


def _check_combination(task: TaskDraft, name: str, faults: Faults) -> None:
    kind = kind_of(task)
    waits = (task.wait, task.at, task.wait_for) != (None, None, None)
    if kind is NodeKind.ToolCall:
        if task.tool is None and task.plan is None:
            fix = "name the tool, or choose another kind"
            faults.add("a tool_call needs a tool", task=name, field="tool", fix=fix)
    else:
        fix = "leave it out, or use kind tool_call and name a tool"
        for field in ("tool", "arguments"):
            if getattr(task, field) is not None:
                message = f"is not used by a {kind} task"
                faults.add(message, task=name, field=field, fix=fix)
    if kind is NodeKind.Clarification and task.stall_timeout is not None:
        fix = "leave it out, or use deadline"
        message = "is not used by a clarification task"
        faults.add(message, task=name, field="stall_timeout", fix=fix)
    if kind is not NodeKind.Clarification:
        fix = "leave it out, or use kind clarification"
        for field in ("choices", "default", "deadline"):
            if waits:
                continue  # what a wait uses is checked with it
            if getattr(task, field) not in (None, []):
                message = f"is not used by a {kind} task"
                faults.add(message, task=name, field=field, fix=fix)


def _check_question(task: TaskDraft, name: str, faults: Faults) -> None:
    seen: set[str] = set()
    for index, choice in enumerate(task.choices):
        field = f"choices[{index}]"
        if not choice.strip():
            faults.add("is empty", task=name, field=field, fix="remove it")
        elif choice in seen:
            message = f"{quoted(choice)} is given twice"
            faults.add(message, task=name, field=field, fix="remove one of them")
        seen.add(choice)
    if task.default is not None and not isinstance(task.default, str):
        faults.add("is not a text", task=name, field="default", fix="put it in quotes")
    elif task.default is not None and task.choices and task.default not in seen:
        near = faults.nearest(task.default, seen)
        some = [quoted(choice) for choice in dict.fromkeys(task.choices) if choice.strip()]
        fix = near or "use one of the choices: " + ", ".join(some[:12])
        message = f"{quoted(task.default)} is not among the choices"
        faults.add(message, task=name, field="default", fix=fix)
    if task.deadline is not None and task.default is None:
        message = "needs a default: the answer that applies if none is given in time"
        faults.add(message, task=name, field="deadline", fix="add a default, or leave it out")
