"""The physical limit: bare asyncpg on the same server, one row a commit, planfold's own table."""

from __future__ import annotations

import asyncio
import itertools
import time

import asyncpg

INSERT = (
    "INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version, "
    "data, metadata, recorded_at) VALUES ('raw', $1, $2, 'TaskStatusUpdated', 1, $3, $4, 0.0)"
)
METADATA = '{"correlation_id":"plan-0123456789","causation_id":"plan-0123456789#1/TaskCompleted"}'
DATA = "x" * 200

_names = itertools.count()


async def commits_per_second(address: str, connections: int, commits: int) -> float:
    """Single-row transactions/s, each on one of so many connections that are always busy."""
    open_ones = [await asyncpg.connect(address) for _ in range(connections)]
    each = commits // connections

    async def insert(connection: asyncpg.Connection) -> None:
        name = f"raw-{time.monotonic_ns()}-{next(_names)}"
        statement = await connection.prepare(INSERT)
        for version in range(1, each + 1):
            await statement.fetch(name, version, DATA, METADATA)

    begun = time.perf_counter()
    await asyncio.gather(*map(insert, open_ones))
    took = time.perf_counter() - begun
    for connection in open_ones:
        await connection.close()
    return each * connections / took


async def notify_latencies(address: str, count: int) -> list[float]:
    """Seconds from a NOTIFY's commit on one connection to its arrival on another, idle between."""
    sender, listener = await asyncpg.connect(address), await asyncpg.connect(address)
    arrived = asyncio.Event()
    await listener.add_listener("raw", lambda *_: arrived.set())
    found: list[float] = []
    for _ in range(count):
        arrived.clear()
        await sender.execute("SELECT pg_notify('raw', '')")
        begun = time.perf_counter()
        await arrived.wait()
        found.append(time.perf_counter() - begun)
    await sender.close()
    await listener.close()
    return found
