"""``PostgresCheckpoints``: how far readers have come, and snapshots of folded state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from planfold.backends.names import require_storable
from planfold.backends.postgres.consumers import PostgresConsumers
from planfold.backends.postgres.reader import Readers
from planfold.eventstore.consumers import Share
from planfold.subscriptions.sharing import require_same_consumer


class PostgresCheckpoints:
    """See :class:`planfold.eventstore.port.Checkpoints`."""

    def __init__(
        self,
        readers: Readers,
        store_id: str,
        epoch: int,
        clock: Callable[[], float] | None,
    ) -> None:
        self._readers = readers
        self._store_id = store_id
        self._epoch = epoch
        self._clock = clock
        self.consumers = PostgresConsumers(readers, store_id, clock)

    async def raise_epoch(self) -> int:
        """See :meth:`Checkpoints.raise_epoch`."""
        epoch: int = await self._readers.value("raise_epoch")
        return epoch

    async def load(self, name: str) -> int:
        """See :meth:`Checkpoints.load`."""
        shares = [Share(*row) for row in await self._readers.rows("shares", name)]
        last: int = await self._readers.value("last_position")
        require_same_consumer(shares, name, 1, self._store_id, self._epoch, last)
        return shares[0].position if shares else 0

    async def save(self, name: str, position: int) -> None:
        """Remember ``position`` under ``name``, for this store as it is now."""
        require_storable([("checkpoint", name)])
        now = None if self._clock is None else self._clock()
        await self._readers.rows(
            "save_checkpoint", name, self._store_id, self._epoch, position, now
        )

    async def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None:
        """The version and data of a snapshot; None when there is none or it is damaged."""
        row = await self._readers.row("snapshot", aggregate_id)
        if row is None:
            return None
        version, checksum, data = row
        return (version, data) if checksum == _checksum(version, data) else None

    async def save_snapshot(self, aggregate_id: str, version: int, data: bytes | None) -> None:
        """Keep ``data`` as the state at ``version``; None drops what was kept."""
        if data is None:
            await self._readers.rows("drop_snapshot", aggregate_id)
        else:
            checksum = _checksum(version, data)
            await self._readers.rows("save_snapshot", aggregate_id, version, checksum, data)


def _checksum(version: int, data: bytes) -> str:
    return hashlib.blake2b(b"%d:" % version + data, digest_size=16).hexdigest()
