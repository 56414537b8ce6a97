"""Checks of the fields of a wait, and the wait of a compiled task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, excerpt
from planfold.drafting.fields import MAX_SECONDS, kind_of
from planfold.drafting.sub_plans import draft_from, sub_plan_wait
from planfold.instants import instant_of
from planfold.planner.references import rename_references
from planfold.planner.tasks import NodeKind, Wait
from planfold.planner.waits import KEY_CHARACTERS, SIGNAL_NAME

WAITS: Final = ("wait", "at", "wait_for")
_UNUSED: Final = ("tool", "arguments", "retry", "route", "choices", "deadline", "stall_timeout")


def is_wait(task: TaskDraft) -> bool:
    """Whether the task waits, and does nothing else."""
    return task.wait is not None or task.at is not None or task.wait_for is not None


def check_wait(task: TaskDraft, name: str, faults: Faults) -> None:
    """Every check of a wait that needs no other task."""
    given = [field for field in WAITS if getattr(task, field) is not None]
    if task.wait_for is None and task.key is not None:
        faults.add("is only for wait_for", task=name, field="key", fix="leave it out")
    if not given or task.plan is not None:
        return
    for field in given[1:]:
        message = f"a task has one of {', '.join(WAITS)}"
        faults.add(message, task=name, field=field, fix="write a task for each wait")
    _check_others(task, name, given[0], faults)
    if task.wait is not None and not 0 < task.wait <= MAX_SECONDS:
        fix = f"use seconds, more than 0 and at most {MAX_SECONDS:,.0f}"
        faults.add(f"{task.wait} is out of range", task=name, field="wait", fix=fix)
    if task.at is not None:
        try:
            instant_of(task.at)
        except ValueError as fault:
            fix = "write a time such as 2026-12-01T09:00[Europe/Zurich]"
            faults.add(f"{excerpt(task.at)}: {fault}", task=name, field="at", fix=fix)
    if task.wait_for is not None and not SIGNAL_NAME.fullmatch(task.wait_for):
        message = f"{excerpt(task.wait_for)} is not the name of a signal"
        fix = "use letters, digits and . _ : / -, such as payment.settled"
        faults.add(message, task=name, field="wait_for", fix=fix)
    if task.key is not None and not 0 < len(task.key) <= KEY_CHARACTERS:
        fix = f"use 1 to {KEY_CHARACTERS:,}, such as $order.id, or leave it out"
        faults.add(f"has {len(task.key):,} characters", task=name, field="key", fix=fix)


def _check_others(task: TaskDraft, name: str, wait: str, faults: Faults) -> None:
    for field in _UNUSED:
        if getattr(task, field) not in (None, []):
            fix = "leave it out, or do the work in a task after this one"
            faults.add(f"is not used by a task with {wait}", task=name, field=field, fix=fix)
    if kind_of(task) is not NodeKind.Processing and task.tool is None and not task.choices:
        fix = "leave it out"
        faults.add(f"is not used by a task with {wait}", task=name, field="kind", fix=fix)
    if task.done:
        fix = f"leave {wait} out"
        faults.add("is not used by a task that is done", task=name, field=wait, fix=fix)
    if task.wait_for is None:
        for field in ("timeout", "default"):
            if getattr(task, field) is not None:
                fix = "leave it out: the wait ends at its time"
                faults.add(f"is not used by a task with {wait}", task=name, field=field, fix=fix)
    elif task.default is not None and task.timeout is None:
        message = "needs a timeout: the result that holds if no signal comes in time"
        faults.add(message, task=name, field="default", fix="add a timeout, or leave it out")


def wait_of(task: TaskDraft, ids: Mapping[str, int]) -> Wait | None:
    """The wait of a checked task, in which labels are replaced by ids."""
    if isinstance(task.plan, PlanDraft):
        return sub_plan_wait(task.plan)
    if task.wait is not None:
        return Wait(seconds=task.wait)
    if task.at is not None:
        return Wait(at=instant_of(task.at), written=task.at.strip())
    if task.wait_for is None:
        return None
    key = None if task.key is None else rename_references({"": task.key}, ids)[""]
    default: Any = msgspec.UNSET if task.default is None else task.default
    return Wait(signal=task.wait_for, key=key, default=default)


def wait_fields(wait: Wait | None) -> dict[str, Any]:
    """The fields of a draft for a wait of a plan."""
    if wait is None:
        return {}
    if wait.plan is not None:
        return {"plan": draft_from(wait.plan)}
    default = None if wait.default is msgspec.UNSET else wait.default
    return {
        "wait": wait.seconds,
        "at": wait.written,
        "wait_for": wait.signal,
        "key": wait.key,
        "default": default,
    }
