"""``PostgresCheckpoints``: how far consumers have come, and snapshots of folded state."""

from __future__ import annotations

from collections.abc import Callable

from planfold.backends.postgres.consumers import PostgresConsumers
from planfold.backends.postgres.reader import Readers
from planfold.backends.rows import read_model_of, snapshot_checksum
from planfold.eventstore.checkpoint import Checkpoint


class PostgresCheckpoints:
    """See :class:`planfold.eventstore.port.Checkpoints`."""

    def __init__(self, readers: Readers, store_id: str, clock: Callable[[], float] | None) -> None:
        self._readers = readers
        self.consumers = PostgresConsumers(readers, store_id, clock)

    async def raise_epoch(self) -> int:
        """See :meth:`Checkpoints.raise_epoch`."""
        epoch: int = await self._readers.value("raise_epoch")
        return epoch

    async def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None:
        """See :meth:`Checkpoints.snapshot`; None also where it is damaged."""
        row = await self._readers.row("snapshot", aggregate_id)
        if row is None:
            return None
        version, checksum, data = row
        return (version, data) if checksum == snapshot_checksum(version, data) else None

    async def save_snapshot(self, aggregate_id: str, version: int, data: bytes | None) -> None:
        """Keep ``data`` as the state at ``version``; None drops what was kept."""
        if data is None:
            await self._readers.rows("drop_snapshot", aggregate_id)
        else:
            checksum = snapshot_checksum(version, data)
            await self._readers.rows("save_snapshot", aggregate_id, version, checksum, data)

    async def read_model(self, name: str) -> tuple[Checkpoint, bytes] | None:
        """See :meth:`Checkpoints.read_model`."""
        return read_model_of(await self._readers.row("read_model", name))

    async def save_read_model(self, name: str, checkpoint: Checkpoint, data: bytes) -> None:
        """See :meth:`Checkpoints.save_read_model`."""
        checksum = snapshot_checksum(checkpoint.position, data)
        row = (str(checkpoint), checkpoint.position, checksum, data)
        await self._readers.rows("save_read_model", name, *row)

    async def forget_read_models(self) -> None:
        """See :meth:`Checkpoints.forget_read_models`."""
        await self._readers.rows("forget_read_models")

    async def times_forgotten(self) -> int:
        """See :meth:`Checkpoints.times_forgotten`."""
        row = await self._readers.row("times_forgotten")
        return 0 if row is None else int(row[0])
