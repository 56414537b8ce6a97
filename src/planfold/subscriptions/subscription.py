"""A durable subscription: it remembers, under its name, how far its reader has come."""

from __future__ import annotations

from collections.abc import AsyncIterator

from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore


async def follow(
    store: EventStore, name: str, query: Query | None = None, *, every: int = 1
) -> AsyncIterator[Envelope]:
    """Matching events from the checkpoint ``name`` on, then new ones, without end.

    An event counts as handled when the next one is asked for; the checkpoint is saved after
    ``every`` handled events and when the iteration is closed. So each event is delivered at
    least once: after a crash up to ``every`` of them come again.

    Raises:
        ConfigurationError: the checkpoint belongs to another store.
    """
    position = saved = await store.checkpoints.load(name)
    handled = 0
    try:
        async for envelope in store.subscribe(query, after=position):
            yield envelope
            position = envelope.position
            handled += 1
            if handled % every == 0:
                await store.checkpoints.save(name, position)
                saved = position
    finally:
        if position != saved:
            await store.checkpoints.save(name, position)
