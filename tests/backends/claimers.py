"""Many claimers in one process: ``claimers.py ADDRESS NAME COUNT``. Begins with
a line; prints what they got as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import random
import sys

from planfold.databases import open_store
from planfold.eventstore.codec import Codec
from planfold.eventstore.port import EventStore, Lease, WorkerRecord


async def main(address: str, name: str, count: int) -> None:
    store = await open_store(address, Codec(), None, True)
    owners = [f"{name}-{number}" for number in range(count)]
    for owner in owners:
        await store.queue.enter(WorkerRecord(owner))
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    granted = await asyncio.gather(*(claim_all(store, owner) for owner in owners))
    leases = [
        (lease.task_id, lease.attempt, lease.epoch, lease.owner)
        for mine in granted
        for lease in mine
    ]
    print(json.dumps(leases), flush=True)  # noqa: T201
    sys.stdin.readline()  # a process that has ended would be succeeded
    await store.close()


async def claim_all(store: EventStore, owner: str) -> list[Lease]:
    mine: list[Lease] = []
    while leases := await store.queue.claim(owner, random.randint(1, 3)):
        mine += leases
    return mine


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
