"""``SqliteCheckpoints``: how far readers have come, and snapshots of folded state."""

from __future__ import annotations

import hashlib

import apsw

from planfold.backends.sqlite.consumers import SqliteConsumers
from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.reader import Reader
from planfold.backends.sqlite.writer import Writer
from planfold.eventstore.consumers import Share
from planfold.subscriptions.sharing import require_same_consumer


class SqliteCheckpoints:
    """See :class:`planfold.eventstore.port.Checkpoints`."""

    def __init__(self, reader: Reader, writer: Writer, store_id: str, epoch: int) -> None:
        self._reader = reader
        self._writer = writer
        self._store_id = store_id
        self._epoch = epoch
        self.consumers = SqliteConsumers(reader, writer, store_id)

    async def load(self, name: str) -> int:
        """See :meth:`Checkpoints.load`."""
        shares = [Share(*row) for row in self._reader.rows("shares", (name,))]
        last: int = self._reader.value("last_position")
        require_same_consumer(shares, name, 1, self._store_id, self._epoch, last)
        return shares[0].position if shares else 0

    async def save(self, name: str, position: int) -> None:
        """Remember ``position`` under ``name``, for this store as it is now."""
        bindings = (name, self._store_id, self._epoch, position, self._reader.clock())

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["save_checkpoint"], bindings)

        await self._writer.submit(work)

    async def raise_epoch(self) -> int:
        """See :meth:`Checkpoints.raise_epoch`."""

        def work(connection: apsw.Connection) -> int:
            epoch: int = connection.execute(SQL["raise_epoch"]).get
            return epoch

        return await self._writer.submit(work)

    async def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None:
        """The version and data of a snapshot; None when there is none or it is damaged."""
        rows = self._reader.rows("snapshot", (aggregate_id,))
        if not rows:
            return None
        version, checksum, data = rows[0]
        intact = isinstance(data, bytes) and checksum == _checksum(version, data)
        return (version, data) if intact else None

    async def save_snapshot(self, aggregate_id: str, version: int, data: bytes | None) -> None:
        """Keep ``data`` as the state at ``version``; None drops what was kept."""

        def work(connection: apsw.Connection) -> None:
            if data is None:
                connection.execute(SQL["drop_snapshot"], (aggregate_id,))
            else:
                row = (aggregate_id, version, _checksum(version, data), data)
                connection.execute(SQL["save_snapshot"], row)

        await self._writer.submit(work)


def _checksum(version: int, data: bytes) -> str:
    return hashlib.blake2b(b"%d:" % version + data, digest_size=16).hexdigest()
