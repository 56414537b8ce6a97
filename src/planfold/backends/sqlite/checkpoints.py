"""``SqliteCheckpoints``: how far a consumer has read, and snapshots of folded state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import apsw

from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.writer import Writer
from planfold.errors import ConfigurationError

if TYPE_CHECKING:
    from planfold.backends.sqlite.store import SqliteStore


class SqliteCheckpoints:
    """See :class:`planfold.eventstore.port.Checkpoints`."""

    def __init__(self, store: SqliteStore, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    def load(self, name: str) -> int:
        """The position that was saved under ``name``; 0 when there is none.

        Raises:
            ConfigurationError: it was saved for another store, so its position means nothing.
        """
        rows = self._store.rows("checkpoint", (name,))
        if not rows:
            return 0
        store_id, position = rows[0]
        if store_id != self._store.store_id:
            raise ConfigurationError(
                f"checkpoint {name!r} belongs to another store ({store_id}); "
                "use another name to begin anew"
            )
        return int(position)

    async def save(self, name: str, position: int) -> None:
        bindings = (name, self._store.store_id, position, self._store.clock())

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["save_checkpoint"], bindings)

        await self._writer.submit(work)

    def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None:
        """The version and data of a snapshot; None when there is none or it is damaged."""
        rows = self._store.rows("snapshot", (aggregate_id,))
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
