"""``DueTimes``: when time alone changes something, soonest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence


class DueTimes:
    """Tasks with a time (seconds since the epoch). Setting one costs O(log n).

    ``holds(at, task_id)`` says whether an entry is still valid; invalid entries are dropped when
    they reach the top of the heap.
    """

    def __init__(self, holds: Callable[[float, int], bool]) -> None:
        self._holds = holds
        self._heap: list[tuple[float, int]] = []
        self.pending: Sequence[tuple[float, int]] = self._heap  # empty: there is no entry

    def set(self, at: float, task_id: int) -> None:
        heapq.heappush(self._heap, (at, task_id))

    def next(self) -> tuple[float, int] | None:
        """The earliest entry: its time and its task."""
        while self._heap:
            if self._holds(*self._heap[0]):
                return self._heap[0]
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> Iterator[tuple[float, int]]:
        """The entries that are due by ``now``, earliest first. Later entries are not looked at."""
        heap = self._heap
        frontier = [(heap[0], 0)] if self.next() is not None else []
        last = None
        while frontier and frontier[0][0][0] <= now:
            entry, place = heapq.heappop(frontier)
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(heap):
                    heapq.heappush(frontier, (heap[below], below))
            if entry != last and self._holds(*entry):  # a task that was set twice is listed once
                yield entry
            last = entry
