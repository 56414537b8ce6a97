"""``Claimable``: which rows of the queue a claim may take, and in which order.

Free rows are in lanes, one for each route, tool and set of limits, so that a claim skips rows that
its worker cannot run, or that a limit holds back, without reading them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any

import msgspec

from planfold.backends.names import is_storable
from planfold.backends.sqlite.places import LimitPlaces, Rows
from planfold.eventstore.queue import SUSPECT_CRASHES, Suspects

Place = tuple[int, int, int, str]
"""Of a row in the line: priority, negated, then turn, then id; and its limits."""

SMALL = 500  # rows of a stream that are sorted faster than found among the others
ANY = 2**62  # crashes
ONE = SUSPECT_CRASHES - 1  # crashes of a free row that is not a suspect yet


class Claimable:
    """Rows for the arguments of :meth:`TaskQueue.claim`. ``lost`` are owners that may be dead:
    their rows can be claimed once the leases have run out by ``now``."""

    def __init__(
        self,
        aggregate_id: str | None,
        routes: Iterable[str] | None,
        without_tools: Iterable[str],
        barred: Iterable[str],
        lost: Sequence[str],
        now: float,
    ) -> None:
        self._aggregate_id = aggregate_id
        self._routes = None if routes is None else frozenset(filter(is_storable, routes))
        self._without = frozenset(filter(is_storable, without_tools))
        self._barred = _json(filter(is_storable, barred))
        self._filters = (
            self._barred,
            aggregate_id,
            None if self._routes is None else _json(self._routes) or "[]",
            _json(self._without),
        )
        self._lost = (_json(lost), now) if lost else None
        self._now = now
        self._lost_owners = lost
        self._lanes: list[tuple[str, str, str]] = []

    def exist(self, rows: Rows, places: LimitPlaces) -> bool:
        """Whether there are claimable rows, suspects or not. It is asked without a lock, before
        :meth:`ids`."""
        about = (self._barred, self._aggregate_id, ANY)
        self._lanes = [lane for lane in rows("lanes", ()) if self._serves(*lane[:2])]
        free = any(
            rows("free", (1, *lane, *about)) for lane in self._lanes if not places.closed(lane[2])
        )
        return free or bool(self._taken(rows, places, 1, 0, ANY))

    def places(self, rows: Rows) -> LimitPlaces:
        """The limits, with how many tasks may start now under each."""
        return LimitPlaces(rows, self._now, self._lost_owners)

    def ids(
        self, rows: Rows, owner: str, limit: int, suspects: Suspects | None
    ) -> tuple[list[int], LimitPlaces]:
        """The first rows in order, at most ``limit``, and the limits with their new starts."""
        places = self.places(rows)
        return self._ids(rows, places, owner, limit, suspects), places

    def _ids(
        self, rows: Rows, places: LimitPlaces, owner: str, limit: int, suspects: Suspects | None
    ) -> list[int]:
        found: Iterable[Place]
        if suspects == "only":
            found = self._suspects(rows, places) if _held_crashes(rows, owner) is None else []
        elif suspects is not None and (_held_crashes(rows, owner) or 0) > ONE:
            found = []
        else:  # losing its owner makes one crash more
            most = ANY if suspects is None else ONE
            lost = self._taken(rows, places, limit, 0, most if suspects is None else ONE - 1)
            found = merge(self._free(rows, places, limit, most), lost)
        taken = (row_id for _, _, row_id, limits in found if places.take(limits))
        return list(islice(taken, limit))

    def suspects(self, rows: Rows) -> list[Place]:
        """The first row that may have killed a worker, if any."""
        return self._suspects(rows, self.places(rows))

    def _suspects(self, rows: Rows, places: LimitPlaces) -> list[Place]:
        free = self._open(rows, places, "free_suspects", 1)
        return sorted([*free, *self._taken(rows, places, 1, ONE, ANY)])[:1]

    def _free(self, rows: Rows, places: LimitPlaces, limit: int, crashes: int) -> Iterable[Place]:
        if self._is_small_stream(rows):
            found = self._open(rows, places, "free_of_stream", limit, crashes)
            if any(
                limits for *_, limits in found
            ):  # the limits may not have places for all of them
                found = self._open(rows, places, "free_of_stream", SMALL, crashes)
            return found
        about = (self._barred, self._aggregate_id, crashes)

        def of_lane(lane: tuple[str, str, str]) -> Iterator[Place]:
            some = list(rows("free", (few, *lane, *about)))
            yield from some
            if len(some) == few < limit and not places.closed(lane[2]):
                yield from list(rows("free", (limit, *lane, *about)))[few:]

        lanes = [lane for lane in self._lanes if not places.closed(lane[2])]
        few = min(limit, limit // max(len(lanes), 1) + 2)
        return merge(*map(of_lane, lanes))

    def _serves(self, route: str, tool: str) -> bool:
        return tool not in self._without and (self._routes is None or route in self._routes)

    def _is_small_stream(self, rows: Rows) -> bool:
        if self._aggregate_id is None:
            return False
        ((count,),) = rows("rows_upto", (self._aggregate_id, SMALL + 1))
        return bool(count <= SMALL)

    def _taken(
        self, rows: Rows, places: LimitPlaces, limit: int, least: int, most: int
    ) -> Sequence[Place]:
        """Rows whose owner died or lost them, with so many crashes before."""
        if self._lost is None:
            return []
        return self._open(rows, places, "lost", limit, *self._lost, least, most)

    def _open(
        self, rows: Rows, places: LimitPlaces, name: str, limit: int, *about: Any
    ) -> Sequence[Place]:
        """The first rows that no limit holds back."""
        closed: set[str] = set()
        while True:
            found = list(rows(name, (limit, *self._filters, _json(closed), *about)))
            more = {limits for *_, limits in found if limits and places.closed(limits)}
            if not more:
                return found
            closed |= more


def _held_crashes(rows: Rows, owner: str) -> int | None:
    """The most crashes of a task that ``owner`` holds; None: it holds nothing."""
    ((crashes,),) = rows("held_crashes", (owner,))
    return crashes  # type: ignore[no-any-return]


def _json(names: Iterable[str]) -> str | None:
    """As a query takes a list; None where there is nothing in it."""
    found = sorted(names)
    return msgspec.json.encode(found).decode() if found else None
