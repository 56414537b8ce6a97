"""Rows that enter the task queue, and the turns they get in it.

Claims take free rows by turn. The rows of a stream have turns one after the other; those of a
stream that comes later begin at the first turn that is still free, where the others are now. So
every round of turns has one row of each stream. Where no row is free, a stream begins at the
position of its events: no turn is ever above that, so whatever was granted before lies below.
See docs/decisions/0020.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any

import apsw

from planfold.backends.sqlite.queries import SQL
from planfold.eventstore.port import Append
from planfold.handler import Enqueue, QueueChange, Settle

LEASE_S = 30.0
KNOWN_S = 0.01  # how long the first free turn is taken for known

Lane = tuple[int, str]
"""Priority and route."""


class Turns:
    """Where new streams begin, on one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._known: dict[Lane, tuple[int, float]] = {}

    def first(self, lanes: Collection[Lane]) -> int:
        """The first turn that is free on one of the lanes; if there is none, of the priority."""
        return min(map(self._first, lanes), default=0)

    def _first(self, lane: Lane) -> int:
        now = time.monotonic()
        turn, until = self._known.get(lane, (0, 0.0))
        if until > now:
            return turn
        found: int | None
        found, end = self._connection.execute(SQL["first_turn"], lane).get
        if found is None:  # asked again next time: a backlog may have begun by then
            return int(end)
        self._known[lane] = (found, now + KNOWN_S)
        return found


def free_lanes(append: Append) -> list[Lane]:
    """Those of the rows that enter the queue without an owner."""
    leased = append.leased
    return [
        (change.priority, change.route)
        for change, _ in append.queue
        if isinstance(change, Enqueue) and change.task_id not in leased
    ]


def change_queue(connection: apsw.Connection, append: Append, turn: int, now: float) -> None:
    """Make an append's changes of the queue, in their order; rows without an owner get turns from
    ``turn`` on."""
    aggregate_id = append.aggregate_id
    for kind, changes in groupby(append.queue, lambda change: type(change[0])):
        if kind is Enqueue:
            rows = _entering(append, changes, turn, now)
            turn += sum(row[-2] is None for row in rows)
            connection.executemany(SQL["enqueue"], rows)
        else:
            name = "settle" if kind is Settle else "signal"
            connection.executemany(SQL[name], [(aggregate_id, c.task_id) for c, _ in changes])


def _entering(
    append: Append, changes: Iterable[tuple[QueueChange, int]], turn: int, now: float
) -> list[tuple[Any, ...]]:
    held = (append.owner, 1, 1, now + LEASE_S, now, now, 0)
    rows: list[tuple[Any, ...]] = []
    for change, version in changes:
        assert isinstance(change, Enqueue)
        task_id = change.task_id
        rest: tuple[Any, ...] = held
        if task_id not in append.leased:
            rest = (None, 0, 0, None, None, None, turn)
            turn += 1
        about = (change.attempt, change.route, change.tool, change.priority, version)
        rows.append((append.aggregate_id, task_id, *about, *rest))
    return rows
