"""How the members of a group share a consumer's streams. Pure: each backend calls it inside its
transaction, and each member before it requests a partition."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from planfold.errors import ConfigurationError
from planfold.eventstore.checkpoint import Checkpoint, require_same_store
from planfold.eventstore.consumers import Share


def partition_of(aggregate_id: str, partitions: int) -> int:
    """The partition of a stream; the same in every process and for ever."""
    return zlib.crc32(aggregate_id.encode()) % partitions if partitions > 1 else 0


def quota(owner: str, members: Iterable[str], partitions: int) -> int:
    """How many partitions ``owner`` may hold: all members together hold every partition, and no
    two differ by more than one. 0 for an owner that is not a member."""
    ranked = sorted(members)
    if owner not in ranked:
        return 0
    return len(range(ranked.index(owner), partitions, len(ranked)))


def to_take(shares: Iterable[Share], members: Iterable[str], owner: str) -> list[int]:
    """The partitions that ``owner`` should take now: free ones, up to its quota. One is free
    when it has no owner, or its owner is no longer a member."""
    shares, live = list(shares), frozenset(members)
    held = sum(share.owner == owner for share in shares)
    free = [share.partition for share in shares if share.owner not in live]
    return free[: max(quota(owner, live, len(shares)) - held, 0)]


def first_shares(
    consumer: str, partitions: int, store_id: str, epoch: int, after: int, now: float
) -> list[tuple[Any, ...]]:
    """The rows of a new consumer: name, partition, partitions, store id, store epoch, position
    and time."""
    return [(consumer, n, partitions, store_id, epoch, after, now) for n in range(partitions)]


def require_same_consumer(
    shares: Sequence[Share],
    consumer: str,
    partitions: int,
    store_id: str,
    epoch: int,
    last_position: int,
) -> None:
    """Check whether a consumer with the checkpoints ``shares`` may continue.

    Raises:
        ConfigurationError: a checkpoint is not of this store, or ``partitions`` differs.
    """
    for share in shares:
        require_same_store(
            Checkpoint(share.store_id, share.store_epoch, share.position),
            store_id,
            epoch,
            last_position,
            whose=f"consumer {consumer!r}",
            remedy="accept its position to continue from there",
        )
    if shares and shares[0].partitions != partitions:
        raise ConfigurationError(
            f"consumer {consumer!r} has {shares[0].partitions} partitions, not {partitions}: start "
            "it with as many, or under another name"
        ).about("partitions")
