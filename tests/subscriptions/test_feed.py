"""The feed over a log that a test controls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from planfold.errors import CorruptLog, Transient
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.wakeup import Wakeup
from planfold.handler import Metadata
from planfold.subscriptions import feed as feed_module
from planfold.subscriptions.feed import LEAP, PAGE, RECENT, Feed, Horizon
from testbed.contracts.subscriptions import take, until


def envelope(position: int, aggregate_id: str = "a") -> Envelope:
    return Envelope(position, "note", aggregate_id, position, "Noted", 1, None, Metadata(), 0.0)


class ControlledLog:
    def __init__(self) -> None:
        self.events: list[Envelope] = []
        self.wakeup = Wakeup()
        self.settled: int | None = None  # None: as far as there are events
        self.faults: list[Exception] = []
        self.pages: list[tuple[Query, int]] = []  # of what, and after which position

    def append(self, count: int = 1, to: str = "a") -> None:
        last = len(self.events)
        self.events += [envelope(n, to) for n in range(last + 1, last + count + 1)]
        self.wakeup.notify(to)

    async def horizon(self, after: int) -> Horizon:
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.pop(0)
        last = len(self.events)
        return Horizon(max(after, last), last if self.settled is None else self.settled, last)

    async def read(self, query: Query, *, after: int, upto: int, limit: int) -> Sequence[Envelope]:
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.pop(0)
        self.pages.append((query, after))
        found = (e for e in self.events[after:upto] if query.aggregate_id in (None, e.aggregate_id))
        return [e for e, _ in zip(found, range(limit), strict=False)]


@pytest.fixture
def log() -> ControlledLog:
    return ControlledLog()


@pytest.fixture
def feed(log: ControlledLog) -> Feed:
    return Feed(log, log.wakeup, lambda: None)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that could not be reached is asked again at once."""
    monkeypatch.setattr(feed_module, "AWAY_MIN_S", 0.0)


def positions(envelopes: Sequence[Envelope]) -> list[int]:
    return [each.position for each in envelopes]


