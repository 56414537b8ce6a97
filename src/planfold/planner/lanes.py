"""``Lane``: the tasks of one route, or of one map, that can start; smallest id first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Final

from planfold.planner.items import STRIDE, map_of
from planfold.planner.tasks import NodeKind, TaskSpec

QUESTION: Final = NodeKind.Clarification
OF_MAP: Final = "\0"  # in the name of a lane: between the route and the id of a map


def lane_of(spec: TaskSpec) -> str:
    """The lane that a task waits in. Questions, maps and waits (except for a sub-plan) need no
    slot, so they do not queue behind tasks that do. The items of a map have a lane of their own,
    which takes turns with the others."""
    waits = spec.wait is not None and spec.wait.plan is None
    if waits or spec.kind is QUESTION or spec.for_each is not None:
        return ""
    return spec.queue_route if spec.id < STRIDE else lane_of_items(spec)


def lane_of_items(spec: TaskSpec) -> str:
    """The lane of a map's items; ``spec`` is that of the map or of one of its items."""
    return f"{spec.queue_route}{OF_MAP}{map_of(spec.id) or spec.id}"


class Lane:
    """A set of task ids in order. Changing it costs O(log n); iterating looks no further than it
    is asked to. The order is by id, not by arrival, so that the next task is the same for a plan
    that was restored or folded again."""

    __slots__ = ("_heap", "ids")

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self._heap: list[int] = []  # with ids that have left since

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, task_id: int) -> bool:
        """Add a task; False if it is in the lane already."""
        if task_id in self.ids:
            return False
        self.ids.add(task_id)
        heapq.heappush(self._heap, task_id)
        return True

    def extend(self, task_ids: Sequence[int]) -> int:
        """Add many that are not in the lane; returns how many."""
        self.ids.update(task_ids)
        self._heap += task_ids
        heapq.heapify(self._heap)
        return len(task_ids)

    def discard(self, task_id: int) -> bool:
        """Remove a task; False if it is not in the lane."""
        if task_id not in self.ids:
            return False
        self.ids.remove(task_id)
        if not self.ids:
            self._heap.clear()
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self.ids)) if len(self.ids) <= 1 else self._ordered()

    def _ordered(self) -> Iterator[int]:
        heap, ids = self._heap, self.ids
        while heap and heap[0] not in ids:
            heapq.heappop(heap)
        frontier = [(heap[0], 0)] if heap else []
        last = None
        while frontier:
            task_id, place = heapq.heappop(frontier)
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(heap):
                    heapq.heappush(frontier, (heap[below], below))
            if task_id != last and task_id in ids:  # it may have left and come back
                yield task_id
            last = task_id
