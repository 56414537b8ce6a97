"""``WorkerLoop``: work that a worker repeats, with one start, stop, wake-up and backoff."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from planfold.errors import PlanfoldError, Transient
from planfold.eventstore.wakeup import WORK, Wakeup
from planfold.runtime.reporter import as_planfold_error

EVERY_S = 1.0  # without any wake-up: dead owners and lost hints are found after this time
LONGEST_PAUSE_S = 8.0  # between two rounds that fail
SHORTEST_PAUSE_S = 0.005  # so that a busy log does not mean a busy loop


class WorkerLoop:
    """Runs ``work`` again and again; ``work`` returns the longest time in seconds until its next
    run. A wake-up of the store starts the next round at once. A round that fails is reported to
    ``trouble`` and repeated, with exponential backoff and jitter."""

    def __init__(
        self,
        work: Callable[[], Awaitable[float]],
        wakeup: Wakeup,
        trouble: Callable[[PlanfoldError], None],
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._work = work
        self._wakeup = wakeup
        self._trouble = trouble
        self._longest_pause_s = longest_pause_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel the running round, and return when it has ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def being_cancelled(self) -> bool:
        """Whether the loop itself is being cancelled, for example by the shutdown of the event
        loop."""
        return self._task is not None and (self._task.done() or self._task.cancelling() > 0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:  # not by stop()
            said = "a part of the worker was cancelled from outside, so it does no more work"
            self._trouble(Transient(f"{said}; stop it and start it again"))

    async def _run(self) -> None:
        failures = 0
        while True:
            ticket = self._wakeup.ticket(WORK)
            try:
                pause = await self._work()
                failures = 0
            except Exception as fault:  # the store may be available again in the next round
                self._trouble(as_planfold_error(fault))
                pause = min(EVERY_S * 2**failures, self._longest_pause_s) * random.uniform(0.5, 1.0)
                failures += 1
            await asyncio.sleep(SHORTEST_PAUSE_S)
            # Not wait_for(): before Python 3.12 it can swallow the cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await ticket.wait()


def standstill(passed_s: float, routes: Iterable[str]) -> Transient:
    """The fault that a worker which runs tasks of these routes made no round for so long."""
    return Transient(
        f"this process, or its event loop, was blocked or suspended for {passed_s:.0f} s while it "
        f"ran {', '.join(sorted(set(routes)))}; a tool that blocks must be a plain function (def), "
        "not a coroutine (async def)"
    )
