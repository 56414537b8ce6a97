"""From a checkpoint to a position in a store, and on from there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from planfold.eventstore.checkpoint import Checkpoint, require_same_store
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore


async def position_after(store: EventStore, after: int | Checkpoint) -> int:
    """The position to read ``store`` from; a plain number is taken as it is.

    Raises:
        ConfigurationError: the checkpoint is of another store or another epoch of it, or is
            beyond the end of the log.
    """
    if isinstance(after, int):
        return after
    last = await store.last_position()
    require_same_store(
        after,
        store.store_id,
        store.epoch,
        last,
        whose=f"the checkpoint {after}",
        remedy="rebuild what depends on it, from position 0",
    )
    return after.position


async def subscribe_after(
    store: EventStore, query: Query | None, checkpoint: Checkpoint
) -> AsyncGenerator[Envelope, None]:
    """``store.subscribe`` from a checkpoint on, once :func:`position_after` has allowed it."""
    after = await position_after(store, checkpoint)
    async with aclosing(cast(Any, store.subscribe(query, after=after))) as feed:
        async for envelope in feed:
            yield envelope
