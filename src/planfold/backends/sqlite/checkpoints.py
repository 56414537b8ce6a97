"""``SqliteCheckpoints``: how far consumers have come, and snapshots of folded state."""

from __future__ import annotations

import apsw

from planfold.backends.rows import read_model_of, snapshot_checksum
from planfold.backends.sqlite.consumers import SqliteConsumers
from planfold.backends.sqlite.queries import SQL, ReadConnection
from planfold.backends.sqlite.writer import SqliteWriter
from planfold.eventstore.checkpoint import Checkpoint


class SqliteCheckpoints:
    """See :class:`planfold.eventstore.port.Checkpoints`."""

    def __init__(self, reader: ReadConnection, writer: SqliteWriter, store_id: str) -> None:
        self._reader = reader
        self._writer = writer
        self.consumers = SqliteConsumers(reader, writer, store_id)

    async def raise_epoch(self) -> int:
        """See :meth:`Checkpoints.raise_epoch`."""

        def work(connection: apsw.Connection) -> int:
            epoch: int = connection.execute(SQL["raise_epoch"]).get
            return epoch

        return await self._writer.submit(work)

    async def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None:
        """See :meth:`Checkpoints.snapshot`; None also where it is damaged."""
        rows = self._reader.rows("snapshot", (aggregate_id,))
        if not rows:
            return None
        version, checksum, data = rows[0]
        intact = isinstance(data, bytes) and checksum == snapshot_checksum(version, data)
        return (version, data) if intact else None

    async def save_snapshot(self, aggregate_id: str, version: int, data: bytes | None) -> None:
        """Keep ``data`` as the state at ``version``; None drops what was kept."""

        def work(connection: apsw.Connection) -> None:
            if data is None:
                connection.execute(SQL["drop_snapshot"], (aggregate_id,))
            else:
                row = (aggregate_id, version, snapshot_checksum(version, data), data)
                connection.execute(SQL["save_snapshot"], row)

        await self._writer.submit(work)

    async def read_model(self, name: str) -> tuple[Checkpoint, bytes] | None:
        """See :meth:`Checkpoints.read_model`."""
        return read_model_of(next(iter(self._reader.rows("read_model", (name,))), None))

    async def save_read_model(self, name: str, checkpoint: Checkpoint, data: bytes) -> None:
        """See :meth:`Checkpoints.save_read_model`."""

        def work(connection: apsw.Connection) -> None:
            checksum = snapshot_checksum(checkpoint.position, data)
            row = (name, str(checkpoint), checkpoint.position, checksum, data)
            connection.execute(SQL["save_read_model"], row)

        await self._writer.submit(work)

    async def forget_read_models(self) -> None:
        """See :meth:`Checkpoints.forget_read_models`."""

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["forget_read_models"])
            connection.execute(SQL["count_forgetting"])

        await self._writer.submit(work)

    async def times_forgotten(self) -> int:
        """See :meth:`Checkpoints.times_forgotten`."""
        row = next(iter(self._reader.rows("times_forgotten", ())), None)
        return 0 if row is None else int(row[0])
