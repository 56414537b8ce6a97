"""``Desk``: a handler that writes down what it was given and fails on request."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from planfold.eventstore.envelope import Envelope
from planfold.eventstore.port import EventStore
from planfold.planner.tasks import RetryPolicy
from planfold.subscriptions.consumer import Consumer
from testbed.contracts.backend import Counted, decision
from testbed.patience import PATIENCE_S

SOON = RetryPolicy(attempts=3, base=10.0, factor=2.0, cap=60.0)


async def until(check: Callable[[], object | Awaitable[object]]) -> None:
    """Continue once ``check()`` is true; it may be a coroutine function."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = check()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.001)  # what is waited for sets no event


async def write(store: EventStore, *streams: str) -> None:
    """One event for each of ``streams``, in this order."""
    for stream in streams:
        at = await store.version(stream)
        await store.append(decision(Counted(at + 1), to=stream, at=at))


class Desk:
    """``handled`` are (stream, version) in the order in which they were handled, ``tried`` with
    the failures. A stream in ``broken`` fails as many times as it says there."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, int]] = []
        self.tried: list[tuple[str, int]] = []
        self.broken: Counter[str] = Counter()
        self.held: defaultdict[str, asyncio.Event] = defaultdict(_open)
        self.holding: Counter[str] = Counter()

    async def __call__(self, envelope: Envelope) -> None:
        key = (envelope.aggregate_id, envelope.version)
        self.tried.append(key)
        self.holding[envelope.aggregate_id] += 1
        try:
            await self.held[envelope.aggregate_id].wait()
        finally:
            self.holding[envelope.aggregate_id] -= 1
        if self.broken[envelope.aggregate_id] > 0:
            self.broken[envelope.aggregate_id] -= 1
            raise ValueError(f"no room for {key}")
        self.handled.append(key)

    def of(self, stream: str) -> list[int]:
        return [version for name, version in self.handled if name == stream]

    def consumer(self, store: EventStore, name: str = "desk", **more: Any) -> Consumer:
        more = {"retries": SOON, "random": lambda: 0.999, **more}
        return Consumer(store, name, self, **more)


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def position(store: EventStore, name: str = "desk") -> int:
    """The lowest checkpoint of a consumer's partitions; 0 before it has begun."""
    found = await store.checkpoints.consumers.statuses(name)
    return min(share.position for share in found[0].shares) if found else 0
