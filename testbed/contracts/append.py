"""Writing: one decision is one transaction, and one of several writers wins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from planfold.errors import ConfigurationError, Conflict, LeaseLost
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import Append, CommandRecord, EventStore, Fence
from planfold.handler import Enqueue, Metadata, Settle, Signal
from testbed.contracts.backend import (
    Backend,
    Contract,
    Counted,
    Noted,
    decision,
    dispatch,
    rows_of,
)


class Unregistered:
    """Not an event of any codec."""


async def outcomes(*writes: Any) -> list[Any]:
    """The outcomes of writes that were submitted together."""
    return await asyncio.gather(*writes, return_exceptions=True)


class AppendContract(Contract):
    async def test_what_was_appended_is_read_back(self, store: EventStore) -> None:
        position = await store.append(decision(Counted(1), Counted(2)))
        assert (await store.load("a")).events == [Counted(1), Counted(2)]
        assert await store.version("a") == 2
        assert (await store.read(Query()))[-1].position == position

    async def test_appends_survive_a_restart(self, backend: Backend) -> None:
        if not backend.shared:
            pytest.skip("it does not outlive its store")
        store = await backend.open()
        await store.append(decision(Counted(1)))
        await backend.close(store)
        assert (await (await backend.open()).load("a")).events == [Counted(1)]

    async def test_positions_rise_through_the_whole_log(self, store: EventStore) -> None:
        for number in range(5):
            await store.append(decision(Counted(number), to=f"s{number % 2}", at=number // 2))
        positions = [e.position for e in await store.read(Query())]
        assert positions == sorted(set(positions))

    async def test_an_append_to_an_old_version_is_a_conflict(self, store: EventStore) -> None:
        await store.append(decision(Counted(1)))
        for stale in (0, 2, 7):
            with pytest.raises(Conflict):
                await store.append(decision(Counted(9), at=stale))
        assert (await store.load("a")).events == [Counted(1)]

    async def test_of_two_writers_at_one_version_exactly_one_wins(self, backend: Backend) -> None:
        first, second = await backend.open(), await backend.open()
        for version in range(20):
            results = await outcomes(
                first.append(decision(Counted(1), at=version)),
                second.append(decision(Counted(2), at=version)),
            )
            assert [isinstance(r, Conflict) for r in results].count(True) == 1, results
        assert await first.version("a") == await second.version("a") == 20

    async def test_nothing_of_the_loser_is_written(self, store: EventStore) -> None:
        await store.append(dispatch(1, commands=[CommandRecord("won", "h")], head={"n": 1}))
        loser = dispatch(2, 3, commands=[CommandRecord("lost", "h")], head={"n": 2}, due_at=5.0)
        with pytest.raises(Conflict):
            await store.append(loser)
        assert (await store.load("a")).events == [Counted(1)]
        assert await rows_of(store) == [1]
        assert await store.find_command("lost") is None
        head = await store.head("a")
        assert head is not None
        assert (head.version, head.head, head.due_at) == (1, {"n": 1}, None)

    async def test_a_command_id_is_recorded_with_its_events(self, store: EventStore) -> None:
        assert await store.find_command("c") is None
        await store.append(decision(Counted(1), commands=[CommandRecord("c", "hash")]))
        assert await store.find_command("c") == ("a", "hash")

    async def test_a_command_id_is_recorded_once(self, store: EventStore) -> None:
        await store.append(decision(Counted(1), commands=[CommandRecord("c", "hash")]))
        again = decision(Counted(2), to="b", commands=[CommandRecord("c", "hash")])
        with pytest.raises(Conflict):
            await store.append(again)
        assert (await store.load("b")).events == []
        assert await store.head("b") is None

    async def test_two_appends_of_one_commit_cannot_share_a_command_id(
        self, store: EventStore
    ) -> None:
        record = [CommandRecord("c", "hash")]
        results = await outcomes(
            store.append(decision(Counted(1), to="a", commands=record)),
            store.append(decision(Counted(2), to="b", commands=record)),
        )
        assert isinstance(results[1], Conflict)
        assert (await store.version("a"), await store.version("b")) == (1, 0)

    async def test_queue_rows_come_with_their_events(self, store: EventStore) -> None:
        await store.append(dispatch(4, 5, route="shell"))
        rows = await store.queue.queued("a")
        assert [(r.task_id, r.attempt, r.route, r.cause) for r in rows] == [
            (4, 1, "shell", "a#1"),
            (5, 1, "shell", "a#2"),
        ]
        assert all(row.owner is None and not row.cancel for row in rows)

    async def test_settled_tasks_leave_the_queue_and_may_enter_again(
        self, store: EventStore
    ) -> None:
        await store.append(dispatch(1, 2))
        changes = [(Settle(1), 3), (Enqueue(1, 2, "r"), 3), (Settle(2), 3), (Settle(77), 3)]
        await store.append(decision(Counted(0), at=2, queue=changes))
        assert [(r.task_id, r.attempt) for r in await store.queue.queued("a")] == [(1, 2)]

    async def test_without_events_the_queue_and_the_head_change(self, store: EventStore) -> None:
        await store.append(dispatch(1, 2))
        changes = [(Settle(1), 2), (Settle(2), 2), (Enqueue(2, 3, "r"), 1), (Enqueue(5, 1, "r"), 2)]
        await store.append(decision(at=2, queue=changes, head={"status": "odd"}))
        rows = await store.queue.queued("a")
        assert [(r.task_id, r.attempt, r.cause) for r in rows] == [(2, 3, "a#1"), (5, 1, "a#2")]
        head = await store.head("a")
        assert head is not None
        assert (head.version, head.head) == (2, {"status": "odd"})
        with pytest.raises(Conflict):
            await store.append(decision(at=1, head={}))

    async def test_rows_of_no_stream_are_orphans(self, store: EventStore) -> None:
        await store.append(dispatch(1))
        assert await store.queue.orphans() == []
        await store.queue.discard("a")
        assert len(await store.queue.queued("a")) == 1

    async def test_a_signal_marks_the_row(self, store: EventStore) -> None:
        await store.append(dispatch(1, 2))
        await store.append(decision(Counted(0), at=2, queue=[(Signal(2), 3)]))
        assert [r.cancel for r in await store.queue.queued("a")] == [False, True]

    async def test_leased_tasks_belong_to_the_owner_at_once(self, store: EventStore) -> None:
        await store.append(dispatch(1, 2, owner="me", leased=frozenset({2})))
        (lease,) = await store.queue.owned("me")
        assert (lease.task_id, lease.epoch, lease.starts) == (2, 1, 1)
        assert [le.task_id for le in await store.queue.claim("you", 9)] == [1]

    async def test_a_fence_holds_while_its_lease_does(self, store: EventStore) -> None:
        await store.append(dispatch(1))
        (lease,) = await store.queue.claim("me", 1)
        fence = Fence(1, 1, lease.epoch)
        await store.append(decision(Counted(0), at=1, fences=[fence], queue=[(Settle(1), 2)]))
        with pytest.raises(LeaseLost) as lost:
            await store.append(decision(Counted(0), at=2, fences=[fence]))
        assert lost.value.task_id == 1
        assert await store.version("a") == 2

    @pytest.mark.parametrize("fence", [Fence(1, 1, 0), Fence(1, 1, 2), Fence(1, 2, 1)])
    async def test_a_fence_of_another_epoch_or_attempt_does_not_hold(
        self, store: EventStore, fence: Fence
    ) -> None:
        await store.append(dispatch(1))
        await store.queue.claim("me", 1)
        with pytest.raises(LeaseLost):
            await store.append(decision(Counted(0), at=1, fences=[Fence(1, 1, 1), fence]))
        assert (await store.load("a")).events == [Counted(1)]

    async def test_many_waiting_appends_get_their_own_answers(self, store: EventStore) -> None:
        await store.append(decision(Counted(0), to="taken"))
        writes = [
            store.append(decision(Counted(n), to="taken" if n % 3 == 0 else f"s{n}"))
            for n in range(60)
        ]
        results = await outcomes(*writes)
        for number, result in enumerate(results):
            assert isinstance(result, Conflict if number % 3 == 0 else int), (number, result)
        positions = [r for r in results if isinstance(r, int)]
        assert positions == sorted(positions)
        assert (await store.load("taken")).events == [Counted(0)]
        assert len(await store.read(Query())) == 41

    async def test_waiting_appends_to_one_stream_are_checked_one_after_the_other(
        self, store: EventStore
    ) -> None:
        writes = [store.append(decision(Counted(n), at=n)) for n in range(10)]
        assert all(isinstance(r, int) for r in await outcomes(*writes))
        assert (await store.load("a")).events == [Counted(n) for n in range(10)]

    async def test_what_cannot_be_encoded_takes_nothing_else_with_it(
        self, store: EventStore
    ) -> None:
        async def send(value: Any, to: str) -> int:
            return await store.append(decision(Counted(1), value, to=to))

        results = await outcomes(
            send(Noted(1), "a"),
            send(Noted("\ud800"), "b"),
            send(Noted({"\udfff": 1}), "c"),
            send(Unregistered(), "d"),
            send(Noted(2), "\ud800"),
            send(Noted(3), "e"),
        )
        kinds = [int, ValueError, ValueError, ConfigurationError, ValueError, int]
        assert [isinstance(r, k) for r, k in zip(results, kinds, strict=True)] == [True] * 6
        assert {e.aggregate_id for e in await store.read(Query())} == {"a", "e"}

    async def test_surrogates_in_metadata_and_heads_are_refused(self, store: EventStore) -> None:
        async def send(**rest: Any) -> int:
            return await store.append(decision(Counted(1), **rest))

        for rest in (
            {"metadata": Metadata("\ud800")},
            {"metadata": Metadata("c", "c", {"worker": "\udfff"})},
            {"head": {"title": "\ud800"}},
            {"commands": [CommandRecord("\ud800", "h")]},
        ):
            with pytest.raises(ValueError, match="surrogate"):
                await send(**rest)
        assert await store.read(Query()) == []
        assert await store.head("a") is None

    @pytest.mark.parametrize("name", ["\0", "a\0b", "\udfff"])
    async def test_names_that_no_database_can_hold_are_refused(
        self, store: EventStore, name: str
    ) -> None:
        async def send(append: Append) -> int:
            return await store.append(append)

        for append in (
            decision(Counted(1), to=name),
            decision(Counted(1), stream=name),
            decision(Counted(1), commands=[CommandRecord(name, "h")]),
            dispatch(1, route=name),
            dispatch(1, tool=name),
            dispatch(1, owner=name, leased=frozenset({1})),
        ):
            with pytest.raises(ValueError, match=r"NUL|surrogate"):
                await send(append)
        assert await store.read(Query()) == []
