"""The task queue: which owner may run which task, until when, and what happens afterwards."""

from __future__ import annotations

import asyncio

import pytest

from planfold.errors import LeaseLost
from planfold.eventstore.port import EventStore, Fence, Lease, WorkerRecord
from planfold.eventstore.queue import QueueSize
from planfold.handler import Settle, Signal
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


def tasks(leases: list[Lease]) -> list[int]:
    return [lease.task_id for lease in leases]


class ClaimsContract(Contract):
    async def test_a_claim_takes_the_longest_waiting_first(self, store: EventStore) -> None:
        for number in range(6):
            await store.append(dispatch(9 - number, to=f"p{number}"))
        assert tasks(await store.queue.claim("me", 4)) == [9, 8, 7, 6]
        assert tasks(await store.queue.claim("you", 4)) == [5, 4]
        assert await store.queue.claim("her", 4) == []

    async def test_its_size_counts_what_waits_and_what_is_leased(self, backend: Backend) -> None:
        clock = ManualClock()
        store = await backend.open(clock=clock)
        assert await store.queue.size() == QueueSize()
        await store.append(dispatch(1, 2, 3, to="a"))
        await store.append(dispatch(1, to="b"))
        await store.queue.claim("me", 2)
        assert await store.queue.size() == QueueSize(waiting=2, leased=2)
        clock.advance(LEASE_S + 1)
        await store.queue.claim("you", 1, aggregate_id="b")
        size = await store.queue.size()
        assert (size.waiting + size.leased + size.expired, size.leased) == (4, 1)
        assert size.expired >= 1

    async def test_what_waits_is_counted_up_to_a_number(self, store: EventStore) -> None:
        assert await store.queue.waiting(10) == 0
        await store.append(dispatch(1, 2, 3, to="a"))
        await store.append(dispatch(1, to="b"))
        assert await store.queue.waiting(10) == 4
        assert await store.queue.waiting(3) == 3
        await store.queue.claim("me", 3)
        assert await store.queue.waiting(10) == 1

    async def test_a_claim_says_what_is_leased(self, backend: Backend) -> None:
        clock = ManualClock()
        store = await backend.open(clock=clock)
        await store.append(dispatch(7, 8, route="shell", attempt=3, tool="bash", priority=-3))
        first, second = await store.queue.claim("me", 2)
        assert first == Lease(
            "a",
            7,
            3,
            "shell",
            epoch=1,
            starts=1,
            expires=clock.now + LEASE_S,
            cause="a#1",
            cancel=False,
            owner="me",
            tool="bash",
            priority=-3,
            claimed_at=clock.now,
            started_at=clock.now,
            crashes=0,
        )
        assert second.cause == "a#2"
        assert await store.queue.owned("me") == await store.queue.queued("a") == [first, second]

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_without_a_free_slot_nothing_is_claimed(
        self, store: EventStore, limit: int
    ) -> None:
        await store.append(dispatch(1))
        assert await store.queue.claim("me", limit) == []

    async def test_a_claim_keeps_to_its_routes_and_away_from_some_tools(
        self, store: EventStore
    ) -> None:
        for number, name in enumerate(["shell", "http", "gpu", "it's \x01 odd"], 1):
            await store.append(dispatch(number, to=f"p{number}", route=name, tool=name))
            await store.append(dispatch(-number, to=f"q{number}", route=name, tool="other"))
        claim = store.queue.claim
        assert await claim("me", 9, routes=[]) == []
        assert await claim("me", 9, routes=["\udcff", "\0"]) == []
        assert tasks(await claim("me", 9, routes={"http", "absent"})) == [2, -2]
        some = ["shell", "gpu"]
        assert tasks(await claim("me", 9, routes=some, without_tools=["shell", "other"])) == [3]
        assert tasks(await claim("me", 9, without_tools=["it's \x01 odd", "other"])) == [1]
        assert tasks(await claim("me", 9, without_tools=["\udcff", "other"])) == [4]
        assert tasks(await claim("me", 9)) == [-1, -3, -4]

    async def test_a_claim_keeps_to_one_stream_or_away_from_some(self, store: EventStore) -> None:
        for number, to in enumerate("abcd", 1):
            await store.append(dispatch(number, to=to))
        assert tasks(await store.queue.claim("me", 9, aggregate_id="b")) == [2]
        assert tasks(await store.queue.claim("me", 9, barred={"a", "c"})) == [4]
        assert tasks(await store.queue.claim("me", 9)) == [1, 3]

    async def test_each_task_is_granted_once_among_many_claimers(self, backend: Backend) -> None:
        stores = [await backend.open()]
        if backend.shared:
            stores.append(await backend.open())
        for number in range(10):
            await stores[0].append(dispatch(*range(20), to=f"p{number}"))

        async def claimer(store: EventStore, owner: str) -> list[tuple[str, int, int]]:
            mine: list[tuple[str, int, int]] = []
            while leases := await store.queue.claim(owner, 3):
                mine += [(le.aggregate_id, le.task_id, le.epoch) for le in leases]
            return mine

        claimed = await asyncio.gather(
            *(claimer(store, f"{i}-{n}") for i, store in enumerate(stores) for n in range(16))
        )
        granted = [grant for mine in claimed for grant in mine]
        assert len(granted) == len(set(granted)) == 200
        assert {epoch for _, _, epoch in granted} == {1}

    async def test_a_live_owner_keeps_its_tasks(self, backend: Backend) -> None:
        first, second = await backend.open(), await backend.open()
        await first.queue.enter(WorkerRecord("me"))
        await first.append(dispatch(1))
        await first.queue.claim("me", 1)
        assert await second.queue.claim("you", 1) == []
        await first.queue.leave("me")

    async def test_workers_are_known_while_they_are_seen(self, backend: Backend) -> None:
        clock = ManualClock()
        store = await backend.open(clock=clock)
        await store.queue.enter(WorkerRecord("first", None, 4, "host", 1))
        clock.advance(1)
        await store.queue.enter(WorkerRecord("second", ("gpu",), 8, "other", 2))
        clock.advance(LEASE_S - 1)
        await store.queue.enter(WorkerRecord("first", None, 4, "host", 1, declined=("bash",)))
        first, second = await store.queue.workers()
        assert (first.owner, first.routes, first.concurrency) == ("first", None, 4)
        assert (first.host, first.pid, first.declined) == ("host", 1, ("bash",))
        assert first.seen_at == first.started_at + LEASE_S == clock.now
        assert (second.routes, second.declined) == (("gpu",), ())
        assert [w.serves("gpu", "bash") for w in (first, second)] == [False, True]
        assert [w.serves("gpu", "make") for w in (first, second)] == [True, True]
        assert [w.serves("shell", "make") for w in (first, second)] == [True, False]
        clock.advance(1.5)
        await store.queue.renew("first")
        assert [w.owner for w in await store.queue.workers()] == ["first"]
        await store.queue.leave("first")
        assert await store.queue.workers() == []

    async def test_a_worker_says_which_plan_it_serves(self, store: EventStore) -> None:
        await store.queue.enter(WorkerRecord("of one", plan_id="a"))
        await store.queue.enter(WorkerRecord("of all"))
        workers = {worker.owner: worker for worker in await store.queue.workers()}
        assert workers["of one"].plan_id == "a"
        assert workers["of all"].plan_id is None
        assert [workers["of one"].serves("r", "", plan) for plan in ("a", "b")] == [True, False]
        assert [workers["of all"].serves("r", "", plan) for plan in ("a", "b")] == [True, True]

    async def test_an_owner_that_leaves_with_tasks_is_succeeded(self, backend: Backend) -> None:
        clock = ManualClock()
        first, second = await backend.open(clock=clock), await backend.open(clock=clock)
        await first.queue.enter(WorkerRecord("me"))
        await first.append(dispatch(1))
        await first.queue.claim("me", 1)
        await first.queue.leave("me")
        (lease,) = await second.queue.claim("you", 1)
        assert (lease.epoch, lease.starts, lease.suspect) == (2, 2, False)

    async def test_an_owner_whose_process_lives_keeps_its_tasks(self, backend: Backend) -> None:
        clock = ManualClock()
        first = await backend.open(clock=clock)
        second = await backend.open(clock=clock) if backend.shared else first
        await first.append(dispatch(1))
        await first.queue.enter(WorkerRecord("me"))
        await first.queue.claim("me", 1)
        clock.advance(LEASE_S * 100)
        taken = [tasks(await store.queue.claim("you", 1)) for store in (first, second)]
        assert taken == ([[], []] if backend.sees_processes else [[1], []])

    async def test_to_enter_again_is_harmless(self, backend: Backend) -> None:
        clock = ManualClock()
        first = await backend.open(clock=clock)
        second = await backend.open(clock=clock) if backend.shared else first
        await first.append(dispatch(1))
        for declined in ((), ("bash",), ("bash", "make")):
            await first.queue.enter(WorkerRecord("me", declined=declined))
        await first.queue.claim("me", 1)
        assert await second.queue.dead(["me"]) == frozenset()
        assert await second.queue.claim("you", 1) == []
        assert [w.declined for w in await second.queue.workers()] == [("bash", "make")]
        await first.queue.leave("me")
        assert tasks(await second.queue.claim("you", 1)) == [1]


