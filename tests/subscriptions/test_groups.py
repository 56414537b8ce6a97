"""Members of one group: they share the partitions, join, leave, die, and fence each other off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from desk import Desk, until, write
from hypothesis import given
from hypothesis import strategies as st

from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import LeaseLost
from planfold.eventstore.envelope import Query
from planfold.subscriptions.assignment import partition_of, quota, to_take
from planfold.subscriptions.consumer import Consumer
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import CODEC

NAMES = [f"s{number}" for number in range(12)]


async def die(consumer: Consumer) -> None:
    """As if its process had been killed: nothing is saved, nothing released."""
    for task in (consumer._tending, consumer._feeding):
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    for runner in consumer._runners.values():
        await runner.lose()
    consumer._runners.clear()


def pass_time(store: SqliteStore, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    store.wakeup.notify()


# --- sharing, pure ----------------------------------------------------------------------------


@given(st.sets(st.text(min_size=1), min_size=1, max_size=12), st.integers(1, 40))
def test_quotas_add_up_and_differ_by_one_at_most(members: set[str], partitions: int) -> None:
    quotas = [quota(member, members, partitions) for member in members]
    assert sum(quotas) == partitions
    assert max(quotas) - min(quotas) <= 1


@given(st.text(max_size=40), st.integers(1, 64))
def test_a_stream_has_one_partition(aggregate_id: str, partitions: int) -> None:
    text = aggregate_id.encode("utf-8", "replace").decode()
    assert 0 <= partition_of(text, partitions) < partitions


def test_partitions_are_the_same_in_every_process_and_release() -> None:
    assert [partition_of(name, 8) for name in NAMES] == [6, 0, 2, 4, 7, 1, 3, 5, 4, 2, 5, 3]


def test_an_owner_that_is_not_a_member_takes_nothing() -> None:
    assert quota("x", ["a"], 4) == 0
    assert to_take([], ["a"], "x") == []


# --- members ----------------------------------------------------------------------------------


async def test_one_alone_holds_every_partition(store: SqliteStore) -> None:
    desk = Desk()
    await write(store, *NAMES, *NAMES)
    async with desk.consumer(store, partitions=4) as consumer:
        await until(lambda: len(desk.handled) == 24)
        assert consumer.partitions == [0, 1, 2, 3]
    assert all(desk.of(name) == [1, 2] for name in NAMES)


async def test_partitions_are_handled_at_the_same_time(store: SqliteStore) -> None:
    desk = Desk()
    for name in NAMES:
        desk.held[name].clear()
    await write(store, *NAMES)
    async with desk.consumer(store, partitions=4):
        await until(lambda: sum(desk.holding.values()) == 4)
        for event in desk.held.values():
            event.set()
        await until(lambda: len(desk.handled) == 12)


async def test_members_share_and_make_room_for_others(tmp_path: Path, clock: ManualClock) -> None:
    desk = Desk()
    path = str(tmp_path / "log.db")
    async with AsyncExitStack() as stack:
        stores = [SqliteStore.open(path, CODEC, clock=clock) for _ in range(3)]
        for store in stores:
            stack.push_async_callback(store.close)
        await write(stores[0], *NAMES)
        first = await stack.enter_async_context(desk.consumer(stores[0], partitions=4))
        assert first.partitions == [0, 1, 2, 3]
        second = await stack.enter_async_context(desk.consumer(stores[1], partitions=4))
        await until(lambda: sorted(map(len, (first.partitions, second.partitions))) == [2, 2])
        third = desk.consumer(stores[2], partitions=4)
        members = [first, second, third]
        async with third:
            await until(lambda: sorted(len(m.partitions) for m in members) == [1, 1, 2])
            await write(stores[1], *NAMES)
            await until(lambda: len(desk.handled) == 24)
        await until(lambda: sorted(len(m.partitions) for m in members) == [0, 2, 2])
        await write(stores[2], *NAMES)
        await until(lambda: len(desk.handled) == 36)
    assert all(desk.of(name) == [1, 2, 3] for name in NAMES)


async def test_more_members_than_partitions_stand_by(store: SqliteStore) -> None:
    desk = Desk()
    async with desk.consumer(store) as first, desk.consumer(store) as second:
        members = [first, second]
        await until(lambda: sorted(len(m.partitions) for m in members) == [0, 1])
        holder = next(m for m in members if m.partitions)
        other = next(m for m in members if m is not holder)
        await holder.stop()
        await until(lambda: other.partitions == [0])


async def test_a_dead_members_partitions_pass_on_when_its_time_is_up(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk()
    await write(store, *NAMES)
    dead = desk.consumer(store, partitions=2)
    await dead.__aenter__()
    await until(lambda: len(desk.handled) == 12)
    await die(dead)
    async with desk.consumer(store, partitions=2) as heir:
        await write(store, *NAMES)
        await until(lambda: len(heir.partitions) <= 1)
        for _ in range(3):
            pass_time(store, clock, 10.5)
            await asyncio.sleep(0.01)
        await until(lambda: heir.partitions == [0, 1])
        await until(lambda: len({key for key in desk.handled if key[1] == 2}) == 12)


async def test_what_a_fenced_off_member_saves_is_refused(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk()
    desk.held["s1"].clear()
    await write(store, "s0", "s1", "s2")
    slow = desk.consumer(store)
    await slow.__aenter__()
    await until(lambda: desk.holding["s1"])
    assert slow._tending is not None
    slow._tending.cancel()  # it hangs and does not renew
    clock.advance(31)
    async with desk.consumer(store) as heir:
        await until(lambda: heir.partitions == [0])
        desk.held["s1"].set()
        await until(lambda: isinstance(slow.fault, LeaseLost))
        await until(lambda: slow._runners[0].done)
        await until(lambda: {("s1", 1), ("s2", 1)} <= set(desk.handled))
        found = await store.checkpoints.consumers.statuses("desk")
        assert found[0].shares[0].owner == heir.owner
        await slow.stop()
    assert (await store.checkpoints.consumers.statuses("desk"))[0].shares[0].position == 3


# --- any interleaving ---------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.sampled_from(NAMES[:6]), min_size=1, max_size=8)),
        st.tuples(st.just("break"), st.tuples(st.sampled_from(NAMES[:6]), st.integers(1, 4))),
        st.tuples(st.just("join"), st.none()),
        st.tuples(st.just("leave"), st.integers(0, 3)),
        st.tuples(st.just("die"), st.integers(0, 3)),
        st.tuples(st.just("time"), st.sampled_from([1.0, 11.0, 25.0])),
        st.tuples(st.just("replay"), st.none()),
        st.tuples(st.just("settle"), st.none()),
    ),
    max_size=14,
)


@asynccontextmanager
async def opened(clock: ManualClock) -> AsyncIterator[SqliteStore]:
    with TemporaryDirectory() as folder:
        store = SqliteStore.open(f"{folder}/log.db", CODEC, clock=clock)
        try:
            yield store
        finally:
            await store.close()


class Story:
    """A group to which things happen."""

    def __init__(self, store: SqliteStore, clock: ManualClock, partitions: int) -> None:
        self.store, self.clock, self.partitions = store, clock, partitions
        self.desk = Desk()
        self.members: list[Consumer] = []
        self.crashed = False

    async def step(self, what: str, about: Any) -> None:
        match what:
            case "write":
                await write(self.store, *about)
            case "break":
                self.desk.broken[about[0]] = about[1]
            case "join" if len(self.members) < 4:
                member = self.desk.consumer(self.store, partitions=self.partitions, batch=3)
                self.members.append(await member.__aenter__())
            case "leave" if about < len(self.members):
                await self.members.pop(about).stop()
            case "die" if about < len(self.members):
                self.crashed = True
                await die(self.members.pop(about))
            case "time":
                await self.pass_time(about)
            case "replay":
                await self.store.checkpoints.consumers.replay("desk")
            case "settle":
                for _ in range(8):
                    await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """So that members have the time to renew their leases."""
        while seconds > 0:
            pass_time(self.store, self.clock, min(seconds, 10.5))
            seconds -= 10.5

            async def all_renewed() -> bool:
                return all(self.clock() - m._renewed_at < 10 for m in self.members)

            await until(all_renewed)

    async def end(self) -> None:
        """Repair everything and let the members, or one more, come to the end."""
        self.desk.broken.clear()
        if not self.members:
            await self.step("join", None)
        written = {(e.aggregate_id, e.version) for e in await self.store.read(Query())}

        async def is_done() -> bool:
            await self.store.checkpoints.consumers.replay("desk")
            await self.pass_time(10.5)
            parked = await self.store.checkpoints.consumers.parked("desk")
            return set(self.desk.handled) >= written and parked == []

        await until(is_done)
        for member in self.members:
            await member.stop()
        assert set(self.desk.handled) == written

    def check(self) -> None:
        for name in NAMES:
            known = 0
            for version in self.desk.of(name):
                if self.crashed:
                    assert version <= known + 1, (name, self.desk.of(name))
                    known = max(known, version)
                else:
                    assert version == known + 1, (name, self.desk.of(name))
                    known = version


@pytest.mark.usefixtures("_impatience")
@given(steps, st.integers(1, 3))
def test_in_any_order_of_faults_each_stream_is_handled_in_order_and_nothing_is_skipped(
    happening: list[tuple[str, Any]], partitions: int
) -> None:
    async def play() -> None:
        clock = ManualClock()
        async with opened(clock) as store:
            story = Story(store, clock, partitions)
            for what, about in happening:
                await story.step(what, about)
            await story.end()
            story.check()

    asyncio.run(play())
