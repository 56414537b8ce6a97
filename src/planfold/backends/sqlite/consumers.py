"""``SqliteConsumers``: the checkpoints, members and parked streams of consumers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import apsw

from planfold.backends.sqlite.liveness import Liveness, workers_folder
from planfold.backends.sqlite.queries import SQL, ReadConnection
from planfold.backends.sqlite.writer import SqliteWriter
from planfold.errors import Conflict, LeaseLost
from planfold.eventstore.consumers import ConsumerStatus, Parked, Share
from planfold.subscriptions.assignment import first_shares, require_same_consumer, to_take

MEMBER_S = 30.0


class SqliteConsumers:
    """See :class:`planfold.eventstore.port.Consumers`."""

    def __init__(self, reader: ReadConnection, writer: SqliteWriter, store_id: str) -> None:
        self._reader = reader
        self._writer = writer
        self._store_id = store_id
        self._liveness = Liveness(workers_folder(reader.path))
        self._present: set[str] = set()

    async def attend(
        self, consumer: str, owner: str, partitions: int, *, after: int
    ) -> ConsumerStatus:
        """See :meth:`Consumers.attend`."""
        if owner not in self._present:
            self._present.add(owner)
            self._liveness.enter(owner)
        now = self._reader.clock()
        dead: list[str] = []

        def work(connection: apsw.Connection) -> ConsumerStatus:
            shares = _shares(connection, consumer)
            epoch = int(connection.execute(SQL["meta"], ("epoch",)).get)
            last: int = connection.execute(SQL["last_position"]).get
            require_same_consumer(shares, consumer, partitions, self._store_id, epoch, last)
            if not shares:
                rows = first_shares(consumer, partitions, self._store_id, epoch, after, now)
                connection.executemany(SQL["begin_share"], rows)
            connection.execute(SQL["drop_expired_members"], (consumer, now))
            # A clock that went back must not lengthen a membership.
            connection.execute(SQL["bound_members"], (consumer, now + MEMBER_S))
            dead[:] = self._dead(connection, consumer, now)
            connection.executemany(SQL["drop_member"], [(consumer, member) for member in dead])
            connection.execute(SQL["renew_member"], (consumer, owner, now + MEMBER_S))
            members = _members(connection, consumer, now)
            for partition in to_take(_shares(connection, consumer), members, owner):
                connection.execute(SQL["take_share"], (owner, consumer, partition))
            return ConsumerStatus(consumer, tuple(_shares(connection, consumer)), tuple(members))

        status = await self._writer.submit(work)
        for member in dead:
            self._liveness.forget(member)
        return status

    def _dead(self, connection: apsw.Connection, consumer: str, now: float) -> list[str]:
        members = _members(connection, consumer, now)
        return [member for member in members if self._liveness.is_dead(member)]

    async def leave(self, consumer: str, owner: str) -> None:
        """See :meth:`Consumers.leave`."""

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["drop_member"], (consumer, owner))
            connection.execute(SQL["free_shares"], (consumer, owner))

        try:
            await self._writer.submit(work)
        finally:
            self._present.discard(owner)
            self._liveness.leave(owner)

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
        lease = (share.consumer, share.partition, share.owner, share.epoch)
        now = self._reader.clock()

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["advance_share"], (position, now, release, *lease))
            if not connection.changes():
                raise LeaseLost(
                    f"partition {share.partition} of consumer {share.consumer!r} "
                    "was assigned to another member"
                )
            for row in parked:
                values = (row.consumer, row.aggregate_id, row.position, row.error)
                connection.execute(
                    SQL["park"], (*values, row.attempts, row.parked_at, row.retry_at)
                )
            for aggregate_id in freed:
                connection.execute(SQL["unpark"], (share.consumer, aggregate_id))

        await self._writer.submit(work)

    async def statuses(self, consumer: str | None = None) -> list[ConsumerStatus]:
        """See :meth:`Consumers.statuses`."""
        shares = [Share(*row) for row in self._reader.rows("shares", (consumer,))]
        members = [
            (name, owner)
            for name, owner in self._reader.rows("members", (consumer, self._reader.clock()))
            if not self._liveness.is_dead(owner)
        ]
        return [
            ConsumerStatus(name, tuple(rows), tuple(owner for of, owner in members if of == name))
            for name, rows in groupby(shares, key=lambda share: share.consumer)
        ]

    async def parked(self, consumer: str | None = None, *, retrying: bool = False) -> list[Parked]:
        """See :meth:`Consumers.parked`."""
        name = "parked_retrying" if retrying else "parked"
        return [Parked(*row) for row in self._reader.rows(name, (consumer,))]

    async def replay(self, consumer: str, aggregate_id: str | None = None) -> int:
        """See :meth:`Consumers.replay`."""
        bindings = (self._reader.clock(), consumer, aggregate_id)

        def work(connection: apsw.Connection) -> int:
            connection.execute(SQL["replay"], bindings)
            return connection.changes()

        return await self._writer.submit(work)

    async def accept(self, consumer: str) -> None:
        """See :meth:`Consumers.accept`."""
        now = self._reader.clock()

        def work(connection: apsw.Connection) -> None:
            epoch = int(connection.execute(SQL["meta"], ("epoch",)).get)
            connection.execute(SQL["accept_consumer"], (consumer, self._store_id, epoch, now))

        await self._writer.submit(work)

    async def forget(self, consumer: str) -> None:
        """See :meth:`Consumers.forget`."""
        now = self._reader.clock()

        def work(connection: apsw.Connection) -> None:
            members = _members(connection, consumer, now)
            if len(members) > len(self._dead(connection, consumer, now)):
                raise Conflict(f"consumer {consumer!r} is running: stop its members first")
            for name in ("forget_consumer", "forget_parked", "forget_members"):
                connection.execute(SQL[name], (consumer,))

        await self._writer.submit(work)


def _shares(connection: apsw.Connection, consumer: str) -> list[Share]:
    return [Share(*row) for row in connection.execute(SQL["shares"], (consumer,))]


def _members(connection: apsw.Connection, consumer: str, now: float) -> list[str]:
    return [owner for _, owner in connection.execute(SQL["members"], (consumer, now))]
