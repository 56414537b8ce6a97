"""``PostgresConsumers``: the checkpoints, members and parked streams of consumers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from planfold.backends.names import require_storable
from planfold.backends.postgres.connection import ServerConnection
from planfold.backends.postgres.reader import Readers
from planfold.errors import Conflict, LeaseLost
from planfold.eventstore.consumers import ConsumerStatus, Parked, Share
from planfold.subscriptions.assignment import first_shares, require_same_consumer, to_take

MEMBER_S = 30.0


class PostgresConsumers:
    """See :class:`planfold.eventstore.port.Consumers`. Operations of several statements run under a
    lock on the consumer's name, and may safely run twice."""

    def __init__(self, readers: Readers, store_id: str, clock: Callable[[], float] | None) -> None:
        self._readers = readers
        self._store_id = store_id
        self._clock = clock

    async def attend(
        self, consumer: str, owner: str, partitions: int, *, after: int
    ) -> ConsumerStatus:
        """See :meth:`Consumers.attend`."""
        require_storable([("consumer", consumer), ("owner", owner)])

        async def work(session: ServerConnection) -> ConsumerStatus:
            async with session.connection.transaction():
                now = await self._lock(session, consumer)
                shares = await _shares(session, consumer)
                epoch = int(await session.value("epoch"))
                last: int = await session.value("last_position")
                require_same_consumer(shares, consumer, partitions, self._store_id, epoch, last)
                if not shares:
                    for row in first_shares(
                        consumer, partitions, self._store_id, epoch, after, now
                    ):
                        await session.rows("begin_share", *row)
                await session.rows("drop_expired_members", consumer, now)
                # A clock that went back must not lengthen a membership.
                await session.rows("bound_members", consumer, now + MEMBER_S)
                await session.rows("renew_member", consumer, owner, now + MEMBER_S)
                members = await _members(session, consumer, now)
                for partition in to_take(await _shares(session, consumer), members, owner):
                    await session.rows("take_share", owner, consumer, partition)
                return ConsumerStatus(
                    consumer, tuple(await _shares(session, consumer)), tuple(members)
                )

        return await self._readers.run(work)

    async def _lock(self, session: ServerConnection, consumer: str) -> float:
        """Keep others from changing the consumer until the transaction ends; returns the time."""
        await session.rows("lock_consumer", consumer)
        now = await session.value("clock") if self._clock is None else self._clock()
        return float(now)

    def _now(self) -> float | None:
        return None if self._clock is None else self._clock()

    async def leave(self, consumer: str, owner: str) -> None:
        """See :meth:`Consumers.leave`."""
        await self._readers.rows("leave_consumer", consumer, owner)

    async def advance(
        self,
        share: Share,
        position: int,
        *,
        parked: Sequence[Parked] = (),
        freed: Sequence[str] = (),
        release: bool = False,
    ) -> None:
        """See :meth:`Consumers.advance`."""
        moved = await self._readers.value(
            "advance_share",
            position,
            self._now(),
            release,
            share.consumer,
            share.partition,
            share.owner,
            share.epoch,
            list(freed),
            [row.aggregate_id for row in parked],
            [row.position for row in parked],
            [row.error for row in parked],
            [row.attempts for row in parked],
            [row.parked_at for row in parked],
            [row.retry_at for row in parked],
        )
        if not moved:
            raise LeaseLost(
                f"partition {share.partition} of consumer {share.consumer!r} "
                "was assigned to another member"
            )

    async def statuses(self, consumer: str | None = None) -> list[ConsumerStatus]:
        """See :meth:`Consumers.statuses`."""
        shares = [Share(*row) for row in await self._readers.rows("shares", consumer)]
        members = await self._readers.rows("members", consumer, self._now())
        return [
            ConsumerStatus(name, tuple(rows), tuple(owner for of, owner in members if of == name))
            for name, rows in groupby(shares, key=lambda share: share.consumer)
        ]

    async def parked(self, consumer: str | None = None, *, retrying: bool = False) -> list[Parked]:
        """See :meth:`Consumers.parked`."""
        name = "parked_retrying" if retrying else "parked"
        return [Parked(*row) for row in await self._readers.rows(name, consumer)]

    async def replay(self, consumer: str, aggregate_id: str | None = None) -> int:
        """See :meth:`Consumers.replay`."""
        return len(await self._readers.rows("replay", consumer, aggregate_id, self._now()))

    async def accept(self, consumer: str) -> None:
        """See :meth:`Consumers.accept`."""

        async def work(session: ServerConnection) -> None:
            async with session.connection.transaction():
                now = await self._lock(session, consumer)
                epoch = int(await session.value("epoch"))
                last = await session.value("last_position")
                about = (consumer, self._store_id, epoch, now, last)
                await session.rows("accept_consumer", *about)

        await self._readers.run(work)

    async def forget(self, consumer: str) -> None:
        """See :meth:`Consumers.forget`."""

        async def work(session: ServerConnection) -> None:
            async with session.connection.transaction():
                now = await self._lock(session, consumer)
                if await _members(session, consumer, now):
                    raise Conflict(f"consumer {consumer!r} is running: stop its members first")
                await session.rows("forget_consumer", consumer)

        await self._readers.run(work)


async def _shares(session: ServerConnection, consumer: str) -> list[Share]:
    return [Share(*row) for row in await session.rows("shares", consumer)]


async def _members(session: ServerConnection, consumer: str, now: float) -> list[str]:
    return [owner for _, owner in await session.rows("members", consumer, now)]
