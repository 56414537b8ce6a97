"""Who gets the next task: claims are fair, and suspects are tried alone."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from planfold.eventstore.port import EventStore, Lease
from planfold.handler import Settle
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import (
    CODEC,
    Backend,
    Contract,
    Counted,
    decision,
    dispatch,
)

LEASE_S = 30.0


def names(leases: list[Lease]) -> str:
    """Stream and task of each: "a1 b1"."""
    return " ".join(f"{lease.aggregate_id}{lease.task_id}" for lease in leases)


class FairnessContract(Contract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def store(self, backend: Backend, clock: ManualClock) -> EventStore:
        return await backend.open(CODEC, clock)

    async def test_streams_take_turns_each_with_its_oldest_task(self, store: EventStore) -> None:
        await store.append(dispatch(5, 4, 3, 2, 1, to="a"))
        await store.append(dispatch(1, 2, 3, to="b"))
        await store.append(dispatch(1, to="c"))
        claim = store.queue.claim
        assert names(await claim("me", 4)) == "a5 b1 c1 a4"
        assert names(await claim("me", 9)) == "b2 a3 b3 a2 a1"

    async def test_one_task_of_a_later_stream_is_in_the_next_claim(self, store: EventStore) -> None:
        await store.append(dispatch(*range(10_000), to="large"))
        for round_ in range(3):
            await store.queue.claim("me", 16)
            await store.append(dispatch(1, to=f"small{round_}"))
            leases = await store.queue.claim("me", 2)
            assert [le.aggregate_id for le in leases] == ["large", f"small{round_}"]

    async def test_a_later_stream_does_not_catch_up(self, store: EventStore) -> None:
        await store.append(dispatch(*range(100), to="a"))
        await store.queue.claim("me", 50)
        await store.append(dispatch(*range(100), to="b"))
        leases = await store.queue.claim("me", 20)
        assert Counter(le.aggregate_id for le in leases) == {"a": 10, "b": 10}

    async def test_what_a_stream_adds_comes_after_what_it_has(self, store: EventStore) -> None:
        await store.append(dispatch(1, 2, to="a"))
        await store.append(dispatch(1, 2, 3, to="b"))
        await store.append(dispatch(3, to="a", at=2))
        assert names(await store.queue.claim("me", 9)) == "a1 b1 a2 b2 b3 a3"

    async def test_a_higher_priority_comes_first(self, store: EventStore) -> None:
        for name, priority in (("a", 0), ("b", -1_000), ("c", 5), ("d", 5), ("e", 0)):
            await store.append(dispatch(1, 2, to=name, priority=priority))
        assert names(await store.queue.claim("me", 6)) == "c1 d1 c2 d2 a1 e1"
        await store.append(dispatch(1, to="f", priority=1_000))
        assert names(await store.queue.claim("me", 9)) == "f1 a2 e2 b1 b2"

    async def test_turns_hold_on_every_route(self, store: EventStore) -> None:
        for route in ("shell", "gpu"):
            await store.append(dispatch(*range(100), to=f"large-{route}", route=route))
        await store.queue.claim("me", 60, routes=["shell"])
        for route in ("shell", "gpu", "http"):
            await store.append(dispatch(1, to=f"small-{route}", route=route))
        for route in ("shell", "gpu"):
            leases = await store.queue.claim("me", 2, routes=[route, "absent"])
            assert [le.aggregate_id for le in leases] == [f"large-{route}", f"small-{route}"]
        leases = await store.queue.claim("me", 1, without_tools=["x"], routes=["http"])
        assert [le.aggregate_id for le in leases] == ["small-http"]

    async def test_routes_are_merged_by_turn(self, store: EventStore) -> None:
        await store.append(dispatch(1, 2, to="a", route="x"))
        await store.append(dispatch(1, 2, to="b", route="y"))
        await store.append(dispatch(1, 2, to="c", route="z", priority=1))
        leases = await store.queue.claim("me", 9, routes=["z", "y", "x"])
        assert names(leases) == "c1 c2 a1 b1 a2 b2"

    async def test_one_stream_is_served_in_order(self, store: EventStore) -> None:
        await store.append(dispatch(1, 2, 3, to="a", route="x"))
        await store.append(dispatch(1, to="b"))
        claim = store.queue.claim
        assert names(await claim("me", 2, aggregate_id="a", routes=["x"])) == "a1 a2"
        assert await claim("me", 2, aggregate_id="a", routes=["y"]) == []
        assert names(await claim("me", 9, aggregate_id="a")) == "a3"

    async def test_an_expired_lease_takes_part_at_its_place(
        self, store: EventStore, clock: ManualClock
    ) -> None:
        await store.append(dispatch(1, 2, 3, 4, to="a"))
        await store.queue.claim("gone", 2)
        await store.append(dispatch(1, 2, to="b"))
        await store.append(dispatch(1, to="c", priority=1))
        clock.advance(LEASE_S + 1)
        assert names(await store.queue.claim("me", 9)) == "c1 a1 a2 a3 b1 a4 b2"

    async def test_what_was_given_back_keeps_its_place(self, store: EventStore) -> None:
        await store.append(dispatch(1, to="x", owner="me", leased=frozenset({1})))
        await store.append(dispatch(1, 2, 3, 4, to="a"))
        await store.append(dispatch(1, 2, 3, 4, to="b"))
        await store.queue.claim("you", 3)  # a1 b1 a2
        for owner in ("me", "you"):
            for lease in await store.queue.owned(owner):
                await store.queue.release(owner, lease, started=True)
        await store.append(dispatch(*range(9), to="c"))  # cannot get before the others
        assert names(await store.queue.claim("me", 9)) == "x1 a1 a2 b1 b2 c0 a3 b3 c1"

    async def test_a_stream_that_waits_is_passed_over_once_at_most(self, store: EventStore) -> None:
        chance = random.Random(6)
        waiting: Counter[str] = Counter()  # tasks
        versions: Counter[str] = Counter()
        since: dict[str, Counter[str]] = {}  # by waiting stream: what others got since
        for _ in range(150):
            name = f"s{chance.randrange(8)}"
            if chance.random() < 0.4:
                at = versions[name]
                count = chance.choice([1, 1, 2, 9])
                await store.append(dispatch(*range(at, at + count), to=name, at=at))
                versions[name] += count
                waiting[name] += count
                since.setdefault(name, Counter())
                continue
            for lease in await store.queue.claim("me", chance.randint(1, 4)):
                served = lease.aggregate_id
                waiting[served] -= 1
                del since[served]
                for others in since.values():
                    others[served] += 1
                    assert others[served] <= 2
                if waiting[served]:
                    since[served] = Counter()
        assert sum(versions.values()) > 100


class SuspectsContract(Contract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def crashed(self, backend: Backend, clock: ManualClock) -> EventStore:
        """Two workers have lost tasks 1 to 3 of "a"; task 1 of "b" waits."""
        store = await backend.open(CODEC, clock)
        await store.append(dispatch(1, 2, 3))
        for owner in ("gone", "gone too"):
            await store.queue.claim(owner, 9)
            clock.advance(LEASE_S + 1)
        await store.append(dispatch(1, to="b", tool="bash"))
        return store

    async def test_one_crash_makes_no_suspect(self, backend: Backend, clock: ManualClock) -> None:
        store = await backend.open(CODEC, clock)
        await store.append(dispatch(1, 2, 3))
        await store.queue.claim("gone", 9)
        clock.advance(LEASE_S + 1)
        assert not await store.queue.waiting_suspects("me")
        assert await store.queue.claim("me", 9, suspects="only") == []
        leases = await store.queue.claim("me", 9, suspects="no")
        assert [(le.task_id, le.crashes, le.suspect) for le in leases] == [
            (task, 1, False) for task in (1, 2, 3)
        ]

    async def test_crashes_count_the_owners_that_lost_it(
        self, crashed: EventStore, clock: ManualClock
    ) -> None:
        for crashes in range(2, 5):
            leases = await crashed.queue.claim(f"w{crashes}", 3, aggregate_id="a")
            assert [(le.crashes, le.suspect) for le in leases] == [(crashes, True)] * 3
            clock.advance(LEASE_S + 1)
        (fresh,) = await crashed.queue.claim("me", 9, aggregate_id="b")
        assert (fresh.crashes, fresh.suspect) == (0, False)

    async def test_what_was_given_back_is_no_suspect(self, crashed: EventStore) -> None:
        (lease,) = await crashed.queue.claim("me", 9, aggregate_id="b")
        await crashed.queue.release("me", lease, started=True)
        (again,) = await crashed.queue.claim("me", 9, suspects="no")
        assert (again.aggregate_id, again.starts, again.suspect) == ("b", 2, False)

    async def test_a_suspect_is_granted_alone(self, crashed: EventStore) -> None:
        claim = crashed.queue.claim
        for task in (1, 2, 3):
            (suspect,) = await claim("me", 9, suspects="only")
            assert (suspect.task_id, suspect.suspect) == (task, True)
            assert await claim("me", 9, suspects="only") == []
            assert await claim("me", 9, suspects="no") == []
            await crashed.append(decision(Counted(), at=task + 2, queue=[(Settle(task), 9)]))
        assert names(await claim("me", 9, suspects="no")) == "b1"
        assert await claim("me", 9, suspects="only") == []

    async def test_who_has_other_tasks_gets_no_suspect(self, crashed: EventStore) -> None:
        claim = crashed.queue.claim
        assert names(await claim("me", 9, suspects="no")) == "b1"
        assert await claim("me", 9, suspects="only") == []
        assert names(await claim("you", 9, suspects="only")) == "a1"
        assert names(await claim("her", 9, suspects="only")) == "a2"

    async def test_fresh_tasks_do_not_wait_for_suspects(self, crashed: EventStore) -> None:
        assert names(await crashed.queue.claim("you", 9, suspects="only")) == "a1"
        assert names(await crashed.queue.claim("me", 9, suspects="no")) == "b1"

    async def test_a_suspect_that_was_given_back_stays_one(self, crashed: EventStore) -> None:
        (suspect,) = await crashed.queue.claim("me", 9, suspects="only")
        await crashed.queue.release("me", suspect, started=True)
        assert names(await crashed.queue.claim("you", 9, suspects="no")) == "b1"
        tried = [(await crashed.queue.claim(w, 1, suspects="only"))[0] for w in ("x", "y", "z")]
        assert {(le.task_id, le.crashes) for le in tried} == {(1, 2), (2, 2), (3, 2)}

    async def test_suspects_that_wait_are_known(self, crashed: EventStore) -> None:
        waiting, claim = crashed.queue.waiting_suspects, crashed.queue.claim
        assert await waiting("me")
        assert await waiting("me", aggregate_id="a", routes=["r"], without_tools=["bash"])
        assert not await waiting("gone too")
        for excluded in (
            {"aggregate_id": "b"},
            {"routes": ["x"]},
            {"without_tools": ["t"]},
            {"barred": ["a"]},
        ):
            assert not await waiting("me", **excluded)
            assert await claim("me", 9, suspects="only", **excluded) == []
        for owner in ("x", "y", "z"):
            assert await claim(owner, 1, suspects="only")
        assert not await waiting("me")
        await crashed.queue.release("z", (await crashed.queue.owned("z"))[0], started=True)
        assert await waiting("me")