@pytest.mark.usefixtures("soon")
async def test_a_database_that_is_away_is_asked_until_it_is_back(
    log: ControlledLog, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    log.faults = [Transient("gone")] * 5
    waiting = asyncio.ensure_future(take(feed.subscribe(Query(), 0), 2))
    with caplog.at_level(logging.WARNING, "planfold"):
        await until(lambda: not log.faults)
    assert [record.getMessage().count("gone") for record in caplog.records] == [1]
    log.append(2)
    assert positions(await waiting) == [1, 2]
    assert feed.fault is None
    await feed.close()


@pytest.mark.usefixtures("soon")
async def test_a_subscription_that_is_behind_outlives_it_too(
    log: ControlledLog, feed: Feed
) -> None:
    log.append(3 * PAGE)
    behind = feed.subscribe(Query(), 0)
    assert positions(await take(behind, PAGE)) == list(range(1, PAGE + 1))
    log.faults = [Transient("gone")] * 3
    assert positions(await take(behind, PAGE)) == list(range(PAGE + 1, 2 * PAGE + 1))
    await feed.close()


async def test_what_will_not_pass_is_raised_in_every_subscription(
    log: ControlledLog, feed: Feed
) -> None:
    waiting = [asyncio.ensure_future(take(feed.subscribe(Query(), 0), 1)) for _ in range(3)]
    await until(lambda: feed.looks == 1)
    log.faults = [CorruptLog("damaged")]
    log.append()
    for each in waiting:
        with pytest.raises(CorruptLog, match="damaged"):
            await each
    # A later subscription tries again.
    assert positions(await take(feed.subscribe(Query(), 0), 1)) == [1]
    await feed.close()


async def test_when_much_is_new_everybody_reads_with_their_own_query(
    log: ControlledLog, feed: Feed
) -> None:
    log.append(1, to="b")
    feeds = [feed.subscribe(Query(aggregate_id="b"), 0), feed.subscribe(Query(), 0)]
    for each in feeds:
        await take(each, 1)
    waiting = asyncio.gather(*(take(each, 1) for each in feeds))
    await until(lambda: feed.looks == 1)
    log.pages.clear()
    log.append(LEAP + 1)
    log.append(1, to="b")
    assert [positions(each) for each in await waiting] == [[LEAP + 3], [2]]
    assert log.pages == [(Query(aggregate_id="b"), 1), (Query(), 1)]
    await feed.close()


async def test_the_feeder_does_not_read_what_no_subscription_near_the_head_wants(
    log: ControlledLog, feed: Feed
) -> None:
    log.append(RECENT)
    behind = feed.subscribe(Query(), 0)
    await take(behind, 1)
    for _ in range(3):
        looks = feed.looks
        log.append(PAGE + 1)
        await until(lambda looks=looks: feed.looks > looks)  # type: ignore[misc]
    await asyncio.sleep(0)
    assert log.pages == [(Query(), 0)]
    rest = await take(behind, len(log.events) - 1)
    assert positions(rest) == list(range(2, len(log.events) + 1))
    await feed.close()


async def test_one_with_a_key_does_not_read_again_what_others_wrote(
    log: ControlledLog, feed: Feed
) -> None:
    others, rare = feed.subscribe(Query(), 0), feed.subscribe(Query(aggregate_id="b"), 0)
    waiting = asyncio.ensure_future(take(rare, 1))
    for _ in range(4):
        reading = asyncio.ensure_future(take(others, RECENT // 2))
        await until(lambda: feed.looks > 0)
        log.append(RECENT // 2)
        await reading
    log.append(1, to="b")
    assert positions(await waiting) == [2 * RECENT + 1]
    assert {query for query, _ in log.pages} == {Query()}
    await feed.close()


async def test_one_that_waits_for_its_key_is_near_the_head(log: ControlledLog, feed: Feed) -> None:
    waiting = asyncio.ensure_future(take(feed.subscribe(Query(aggregate_id="b"), 0), 1))
    await until(lambda: feed.looks > 0)
    for last in range(2 * PAGE, 4 * RECENT, 2 * PAGE):
        log.append(2 * PAGE)
        await until(lambda last=last: len(log.pages) >= last // PAGE)  # type: ignore[misc]
    log.append(1, to="b")
    (found,) = await waiting
    assert found.position == len(log.events)
    assert {query for query, _ in log.pages} == {Query()}
    await feed.close()


async def test_while_nothing_is_settled_it_begins_again_for_one_from_further_below(
    log: ControlledLog, feed: Feed
) -> None:
    log.settled = 0
    log.append(5)
    near = asyncio.ensure_future(take(feed.subscribe(Query(), 5), 1))
    await until(lambda: feed.looks == 1)
    assert positions(await take(feed.subscribe(Query(), 2), 3)) == [3, 4, 5]
    log.append()
    assert positions(await near) == [6]
    await feed.close()


async def test_the_feeder_runs_while_there_is_a_subscription(
    log: ControlledLog, feed: Feed
) -> None:
    before = asyncio.all_tasks()
    log.append()
    for _ in range(2):
        subscription = feed.subscribe(Query(), 0)
        await take(subscription, 1)
        assert asyncio.all_tasks() - before
        await subscription.aclose()  # type: ignore[attr-defined]  # an async generator has it
        await until(lambda: asyncio.all_tasks() == before)


async def test_closing_ends_subscriptions_also_those_to_come(
    log: ControlledLog, feed: Feed
) -> None:
    waiting = asyncio.ensure_future(anext(feed.subscribe(Query(), 0), None))
    await until(lambda: feed.looks == 1)
    await feed.close()
    assert await waiting is None
    assert [each async for each in feed.subscribe(Query(), 0)] == []
