"""A member of the group "scribes" that writes a line for every event: ``scribe.py LOG LINES``."""

from __future__ import annotations

import asyncio
import os
import sys

from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.envelope import Envelope
from planfold.subscriptions.consumer import Consumer
from testbed.contracts.backend import CODEC

PARTITIONS = 4
BATCH = 20


async def main(log: str, lines: str) -> None:
    store = SqliteStore.open(log, CODEC)
    out = os.open(lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle(envelope: Envelope) -> None:
        await asyncio.sleep(0.001)
        os.write(out, f"{envelope.aggregate_id} {envelope.version} {os.getpid()}\n".encode())

    await Consumer(store, "scribes", handle, partitions=PARTITIONS, batch=BATCH).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
