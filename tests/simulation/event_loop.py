"""``SimulatedLoop``: an event loop whose order and time come from a seed."""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Protocol

TURN_S = 0.000_01  # that each callback takes


class Deadlock(AssertionError):
    """Nothing is ready and no timer is set."""


class Owner(Protocol):
    """What callbacks belong to: a process, which may end or stand still."""

    alive: bool
    stalled_until: float


OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


class SimulatedTask(asyncio.Task[Any]):
    """Its hash does not depend on its address, so that sets of tasks have one order."""

    count = 0

    def __init__(self, coro: Coroutine[Any, Any, Any], **rest: Any) -> None:
        SimulatedTask.count += 1
        self.number = SimulatedTask.count
        super().__init__(coro, **rest)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one callback a turn: the oldest of an owner, which is drawn among those that have any.
    Within a process the order is that which asyncio promises.

    Time passes by ``TURN_S`` a turn, and jumps to the next timer where nothing is ready. Callbacks
    of an owner that is not alive never run, those of one that is stalled run later."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._now = 0.0
        self._late: dict[int, list[asyncio.Handle]] = defaultdict(list)
        self.turns = 0
        self.tasks: list[tuple[Owner | None, Context, SimulatedTask]] = []
        self.set_task_factory(self._make_task)

    def _make_task(
        self,
        _: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        context = context or copy_context()
        task = SimulatedTask(coro, loop=self, context=context)  # type: ignore[arg-type]
        if len(self.tasks) > 400:
            self.tasks = [entry for entry in self.tasks if not entry[2].done()]
        self.tasks.append((context.get(OWNER), context, task))
        return task

    def end(self, owner: Owner) -> None:
        """The owner is gone: its tasks end where they are, unheard."""
        for belongs_to, context, task in self.tasks:
            if belongs_to is owner and not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(BaseException):
                    context.run(task.get_coro().close)  # type: ignore[union-attr]
        self._late.pop(id(owner), None)

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return super().call_soon(callback, *args, context=context)

    def run_in_executor(self, _: Any, function: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """What would run in a thread runs at once: it takes no time."""
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as fault:
            future.set_exception(fault)
        return future

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while timers and timers[0]._cancelled:
                heapq.heappop(timers)._scheduled = False
            if not timers:
                raise Deadlock("nothing is ready and no timer is set")
            self._now = max(self._now, timers[0]._when)
        self._now += TURN_S
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if not timer._cancelled:
                ready.append(timer)
        if ready:
            self._run(self._draw(ready))

    def _draw(self, ready: Any) -> asyncio.Handle:
        if len(ready) == 1:
            return ready.popleft()  # type: ignore[no-any-return]
        oldest: dict[int, int] = {}
        for place, handle in enumerate(ready):
            oldest.setdefault(id(handle._context.get(OWNER)), place)
        place = self._random.choice(list(oldest.values()))
        handle = ready[place]
        del ready[place]
        return handle  # type: ignore[no-any-return]

    def _run(self, handle: asyncio.Handle) -> None:
        if handle._cancelled:  # type: ignore[attr-defined]
            return
        owner = handle._context.get(OWNER)  # type: ignore[attr-defined]
        if owner is not None:
            if not owner.alive:
                return
            if owner.stalled_until > self._now:
                late = self._late[id(owner)]
                late.append(handle)
                if len(late) == 1:
                    Context().run(self.call_at, owner.stalled_until, self._resume, owner)
                return
        self.turns += 1
        handle._run()

    def _resume(self, owner: Owner) -> None:
        for handle in self._late.pop(id(owner), ()):
            self._ready.append(handle)  # type: ignore[attr-defined]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None: ...

    def _write_to_self(self) -> None: ...

    def _process_events(self, _: Any) -> None: ...
