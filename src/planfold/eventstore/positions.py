"""From a checkpoint to a position in a store, and on from there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from planfold.eventstore.checkpoint import Checkpoint, require_same_store
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore

_PAGE = 256  # events that are read at once


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


async def last_event(store: EventStore, until: int, query: Query | None = None) -> int:
    """The position of the last matching event in the log up to ``until``. Events before ``until``
    may have been archived, so it may be much lower. ``until`` itself if the log does not reach that
    far yet; 0 if no event matches."""
    if until > await store.last_position():
        return until
    wanted = query or Query()
    back, page = 1, list[Envelope]()
    while not page or page[0].position > until:
        if back > 2 * until:
            return 0
        page = await store.read(wanted, after=max(until - back, 0), limit=1)
        back *= 2
    last = page[0].position
    while page := await store.read(wanted, after=last, limit=_PAGE):
        below = [envelope.position for envelope in page if envelope.position <= until]
        if not below:
            break
        last = below[-1]
    return last
