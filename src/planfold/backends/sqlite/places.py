"""``LimitPlaces``: how many tasks the limits by name let start now, within one claim.

The starts of a period are recorded, so no time of that length has more of them. How many tasks of a
limit run is counted from the rows that are leased, so no counter can differ from them. See
docs/decisions/0053.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw
import msgspec

from planfold.backends.sqlite.queries import SQL
from planfold.eventstore.queue import LimitState
from planfold.shared_limits import LONGEST_CLOSED_S, START_WITHIN_S, split

Rows = Callable[[str, Sequence[Any]], Iterable[tuple[Any, ...]]]
"""The rows of a named query."""


class LimitPlaces:
    """The limits at the time ``now``, each read when a task first needs it. Tasks of ``lost``
    owners, which may be dead, count until their leases have run out."""

    def __init__(self, rows: Rows, now: float, lost: Sequence[str] = ()) -> None:
        self._rows = rows
        self._now = now
        self._lost = msgspec.json.encode(sorted(lost)).decode()
        self._declared: dict[str, tuple[Any, ...]] | None = None
        self._states: dict[str, LimitState] = {}
        self._held: Counter[str] = Counter()
        self._left: dict[str, int] = {}
        self._taken: Counter[str] = Counter()
        self.set_back: set[str] = set()  # limits that are used up by starts in the future

    def closed(self, limits: str) -> bool:
        """Whether one of these limits (names with commas between them) has no place."""
        return bool(limits) and any(self._places(name) < 1 for name in split(limits))

    def take(self, limits: str) -> bool:
        """Take a place under each of these limits, or return False."""
        if not limits:
            return True
        if self.closed(limits):
            return False
        for name in split(limits):
            self._left[name] -= 1
            self._taken[name] += 1
        return True

    def record(self, connection: apsw.Connection) -> None:
        """Record the starts that were taken, in the transaction that leases the tasks."""
        for name in self.set_back:
            connection.execute(SQL["starts_in_the_future"], (name, self._now))
        for name, count in self._taken.items():
            state = self._states[name]
            if state.starts is None:
                continue
            before = self._now - state.period - START_WITHIN_S
            connection.execute(SQL["starts_in_the_future"], (name, self._now))
            connection.execute(SQL["forget_starts"], (name, before))
            connection.executemany(SQL["add_start"], [(name, self._now)] * count)

    @property
    def shut(self) -> list[str]:
        """The limits that were asked for and have no place left."""
        return [name for name, left in self._left.items() if left < 1]

    def states(self) -> dict[str, LimitState]:
        """All limits that a worker has declared, by name."""
        for name in self._names():
            self._places(name)
        return self._states

    def _places(self, name: str) -> int:
        if name not in self._left:
            row = self._names().get(name)
            if row is not None:
                self._states[name] = self._state(row)
            # One that no worker has declared has no place.
            self._left[name] = 0 if row is None else self._states[name].places
        return self._left[name]

    def _names(self) -> dict[str, tuple[Any, ...]]:
        if self._declared is None:
            self._declared = {row[0]: row for row in self._rows("limits", ())}
            if self._declared:
                for limits, count in self._rows("held_limits", (self._now, self._lost)):
                    self._held.update(dict.fromkeys(split(limits), count))
        return self._declared

    def _state(self, row: tuple[Any, ...]) -> LimitState:
        name, starts, period, concurrency, closed_until = row
        if not self._now < closed_until <= self._now + LONGEST_CLOSED_S:
            closed_until = 0.0  # over, or the clock was set back since
        started, opens_at = 0, 0.0
        if starts is not None:
            lasts = period + START_WITHIN_S
            counted = (name, self._now - lasts)
            ((started,),) = self._rows("starts_after", counted)
            if started >= starts:  # the one that has to be over first
                ((ahead,),) = self._rows("starts_after", (name, self._now + START_WITHIN_S))
                if ahead:
                    self.set_back.add(name)
                ((at,),) = self._rows("start_after", (*counted, started - starts))
                opens_at = min(at, self._now) + lasts
        bounds = (starts, period, concurrency)
        return LimitState(name, *bounds, started, self._held[name], opens_at, closed_until)
