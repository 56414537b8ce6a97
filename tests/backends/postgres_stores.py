"""Stores on a PostgreSQL database, and writing past them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from planfold.backends.postgres.store import PostgresStore
from testbed.contracts.backend import CODEC

INSERT = """
    INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version, data,
                                 metadata, recorded_at)
    VALUES ('note', $1, 1, 'Counted', 1, '{}', '{}', 0)
"""


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(address, CODEC)
    try:
        yield store
    finally:
        await store.close()


async def ask(address: str, sql: str, *arguments: Any) -> Any:
    """The first value of a statement, on a connection of its own."""
    connection = await asyncpg.connect(address, server_settings={"application_name": "test"})
    try:
        return await connection.fetchval(sql, *arguments)
    finally:
        await connection.close()
