"""Unruly writers: ``feed_writers.py ADDRESS NAME WRITERS EVENTS BATCH``.

Writes at least EVENTS events in transactions of 1 to BATCH, past the store but with streams'
versions right. Of the transactions 10 % are rolled back, 2 % are held open for 100 ms, and all
write twice, so that others take positions in between. Survives losing its connections. Prints how
many events were certainly committed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress

import asyncpg

LAST = "SELECT coalesce(max(version), 0) FROM planfold.events WHERE aggregate_id = $1"
WRITE = """
INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version, data,
                             metadata, recorded_at)
SELECT 'note', $1, $2::bigint + i, 'Counted', 1, '{"number":' || $2::bigint + i || '}', '{}', 0
FROM generate_series(1, $3::int) AS i
"""


class Unruly:
    def __init__(self, address: str, name: str, events: int, batch: int) -> None:
        self.address = address
        self.name = name
        self.left = events
        self.batch = batch
        self.random = random.Random(name)
        self.versions: dict[str, int] = {}
        self.committed = 0
        self.connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def run(self) -> None:
        while self.left > 0:
            try:
                if self.connection is None:
                    self.connection = await asyncpg.connect(self.address)
                await self.write(self.connection, f"{self.name}-{self.random.randrange(20)}")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RuntimeError):
                self.lose()
            except asyncpg.InternalClientError:  # what asyncpg says of some lost connections
                self.lose()
        if self.connection is not None:
            await self.connection.close()

    def lose(self) -> None:
        if self.connection is not None:
            with suppress(Exception):
                self.connection.terminate()
        self.connection = None

    async def write(self, connection: asyncpg.Connection[asyncpg.Record], to: str) -> None:
        at = self.versions.pop(to, None)  # not known any more when something goes wrong
        if at is None:
            at = int(await connection.fetchval(LAST, to))
        count = self.random.randint(1, self.batch)
        first = self.random.randint(0, count)
        await connection.execute("BEGIN")
        await connection.execute(WRITE, to, at, first)
        if self.random.random() < 0.02:
            await asyncio.sleep(0.1)
        await connection.execute(WRITE, to, at + first, count - first)
        if self.random.random() < 0.1:
            await connection.execute("ROLLBACK")
            self.versions[to] = at
        else:
            await connection.execute("COMMIT")
            self.versions[to] = at + count
            self.left -= count
            self.committed += count


async def main(address: str, name: str, writers: str, events: str, batch: str) -> None:
    share = int(events) // int(writers)
    unruly = [Unruly(address, f"{name}{n}", share, int(batch)) for n in range(int(writers))]
    await asyncio.gather(*(each.run() for each in unruly))
    print(sum(each.committed for each in unruly))  # noqa: T201


asyncio.run(main(*sys.argv[1:]))
