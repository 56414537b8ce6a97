"""Describes damage of a log in a few words, for ``planfold doctor``."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, Final

from planfold.backends.rows import is_intact, shown

MOST: Final = 5  # are named


class Findings:
    """Collects damage: names the first few places, and counts all."""

    def __init__(self) -> None:
        self._named: list[str] = []
        self._count = 0

    def events(self, rows: Iterable[Any]) -> None:
        """Check rows with the columns of :func:`is_intact`."""
        for row in rows:
            if not is_intact(*row):
                self.add(f"{shown(row[1])}#{row[2]} does not match its checksum")

    async def events_of(self, rows: AsyncIterable[Any]) -> None:
        """Check rows while they are still being read; see :meth:`events`."""
        async for row in rows:
            self.events([row])

    def streams(self, rows: Iterable[Any]) -> None:
        """Check rows of (aggregate id, version of the head, number of events, last version)."""
        for aggregate_id, head, events, last in rows:
            name = shown(aggregate_id)
            if head is None:
                self.add(f"{name} has {events} events and no stream")
            else:
                self.add(f"{name} is at version {head}, has {events} events, the last is {last}")

    def positions(self, rows: Iterable[Any]) -> None:
        """Check rows of (aggregate id, version, position)."""
        for aggregate_id, version, position in rows:
            self.add(f"{shown(aggregate_id)}#{version} is out of order at position {position}")

    def add(self, what: str) -> None:
        self._count += 1
        if len(self._named) < MOST:
            self._named.append(what)

    def __str__(self) -> str:
        """All in one line, or "ok"."""
        if not self._count:
            return "ok"
        more = self._count - len(self._named)
        return "; ".join(self._named) + (f"; and {more} more" if more else "")
