"""``Tally``: a projection in an SQLite file of its own; and a process that builds it.

    python tally.py LOG RESULT [BATCH]

It counts events per stream and sums their numbers, which shows events that were left out or
counted twice.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Sequence

from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope
from planfold.subscriptions.projection import project
from testbed.contracts.backend import CODEC

SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoint (only_one INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tally (stream TEXT PRIMARY KEY, events INTEGER, total INTEGER);
"""


class Tally:
    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.executescript(SCHEMA)
        self.batches: list[int] = []

    async def load(self) -> Checkpoint | None:
        row = self.database.execute("SELECT text FROM checkpoint").fetchone()
        return None if row is None else Checkpoint.parse(row[0])

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        self.batches.append(len(envelopes))
        with self.database:
            self.database.execute("BEGIN")
            self.database.executemany(
                "INSERT INTO tally VALUES (?, 1, ?) ON CONFLICT (stream) "
                "DO UPDATE SET events = events + 1, total = total + excluded.total",
                [(envelope.aggregate_id, envelope.event.number) for envelope in envelopes],
            )
            self.database.execute("REPLACE INTO checkpoint VALUES (1, ?)", (str(checkpoint),))

    def result(self) -> dict[str, tuple[int, int]]:
        rows = self.database.execute("SELECT stream, events, total FROM tally")
        return {stream: (events, total) for stream, events, total in rows}


class Slow(Tally):
    """Leaves the time to be killed."""

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        await super().apply(envelopes, checkpoint)
        await asyncio.sleep(0.005)


async def main(log: str, result: str, batch: str = "50") -> None:
    store = SqliteStore.open(log, CODEC)
    await project(store, Slow(result), batch=int(batch))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
