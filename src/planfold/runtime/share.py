"""``WorkShare``: how many tasks a worker keeps while other workers have fewer.

A worker takes the successors of its tasks in the commit that dispatches them, which is fast but
leaves nothing to claim. While another worker that could run them has fewer tasks, it takes them
only up to its equal part of all that run, and leaves the rest in the queue. What they do not claim
within a moment is claimed here after all: the other worker may be suspended, about to stop, or lack
what these tasks need.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from planfold.eventstore.queue import Lease, TaskQueue, WorkerRecord
from planfold.runtime.slots import Slots
from planfold.runtime.worker_loop import EVERY_S

LOOK_S: Final = 0.1  # between two looks at the others, while there are any and tasks run here
OFFER_S: Final = 0.3  # for which tasks are left to others that take none
KEEP_S: Final = 5.0  # for which nothing is offered, after an offer that was not taken

RouteAndTool = tuple[str, str]
"""Route and tool of a task."""


class WorkShare:
    """Sets ``slots.share``. ``others`` are the workers that could run the same tasks, at the last
    look; ``leaves``: a part of the waiting tasks is left to them."""

    def __init__(self, queue: TaskQueue, slots: Slots) -> None:
        self._queue = queue
        self._slots = slots
        self.others: list[WorkerRecord] = []
        self.leaves = False
        self._look_at = 0.0  # loop time
        self._theirs = 0  # tasks of the others, as last counted
        self._seen = 0  # the same, at the last look
        self._since = 0.0  # loop time since when tasks wait for them and they take none; or inf
        self._refused = False  # for too long: they are to be claimed here
        self._busy = False  # several tasks ran here at the last look
        self._plenty_until = 0.0  # loop time until which enough waits for all

    @property
    def pause(self) -> float:
        """Seconds that the next look may wait."""
        return LOOK_S if self.others and (self._busy or self.leaves) else EVERY_S

    def look_soon(self) -> bool:
        """Whether to look in the next round, even shortly after the last look: there are other
        workers, which may have less to do."""
        self._look_at = 0.0 if self.others else self._look_at
        return bool(self.others)

    async def claimable(self, now: float, running: Collection[RouteAndTool]) -> int:
        """How many tasks to claim beside those that run here. ``now`` is loop time, ``running``
        what runs here. While others have fewer, all that run and wait are divided equally."""
        looked = await self._look(now, running)
        if self.others and not self._refused and (looked or self._slots.free > 1):
            return min(await self._divide(now, running, looked), self._slots.free)
        return min(self._slots.free, self._slots.wanted)

    def claimed(self, leases: Sequence[Lease], here: Collection[str]) -> set[str]:
        """These were claimed; ``here`` are the plans of the tasks that run here. Where others had
        not taken them, nothing is left to them for a while. Returns the plans of which they
        probably run tasks too, because this worker got several."""
        if self._refused and leases:
            self._look_at += KEEP_S
            self.others = []
        if not self.others:
            return set()
        got = Counter(lease.aggregate_id for lease in leases)
        return {plan_id for plan_id, count in got.items() if count > 1 or plan_id in here}

    async def _look(self, now: float, running: Collection[RouteAndTool]) -> bool:
        """Look at the other workers, unless that was done a moment ago."""
        self._refused = False
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_S
        await self._count(running)
        if not self.leaves or self._theirs > self._seen:
            self._since = now
        self._seen = self._theirs
        self._busy = len(running) > 1
        self._refused = self.leaves and now - self._since >= OFFER_S
        self._keep_all()
        return True

    async def _count(self, running: Collection[RouteAndTool]) -> None:
        """What the other workers have."""
        self.others = self._able(await self._queue.workers(), set(running))
        self._theirs = sum(other.leased for other in self.others)

    async def _divide(self, now: float, kinds: Collection[RouteAndTool], looked: bool) -> int:
        """How many of those that wait are for this worker; any number while so many wait that there
        are enough for all."""
        free, running = self._slots.free, len(kinds)
        if now < self._plenty_until:
            return free
        self._keep_all()
        enough = self._slots.concurrency * (len(self.others) + 1)
        waiting = await self._queue.waiting(enough)
        if 0 < waiting < enough and not looked:  # a moment ago they may have had far more, or less
            await self._count(kinds)
            # Again, and after them: what they claim in between must not be counted twice.
            waiting = await self._queue.waiting(enough)
        if waiting == enough:
            self._plenty_until = now + LOOK_S
            return free
        self._since = min(self._since, now) if waiting else math.inf
        workers = len(self.others) + 1
        part = math.ceil((running + waiting + self._theirs) / workers)
        if any(other.leased < min(part, other.concurrency) for other in self.others):
            self.leaves = part < running + min(free, waiting)
            self._slots.share = part if part < running else None
        # What comes after the count is divided by the next one. One: a lease may have run out.
        return max(part - running, 0) if self.leaves else max(waiting, 1)

    def _keep_all(self) -> None:
        self.leaves, self._slots.share = False, None

    def _able(
        self, workers: Collection[WorkerRecord], running: Collection[RouteAndTool]
    ) -> list[WorkerRecord]:
        """The other workers that can run what runs here."""
        return [
            worker
            for worker in workers
            if worker.owner != self._slots.owner
            and worker.plan_id is None
            and all(worker.serves(route, tool) for route, tool in running)
        ]
