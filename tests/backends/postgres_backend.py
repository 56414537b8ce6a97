"""PostgreSQL as a backend for the contracts."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from planfold.backends.postgres.store import PostgresStore
from planfold.eventstore.codec import Codec
from testbed.contracts import Backend
from testbed.contracts.backend import OpenTransaction

CLEAR = """
DO $$
DECLARE
    name text;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'planfold'
                AND tablename NOT IN ('meta', 'migrations') LOOP
        EXECUTE format('DELETE FROM planfold.%I', name);
    END LOOP;
    PERFORM setval('planfold.events_position_seq', 1, false);
    UPDATE planfold.meta SET value = '1' WHERE key = 'epoch';
END
$$
"""


class PostgresBackend(Backend):
    concurrent_writers = True

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address

    async def connect(self, codec: Codec, clock: Callable[[], float] | None) -> PostgresStore:
        return await PostgresStore.open(self.address, codec, clock=clock)

    async def open_transaction(self) -> PostgresTransaction:
        return await PostgresTransaction.begin(self.address)

    async def lose_event(self, aggregate_id: str, version: int) -> None:
        await self.execute(
            "DELETE FROM planfold.events WHERE aggregate_id = $1 AND version = $2",
            aggregate_id,
            version,
        )

    async def damage_read_model(self, name: str) -> None:
        await self.execute(
            "UPDATE planfold.read_models SET data = 'x' || data WHERE name = $1", name
        )

    async def damage_snapshot(self, aggregate_id: str) -> None:
        await self.execute(
            "UPDATE planfold.snapshots SET data = 'x' || data WHERE aggregate_id = $1", aggregate_id
        )

    async def lend_checkpoint(self, name: str) -> None:
        await self.execute("UPDATE planfold.consumers SET store_id = 'other' WHERE name = $1", name)

    async def clear(self) -> None:
        """Leave nothing but the schema."""
        await self.execute(CLEAR)

    async def execute(self, sql: str, *arguments: object) -> None:
        connection = await asyncpg.connect(self.address)
        try:
            await connection.execute(sql, *arguments)
        finally:
            await connection.close()


class PostgresTransaction(OpenTransaction):
    """Events that a session of its own has inserted; streams' heads are left alone."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection
        self._versions: dict[str, int] = {}

    @classmethod
    async def begin(cls, address: str) -> PostgresTransaction:
        connection = await asyncpg.connect(address)
        await connection.execute("BEGIN")
        return cls(connection)

    async def write(self, number: int, *, to: str) -> int:
        version = self._versions[to] = self._versions.get(to, 0) + 1
        position: int = await self.connection.fetchval(
            """
            INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type,
                                         event_version, data, metadata, recorded_at)
            VALUES ('note', $1, $2, 'Counted', 1, jsonb_build_object('number', $3::int), '{}', 0)
            RETURNING position
            """,
            to,
            version,
            number,
        )
        return position

    async def commit(self) -> None:
        await self.connection.execute("COMMIT")
        await self.connection.close()

    async def roll_back(self) -> None:
        await self.connection.execute("ROLLBACK")
        await self.connection.close()
