"""``Slots``: a worker's free places, which the dispatcher fills in the commit that dispatches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from planfold.eventstore.queue import Lease
from planfold.handler import Enqueue, QueueChange, event_id, is_within
from planfold.runtime.letter import Basis

TURNS_S = 0.02  # for which others wait at most, besides a task

Dispatched = Sequence[tuple[QueueChange, int]]
"""Changes of the task queue with the version of their event."""

Taken = Sequence[tuple[Enqueue, int]]
"""Tasks that a worker takes, with the version of their event."""

Reserved = tuple[str, int, int]
"""Aggregate, task and attempt that a commit on its way leases to the worker."""


def reserved(lease: Lease) -> Reserved:
    """What a lease is for, without its epoch."""
    return lease.aggregate_id, lease.task_id, lease.attempt


class Slots:
    """How many tasks a worker may run, which ones it serves, and how many run.

    ``Leases`` sets three functions. ``begin`` (``Leases._begin``) is called with each lease
    that a commit gives and its basis, ``withdraw`` (``Leases._withdraw``) with the tasks that were
    settled or are to stop, ``doubt`` (``Leases._doubts``) when a commit failed, or its answer was
    lost.
    """

    def __init__(
        self,
        owner: str,
        concurrency: int,
        *,
        plan_id: str | None = None,
        routes: frozenset[str] | None = None,
    ) -> None:
        self.owner = owner
        self.concurrency = concurrency
        self.plan_id = plan_id
        self.routes = routes
        self.declined: set[str] = set()  # tools that this worker does not have
        self.open = False
        self.alone = False  # a suspect runs, or is to run: nothing may run beside it
        self.turns: int | None = None  # tasks to take before the next claim; None: any number
        self.turns_until = 0.0  # any number until then too (time.monotonic())
        self.waiting = False  # tasks for it may be in the queue
        self.running = 0
        self.reserved: set[Reserved] = set()
        self.share: int | None = None  # tasks to have at most, so that other workers get some
        self.begin: Callable[[Lease, Basis], None] = _ignore
        self.withdraw: Callable[[str, Iterable[int]], None] = _ignore
        self.doubt: Callable[[], None] = _ignore

    @property
    def free(self) -> int:
        return self.concurrency - self.running - len(self.reserved)

    @property
    def wanted(self) -> int:
        """How many tasks to take: as many as places are free, but no more than the share."""
        most = self.concurrency if self.share is None else min(self.share, self.concurrency)
        return most - self.running - len(self.reserved)

    def reserve(self, aggregate_id: str, change: Enqueue) -> bool:
        """Take a free place for a task, or return False. While other tasks wait in the queue,
        only so many are taken past it as :meth:`bound` allows. Tasks under limits are claimed."""
        if not self.open or (change.tool or change.route) in self.declined:
            return False
        if self.plan_id is not None and not is_within(aggregate_id, self.plan_id):
            return False
        if self.routes is not None and change.route not in self.routes:
            return False
        must_claim = self.turns == 0 and time.monotonic() >= self.turns_until
        if must_claim or self.alone or change.limits or self.wanted < 1:
            self.waiting = True
            return False
        self.reserved.add((aggregate_id, change.task_id, change.attempt))
        if self.turns:
            self.turns -= 1
        return True

    def bound(self, turns: int | None) -> None:
        """Until the next claim, let commits take up to ``turns`` tasks past those that wait in the
        queue, and any number for a moment. Short tasks of one plan then need no claim each."""
        self.turns = turns
        self.turns_until = time.monotonic() + TURNS_S

    def give_back(self, reserved: Iterable[Reserved]) -> None:
        """The commit failed, or its outcome is unknown. Free the slots, and stop what began
        early."""
        self.reserved.difference_update(reserved)
        self.doubt()

    def grant(self, lease: Lease, basis: Basis) -> None:
        """This task is leased to this worker, once ``basis`` is durable."""
        self.reserved.discard((lease.aggregate_id, lease.task_id, lease.attempt))
        self.begin(lease, basis)


class Reservation:
    """The places of one worker that a commit on its way will fill: ``early`` are tasks that may
    begin before it is durable, ``waiting`` the others; those that have begun are in neither."""

    def __init__(self, slots: Slots, aggregate_id: str, taken: Taken, now: float) -> None:
        self.slots = slots
        self.leased = {change.task_id for change, _ in taken}
        self._aggregate_id = aggregate_id
        self.early: list[tuple[Enqueue, int]] = []
        self.waiting: list[tuple[Enqueue, int]] = []
        for one in taken:
            (self.early if one[0].safe else self.waiting).append(one)
        self._now = now

    def begin(self, basis: Basis) -> None:
        """Begin what may begin before ``basis`` is durable. A worker that is being stopped waits
        for the commit, to release what it got."""
        if self.slots.open:
            early, self.early = self.early, []
            for change, version in early:
                self.slots.grant(self._lease(change, version), basis)

    def grant(self, basis: Basis) -> None:
        """The commit succeeded: begin the rest."""
        rest = [*self.early, *self.waiting]
        self.early, self.waiting = [], []
        for change, version in rest:
            self.slots.grant(self._lease(change, version), basis)

    def give_back(self) -> None:
        """The commit failed, or its answer was lost."""
        rest = [*self.early, *self.waiting]
        self.early, self.waiting = [], []
        self.slots.give_back(
            (self._aggregate_id, change.task_id, change.attempt) for change, _ in rest
        )

    def _lease(self, change: Enqueue, version: int) -> Lease:
        return Lease(
            self._aggregate_id,
            change.task_id,
            change.attempt,
            change.route,
            epoch=1,
            starts=1,
            expires=0.0,
            cause=event_id(self._aggregate_id, version),
            owner=self.slots.owner,
            tool=change.tool,
            priority=change.priority,
            claimed_at=self._now,
            started_at=self._now,
        )


def reserve(
    workers: Iterable[Slots], aggregate_id: str, queue: Dispatched, now: float
) -> Reservation | None:
    """Places for some of the dispatched tasks, of the first worker that has any."""
    if queue:
        for slots in workers:
            taken = [
                (change, version)
                for change, version in queue
                if isinstance(change, Enqueue) and slots.reserve(aggregate_id, change)
            ]
            if taken:
                return Reservation(slots, aggregate_id, taken, now)
    return None


def _ignore(*_: object) -> None:
    pass
