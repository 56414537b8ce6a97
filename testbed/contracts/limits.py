"""Limits by name over all workers: how often tasks start, and how many run at once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from planfold.eventstore.port import EventStore
from planfold.eventstore.queue import Lease
from planfold.handler import Settle, Signal
from planfold.shared_limits import LONGEST_CLOSED_S, START_WITHIN_S, SharedLimit
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import CODEC, Backend, Contract, Counted, decision, dispatch
from testbed.contracts.fairness import LEASE_S, names

MINUTE = 60.0 + START_WITHIN_S  # for which a start counts
RATE = {"api": SharedLimit(rate="3/min")}
LOCK = {"lock": SharedLimit(concurrency=1)}


class LimitsContract(Contract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def store(self, backend: Backend, clock: ManualClock) -> EventStore:
        return await backend.open(CODEC, clock)

    async def test_no_more_start_in_a_period_than_the_rate_says(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        queue = store.queue
        await queue.declare(RATE)
        await store.append(dispatch(*range(9), to="a", limits=("api",)))
        assert names(await queue.claim("me", 2)) == "a0 a1"
        clock.advance(20)
        assert names(await queue.claim("you", 5)) == "a2"
        assert await queue.claim("me", 5) == []
        assert await queue.opens_in() == pytest.approx(MINUTE - 20)
        clock.advance(MINUTE - 20.1)
        assert await queue.claim("me", 5) == []
        clock.advance(0.2)
        assert names(await queue.claim("me", 5)) == "a2 a3", "a2 was lost: it starts again"
        assert await queue.opens_in() == pytest.approx(19.9)

    async def test_what_is_released_before_it_began_does_not_count(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        queue = store.queue
        await queue.declare(RATE | LOCK)
        await store.append(dispatch(*range(9), to="a", limits=("api",)))
        one, two, _ = await queue.claim("me", 5)
        clock.advance(1)
        await queue.release("me", one, started=True)
        assert await queue.claim("you", 5) == []
        await queue.release("me", two, started=False, counts=False)
        await queue.release("me", two, started=False, counts=False)
        assert len(await queue.claim("you", 5)) == 1
        [api, _] = await queue.limits()
        assert api.opens_at == pytest.approx(clock() - 1 + MINUTE), "the oldest counts"

    async def test_a_lock_is_free_when_its_task_is_settled_or_released(
        self, store: EventStore
    ) -> None:
        queue = store.queue
        await queue.declare(LOCK)
        await store.append(dispatch(1, 2, 3, to="a", limits=("lock",)))
        [first] = await queue.claim("me", 5)
        assert await queue.claim("you", 5) == []
        assert await queue.opens_in() is None, "time does not open it"
        await queue.release("me", first, started=False)
        [second] = await queue.claim("you", 5)
        await store.append(decision(Counted(0), at=3, queue=[(Settle(second.task_id), 4)]))
        assert len(await queue.claim("me", 5)) == 1

    async def test_the_lock_of_a_lost_owner_is_free_when_its_lease_has_run_out(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        queue = store.queue
        await queue.declare(LOCK)
        await store.append(dispatch(1, to="a", tool="rare", limits=("lock",)))
        await queue.claim("gone", 1)
        await store.append(dispatch(1, to="b", limits=("lock",)))
        clock.advance(LEASE_S - 1)
        assert await queue.claim("me", 5, without_tools=["rare"]) == []
        clock.advance(2)
        assert names(await queue.claim("me", 5, without_tools=["rare"])) == "b1"
        assert await queue.claim("you", 5) == [], "what was lost needs the lock, too"

    async def test_what_is_to_stop_needs_no_place(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        queue = store.queue
        await queue.declare(LOCK | RATE)
        await store.append(dispatch(*range(4), to="a", limits=("api", "lock")))
        [lost] = await queue.claim("gone", 1)
        await store.append(decision(Counted(0), at=4, queue=[(Signal(1), 5)]))
        [waited] = await queue.claim("me", 5)
        assert (waited.task_id, waited.cancel, waited.limits) == (1, True, ())
        await store.append(decision(Counted(0), at=5, queue=[(Signal(lost.task_id), 6)]))
        assert await queue.claim("me", 5) == [], "it holds the lock until it has ended"

        clock.advance(LEASE_S + 1)
        assert names(await queue.claim("you", 1, without_tools=[])) == "a0"
        [api, lock] = await queue.limits()
        assert api.started == 1, "only the start of what was not to stop then counts"
        assert lock.held <= 1

    async def test_what_is_to_stop_and_is_released_needs_no_place(self, store: EventStore) -> None:
        queue = store.queue
        await queue.declare(LOCK | RATE)
        await store.append(dispatch(1, 2, to="a", limits=("api", "lock")))
        [held] = await queue.claim("me", 5)
        await store.append(decision(Counted(0), at=2, queue=[(Signal(held.task_id), 3)]))
        await queue.release("me", held, started=False, counts=False)
        assert [state.started for state in await queue.limits()] == [0, 0]
        found = await queue.claim("me", 5)
        assert sorted((lease.task_id, lease.limits) for lease in found) == [
            (1, ()),
            (2, ("api", "lock")),
        ]
        for lease in found:
            await store.append(
                decision(Counted(0), at=2 + lease.task_id, queue=[(Signal(lease.task_id), 3)])
            )
        await queue.leave("me")
        assert sorted(lease.limits for lease in await queue.queued("a")) == [(), ()]

    async def test_others_pass_tasks_that_a_limit_holds_back(self, store: EventStore) -> None:
        queue = store.queue
        await queue.declare(LOCK | RATE)
        await store.append(dispatch(*range(50), to="a", priority=9, limits=("lock",)))
        await store.append(dispatch(1, 2, to="b"))
        await store.append(dispatch(*range(9), to="c", limits=("api",)))
        await store.append(dispatch(*range(9), to="d", limits=("api", "lock")))
        assert names(await queue.claim("me", 4)) == "a0 b1 c0 b2"
        assert names(await queue.claim("me", 4)) == "c1 c2"
        assert await queue.claim("me", 4) == []

    async def test_a_limit_that_no_worker_has_declared_has_no_place(
        self, store: EventStore
    ) -> None:
        queue = store.queue
        await store.append(dispatch(1, to="a", limits=("api",)))
        assert await queue.claim("me", 1) == []
        await queue.declare(RATE)
        [lease] = await queue.claim("me", 1)
        assert lease.limits == ("api",)
        assert [le.limits for le in await queue.queued("a")] == [("api",)]

    async def test_streams_take_turns_under_a_limit(self, store: EventStore) -> None:
        queue = store.queue
        await queue.declare({"api": SharedLimit(concurrency=4)})
        for name in "abc":
            await store.append(dispatch(1, 2, 3, to=name, limits=("api",)))
        await store.append(dispatch(1, to="d", limits=("api",), priority=1))
        assert names(await queue.claim("me", 9)) == "d1 a1 b1 c1"

    @pytest.mark.parametrize("rows", [9, 600], ids=["few", "many"])
    async def test_one_stream_is_served_under_its_limits(
        self, store: EventStore, rows: int
    ) -> None:
        queue = store.queue
        await queue.declare({"two": SharedLimit(concurrency=2)})
        await store.append(dispatch(*range(rows), to="a", limits=("two",)))
        await store.append(dispatch(rows, to="a", at=rows))
        found = await queue.claim("me", 5, aggregate_id="a")
        assert names(found) == f"a0 a1 a{rows}"

    async def test_suspects_heed_limits(self, store: EventStore, clock: ManualClock) -> None:
        queue = store.queue
        await queue.declare({"api": SharedLimit(rate="2/min")})
        await store.append(dispatch(1, to="a", limits=("api",)))
        for owner in ("one", "two"):
            assert names(await queue.claim(owner, 1)) == "a1"
            clock.advance(LEASE_S + 0.1)
        assert await queue.claim("me", 1, suspects="only") == []
        assert not await queue.waiting_suspects("me"), "no worker makes room for it"
        clock.advance(1)  # the first start counts no more
        assert await queue.waiting_suspects("me")
        assert names(await queue.claim("me", 1, suspects="only")) == "a1"

    async def test_a_server_that_asks_to_wait_closes_the_limit_for_all(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        queue = store.queue
        await queue.declare(RATE | LOCK)
        await store.append(dispatch(1, to="a", limits=("api", "lock")))
        await queue.close(["api", "lock", "unknown"], 7.0)
        await queue.close(["api"], 2.0)
        assert await queue.claim("me", 1) == []
        assert await queue.opens_in() == pytest.approx(7.0)
        api, lock = await queue.limits()
        assert api.closed_until == pytest.approx(clock() + 7.0)
        assert lock.closed_until == 0.0
        clock.advance(7.1)
        assert names(await queue.claim("me", 1)) == "a1"
        await queue.close(["api"], 1e9)
        [api] = [state for state in await queue.limits() if state.name == "api"]
        assert api.closed_until == pytest.approx(clock() + LONGEST_CLOSED_S)
        await queue.reopen(["api"])
        assert (await queue.limits())[0].closed_until == 0.0

    async def test_a_clock_that_is_set_back_delays_no_longer_than_a_period(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        queue = store.queue
        await queue.declare(RATE)
        await store.append(dispatch(*range(9), to="a", limits=("api",)))
        await queue.claim("me", 2)
        clock.advance(-100_000)
        assert names(await queue.claim("me", 5)) == "a2"
        assert await queue.claim("me", 5) == []
        clock.advance(MINUTE + 0.1)
        assert names(await queue.claim("me", 5)) == "a3 a4 a5"

    async def test_nor_where_the_limit_was_used_up(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        queue = store.queue
        await queue.declare(RATE)
        await store.append(dispatch(*range(9), to="a", limits=("api",)))
        assert len(await queue.claim("me", 5)) == 3
        clock.advance(-100_000)
        await store.append(dispatch(1, to="b"))
        assert names(await queue.claim("me", 5)) == "b1"
        clock.advance(MINUTE - 0.1)
        assert await queue.claim("me", 5) == []
        clock.advance(0.2)
        assert names(await queue.claim("me", 5)) == "a3 a4 a5"

    async def test_the_last_declaration_counts(self, store: EventStore, clock: ManualClock) -> None:
        queue = store.queue
        await queue.declare(RATE)
        await store.append(dispatch(*range(20), to="a", limits=("api",)))
        assert len(await queue.claim("me", 9)) == 3
        await queue.declare({"api": SharedLimit(rate="5/min", concurrency=9)})
        clock.advance(1)
        assert len(await queue.claim("me", 9)) == 2
        [state] = await queue.limits()
        assert (state.starts, state.period, state.concurrency) == (5, 60.0, 9)
        assert (state.started, state.held) == (5, 5)
        await queue.declare({"api": SharedLimit(rate="2/min")})
        clock.advance(MINUTE - 0.9)  # three starts are over, two count
        assert await queue.claim("me", 9) == []
        clock.advance(1)
        assert len(await queue.claim("me", 9)) == 2

    async def test_workers_that_claim_at_once_take_each_place_once(
        self, backend: Backend, store: EventStore, clock: ManualClock
    ) -> None:
        stores = (
            [store, *[await backend.open(CODEC, clock) for _ in range(2)]]
            if (backend.shared)
            else [store]
        )
        await store.queue.declare(
            {"api": SharedLimit(rate="7/min"), "two": SharedLimit(concurrency=2)}
        )
        await store.append(dispatch(*range(40), to="a", limits=("api",)))
        await store.append(dispatch(*range(40), to="b", limits=("two",)))
        claims = [
            each.queue.claim(f"w{k}{n}", 4) for n in range(4) for k, each in enumerate(stores)
        ]
        granted = [le.aggregate_id for leases in await asyncio.gather(*claims) for le in leases]
        assert granted.count("a") == 7
        assert granted.count("b") == 2

    async def test_any_course_of_events_keeps_the_limits(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        """Against the definition: claims, ends, releases and crashes at random."""
        dice = random.Random(53)
        queue = store.queue
        await queue.declare({"r": SharedLimit(rate="5/10s"), "c": SharedLimit(concurrency=3)})
        version = 0
        for task, of in enumerate([("r",), ("c",), ("r", "c"), ()] * 30):
            await store.append(dispatch(task, at=version, limits=of))
            version += 1
        starts: list[float] = []
        held: dict[int, tuple[str, Lease, float]] = {}
        for step in range(120):
            clock.advance(dice.choice((0.0, 0.3, 1.0, 4.0)))
            owner = f"w{dice.randrange(3)}"
            if dice.random() < 0.6 or not held:
                for lease in await queue.claim(owner, dice.randrange(1, 6)):
                    starts += [clock()] * ("r" in lease.limits)
                    held[lease.task_id] = owner, lease, clock()
            else:
                task = dice.choice(list(held))
                whose, lease, at = held.pop(task)
                if step % 3:
                    change: Any = [(Settle(task), version + 1)]
                    await store.append(decision(Counted(0), at=version, queue=change))
                    version += 1
                else:
                    counts = dice.random() < 0.5
                    epochs = {le.task_id: le.epoch for le in await queue.owned(whose)}
                    await queue.release(whose, lease, started=False, counts=counts)
                    if not counts and epochs.get(task) == lease.epoch and "r" in lease.limits:
                        starts.remove(at)
            now = clock()
            alive = [le for _, le, at in held.values() if now <= at + LEASE_S]
            assert sum("c" in le.limits for le in alive) <= 3
            assert all(sum(t <= u < t + 10.0 for u in starts) <= 5 for t in starts)
        assert len(starts) > 20
