"""``SimulatedLoop``: an event loop whose order and time come from a seed."""

from __future__ import annotations

import asyncio
import heapq
import warnings
from collections import defaultdict, deque
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Protocol

TURN_S = 0.000_01  # that each callback takes


class Deadlock(AssertionError):
    """Nothing is ready and no timer is set, or there is no end."""


class Owner(Protocol):
    """What callbacks belong to: a process, which may end or be suspended."""

    alive: bool
    stalled_until: float


OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


class SimulatedTask(asyncio.Task[Any]):
    """Its hash does not depend on its address, so that sets of tasks have one order."""

    count = 0
    number = 0

    def __hash__(self) -> int:
        if not self.number:
            SimulatedTask.count += 1
            self.number = SimulatedTask.count
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class Ready:
    """A callback of the loop: an ``asyncio.Handle`` in fewer calls."""

    __slots__ = ("_when", "args", "callback", "context", "is_cancelled")

    def __init__(self, callback: Any, args: Any, context: Context, when: float = 0.0) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False
        self._when = when

    def cancel(self) -> None:
        self.is_cancelled = True
        self.callback = self.args = None

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self._when


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one callback a turn: the oldest of an owner, which is drawn among those that have any.
    Within a process the order is that which asyncio promises.

    Time passes by ``TURN_S`` a turn, and jumps to the next timer where nothing is ready. Callbacks
    of an owner that is not alive never run, those of one that is stalled run later."""

    def __init__(self, random: Random, most_turns: int) -> None:
        super().__init__()
        self._random = random
        self._now = 0.0
        self._queues: dict[int, deque[Ready]] = {}  # what is ready, by owner
        self._timers: list[tuple[float, int, Ready]] = []
        self._count = 0  # of timers: those of the same time run in order
        self._late: dict[int, list[Ready]] = defaultdict(list)
        self.turns = 0
        self._most_turns = most_turns
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

    def end(self, owner: Owner | None) -> None:
        """The owner is gone: its tasks end where they are, unheard."""
        with warnings.catch_warnings():  # what they would still do is not waited for
            warnings.filterwarnings("ignore", ".* was never awaited", RuntimeWarning)
            for belongs_to, context, task in self.tasks:
                if belongs_to is owner and not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with suppress(BaseException):
                        context.run(task.get_coro().close)  # type: ignore[union-attr]
        self._late.pop(id(owner), None)

    def close(self) -> None:
        self._queues.clear()
        self._timers.clear()
        super().close()

    def time(self) -> float:
        return self._now

    # These do what those of the base class do, in fewer calls: a seed has thousands of turns.

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        if context is None:
            context = copy_context()
        handle = Ready(callback, args, context)
        key = id(context.get(OWNER))
        if (queue := self._queues.get(key)) is None:
            self._queues[key] = deque((handle,))
        else:
            queue.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        timer = Ready(callback, args, copy_context() if context is None else context, when)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        return timer

    def _put(self, handle: Ready) -> None:
        key = id(handle.context.get(OWNER))
        if (queue := self._queues.get(key)) is None:
            self._queues[key] = deque((handle,))
        else:
            queue.append(handle)

    def run_in_executor(self, _: Any, function: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """What would run in a thread runs at once: it takes no time."""
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as fault:
            future.set_exception(fault)
        return future

    def _run_once(self) -> None:
        queues, timers = self._queues, self._timers
        if not queues:
            while timers and timers[0][2].is_cancelled:
                heapq.heappop(timers)
            if not timers:
                raise Deadlock("nothing is ready and no timer is set")
            self._now = max(self._now, timers[0][0])
        self._now += TURN_S
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            if not timer.is_cancelled:
                self._put(timer)
        if not queues:
            return
        key = next(iter(queues)) if len(queues) == 1 else self._random.choice(list(queues))
        queue = queues[key]
        handle = queue.popleft()
        if not queue:
            del queues[key]
        if not handle.is_cancelled:
            self._run(handle)

    def _run(self, handle: Ready) -> None:
        owner = handle.context.get(OWNER)
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
        if self.turns > self._most_turns:
            raise Deadlock("it never comes to rest")
        try:
            handle.context.run(handle.callback, *handle.args)
        except Exception as fault:
            told = {"message": f"in {handle.callback!r}", "exception": fault}
            self.call_exception_handler(told)

    def _resume(self, owner: Owner) -> None:
        for handle in self._late.pop(id(owner), ()):
            self._put(handle)

    def _write_to_self(self) -> None: ...

    def _process_events(self, _: Any) -> None: ...
