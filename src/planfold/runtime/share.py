"""``WorkShare``: how many tasks a worker keeps while other workers have fewer.

A worker takes the successors of its tasks in the commit that dispatches them, which is fast but
leaves nothing to claim. While another worker that could run them has fewer tasks, it takes them
only up to its equal part of all that run, and leaves the rest in the queue. What they do not claim
within a moment is claimed here after all: the other worker may be suspended, about to stop, or lack
what these tasks need.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from planfold.eventstore.queue import TaskQueue, WorkerRecord
from planfold.runtime.slots import Slots
from planfold.runtime.worker_loop import EVERY_S

LOOK_S: Final = 0.1  # between two looks at the others, while there are any and tasks run here
OFFER_S: Final = 0.3  # for which tasks are left to others that take none
KEEP_S: Final = 5.0  # for which nothing is offered, after an offer that was not taken

RouteAndTool = tuple[str, str]
"""Route and tool of a task."""


class WorkShare:
    """Sets ``slots.share``. ``pause`` is how many seconds the next look may wait, and ``others``
    whether there were other workers at the last one."""

    def __init__(self, queue: TaskQueue, slots: Slots) -> None:
        self._queue = queue
        self._slots = slots
        self.others = False
        self.pause = EVERY_S
        self._look_at = 0.0  # loop time
        self._theirs = 0  # tasks of the others at the last look
        self._since = 0.0  # loop time since when tasks are left to them and they take none

    def look_soon(self) -> bool:
        """Whether to look in the next round, however short ago the last look was: there are other
        workers, which may have less to do."""
        self._look_at = 0.0 if self.others else self._look_at
        return self.others

    async def review(self, now: float, running: Collection[RouteAndTool]) -> bool:
        """Look at the other workers, unless that was a moment ago. ``now`` is loop time,
        ``running`` what runs here. Returns whether to claim what was left to them:
        they have taken nothing for a moment."""
        slots = self._slots
        if now < self._look_at:
            return False
        others = self._able(await self._queue.workers(), set(running))
        theirs = sum(other.leased for other in others)
        self.others = bool(others)
        self.pause = LOOK_S if others and len(running) > 1 else EVERY_S
        self._look_at = now + self.pause
        if slots.share is None or theirs > self._theirs:
            self._since = now
        part = math.ceil((len(running) + theirs) / (len(others) + 1))
        fewer = any(other.leased < min(part, other.concurrency) for other in others)
        slots.share = part if fewer and part < len(running) else None
        self._theirs = theirs
        return slots.share is not None and now - self._since >= OFFER_S

    def withdraw(self) -> None:
        """Tasks that were left to the others had to be claimed here: offer nothing for a while."""
        self._slots.share = None
        self._look_at += KEEP_S
        self.others = False

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
