"""``WorkShare``: how many tasks a worker keeps while other workers have fewer.

A worker takes the successors of its tasks in the commit that dispatches them, which is fast but
leaves nothing to claim. While another worker that could run them has fewer tasks, it takes them
only up to its equal part of all that run, and leaves the rest in the queue. What is left there and
not claimed within a moment is taken back: the other worker may be suspended or about to stop.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from planfold.eventstore.queue import TaskQueue, WorkerRecord
from planfold.runtime.slots import Slots
from planfold.runtime.worker_loop import EVERY_S

LOOK_S: Final = 0.1  # between two looks at the others, while there are any and tasks run here
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
        self._theirs = 0  # tasks of the others when the share was set

    def is_due(self, running: int) -> bool:
        """Whether to look at once, as the second task begins: other workers may have none."""
        if running == 2 and self.others:
            self._look_at = 0.0
            return True
        return False

    async def review(self, now: float, running: Collection[RouteAndTool]) -> None:
        """Look at the other workers, unless that was a moment ago. ``now`` is loop time,
        ``running`` what runs here."""
        slots = self._slots
        if now < self._look_at:
            return
        others = self._able(await self._queue.workers(), set(running))
        theirs = sum(other.leased for other in others)
        self.others = bool(others)
        self.pause = LOOK_S if others and len(running) > 1 else EVERY_S
        self._look_at = now + self.pause
        if slots.share is not None and slots.offered and theirs <= self._theirs:
            slots.share = None
            self._look_at = now + KEEP_S
            self.others = False
            return
        part = math.ceil((len(running) + theirs) / (len(others) + 1))
        fewer = any(other.leased < min(part, other.concurrency) for other in others)
        slots.share = part if fewer and part < len(running) else None
        slots.offered, self._theirs = False, theirs

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
