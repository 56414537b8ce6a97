"""Horizon, log and feed together over a modelled server, with many writers and subscribers.

Every interleaving of their steps is possible here; a seed chooses one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planfold.backends.postgres import log as log_module
from planfold.backends.postgres.horizon import TransactionHorizon
from planfold.backends.postgres.log import PostgresLog
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.wakeup import Wakeup
from planfold.handler import Metadata
from planfold.subscriptions import feed as feed_module
from planfold.subscriptions.feed import Feed, matches
from testbed.patience import PATIENCE_S

KINDS, NAMES, STREAMS = ("Noted", "Counted"), ("a", "b", "c"), ("note", "other")
LAST = -1
QUERIES = [Query(), Query(aggregate_id="a"), Query(event_type="Noted"), Query(stream_id="other")]


class Server:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.sequence = 0
        self.holders: dict[str, str] = {}
        self.visible: dict[int, Envelope] = {}

    async def dawdle(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)

    async def fetch(self, name: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        await self.dawdle()
        rows = await getattr(self, name)(*arguments)
        await self.dawdle()
        return rows  # type: ignore[no-any-return]

    async def conditions_of_log(self) -> list[dict[str, Any]]:
        return [{"standby": False, "rising": True}]

    async def look_at_log(self, after: int, always: bool) -> list[dict[str, Any]]:
        upto = after
        while upto + 1 in self.visible and upto < after + 8:
            upto += 1
        highest = max(self.visible, default=0)
        await self.dawdle()
        holders = [f"{id_}:{process}" for id_, process in self.holders.items()]
        return [
            {
                "upto": upto,
                "highest": highest,
                "holders": holders if always or upto < highest else None,
            }
        ]

    async def feed_page(
        self,
        after: int,
        upto: int | None,
        stream: str | None,
        kind: str | None,
        name: str | None,
        most: int,
    ) -> list[dict[str, Any]]:
        query = Query(stream, kind, name)
        found = [
            {"position": p, "envelope": e}
            for p, e in sorted(self.visible.items())
            if after < p and (upto is None or p <= upto) and matches(query, e)
        ]
        return found[:most]


async def write(server: Server, wakeup: Wakeup, id_: str) -> None:
    """One transaction: takes positions now and then, and comes to some end."""
    chance = server.chance
    await server.dawdle()
    server.holders[id_] = "7"
    taken: list[Envelope] = []
    for _ in range(chance.randrange(1, 4)):
        server.sequence += 1
        name, kind, stream = (chance.choice(those) for those in (NAMES, KINDS, STREAMS))
        about = (server.sequence, stream, name, 1, kind, 1, None, Metadata(), 0.0)
        taken.append(Envelope(*about))
        await server.dawdle()
        for _ in range(chance.choice([0, 0, 0, 30])):
            await asyncio.sleep(0)
    if chance.random() < 0.2:
        del server.holders[id_]
        return
    if chance.random() < 0.1:  # prepared, and the server was restarted
        del server.holders[id_]
        id_ = f"-1/{id_}"
        server.holders[id_] = ""
        await server.dawdle()
    server.visible.update((each.position, each) for each in taken)
    await server.dawdle()
    del server.holders[id_]
    await server.dawdle()
    wakeup.notify(*{each.aggregate_id for each in taken})


async def read(server: Server, feed: Feed, query: Query, after: int, enough: int | None) -> None:
    """Check that what comes is what should, up to ``enough`` or to the last of all."""
    came: list[int] = []
    subscription: AsyncIterator[Envelope] = feed.subscribe(query, after)
    async for envelope in subscription:
        came.append(envelope.position)
        if server.chance.random() < 0.3:
            await server.dawdle()
        if envelope.version == LAST or (enough and envelope.position >= enough):
            break
    await subscription.aclose()  # type: ignore[attr-defined]  # an async generator has it
    upto = came[-1]
    due = (e for p, e in sorted(server.visible.items()) if after < p <= upto)
    assert came == [e.position for e in due if matches(query, e)]


async def scenario(seed: int) -> None:
    chance = random.Random(seed)
    server, wakeup = Server(chance), Wakeup()
    horizon = TransactionHorizon(server.fetch)
    log = PostgresLog(server.fetch, horizon, lambda row: row["envelope"])
    feed = Feed(log, wakeup, lambda: None)
    end = asyncio.Event()

    async def writer(number: int) -> None:
        for turn in range(chance.randrange(1, 12)):
            await write(server, wakeup, f"{number}/{turn}")

    async def reader() -> None:
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        query = chance.choice(QUERIES)
        after = chance.randrange(max(1, server.sequence))  # below the last of all
        await read(server, feed, query, after, chance.choice([after + 1, after + 5, None]))

    async def finish() -> None:
        await end.wait()
        server.sequence += 1
        position = server.sequence
        last = Envelope(position, "other", "a", LAST, "Noted", 1, None, Metadata(), 0.0)
        server.visible[position] = last  # every query wants it
        wakeup.notify()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(finish())
        for _ in range(chance.randrange(1, 6)):
            tasks.create_task(reader())
        await asyncio.gather(*(writer(n) for n in range(chance.randrange(1, 6))))
        end.set()
    await feed.close()
    assert not server.holders


@pytest.fixture(scope="module", autouse=True)
def _small_and_impatient() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for module in (feed_module, log_module):
            patch.setattr(module, "PAGE", 4)
        patch.setattr(feed_module, "RECENT", 6)
        patch.setattr(feed_module, "LEAP", 12)
        patch.setattr(feed_module, "SPAN", 10)
        patch.setattr(feed_module, "BLOCKED_MIN_S", 0.0)
        patch.setattr(feed_module, "BLOCKED_MAX_S", 0.0)
        yield


@settings(max_examples=6 * settings().max_examples)
@given(seed=st.integers(0, 2**32))
def test_everybody_gets_everything_once_and_in_order(seed: int) -> None:
    asyncio.run(scenario(seed))
