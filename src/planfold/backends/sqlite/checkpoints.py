"""``SqliteCheckpoints``: how far a consumer has read, and snapshots of folded state."""

from __future__ import annotations

import hashlib

import apsw

from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.reader import Reader
from planfold.backends.sqlite.writer import Writer
from planfold.errors import ConfigurationError


class SqliteCheckpoints:
    """See :class:`planfold.eventstore.port.Checkpoints`."""

    def __init__(self, reader: Reader, writer: Writer, store_id: str, epoch: int) -> None:
        self._reader = reader
        self._writer = writer
        self._store_id = store_id
        self._epoch = epoch

    async def load(self, name: str) -> int:
        """The position that was saved under ``name``; 0 when there is none.

        Raises:
            ConfigurationError: it was saved for another store, so its position means nothing.
        """
        rows = self._reader.rows("checkpoint", (name,))
        if not rows:
            return 0
        store_id, epoch, position = rows[0]
        if store_id != self._store_id:
            raise ConfigurationError(
                f"checkpoint {name!r} belongs to another store ({store_id}); "
                "use another name to begin anew"
            )
        if epoch != self._epoch:
            raise ConfigurationError(
                f"checkpoint {name!r} is of epoch {epoch}, the store of epoch {self._epoch}: "
                "it was restored from a backup; use another name to begin anew"
            )
        return int(position)

    async def save(self, name: str, position: int) -> None:
        bindings = (name, self._store_id, self._epoch, position, self._reader.clock())

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["save_checkpoint"], bindings)

        await self._writer.submit(work)

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
