"""The worker of this process: it works inside a block, and stops after a signal."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from planfold.cli.child_signals import STOPPING, own_to_children

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.runtime.worker import Worker

FROZEN_AT_START: Final = 1_000  # objects; CPython 3.12 freezes 375 when it starts


class Stop:
    """Signals: the first one asks to stop, the next ones to stop immediately."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.asked = asyncio.Event()
        self.again = asyncio.Event()
        self.callbacks: list[Callable[[], None]] = []

    def _received(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            self.again.set()
        self.signal = self.signal or number
        self.asked.set()
        for callback in self.callbacks:
            callback()

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._received, number)
        try:
            with own_to_children():
                yield self
        finally:
            for number in STOPPING:
                loop.remove_signal_handler(number)


@contextmanager
def collector_frozen() -> Iterator[None]:
    """Inside the block the garbage collector does not look through what was loaded before: modules
    and tools stay. Does nothing where the program has frozen objects."""
    if gc.get_freeze_count() > FROZEN_AT_START:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@asynccontextmanager
async def at_work(worker: Worker, stop: Stop, *, drain_s: float = 0.0) -> AsyncIterator[None]:
    """Run the worker inside the block. On leaving, running tasks get ``drain_s`` seconds to end;
    another signal ends that wait."""
    await worker.__aenter__()
    try:
        with collector_frozen():
            yield
    finally:
        stop.again.clear()
        stopping = asyncio.create_task(worker.stop(drain_s=drain_s))
        while not stopping.done():
            hurry = asyncio.create_task(stop.again.wait())
            await asyncio.wait([stopping, hurry], return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if not stopping.done():
                stop.again.clear()
                stopping.cancel()
                with suppress(asyncio.CancelledError):
                    await stopping
                stopping = asyncio.create_task(worker.stop())
        await stopping


async def held_tasks(app: App, worker: Worker) -> list[tuple[str, int]]:
    """What a worker holds now: plan and task."""
    return [(row.aggregate_id, row.task_id) for row in await app.store.queue.owned(worker.owner)]
