"""Subscriptions: every matching event once and in order, from a position on, without end."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from planfold.errors import ConfigurationError
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.eventstore.positions import last_event
from planfold.eventstore.transfer import Tombstone
from planfold.subscriptions.feed import PAGE, RECENT, Feed
from planfold.subscriptions.projection import project
from testbed.contracts.backend import (
    Backend,
    Contract,
    Counted,
    Noted,
    OpenTransaction,
    decision,
)
from testbed.patience import PATIENCE_S

# Envelopes: the latest, a page of the feeder's and one of a reader's, and what the test holds.
HELD_AT_MOST = RECENT + 2 * PAGE + 64


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


def feed_of(store: EventStore) -> Feed:
    feed: Feed = store.feed  # type: ignore[attr-defined]  # not part of the port
    return feed


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds, in bounded time."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.002)


class Seen:
    """A projection: of which streams there were events."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def load(self) -> None:
        return None

    async def apply(self, envelopes: Sequence[Envelope], _: Checkpoint) -> None:
        self.names += [envelope.aggregate_id for envelope in envelopes]


async def archive(store: EventStore, *names: str) -> None:
    for name in names:
        found = await store.head(name)
        assert found is not None
        times = (found.created_at, found.updated_at, found.updated_at)
        gone = Tombstone("note", name, 1, json.dumps(found.head), *times, "/x.jsonl", "sum")
        assert await store.transfer.archive([gone], {"completed"}) == [""]


