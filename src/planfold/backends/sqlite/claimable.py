"""``Claimable``: which rows of the queue a claim may take, and in which order.

Free rows are in lanes, one for each pair of route and tool, so that a claim skips rows that its
worker cannot run without reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any

import msgspec

from planfold.backends.names import is_storable
from planfold.eventstore.queue import SUSPECT_CRASHES, Suspects

Rows = Callable[[str, Sequence[Any]], Iterable[tuple[Any, ...]]]
"""The rows of a named query."""

Place = tuple[int, int, int]
"""Of a row in the line: priority, negated, then turn, then id."""

SMALL = 500  # rows of a stream that are sorted faster than found among the others
ANY = 2**62  # crashes
ONE = SUSPECT_CRASHES - 1  # crashes of a free row that is not a suspect yet


class Claimable:
    """For the arguments of :meth:`TaskQueue.claim`. ``lost`` are owners that are not known to
    live: their rows are open once the leases have run out by ``now``."""

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
        self._lanes: list[tuple[Any, ...]] = []

    def exist(self, rows: Rows) -> bool:
        """Whether there are any, suspects or not; asked before :meth:`ids`, without a lock."""
        about = (self._barred, self._aggregate_id, ANY)
        self._lanes = [lane for lane in rows("lanes", ()) if self._serves(*lane)]
        free = any(rows("free", (1, *lane, *about)) for lane in self._lanes)
        return free or bool(self._taken(rows, 1, 0, ANY))

    def ids(self, rows: Rows, owner: str, limit: int, suspects: Suspects | None) -> list[int]:
        """The first rows of the line, at most ``limit``."""
        found: Iterable[Place]
        if suspects is None:
            found = merge(self._free(rows, limit, ANY), self._taken(rows, limit, 0, ANY))
        elif suspects == "only":
            found = self.suspects(rows) if _held_crashes(rows, owner) is None else []
        elif (_held_crashes(rows, owner) or 0) > ONE:
            found = []
        else:  # losing its owner makes one crash more
            found = merge(self._free(rows, limit, ONE), self._taken(rows, limit, 0, ONE - 1))
        return [row_id for _, _, row_id in islice(found, limit)]

    def suspects(self, rows: Rows) -> list[Place]:
        """The first row that may have killed a worker, if there is one."""
        free = rows("free_suspects", (1, *self._filters))
        return sorted([*free, *self._taken(rows, 1, ONE, ANY)])[:1]

    def _free(self, rows: Rows, limit: int, crashes: int) -> Iterable[Place]:
        if self._is_small_stream(rows):
            return rows("free_of_stream", (limit, *self._filters, crashes))
        about = (self._barred, self._aggregate_id, crashes)

        def of_lane(lane: tuple[Any, ...]) -> Iterator[Place]:
            some = list(rows("free", (few, *lane, *about)))
            yield from some
            if len(some) == few < limit:
                yield from list(rows("free", (limit, *lane, *about)))[few:]

        few = min(limit, limit // max(len(self._lanes), 1) + 2)
        return merge(*map(of_lane, self._lanes))

    def _serves(self, route: str, tool: str) -> bool:
        return tool not in self._without and (self._routes is None or route in self._routes)

    def _is_small_stream(self, rows: Rows) -> bool:
        if self._aggregate_id is None:
            return False
        ((count,),) = rows("rows_upto", (self._aggregate_id, SMALL + 1))
        return bool(count <= SMALL)

    def _taken(self, rows: Rows, limit: int, least: int, most: int) -> Iterable[Place]:
        """Those whose owner has died or lost them, with so many crashes before."""
        if self._lost is None:
            return []
        return rows("lost", (limit, *self._filters, *self._lost, least, most))


def _held_crashes(rows: Rows, owner: str) -> int | None:
    """The most crashes of a task that ``owner`` holds; None: it holds nothing."""
    ((crashes,),) = rows("held_crashes", (owner,))
    return crashes  # type: ignore[no-any-return]


def _json(names: Iterable[str]) -> str | None:
    """As a query takes a list; None where there is nothing in it."""
    found = sorted(names)
    return msgspec.json.encode(found).decode() if found else None