class LeasesContract(Contract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def leased(self, backend: Backend, clock: ManualClock) -> EventStore:
        """A store with task 1 leased to "me"."""
        store = await backend.open(CODEC, clock)
        await store.append(dispatch(1))
        assert await store.queue.claim("me", 1)
        return store

    async def test_a_lease_ends_when_its_time_is_up(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        clock.advance(LEASE_S - 0.1)
        assert await leased.queue.claim("you", 1) == []
        clock.advance(0.2)
        (lease,) = await leased.queue.claim("you", 1)
        assert (lease.owner, lease.epoch, lease.starts) == ("you", 2, 2)
        assert await leased.queue.owned("me") == []

    async def test_the_epoch_rises_with_every_claim(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        for epoch in range(2, 6):
            clock.advance(LEASE_S + 1)
            (lease,) = await leased.queue.claim(f"w{epoch}", 1)
            assert (lease.epoch, lease.starts, lease.attempt) == (epoch, epoch, 1)

    async def test_the_former_owner_is_fenced_off(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        clock.advance(LEASE_S + 1)
        await leased.queue.claim("you", 1)
        with pytest.raises(LeaseLost):
            await leased.append(decision(Counted(0), at=1, fences=[Fence(1, 1, 1)]))
        await leased.append(decision(Counted(0), at=1, fences=[Fence(1, 1, 2)]))

    async def test_a_late_result_counts_while_no_other_worker_has_the_task(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        clock.advance(LEASE_S * 100)
        await leased.append(decision(Counted(0), at=1, fences=[Fence(1, 1, 1)]))

    async def test_renewing_prolongs_what_one_owner_holds(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        await leased.append(dispatch(2, at=1))
        await leased.queue.claim("other", 1)
        for _ in range(5):
            clock.advance(LEASE_S * 0.7)
            (lease,) = await leased.queue.renew("me")
            assert lease.expires == clock.now + LEASE_S
        assert tasks(await leased.queue.claim("you", 9)) == [2]
        assert tasks(await leased.queue.owned("me")) == [1]

    async def test_what_an_owner_holds_is_never_granted_to_it_again(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        await leased.append(dispatch(2, at=1))
        clock.advance(LEASE_S * 100)
        assert tasks(await leased.queue.claim("me", 9)) == [2]
        assert await leased.queue.claim("me", 9, aggregate_id="a", routes=["r"]) == []
        (lease,) = [le for le in await leased.queue.owned("me") if le.task_id == 1]
        assert (lease.epoch, lease.starts) == (1, 1)

    async def test_renewing_returns_what_had_run_out_but_was_not_taken(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        await leased.append(dispatch(2, at=1, owner="me", leased=frozenset({2})))
        clock.advance(LEASE_S * 100)
        renewed = await leased.queue.renew("me")
        assert [(le.task_id, le.epoch, le.expires) for le in renewed] == [
            (1, 1, clock.now + LEASE_S),
            (2, 1, clock.now + LEASE_S),
        ]
        assert await leased.queue.claim("you", 9) == []

    async def test_a_lease_says_when_the_owner_got_it_and_when_the_first_one_did(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        began = clock.now
        clock.advance(LEASE_S + 1)
        (second,) = await leased.queue.claim("you", 1)
        assert (second.claimed_at, second.started_at) == (clock.now, began)
        clock.advance(1)
        await leased.queue.renew("you")
        await leased.queue.release("you", second, started=True)
        (waiting,) = await leased.queue.queued("a")
        assert (waiting.claimed_at, waiting.started_at, waiting.owner) == (0.0, began, None)
        clock.advance(1)
        (third,) = await leased.queue.claim("you", 1)
        assert (third.claimed_at, third.started_at) == (clock.now, began)

    async def test_without_a_start_there_is_no_time_of_it(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        (first,) = await leased.queue.owned("me")
        await leased.queue.release("me", first, started=False)
        assert (await leased.queue.queued("a"))[0].started_at is None
        clock.advance(1)
        (second,) = await leased.queue.claim("me", 1)
        assert second.started_at == second.claimed_at == clock.now

    async def test_a_lease_from_the_commit_has_its_times(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        clock.advance(1)
        await leased.append(dispatch(2, 3, at=1, tool="bash", owner="me", leased=frozenset({2})))
        held, free = (await leased.queue.queued("a"))[1:]
        assert (held.claimed_at, held.started_at) == (clock.now, clock.now)
        assert (free.claimed_at, free.started_at) == (0.0, None)
        assert (held.tool, free.tool) == ("bash", "bash")

    async def test_what_was_given_back_unstarted_does_not_count_as_a_start(
        self, leased: EventStore
    ) -> None:
        (lease,) = await leased.queue.owned("me")
        await leased.queue.release("me", lease, started=False)
        (again,) = await leased.queue.claim("you", 1)
        assert (again.epoch, again.starts) == (2, 1)

    async def test_what_was_given_back_after_its_start_counts(self, leased: EventStore) -> None:
        (lease,) = await leased.queue.owned("me")
        await leased.queue.release("me", lease, started=True)
        (again,) = await leased.queue.claim("you", 1)
        assert (again.epoch, again.starts) == (2, 2)

    async def test_only_the_present_lease_can_be_given_back(self, leased: EventStore) -> None:
        (old,) = await leased.queue.owned("me")
        await leased.queue.release("me", old, started=True)
        await leased.queue.claim("me", 1)
        await leased.queue.release("me", old, started=False)
        await leased.queue.release("you", (await leased.queue.owned("me"))[0], started=False)
        assert [(le.epoch, le.starts) for le in await leased.queue.owned("me")] == [(2, 2)]

    async def test_a_signal_reaches_whoever_holds_or_takes_the_task(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        await leased.append(decision(Counted(0), at=1, queue=[(Signal(1), 2)]))
        assert (await leased.queue.owned("me"))[0].cancel
        clock.advance(LEASE_S + 1)
        assert (await leased.queue.claim("you", 1))[0].cancel

    async def test_a_settled_task_is_not_claimed(
        self, leased: EventStore, clock: ManualClock
    ) -> None:
        await leased.append(decision(Counted(0), at=1, queue=[(Settle(1), 2)]))
        clock.advance(LEASE_S + 1)
        assert await leased.queue.claim("you", 1) == []
        assert await leased.queue.owned("me") == []
        await leased.queue.renew("me")