class SubscriptionsContract(Contract):
    async def test_it_begins_with_what_is_there_and_continues_live(self, store: EventStore) -> None:
        await count_up(store, 0, 3)
        feed = store.subscribe()
        assert numbers(await take(feed, 3)) == [0, 1, 2]
        waiting = asyncio.ensure_future(take(feed, 2))
        await count_up(store, 3, 5)
        assert numbers(await waiting) == [3, 4]

    async def test_what_was_archived_is_not_waited_for(self, store: EventStore) -> None:
        for name in "abcdef":
            await store.append(decision(Counted(1), to=name, head={"status": "completed"}))
        first, second = [each.position for each in await store.read(Query(), limit=2)]
        end, seen = await store.last_position(), Seen()
        await archive(store, *"cdef")
        for upto, last in ((end, second), (second, second), (first, first), (end + 9, end + 9)):
            assert await last_event(store, upto) == last
        async with asyncio.timeout(PATIENCE_S):
            await project(store, seen, until=end)
            await archive(store, *"ab")
            await project(store, Seen(), until=end)
        assert seen.names == ["a", "b"]

    async def test_it_begins_after_a_position(self, store: EventStore) -> None:
        await count_up(store, 0, 6)
        middle = (await store.read(Query()))[2].position
        assert numbers(await take(store.subscribe(after=middle), 3)) == [3, 4, 5]
        far = store.subscribe(after=middle + 10_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(far)

    async def test_it_begins_after_a_checkpoint_of_this_store_only(self, store: EventStore) -> None:
        await count_up(store, 0, 3)
        at = (await store.read(Query()))[0].position
        own = Checkpoint(store.store_id, store.epoch, at)
        assert numbers(await take(store.subscribe(after=own), 2)) == [1, 2]
        for foreign in (
            Checkpoint("another", store.epoch, at),
            Checkpoint(store.store_id, store.epoch + 1, at),
            Checkpoint(store.store_id, store.epoch, at + 1_000),
        ):
            with pytest.raises(ConfigurationError):
                await anext(store.subscribe(after=foreign))

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

    async def test_the_store_ends_subscriptions_when_it_is_closed(self, backend: Backend) -> None:
        store = await backend.open()
        await count_up(store, 0, 1)
        feed = store.subscribe()
        await take(feed, 1)
        waiting = asyncio.ensure_future(anext(feed, None))
        await asyncio.sleep(0)
        await backend.close(store)
        assert await asyncio.wait_for(waiting, PATIENCE_S) is None


class FanOutContract(Contract):
    """Many subscribers in one process."""

    async def test_what_is_new_is_read_once_for_all(self, store: EventStore) -> None:
        feeds = [store.subscribe() for _ in range(50)]
        waiting = asyncio.gather(*(take(feed, 1) for feed in feeds))
        await asyncio.sleep(0)
        await count_up(store, 0, 1)
        await waiting
        before = feed_of(store).pages_read
        waiting = asyncio.gather(*(take(feed, 400) for feed in feeds))
        await store.append(decision(*map(Counted, range(1, 401)), at=1))
        for seen in await waiting:
            assert numbers(seen) == list(range(1, 401))
        assert feed_of(store).pages_read - before == 2  # 400 events are two pages

    async def test_a_slow_subscriber_holds_no_other_back(self, store: EventStore) -> None:
        fast, slow = store.subscribe(), store.subscribe()
        waiting = asyncio.gather(take(fast, 1), take(slow, 1))
        await store.append(decision(Counted(0)))
        await waiting
        for first in range(1, 4_001, 500):
            reading = asyncio.ensure_future(take(fast, 500))
            await store.append(decision(*map(Counted, range(first, first + 500)), at=first))
            assert numbers(await reading) == list(range(first, first + 500))
        del reading
        gc.collect()
        assert sum(isinstance(o, Envelope) for o in gc.get_objects()) <= HELD_AT_MOST
        assert numbers(await take(slow, 4_000)) == list(range(1, 4_001))

    async def test_subscribers_with_keys_see_theirs_however_rare(self, store: EventStore) -> None:
        rare = [store.subscribe(Query(aggregate_id=name)) for name in "xyz"]
        waiting = [asyncio.ensure_future(take(feed, 2)) for feed in rare]
        await asyncio.sleep(0)
        for round_ in range(2):
            for name in "xyz":
                await store.append(decision(Counted(round_), to=name, at=round_))
            at = await store.version("a")
            await store.append(decision(*map(Counted, range(2 * RECENT)), at=at))
        assert [numbers(await each) for each in waiting] == [[0, 1]] * 3

    async def test_they_come_and_go_while_others_write(self, store: EventStore) -> None:
        async def visit(first: int) -> list[int]:
            return numbers(await take(store.subscribe(), first + 1))

        writing = asyncio.ensure_future(count_up(store, 0, 200))
        visits = await asyncio.gather(*(visit(n) for n in range(0, 200, 5)))
        await writing
        assert visits == [list(range(n + 1)) for n in range(0, 200, 5)]


class OutOfOrderContract(Contract):
    """Positions that become visible after higher ones, or never."""

    @pytest.fixture
    async def writer(self, backend: Backend, store: EventStore) -> OpenTransaction:
        """A transaction that has taken the position above ``a#1``."""
        if not backend.concurrent_writers:
            pytest.skip("positions become visible in order here")
        await store.append(decision(Counted(1)))
        transaction = await backend.open_transaction()
        await transaction.write(2, to="late")
        return transaction

    async def test_a_late_commit_is_not_left_out(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        feed = store.subscribe()
        assert numbers(await take(feed, 1)) == [1]
        await store.append(decision(Counted(3), at=1))
        waiting = asyncio.ensure_future(take(feed, 2))
        await until(lambda: feed_of(store).blocked_since is not None)
        await writer.commit()
        assert numbers(await waiting) == [2, 3]
        await until(lambda: feed_of(store).blocked_since is None)

    async def test_what_was_rolled_back_is_not_waited_for(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        feed = store.subscribe()
        await store.append(decision(Counted(3), at=1))
        waiting = asyncio.ensure_future(take(feed, 2))
        await until(lambda: feed_of(store).blocked_since is not None)
        await writer.roll_back()
        assert numbers(await waiting) == [1, 3]

    async def test_a_gap_with_nothing_above_it_holds_no_reader_up(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        feed = store.subscribe()
        assert numbers(await take(feed, 1)) == [1]
        await writer.roll_back()
        assert feed_of(store).blocked_since is None
        waiting = asyncio.ensure_future(take(feed, 2))
        await count_up(store, 3, 5)
        assert numbers(await waiting) == [3, 4]

    async def test_a_transaction_may_write_on_both_sides_of_another(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        feed = store.subscribe()
        await store.append(decision(Counted(3), at=1))
        await writer.write(4, to="late")
        await store.append(decision(Counted(5), at=2))
        assert numbers(await take(feed, 1)) == [1]
        waiting = asyncio.ensure_future(take(feed, 4))
        await until(lambda: feed_of(store).blocked_since is not None)
        await writer.commit()
        assert numbers(await waiting) == [2, 3, 4, 5]

    async def test_whoever_comes_later_gets_the_same(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        """Also when the feed began where the other asks for more."""
        (first,) = await store.read(Query())
        near = store.subscribe(after=first.position)
        await store.append(decision(Counted(3), at=1))
        waiting = asyncio.ensure_future(take(near, 2))
        await until(lambda: feed_of(store).blocked_since is not None)
        far = store.subscribe()
        assert numbers(await take(far, 1)) == [1]
        behind = asyncio.ensure_future(take(far, 2))
        await writer.commit()
        assert numbers(await waiting) == numbers(await behind) == [2, 3]

    async def test_a_feed_that_rests_begins_again_for_one_from_further_below(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        (first,) = await store.read(Query())
        near = asyncio.ensure_future(take(store.subscribe(after=first.position), 1))
        await until(lambda: feed_of(store).looks == 1)
        assert numbers(await take(store.subscribe(), 1)) == [1]
        await writer.commit()
        await store.append(decision(Counted(3), at=1))
        assert numbers(await near) == [2]

    async def test_a_filter_does_not_pass_the_gap(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        feed = store.subscribe(Query(aggregate_id="late"))
        await store.append(decision(Counted(3), at=1))
        waiting = asyncio.ensure_future(take(feed, 1))
        await until(lambda: feed_of(store).blocked_since is not None)
        await writer.commit()
        assert numbers(await waiting) == [2]

    async def test_waiting_for_a_long_transaction_costs_little(
        self, store: EventStore, writer: OpenTransaction
    ) -> None:
        feed = store.subscribe()
        await store.append(decision(Counted(3), at=1))
        assert numbers(await take(feed, 1)) == [1]
        waiting = asyncio.ensure_future(take(feed, 1))
        await until(lambda: feed_of(store).blocked_since is not None)
        first = feed_of(store).looks + 10  # by then the pauses have grown
        await until(lambda: feed_of(store).looks >= first)
        begun, pages = time.monotonic(), feed_of(store).pages_read
        await until(lambda: feed_of(store).looks >= first + 10)
        assert time.monotonic() - begun > 0.3
        assert feed_of(store).pages_read == pages
        assert not waiting.done()
        await writer.roll_back()
        assert numbers(await waiting) == [3]
