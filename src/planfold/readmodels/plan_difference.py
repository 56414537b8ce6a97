"""Two plans compared, or one plan at two versions: where they diverge, and how each ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final

import msgspec

from planfold.drafting.changes import plan_diff
from planfold.eventstore.envelope import Envelope
from planfold.planner.budget import Spend
from planfold.planner.events import ContextCompacted, TaskStatusUpdated
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskStatus
from planfold.readmodels.recorded_commands import cause_of


class Divergence(msgspec.Struct):
    """The first event in which the plans differ, of one task or (None) of the whole plan. Each
    pair is of the first plan and of the other. A version and an event are None where a plan has no
    such event. ``causes`` name the command or report behind each event; "" where there is none, or
    the log does not name it."""

    task_id: int | None
    versions: tuple[int | None, int | None]
    events: tuple[Any, Any]
    causes: tuple[str, str]


class TaskDifference(msgspec.Struct):
    """A task of both plans. ``changes`` holds what differs, by name: fields of the task as it was
    planned, and ``status``, ``arguments``, ``answer``, ``result``, ``error`` and ``attempts``.
    ``seconds`` are those from being queued, or asked, to the end (None: not ended)."""

    id: int
    label: str | None
    description: str
    changes: dict[str, tuple[Any, Any]]
    seconds: tuple[float | None, float | None]


class PlanDifference(msgspec.Struct):
    """How two plans differ. ``removed`` tasks are only in the first, ``added`` ones only in the
    other; ``tasks`` are those of both, by id. ``seconds`` are those from the first event to the
    last, ``spent`` what was paid."""

    divergence: Divergence | None
    tasks: list[TaskDifference]
    removed: tuple[int, ...]
    added: tuple[int, ...]
    seconds: tuple[float, float]
    spent: tuple[Spend, Spend]


class Side(msgspec.Struct):
    """One of the two: the events up to some version, and the state that they fold to."""

    state: PlannerState
    events: Sequence[Envelope]


def plan_difference(one: Side, other: Side) -> PlanDifference:
    """How ``other`` differs from ``one``. Tasks are compared by id.

    Tasks run side by side in an order that means nothing. So the events of each task are compared
    in their order, and those of the plan as a whole; the divergence is the difference that comes
    first in the log. Times, epochs, costs, progress and who answered do not count.
    """
    specs = plan_diff(*([t.spec for t in side.state.written().values()] for side in (one, other)))
    changed = {change.after.id: change for change in specs.changed}
    tasks: list[TaskDifference] = []
    for task_id in sorted(one.state.tasks.keys() & other.state.tasks.keys()):
        was, now = one.state.tasks[task_id], other.state.tasks[task_id]
        planned = changed[task_id].fields if task_id in changed else ()
        changes = {name: (getattr(was.spec, name), getattr(now.spec, name)) for name in planned}
        tasks.append(
            TaskDifference(
                task_id,
                now.spec.label,
                now.spec.description,
                changes | _outcomes(was, now),
                (_seconds(was), _seconds(now)),
            )
        )
    return PlanDifference(
        _divergence(one.events, other.events),
        tasks,
        tuple(sorted(one.state.tasks.keys() - other.state.tasks.keys())),
        tuple(sorted(other.state.tasks.keys() - one.state.tasks.keys())),
        (_lasted(one.state), _lasted(other.state)),
        (one.state.spent, other.state.spent),
    )


def _lasted(state: PlannerState) -> float:
    return max(state.updated_at - state.created_at, 0.0)


def _seconds(task: Task) -> float | None:
    ended = task.finished_at and task.started_at
    return max(task.finished_at - task.started_at, 0.0) if ended else None


def _outcomes(was: Task, now: Task) -> dict[str, tuple[Any, Any]]:
    before, after = _outcome(was), _outcome(now)
    return {
        name: (before[name], after[name])
        for name in before
        if _untimed(before[name]) != _untimed(after[name])
    }


def _outcome(task: Task) -> dict[str, Any]:
    asks = task.kind is NodeKind.Clarification
    return {
        "status": task.status.value,
        "arguments": task.arguments,
        "answer": task.result if asks else list(task.answers) or None,
        "result": None if asks else task.result,
        "error": task.error,
        "attempts": task.attempt,
    }


# --- the first divergence -------------------------------------------------------------------------

_UNCOMPARED: Final = frozenset(
    {"at", "delay", "deadline", "started_at", "epoch", "by", "spent", "reserved"}
)


def _divergence(one: Sequence[Envelope], other: Sequence[Envelope]) -> Divergence | None:
    mine, theirs = _by_task(one), _by_task(other)
    found = [
        Divergence(
            task_id,
            (_version(a), _version(b)),
            (a and a.event, b and b.event),
            (_cause(a), _cause(b)),
        )
        for task_id in mine.keys() | theirs.keys()
        if (pair := _first_difference(mine.get(task_id, ()), theirs.get(task_id, ())))
        for a, b in (pair,)
    ]
    return min(found, key=_place, default=None)


def _place(divergence: Divergence) -> tuple[int, int, int]:
    """Where in the log: by the first plan; what only the other has comes after it."""
    mine, theirs = divergence.versions
    return (theirs if mine is None else mine) or 0, mine is None, divergence.task_id or 0


def _by_task(envelopes: Sequence[Envelope]) -> dict[int | None, list[Envelope]]:
    found: dict[int | None, list[Envelope]] = {}
    for envelope in envelopes:
        event = envelope.event
        progress = isinstance(event, TaskStatusUpdated) and event.status is TaskStatus.Running
        if not progress and not isinstance(event, ContextCompacted):
            found.setdefault(getattr(event, "task_id", None), []).append(envelope)
    return found


def _first_difference(
    one: Sequence[Envelope], other: Sequence[Envelope]
) -> tuple[Envelope | None, Envelope | None] | None:
    for a, b in zip_longest(one, other):
        if a is None or b is None or _compared(a) != _compared(b):
            return a, b
    return None


def _compared(envelope: Envelope) -> Any:
    """What counts of an event."""
    event = envelope.event
    fields: Iterator[tuple[str, Any]] = (
        (name, getattr(event, name)) for name in event.__struct_fields__ if name not in _UNCOMPARED
    )
    return envelope.event_type, {name: _untimed(value) for name, value in fields}


def _untimed(value: Any) -> Any:
    """A result without how long it took, which built-in tools say in it."""
    if isinstance(value, dict) and "seconds" in value:
        return {name: item for name, item in value.items() if name != "seconds"}
    return value


def _version(envelope: Envelope | None) -> int | None:
    return None if envelope is None else envelope.version


def _cause(envelope: Envelope | None) -> str:
    if envelope is None:
        return ""
    command = envelope.metadata.command
    if isinstance(command, dict) and len(command) == 1:
        ((name, value),) = command.items()
        report = value.get("event") if isinstance(value, dict) else None
        return str(report.get("type", name) if isinstance(report, dict) else name)
    return cause_of(envelope).name
