"""Subscriptions: every matching event once and in order, from a position on, without end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.testing.contracts.backend import Backend, Contract, Counted, Noted, decision

PATIENCE_S = 10.0
HELD_AT_MOST = 600  # envelopes; a page and what the test itself holds


async def take(feed: AsyncIterator[Envelope], count: int) -> list[Envelope]:
    """The next ``count`` events, which must arrive in bounded time."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(feed) for _ in range(count)]


def numbers(envelopes: list[Envelope]) -> list[int]:
    return [e.event.number for e in envelopes]


async def count_up(store: EventStore, first: int, last: int, *, to: str = "a") -> None:
    at = await store.version(to)
    for number in range(first, last):
        await store.append(decision(Counted(number), to=to, at=at))
        at += 1


class SubscribingContract(Contract):
    async def test_it_begins_with_what_is_there_and_goes_on_live(self, store: EventStore) -> None:
        await count_up(store, 0, 3)
        feed = store.subscribe()
        assert numbers(await take(feed, 3)) == [0, 1, 2]
        waiting = asyncio.ensure_future(take(feed, 2))
        await count_up(store, 3, 5)
        assert numbers(await waiting) == [3, 4]

    async def test_it_begins_after_a_position(self, store: EventStore) -> None:
        await count_up(store, 0, 6)
        middle = (await store.read(Query()))[2].position
        assert numbers(await take(store.subscribe(after=middle), 3)) == [3, 4, 5]
        far = store.subscribe(after=middle + 10_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(far)

    async def test_it_sees_only_what_matches(self, store: EventStore) -> None:
        feeds = {
            "id": store.subscribe(Query(aggregate_id="b")),
            "type": store.subscribe(Query(event_type="Counted")),
            "stream": store.subscribe(Query(stream_id="other")),
        }
        waiting = {k: asyncio.ensure_future(take(f, 2)) for k, f in feeds.items()}
        await asyncio.sleep(0)
        at = {"a": 0, "b": 0, "c": 0}
        for number in range(3):
            for to in at:
                event = Counted(number) if to == "a" else Noted(number)
                stream = "other" if to == "c" else "note"
                await store.append(decision(event, to=to, at=at[to], stream=stream))
                at[to] += 1
        found = {k: [e.aggregate_id for e in await f] for k, f in waiting.items()}
        assert found == {"id": ["b", "b"], "type": ["a", "a"], "stream": ["c", "c"]}

    async def test_a_batch_larger_than_a_page_arrives_whole(self, store: EventStore) -> None:
        feed = store.subscribe()
        waiting = asyncio.ensure_future(take(feed, 1_300))
        await asyncio.sleep(0)
        await store.append(decision(*map(Counted, range(1_300))))
        assert numbers(await waiting) == list(range(1_300))

    async def test_two_subscribers_each_see_everything(self, store: EventStore) -> None:
        first, second = store.subscribe(), store.subscribe()
        both = asyncio.gather(take(first, 50), take(second, 50))
        await count_up(store, 0, 50)
        one, other = await both
        assert numbers(one) == numbers(other) == list(range(50))

    async def test_a_slow_reader_holds_no_more_than_a_page(self, store: EventStore) -> None:
        feed = store.subscribe()
        await store.append(decision(*map(Counted, range(3_000))))
        seen = numbers(await take(feed, 1))
        await store.append(decision(*map(Counted, range(3_000, 6_000)), at=3_000))
        gc.collect()
        held = sum(isinstance(o, Envelope) for o in gc.get_objects())
        assert held <= HELD_AT_MOST
        assert seen + numbers(await take(feed, 5_999)) == list(range(6_000))

    async def test_it_can_be_cancelled_while_it_waits(self, store: EventStore) -> None:
        feed = store.subscribe()
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await count_up(store, 0, 2)
        assert numbers(await take(store.subscribe(), 2)) == [0, 1]

    async def test_it_can_be_left_in_the_middle_of_a_page(self, store: EventStore) -> None:
        await count_up(store, 0, 5)
        seen = []
        async for envelope in store.subscribe():
            seen.append(envelope.event.number)
            if len(seen) == 2:
                break
        await count_up(store, 5, 6)
        assert seen == [0, 1]

    async def test_events_of_another_process_arrive(self, backend: Backend) -> None:
        here, there = await backend.open(), await backend.open()
        feed = here.subscribe(Query(aggregate_id="b"))
        waiting = asyncio.ensure_future(take(feed, 20))
        await asyncio.sleep(0)
        await count_up(there, 0, 20, to="b")
        assert numbers(await waiting) == list(range(20))

    async def test_foreign_events_arrive_although_this_process_writes_too(
        self, backend: Backend
    ) -> None:
        """Its own transactions notice foreign writes first and must not keep them secret."""
        here, there = await backend.open(), await backend.open()
        feed = here.subscribe(Query(aggregate_id="b"))
        for number in range(15):
            waiting = asyncio.ensure_future(take(feed, 1))
            await asyncio.sleep(0)
            await there.append(decision(Counted(number), to="b", at=number))
            await here.append(decision(Counted(number), to="a", at=number))
            assert numbers(await waiting) == [number]

    async def test_several_writers_lose_and_double_nothing(self, backend: Backend) -> None:
        stores = [await backend.open() for _ in range(2 if backend.shared else 1)]
        feed = stores[0].subscribe()
        waiting = asyncio.ensure_future(take(feed, 200))
        await asyncio.gather(
            *(count_up(stores[n % len(stores)], 0, 50, to=f"s{n}") for n in range(4))
        )
        seen = await waiting
        assert [e.position for e in seen] == [e.position for e in await stores[0].read(Query())]
