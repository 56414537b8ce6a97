"""``project``: builds a result from the log exactly once, despite crashes.

A projection keeps its checkpoint where it keeps its result and writes both in one transaction of
its own: in another database, in a file, anywhere. So no event is left out or counted twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol, cast

from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.eventstore.positions import last_event, position_after
from planfold.subscriptions.feed import PAGE, matches

BATCH = 1_000
LINGER_S = 0.02


class Projection(Protocol):
    """What :func:`project` builds. The caller ensures that there is one writer at a time.

    Example:
        import planfold

        class Count:
            def __init__(self):
                self.events, self.checkpoint = 0, None

            async def load(self):
                return self.checkpoint

            async def apply(self, envelopes, checkpoint):
                self.events, self.checkpoint = self.events + len(envelopes), checkpoint

        count = Count()
        async with planfold.open_app("sqlite:///plans.db") as app:
            await app.submit("1. Run `true`")
            await app.log.project(count, until=await app.log.last_position())
        print(count.events)
    """

    async def load(self) -> Checkpoint | None:
        """The checkpoint that is stored with the result; None at the beginning."""
        ...

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        """Write what follows from ``envelopes`` and the ``checkpoint``, both or neither. What
        cannot be read arrives as ``Undecoded``. An exception ends :func:`project`."""
        ...


async def project(
    store: EventStore,
    *projections: Projection,
    query: Query | None = None,
    batch: int = BATCH,
    until: int | None = None,
) -> None:
    """Bring ``projections`` up to date and keep them so, from one subscription: each is given the
    matching events after its own checkpoint, in order, in batches of at most ``batch``, which is
    also how many wait in memory. Without end, or up to the position ``until`` of an event, for
    example ``await store.last_position()``; where that was archived, up to the last one before it.

    Raises:
        ConfigurationError: a checkpoint is of another store or epoch, or beyond the log's end.
        Exception: any exception of ``load`` or ``apply``, which then has written nothing; the
            next call continues from there.
    """
    wanted = query or Query()
    places = [await _place(store, projection) for projection in projections]
    if until is not None:
        until = await last_event(store, until)
    if not places or (until is not None and until <= min(places)):
        return
    narrow = Query() if until is not None else Query(aggregate_id=wanted.aggregate_id)
    feed = cast(Any, store.subscribe(narrow, after=min(places)))
    async with aclosing(feed), aclosing(_Batches(feed, batch, until).read()) as batches:
        async for read in batches:
            upto = read[-1].position
            checkpoint = Checkpoint(store.store_id, store.epoch, upto)
            matching = [envelope for envelope in read if matches(wanted, envelope)]
            for number, projection in enumerate(projections):
                place = places[number]
                new = matching
                if matching and matching[0].position <= place:
                    new = [envelope for envelope in matching if envelope.position > place]
                if new:
                    await projection.apply(new, checkpoint)
                    places[number] = upto


async def _place(store: EventStore, projection: Projection) -> int:
    checkpoint = await projection.load()
    return 0 if checkpoint is None else await position_after(store, checkpoint)


class _Batches:
    """What a feed brings, up to ``size`` at once; the next batch is read while one is worked on.
    Far behind the log it waits a moment for a batch to be full: commits cost more than events."""

    def __init__(self, feed: AsyncIterator[Envelope], size: int, until: int | None) -> None:
        self._feed, self._size, self._until = feed, size, until
        self._waiting: list[Envelope] = []
        self._room, self._stirred, self._full = (asyncio.Event() for _ in range(3))
        self._far_behind = True

    async def read(self) -> AsyncGenerator[list[Envelope], None]:
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(self._ended)
        try:
            while self._waiting or not reading.done():
                self._stirred.clear()
                if not self._waiting:
                    await self._stirred.wait()
                elif self._far_behind and not (reading.done() or self._full.is_set()):
                    self._far_behind = False
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LINGER_S):
                            await self._full.wait()
                else:
                    yield self._take()
            reading.result()
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reading

    def _take(self) -> list[Envelope]:
        batch, self._waiting = self._waiting, []
        self._far_behind = len(batch) >= min(self._size, PAGE)
        self._full.clear()
        self._room.set()
        return batch

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._stirred.set()
        self._full.set()

    async def _read(self) -> None:
        async for envelope in self._feed:
            if self._until is not None and envelope.position > self._until:
                return
            while len(self._waiting) >= self._size:
                self._room.clear()
                await self._room.wait()
            self._waiting.append(envelope)
            self._stirred.set()
            if len(self._waiting) >= self._size:
                self._full.set()
            if envelope.position == self._until:
                return
