"""Turns: the order of rows in the task queue.

Claims take free rows by turn. The rows of a stream have consecutive turns, which begin at the first
turn that is still free; so every round of turns has one row of each stream. If no row is free, a
stream begins at the position of its events. Turns never rise faster than positions, so all earlier
turns are below. See docs/decisions/0022.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import apsw

from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.writer import SqliteWriter
from planfold.eventstore.port import Append
from planfold.handler import Enqueue, Settle
from planfold.shared_limits import joined

LEASE_S = 30.0
MOST_STREAMS = 10_000  # whose last turn is remembered

LaneKey = tuple[int, str, str, str]
"""Priority, route, tool and limits."""


class Turns:
    """The order of the streams in the queue. It is computed within transactions, and cached until
    this process claims or releases a task, or another process writes."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer
        self._generation = writer.generation
        self._first: dict[LaneKey, int] = {}
        self._last: dict[str, int] = {}

    def forget(self) -> None:
        """Drop the cache, because tasks were claimed or released."""
        self._first.clear()

    def first(self, lane: LaneKey) -> int:
        """The first free turn in this lane. If the lane has none, the first in any lane of this
        priority; if there is none either, the position of the next event."""
        self._look_for_foreign_writes()
        turn = self._first.get(lane)
        if turn is None:
            execute = self._writer.connection.execute
            turn = execute(SQL["first_turn"], lane).get
            if turn is None:
                ((turn, end),) = execute(SQL["first_turn_of_all"], lane[:1])
                return int(end if turn is None else turn)
            self._first[lane] = turn
        return turn

    def take(
        self, aggregate_id: str, lanes: Collection[LaneKey], count: int, *, begins: bool = False
    ) -> int:
        """``count`` turns for the next rows of a stream; returns the last of them."""
        first = min(map(self.first, lanes))
        last = 0 if begins else self._last.get(aggregate_id)
        if last is None:
            last = self._writer.connection.execute(SQL["last_turn"], (aggregate_id,)).get or 0
            if len(self._last) >= MOST_STREAMS:
                self._last.clear()
        last = max(first - 1, last) + count
        if not begins:
            self._last[aggregate_id] = last
        return last

    def _look_for_foreign_writes(self) -> None:
        if self._generation != self._writer.generation:
            self._generation = self._writer.generation
            self._first.clear()
            self._last.clear()


class Changes:
    """An append's changes of the queue, in their order, as rows to write."""

    def __init__(self, append: Append) -> None:
        self._aggregate_id = append.aggregate_id
        self._begins = not append.expected_version
        self._lanes: set[LaneKey] = set()
        self._owner = append.owner
        self.free: list[list[Any]] = []
        self._leased: list[list[Any]] = []
        self._steps: list[tuple[str, list[Any]]] = []
        aggregate_id, leased = append.aggregate_id, append.leased
        for change, version in append.queue:
            if not isinstance(change, Enqueue):
                name = "settle" if isinstance(change, Settle) else "signal"
                self._add(name, (aggregate_id, change.task_id))
                continue
            limits = joined(change.limits) if change.limits else ""
            about = (change.attempt, change.route, change.tool, change.priority, limits, version)
            row = [aggregate_id, change.task_id, *about, 0]  # the last is set once it is known
            if change.task_id in leased:
                self._leased.append(row)
                self._add("enqueue_leased", row)
            else:
                self._lanes.add((change.priority, change.route, change.tool, limits))
                self.free.append(row)
                self._add("enqueue", row)

    def _add(self, name: str, row: Any) -> None:
        if not self._steps or self._steps[-1][0] != name:
            self._steps.append((name, []))
        self._steps[-1][1].append(row)

    def last_turn(self, turns: Turns) -> int:
        """Give turns to the rows without an owner (``free``); returns the last turn."""
        count = len(self.free)
        last = turns.take(self._aggregate_id, self._lanes, count, begins=self._begins)
        for turn, row in enumerate(self.free, last - count + 1):
            row[-1] = turn
        return last

    def make(self, connection: apsw.Connection, now: float) -> None:
        """Write the changes."""
        for row in self._leased:
            row[8:] = (self._owner, now + LEASE_S, now)  # in place of the turn; perhaps again
        for name, rows in self._steps:
            if len(rows) == 1:
                connection.execute(SQL[name], rows[0])
            else:
                connection.executemany(SQL[name], rows)
