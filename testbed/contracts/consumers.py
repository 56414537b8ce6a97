"""Consumers: memberships, partitions under a lease, checkpoints, and streams that are parked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from planfold.errors import ConfigurationError, Conflict, LeaseLost
from planfold.eventstore.consumers import Consumers, Parked, Share
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.retries import RetryPolicy
from planfold.subscriptions.consumer import Consumer
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import Backend, Contract, Counted, decision
from testbed.patience import PATIENCE_S

MEMBER_S = 30.0


async def until(check: Callable[[], Awaitable[object]]) -> None:
    """Continue once ``check`` holds, in bounded time."""
    async with asyncio.timeout(PATIENCE_S):
        while not await check():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


async def share_of(consumers: Consumers, partition: int = 0, name: str = "mail") -> Share:
    (status,) = await consumers.statuses(name)
    return status.shares[partition]


class ConsumersContract(Contract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def store(self, backend: Backend, clock: ManualClock) -> EventStore:
        store = await backend.open(clock=clock)
        await store.append(decision(*map(Counted, range(9))))
        return store

    @pytest.fixture
    def consumers(self, store: EventStore) -> Consumers:
        return store.checkpoints.consumers

    async def test_the_first_member_takes_every_partition(
        self, store: EventStore, consumers: Consumers, clock: ManualClock
    ) -> None:
        status = await consumers.attend("mail", "ann", 3, after=4)
        assert (status.consumer, status.members) == ("mail", ("ann",))
        identity = (store.store_id, store.epoch, clock())
        assert status.shares == tuple(
            Share("mail", number, 3, 4, "ann", 1, *identity) for number in range(3)
        )
        assert await consumers.statuses("mail") == [status]
        again = await consumers.attend("mail", "ann", 3, after=7)
        assert again == status

    async def test_one_who_joins_takes_what_is_given_back(self, consumers: Consumers) -> None:
        await consumers.attend("mail", "ann", 4, after=0)
        status = await consumers.attend("mail", "bob", 4, after=0)
        assert status.members == ("ann", "bob")
        assert {share.owner for share in status.shares} == {"ann"}
        for partition in (2, 3):
            await consumers.advance(status.shares[partition], 5, release=True)
        status = await consumers.attend("mail", "ann", 4, after=0)
        assert [share.owner for share in status.shares] == ["ann", "ann", None, None]
        status = await consumers.attend("mail", "bob", 4, after=0)
        assert [(s.owner, s.epoch, s.position) for s in status.shares] == [
            ("ann", 1, 0),
            ("ann", 1, 0),
            ("bob", 2, 5),
            ("bob", 2, 5),
        ]

    async def test_many_who_join_at_once_share_without_overlap(
        self, backend: Backend, consumers: Consumers
    ) -> None:
        stores = [await backend.open() for _ in range(3)] if backend.shared else []
        doors = [store.checkpoints.consumers for store in stores] or [consumers] * 3
        await asyncio.gather(
            *(door.attend("rush", f"m{n}", 6, after=0) for n, door in enumerate(doors))
        )
        (status,) = await consumers.statuses("rush")
        owners = [share.owner for share in status.shares]
        assert owners.count(None) == 0
        assert [share.epoch for share in status.shares] == [1] * 6

    async def test_one_who_leaves_frees_everything(self, consumers: Consumers) -> None:
        await consumers.attend("mail", "ann", 2, after=0)
        await consumers.leave("mail", "ann")
        (status,) = await consumers.statuses("mail")
        assert (status.members, [s.owner for s in status.shares]) == ((), [None, None])
        status = await consumers.attend("mail", "bob", 2, after=0)
        assert [(s.owner, s.epoch) for s in status.shares] == [("bob", 2)] * 2

    async def test_one_who_does_not_renew_is_taken_over_from(
        self, consumers: Consumers, clock: ManualClock
    ) -> None:
        old = (await consumers.attend("mail", "ann", 1, after=0)).shares[0]
        clock.advance(MEMBER_S - 1)
        assert (await consumers.attend("mail", "bob", 1, after=0)).shares == (old,)
        clock.advance(2)
        status = await consumers.attend("mail", "bob", 1, after=0)
        assert status.members == ("bob",)
        assert (status.shares[0].owner, status.shares[0].epoch) == ("bob", 2)
        for release in (False, True):
            with pytest.raises(LeaseLost):
                await consumers.advance(old, 8, parked=[parked("p")], release=release)
        assert (await share_of(consumers)).position == 0
        assert await consumers.parked() == []

    async def test_a_clock_that_goes_back_does_not_lengthen_a_membership(
        self, consumers: Consumers, clock: ManualClock
    ) -> None:
        await consumers.attend("mail", "ann", 1, after=0)
        clock.advance(-3_600)
        status = await consumers.attend("mail", "bob", 1, after=0)
        assert status.members == ("ann", "bob")
        clock.advance(MEMBER_S + 1)
        status = await consumers.attend("mail", "bob", 1, after=0)
        assert status.members == ("bob",)
        assert [share.owner for share in status.shares] == ["bob"]

    async def test_one_who_is_late_but_was_not_taken_over_from_may_save(
        self, consumers: Consumers, clock: ManualClock
    ) -> None:
        share = (await consumers.attend("mail", "ann", 1, after=0)).shares[0]
        clock.advance(2 * MEMBER_S)
        await consumers.advance(share, 3)
        assert (await share_of(consumers)).position == 3

    async def test_the_checkpoint_moves_with_what_it_leaves_out(
        self, consumers: Consumers, clock: ManualClock
    ) -> None:
        share = (await consumers.attend("mail", "ann", 1, after=0)).shares[0]
        first, second = parked("p", 3, retry_at=clock()), parked("q", 4)
        await consumers.advance(share, 5, parked=[first, second])
        assert (await share_of(consumers)).position == 5
        assert await consumers.parked("mail") == [first, second]
        assert await consumers.parked("mail", retrying=True) == [first]
        assert await consumers.parked("else") == []
        later = msgspec.structs.replace(first, position=6, attempts=2, retry_at=None)
        await consumers.advance(share, 7, parked=[later], freed=["q"])
        assert await consumers.parked() == [later]

    async def test_a_replay_is_asked_for_by_anybody(
        self, consumers: Consumers, clock: ManualClock
    ) -> None:
        share = (await consumers.attend("mail", "ann", 1, after=0)).shares[0]
        waits = parked("r", 5, retry_at=clock() + 60)
        await consumers.advance(share, 5, parked=[parked("p", 3), parked("q", 4), waits])
        assert await consumers.replay("mail", "absent") == 0
        assert await consumers.replay("else") == 0
        assert await consumers.replay("mail", "p") == 1
        assert await consumers.replay("mail", "r") == 0
        rows = {row.aggregate_id: row for row in await consumers.parked("mail", retrying=True)}
        assert rows == {"p": parked("p", 3, attempts=0, retry_at=clock()), "r": waits}
        assert await consumers.replay("mail") == 1

    async def test_standings_are_by_name(self, consumers: Consumers) -> None:
        await consumers.attend("mail", "ann", 1, after=0)
        await consumers.attend("audit", "bob", 2, after=0)
        found = await consumers.statuses()
        assert [(s.consumer, len(s.shares), s.members) for s in found] == [
            ("audit", 2, ("bob",)),
            ("mail", 1, ("ann",)),
        ]
        assert await consumers.statuses("absent") == []

    async def test_another_number_of_partitions_is_refused(self, consumers: Consumers) -> None:
        await consumers.attend("mail", "ann", 2, after=0)
        with pytest.raises(ConfigurationError, match="has 2 partitions, not 3"):
            await consumers.attend("mail", "bob", 3, after=0)
        (status,) = await consumers.statuses("mail")
        assert status.members == ("ann",)

    async def test_a_raised_epoch_is_refused_until_it_is_accepted(
        self, store: EventStore, consumers: Consumers
    ) -> None:
        share = (await consumers.attend("mail", "ann", 1, after=0)).shares[0]
        await consumers.advance(share, 5)
        assert await store.checkpoints.raise_epoch() == store.epoch + 1
        with pytest.raises(ConfigurationError, match="accept its position"):
            await consumers.attend("mail", "ann", 1, after=0)
        await consumers.accept("mail")
        with pytest.raises(LeaseLost):
            await consumers.advance(share, 9)
        status = await consumers.attend("mail", "ann", 1, after=0)
        share = status.shares[0]
        assert (share.position, share.store_epoch) == (5, store.epoch + 1)
        await consumers.accept("absent")

    async def test_a_position_beyond_the_end_is_refused_and_accepted_at_the_end(
        self, consumers: Consumers
    ) -> None:
        share = (await consumers.attend("mail", "ann", 1, after=0)).shares[0]
        await consumers.advance(share, 1_000)
        with pytest.raises(ConfigurationError, match="position 1000, but the log ends at 9"):
            await consumers.attend("mail", "ann", 1, after=0)
        await consumers.accept("mail")
        assert (await consumers.attend("mail", "ann", 1, after=0)).shares[0].position == 9

    async def test_another_stores_consumer_is_refused(
        self, backend: Backend, consumers: Consumers
    ) -> None:
        await consumers.attend("mail", "ann", 1, after=0)
        await backend.lend_checkpoint("mail")
        with pytest.raises(ConfigurationError, match="another store"):
            await consumers.attend("mail", "ann", 1, after=0)

    async def test_only_one_that_does_not_run_can_be_forgotten(self, consumers: Consumers) -> None:
        share = (await consumers.attend("mail", "ann", 1, after=0)).shares[0]
        await consumers.advance(share, 5, parked=[parked("p")])
        with pytest.raises(Conflict):
            await consumers.forget("mail")
        await consumers.leave("mail", "ann")
        await consumers.forget("mail")
        assert (await consumers.statuses(), await consumers.parked()) == ([], [])
        assert (await consumers.attend("mail", "ann", 2, after=2)).shares[1].position == 2

    async def test_two_members_in_two_processes_handle_everything_once(
        self, backend: Backend, store: EventStore, clock: ManualClock
    ) -> None:
        stores = [store, await backend.open(clock=clock)] if backend.shared else [store, store]
        handled: list[tuple[str, int]] = []

        async def handle(envelope: Envelope) -> None:
            handled.append((envelope.aggregate_id, envelope.version))

        async def is_all_handled() -> bool:
            return len(handled) == await store.last_position()

        async def each_has_some() -> bool:
            (status,) = await store.checkpoints.consumers.statuses("work")
            return len({share.owner for share in status.shares} - {None}) == 2

        async with Consumer(stores[0], "work", handle, partitions=4):
            await until(is_all_handled)
            async with Consumer(stores[1], "work", handle, partitions=4):
                await until(each_has_some)
                for number in range(12):
                    await stores[number % 2].append(
                        decision(Counted(1), Counted(2), to=f"s{number}")
                    )
                await until(is_all_handled)
        seen = [(e.aggregate_id, e.version) for e in await store.read(Query())]
        assert sorted(handled) == sorted(seen)

    async def test_a_stream_that_fails_is_put_aside_and_comes_back_in_order(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        await store.append(decision(Counted(1), Counted(2), to="bad"))
        await store.append(decision(Counted(1), to="good"))
        handled: list[tuple[str, int]] = []
        broken = True

        async def handle(envelope: Envelope) -> None:
            if envelope.aggregate_id == "bad" and broken:
                raise ValueError("not yet")
            handled.append((envelope.aggregate_id, envelope.version))

        async def is_parked() -> bool:
            clock.advance(1)
            store.wakeup.notify()
            rows = await store.checkpoints.consumers.parked("work")
            return [row.retry_at for row in rows] == [None]

        async def is_back() -> bool:
            return await store.checkpoints.consumers.parked("work") == []

        policy = RetryPolicy(attempts=2, base=1.0)
        async with Consumer(store, "work", handle, retries=policy):
            await until(is_parked)
            assert handled[-1] == ("good", 1)
            broken = False
            assert await store.checkpoints.consumers.replay("work", "bad") == 1
            store.wakeup.notify()
            await until(is_back)
        assert handled[-2:] == [("bad", 1), ("bad", 2)]
        assert (await share_of(store.checkpoints.consumers, name="work")).position == 12


def parked(
    stream: str, position: int = 1, attempts: int = 3, retry_at: float | None = None
) -> Parked:
    return Parked("mail", stream, position, "it broke", attempts, float(position), retry_at)
