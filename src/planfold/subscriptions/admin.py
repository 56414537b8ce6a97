"""Administration of consumers: their positions, and commands for an operator."""

from __future__ import annotations

import msgspec

from planfold.errors import ConfigurationError, NotFound
from planfold.eventstore.consumers import ConsumerStatus, Parked, Share
from planfold.eventstore.port import EventStore
from planfold.subscriptions.assignment import require_same_consumer
from planfold.subscriptions.consumer import CONSUMERS


class ConsumerView(msgspec.Struct, frozen=True):
    """The state of a consumer. ``behind`` counts the positions of the log beyond its slowest
    partition; ``refused`` says why it cannot continue in this store."""

    name: str
    shares: tuple[Share, ...]
    members: tuple[str, ...]
    last_position: int
    parked: tuple[Parked, ...] = ()
    refused: str | None = None

    @property
    def position(self) -> int:
        return min(share.position for share in self.shares)

    @property
    def behind(self) -> int:
        return self.behind_of(self.position)

    def behind_of(self, position: int) -> int:
        return max(self.last_position - position, 0)

    def owner_of(self, share: Share) -> str | None:
        """The member that handles a partition now."""
        return share.owner if share.owner in self.members else None


async def consumers_of(store: EventStore, name: str | None = None) -> list[ConsumerView]:
    """All consumers by name, or the one with this name.

    Raises:
        NotFound: there is no consumer ``name``.
    """
    consumers = store.checkpoints.consumers
    statuses = await consumers.statuses(name)
    if name is not None and not statuses:
        raise NotFound(f"there is no consumer {name!r}").about("consumer")
    parked = await consumers.parked(name)
    last = await store.last_position()
    return [
        ConsumerView(
            status.consumer,
            status.shares,
            status.members,
            last,
            tuple(row for row in parked if row.consumer == status.consumer),
            _refusal(store, status, last),
        )
        for status in statuses
    ]


def _refusal(store: EventStore, status: ConsumerStatus, last: int) -> str | None:
    partitions = len(status.shares)
    try:
        require_same_consumer(
            status.shares, status.consumer, partitions, store.store_id, store.epoch, last
        )
    except ConfigurationError as refusal:
        return str(refusal)
    return None


async def replay(store: EventStore, name: str, aggregate_id: str | None = None) -> list[str]:
    """Retry a parked stream of a consumer, or all of them: immediately where a member runs, else
    when one starts. ``aggregate_id`` may be a unique beginning, with or without
    "plan-". Returns the streams.

    Raises:
        NotFound: there is no such consumer, or no such stream is parked.
    """
    (view,) = await consumers_of(store, name)
    waiting = [row.aggregate_id for row in view.parked if row.retry_at is None]
    if aggregate_id is not None:
        known = [row.aggregate_id for row in view.parked]
        found = [aggregate_id] if aggregate_id in known else []
        found = found or [k for k in known if k.startswith((aggregate_id, f"plan-{aggregate_id}"))]
        if len(found) != 1:
            number = "several" if found else "no"
            raise NotFound(f"consumer {name!r} has parked {number} streams {aggregate_id!r}").about(
                "consumer"
            )
        waiting = found
    for each in waiting:
        await store.checkpoints.consumers.replay(name, each)
    store.wakeup.notify(CONSUMERS)
    return waiting


async def accept(store: EventStore, name: str) -> ConsumerView:
    """Let a consumer continue in a store that was restored. Raises NotFound."""
    await consumers_of(store, name)
    await store.checkpoints.consumers.accept(name)
    store.wakeup.notify(CONSUMERS)
    (view,) = await consumers_of(store, name)
    return view


async def forget(store: EventStore, name: str) -> None:
    """Forget a consumer: delete its checkpoints and parked streams.

    Raises:
        NotFound: there is no such consumer.
        Conflict: it runs.
    """
    await consumers_of(store, name)
    await store.checkpoints.consumers.forget(name)
