"""Waits: tasks that end when time has passed, when a signal comes, or when a sub-plan has ended.

A wait is a task that runs without a worker. It has no row in the queue and takes no slot. The time
at which it ends is a due time of the plan, like the deadline of a question. A signal ends it with
the report that ends every attempt: ``TaskCompleted``, with the signal's data. A wait for a signal
is registered in the inbox of the signal's name and key. Sub-plans: ``planner/sub_plans.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from planfold.compaction.errors import compact_error_message
from planfold.patterns import pattern
from planfold.planner import transitions as t
from planfold.planner.branches import facts_of, results_of
from planfold.planner.cancellation import skip_dependents
from planfold.planner.commands import RegisterWait
from planfold.planner.events import Event, TaskStatusUpdated, WaitRegistered, WaitStarted
from planfold.planner.graph import change
from planfold.planner.references import ReferenceFault, resolve
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus, Wait

KEY_CHARACTERS: Final = 1_000
SIGNAL_NAME: Final = pattern(r"[A-Za-z0-9._:/-]{1,200}")


def start_wait(
    state: PlannerState, task: Task, wait: Wait, now: float, skipped: set[int]
) -> Iterator[Event]:
    """Begin a wait whose turn has come. ``skipped``: see :func:`skip_dependents`."""
    try:
        key = _key(state, task, wait)
    except ReferenceFault as fault:
        error = compact_error_message(f"key: {fault}", state.config.error_char_limit)
        yield from _failed(state, task, error, skipped)
        return
    until = wait.at
    if wait.seconds is not None:
        until = now + wait.seconds
    elif wait.signal is not None and task.spec.timeout is not None:
        until = now + task.spec.timeout
    yield WaitStarted(task.spec.id, task.attempt + 1, until, key)


def _key(state: PlannerState, task: Task, wait: Wait) -> str | None:
    """The key of the signals that are waited for. Raises ReferenceFault where it has no value, or
    one that cannot be a key."""
    if wait.key is None:
        return None
    value: Any = resolve({"": wait.key}, results_of(state, task), facts=facts_of(state))[""]
    if isinstance(value, bool | int | float):
        value = msgspec.json.encode(value).decode()
    if not isinstance(value, str) or not value or len(value) > KEY_CHARACTERS or "\0" in value:
        raise ReferenceFault(
            wait.key, f"a key is a number, or a text of 1 to {KEY_CHARACTERS:,} characters"
        )
    return value


def end_wait(state: PlannerState, task: Task, skipped: set[int]) -> Iterator[Event]:
    """End a wait whose time has come. ``skipped``: see :func:`skip_dependents`."""
    wait = task.spec.wait
    assert wait is not None
    if wait.signal is None:
        yield TaskStatusUpdated(task.spec.id, TaskStatus.Completed)
    elif wait.default is not msgspec.UNSET:
        yield TaskStatusUpdated(task.spec.id, TaskStatus.Completed, result=wait.default)
    else:
        key = "" if task.signal_key is None else f" with the key {task.signal_key!r}"
        error = f"no signal {wait.signal!r}{key} came within {task.spec.timeout or 0:g} s"
        yield from _failed(state, task, error, skipped)


def _failed(state: PlannerState, task: Task, error: str, skipped: set[int]) -> Iterator[Event]:
    yield TaskStatusUpdated(task.spec.id, TaskStatus.Failed, error=error)
    if task.spec.on_failure == "stop":
        yield from skip_dependents(state, [task.spec.id], skipped)


def register_wait(state: PlannerState, command: RegisterWait) -> Iterator[Event]:
    """Decide ``RegisterWait``."""
    if command.task_id not in state.unregistered or not is_current(state, command):
        return
    if state.tasks[command.task_id].runs_plan:
        if command.stop != state.tasks[command.task_id].stopping:
            return  # it was asked to stop in the meantime, which its sub-plan does not know
        yield WaitRegistered(command.task_id, command.attempt, command.plan_id, command.stop)
    else:
        yield WaitRegistered(command.task_id, command.attempt)


def is_current(state: PlannerState, named: RegisterWait) -> bool:
    """Whether a wait still waits in this attempt."""
    task = state.tasks.get(named.task_id)
    return task is not None and task.waits and task.attempt == named.attempt


def to_register(state: PlannerState) -> list[Task]:
    """Waits that have begun and are not registered yet: waits for signals, and sub-plans that have
    to begin or to be cancelled."""
    found = (state.tasks.get(i) for i in state.unregistered)
    return [task for task in found if task is not None and task.waits]


def fold_start(state: PlannerState, event: WaitStarted) -> None:
    """Fold ``WaitStarted``."""
    task = state.tasks[event.task_id]
    change(state, task, t.WAIT_STARTED)
    task.started_at = task.started_at or state.updated_at
    task.waiting_since = state.updated_at
    task.attempt, task.until, task.signal_key = event.attempt, event.until, event.key
    task.arguments = event.arguments
    if task.runs_plan or (task.spec.wait is not None and task.spec.wait.signal is not None):
        state.unregistered.append(event.task_id)
    schedule = state.__dict__.get("schedule")
    if schedule is not None and event.until is not None:
        schedule.deadlines.set(event.until, event.task_id)


def fold_registration(state: PlannerState, event: WaitRegistered) -> None:
    """Fold ``WaitRegistered``."""
    task = state.tasks[event.task_id]
    change(state, task, t.WAIT_REGISTERED)
    task.plan_id = event.plan_id or task.plan_id
    state.unregistered = [i for i in state.unregistered if i != event.task_id]
