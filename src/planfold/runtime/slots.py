"""``Slots``: a worker of this process takes tasks in the very commit that dispatches them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from planfold.eventstore.envelope import event_id
from planfold.eventstore.port import Lease
from planfold.handler import Enqueue, QueueChange

Dispatched = Sequence[tuple[QueueChange, int]]
"""Changes of the task queue with the version of their event."""


class Slots(Protocol):
    """A worker of this process that may take tasks in the commit that dispatches them."""

    owner: str

    def reserve(self, aggregate_id: str, route: str) -> bool:
        """Take a free slot for a task of this route, or say False."""
        ...

    def give_back(self, count: int) -> None:
        """The commit failed: reserved slots are free again."""
        ...

    def start(self, leases: Sequence[Lease]) -> None:
        """The commit succeeded: the slots' tasks are leased to this worker."""
        ...

    def queue_changed(self, aggregate_id: str, changes: Sequence[QueueChange]) -> None:
        """Tasks were settled or signalled; stop those that are still running here."""
        ...


def reserve_slots(
    workers: Iterable[Slots], aggregate_id: str, queue: Dispatched
) -> tuple[Slots | None, frozenset[int]]:
    """The first worker that has room for some of the tasks, and which ones it takes."""
    if queue:
        for slots in workers:
            taken = frozenset(
                change.task_id
                for change, _ in queue
                if isinstance(change, Enqueue) and slots.reserve(aggregate_id, change.route)
            )
            if taken:
                return slots, taken
    return None, frozenset()


def leases_of(
    owner: str, aggregate_id: str, queue: Dispatched, taken: Collection[int]
) -> list[Lease]:
    """The leases that the commit gave to ``owner``."""
    return [
        Lease(
            aggregate_id,
            change.task_id,
            change.attempt,
            change.route,
            epoch=1,
            starts=1,
            expires=0.0,
            cause=event_id(aggregate_id, version),
            owner=owner,
            tool=change.tool,
            priority=change.priority,
        )
        for change, version in queue
        if isinstance(change, Enqueue) and change.task_id in taken
    ]
