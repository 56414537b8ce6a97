"""The contract of named consumers of the log (``Consumers``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Share(msgspec.Struct, frozen=True):
    """One partition of a consumer's streams: everything in it up to ``position`` is handled or
    parked. While ``owner`` is a member, only it may handle the partition; ``epoch`` fences what
    it saves. ``store_id`` and ``store_epoch`` say which store the position is of.
    """

    consumer: str
    partition: int
    partitions: int
    position: int
    owner: str | None
    epoch: int
    store_id: str
    store_epoch: int
    updated_at: float


class ConsumerStatus(msgspec.Struct, frozen=True):
    """The state of a consumer: its partitions in order, and its live members."""

    consumer: str
    shares: tuple[Share, ...] = ()
    members: tuple[str, ...] = ()


class Parked(msgspec.Struct, frozen=True):
    """A stream that a consumer has parked: the handler failed on it ``attempts`` times, last
    with ``error``, and nothing of it is handled from ``position`` on. It is tried again at
    ``retry_at`` (seconds since the epoch); None: when it is asked for.
    """

    consumer: str
    aggregate_id: str
    position: int
    error: str
    attempts: int
    parked_at: float
    retry_at: float | None = None


class Consumers(Protocol):
    """Named consumers, and how the members of a group share their streams. By the store's clock;
    a member lives for 30 s after each :meth:`attend`."""

    async def attend(
        self, consumer: str, owner: str, partitions: int, *, after: int
    ) -> ConsumerStatus:
        """Join a consumer, or live on as its member, and take the free partitions that are due
        to ``owner``. A new consumer begins after the position ``after``.

        Raises:
            ConfigurationError: the consumer's checkpoint is of another store or epoch, or beyond
                the end of the log, or it has another number of partitions; nothing was changed.
        """
        ...

    async def leave(self, consumer: str, owner: str) -> None:
        """End a membership; what it still owns is free."""
        ...

    async def advance(
        self,
        share: Share,
        position: int,
        *,
        parked: Sequence[Parked] = (),
        freed: Sequence[str] = (),
        release: bool = False,
    ) -> None:
        """In one transaction: the partition is handled up to ``position``, except for the
        streams ``parked``; those ``freed`` are no longer parked; ``release`` releases it.

        Raises:
            LeaseLost: the partition has passed to another; nothing was written.
        """
        ...

    async def statuses(self, consumer: str | None = None) -> list[ConsumerStatus]:
        """All consumers by name, or the one with this name."""
        ...

    async def parked(self, consumer: str | None = None, *, retrying: bool = False) -> list[Parked]:
        """Parked streams, the oldest first; ``retrying``: only those that have a time for the
        next retry."""
        ...

    async def replay(self, consumer: str, aggregate_id: str | None = None) -> int:
        """Have a parked stream, or all, tried again as soon as its partition has an owner;
        returns how many."""
        ...

    async def accept(self, consumer: str) -> None:
        """Let a consumer continue after the store was restored: from its checkpoint, or from the
        end of the log if that is earlier. Does nothing when there is no such consumer."""
        ...

    async def forget(self, consumer: str) -> None:
        """Forget a consumer: delete its checkpoints and parked streams.

        Raises:
            Conflict: it has members that live.
        """
        ...
