"""Two plans compared, or one plan at two versions: where they diverge, and how each ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

import msgspec

from planfold.drafting.changes import plan_diff
from planfold.eventstore.envelope import Envelope
from planfold.planner.budget import Spend
from planfold.planner.events import ContextCompacted, TaskStatusUpdated
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskStatus
from planfold.readmodels.labels import error_with_labels, labelled, labels_of
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
    last, ``spent`` what was paid. ``labels`` are those of the tasks that are named, by id."""

    divergence: Divergence | None
    tasks: list[TaskDifference]
    removed: tuple[int, ...]
    added: tuple[int, ...]
    seconds: tuple[float, float]
    spent: tuple[Spend, Spend]
    labels: dict[int, str] = {}


class Side(msgspec.Struct):
    """One of the two plans: its events up to a version, and the state that they fold to."""

    state: PlannerState
    events: Sequence[Envelope]


def plan_difference(one: Side, other: Side) -> PlanDifference:
    """How ``other`` differs from ``one``. Tasks are compared by id.

    Tasks run side by side in an order that means nothing. So the events of each task are compared
    in their order, and those of the plan as a whole; the divergence is the difference that comes
    first in the log. Times, epochs, costs, progress and who answered do not count.
    """
    mine, theirs = one.state.tasks, other.state.tasks
    planned = _planned(one.state, other.state)
    tasks = [
        TaskDifference(
            task_id,
            theirs[task_id].spec.label,
            theirs[task_id].spec.description,
            planned.get(task_id, {}) | _outcomes(one.state, other.state, task_id),
            (_seconds(mine[task_id]), _seconds(theirs[task_id])),
        )
        for task_id in sorted(mine.keys() & theirs.keys())
    ]
    divergence = _divergence(one.events, other.events)
    removed, added = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
    named = {*removed, *added, *_parents(tasks), divergence.task_id if divergence else None}
    return PlanDifference(
        divergence,
        tasks,
        tuple(removed),
        tuple(added),
        (_lasted(one.state), _lasted(other.state)),
        (one.state.spent, other.state.spent),
        _labels(mine, named) | _labels(theirs, named),
    )


def _planned(one: PlannerState, other: PlannerState) -> dict[int, dict[str, tuple[Any, Any]]]:
    """The differences of each task as planned: compared by id, shown by label."""
    before, after = ([t.spec for t in state.written().values()] for state in (one, other))
    was, now = ({spec.id: spec for spec in labelled(specs)} for specs in (before, after))
    return {
        change.after.id: {
            name: (getattr(was[change.after.id], name), getattr(now[change.after.id], name))
            for name in change.fields
        }
        for change in plan_diff(before, after).changed
    }


def _parents(tasks: Iterable[TaskDifference]) -> set[int]:
    """The tasks named by changes of ``depends_on``."""
    pairs = (task.changes.get("depends_on", ((), ())) for task in tasks)
    return {parent for pair in pairs for parents in pair for parent in parents}


def _labels(tasks: Mapping[int, Task], named: Collection[int | None]) -> dict[int, str]:
    return labels_of(task.spec for task_id, task in tasks.items() if task_id in named)


def _lasted(state: PlannerState) -> float:
    return max(state.updated_at - state.created_at, 0.0)


def _seconds(task: Task) -> float | None:
    ended = task.finished_at and task.started_at
    return max(task.finished_at - task.started_at, 0.0) if ended else None


def _outcomes(one: PlannerState, other: PlannerState, task_id: int) -> dict[str, tuple[Any, Any]]:
    before, after = (_outcome(state.tasks[task_id], state) for state in (one, other))
    return {
        name: (before[name], after[name])
        for name in before
        if _untimed(before[name]) != _untimed(after[name])
    }


def _outcome(task: Task, state: PlannerState) -> dict[str, Any]:
    asks = task.kind is NodeKind.Clarification
    return {
        "status": task.status.value,
        "arguments": task.arguments,
        "answer": task.result if asks else list(task.answers) or None,
        "result": None if asks else task.result,
        "error": task.error and error_with_labels(task, state.tasks),
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
    """The order of divergences: by version in the first plan, else in the other one; an event that
    only the other plan has comes later."""
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
    """The parts of an event that are compared."""
    event = envelope.event
    fields: Iterator[tuple[str, Any]] = (
        (name, getattr(event, name)) for name in event.__struct_fields__ if name not in _UNCOMPARED
    )
    return envelope.event_type, {name: _untimed(value) for name, value in fields}


def _untimed(value: Any) -> Any:
    """A result without the durations that built-in tools add."""
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
