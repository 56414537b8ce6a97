"""Appends as planfold sends them to a PostgreSQL server, read back from the arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from planfold.eventstore.event_rows import decode_metadata
from planfold.eventstore.port import Append, CommandRecord, Fence
from planfold.handler import Enqueue, QueueChange, Settle, Signal
from planfold.shared_limits import split

_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|NULL', re.DOTALL)


class StoredEvent(NamedTuple):
    """An event as its row has it."""

    event_type: str
    event_version: int
    data: str


class Decision(NamedTuple):
    """One decision of an append: what is to be written, and its receipt."""

    append: Append
    receipt: int


def decisions_of(name: str, arguments: Sequence[Any]) -> list[Decision]:
    return [_plain(arguments)] if name == "append_one" else _batch(arguments)


def _numbers(text: str | None) -> list[Any]:
    found: list[Any] = json.loads(f"[{text[1:-1]}]") if text else []
    return found


def _texts(text: str | None) -> list[Any]:
    """PostgreSQL's text of an array of texts."""
    found = _TEXT.finditer(text or "")
    return [None if m[1] is None else re.sub(r"\\(.)", r"\1", m[1], flags=re.DOTALL) for m in found]


def _rows(kinds: str, columns: Sequence[Any]) -> list[tuple[Any, ...]]:
    read = {"n": _numbers, "t": _texts, "d": lambda column: column or []}
    return list(zip(*map(lambda k, c: read[k](c), kinds, columns), strict=True))


class _Columns:
    """Rows of all decisions, in columns of which the first says which decision it is."""

    def __init__(self, kinds: str, columns: Sequence[Any]) -> None:
        self._rows = _rows(kinds, columns)

    def of(self, place: int) -> list[tuple[Any, ...]]:
        return [tuple(row[1:]) for row in self._rows if row[0] == place]


def _batch(arguments: Sequence[Any]) -> list[Decision]:
    about = [read(column) for read, column in zip(_HEAD, arguments[:8], strict=True)]
    events = _Columns("nntndtn", arguments[8:15])
    times = iter(_numbers(arguments[15]))
    touches = _Columns("nntnn", arguments[16:21])
    tasks = _Columns("nnntntntnnt", arguments[21:32])
    commands = _Columns("ntt", arguments[32:35])
    found: list[Decision] = []
    for place, row in enumerate(zip(*about, strict=True), 1):
        own = events.of(place)
        at = [next(times) for _ in own] if arguments[15] else []
        records = [CommandRecord(*row) for row in commands.of(place)]
        queue = _queue(touches.of(place), tasks.of(place))
        found.append(_decision(row, [event[1:] for event in own], at, queue, records))
    return found


_HEAD: Final = (_texts, _texts, _numbers, _numbers, list, _numbers, _numbers, _numbers)


def _plain(arguments: Sequence[Any]) -> Decision:
    row, given = arguments[:8], list(arguments)
    count = row[3]
    events = [given[8:13], given[13:18], *_rows("tndtn", given[18:23])]
    times, lease, tasks = _numbers(given[23]), given[24:28], [[*given[29:36], None]]
    tasks += [list(task) for task in _rows("nntnttnn", given[36:44])]
    touches = []
    if lease[0] is not None:
        touches = [(lease[0], "settle" if lease[3] else "fence", lease[1], lease[2])]
    rows = [
        (task, attempt, route, cause, owner, False, tool, priority, None, "")
        for task, attempt, route, cause, owner, tool, priority, _ in tasks
        if task is not None
    ]
    return _decision(row, events[:count], times, _queue(touches, rows), [])


class _Queue(NamedTuple):
    changes: list[tuple[QueueChange, int]]
    fences: list[Fence]
    owner: str | None
    leased: frozenset[int]


def _queue(touches: Iterable[Sequence[Any]], tasks: Iterable[Sequence[Any]]) -> _Queue:
    changes: list[tuple[QueueChange, int]] = []
    fences, owners, leased = list[Fence](), set[str](), set[int]()
    for task_id, kind, attempt, epoch in touches:
        if attempt is not None:
            fences.append(Fence(task_id, attempt, epoch))
        if kind != "fence":
            changes.append((Settle(task_id) if kind == "settle" else Signal(task_id), 0))
    for task_id, attempt, route, cause, owner, cancel, tool, priority, _, limits in tasks:
        enqueue = Enqueue(task_id, attempt, route, tool, priority, limits=split(limits))
        changes.append((enqueue, cause))
        if owner is not None:
            owners.add(owner)
            leased.add(task_id)
        if cancel:
            changes.append((Signal(task_id), cause))
    return _Queue(changes, fences, next(iter(owners), None), frozenset(leased))


def _decision(
    row: Sequence[Any],
    events: Sequence[Sequence[Any]],
    times: Sequence[float],
    queue: _Queue,
    records: Sequence[CommandRecord],
) -> Decision:
    aggregate_id, stream_id, expected, _, head, due_at, receipt, decided = row
    append = Append(
        stream_id,
        aggregate_id,
        expected,
        [
            (StoredEvent(name, version, data), decode_metadata(metadata, aggregate_id))
            for name, version, data, metadata, _ in events
        ],
        queue.changes,
        queue.fences,
        records,
        json.loads(head),
        due_at,
        queue.owner,
        queue.leased,
        decided,
        times=times,
    )
    return Decision(append, receipt)
