"""Streams out of a store and into it, row by row, and away into an archive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from planfold.errors import CommandRejected, Conflict, CorruptLog
from planfold.eventstore.consumers import Parked
from planfold.eventstore.envelope import Query, Undecoded
from planfold.eventstore.port import CommandRecord, EventStore
from planfold.eventstore.transfer import (
    CommandRow,
    EventRow,
    Incoming,
    OwnRow,
    Row,
    StreamRow,
    TaskRow,
    Tombstone,
)
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import (
    Backend,
    Contract,
    Counted,
    Noted,
    decision,
    dispatch,
    handle_up_to,
    handled_by,
    rows_of,
)
from testbed.patience import PATIENCE_S

META = '{"correlation_id":"correlation","causation_id":"cause"}'
ENDED = frozenset({"completed", "failed"})


async def all_rows(store: EventStore, ids: Sequence[str] | None = None) -> list[Row]:
    return [row async for page in store.transfer.rows(ids) for row in page]


def counted(version: int, at: float = 100.0) -> EventRow:
    """The row of ``Counted(version)``."""
    return EventRow(version, "Counted", 1, f'{{"number":{version}}}', META, at)


def stream(name: str, version: int, *, created_at: float = 100.0, head: str = "{}") -> StreamRow:
    return StreamRow("note", name, version, head, None, created_at, created_at)


def incoming(row: StreamRow, *own: OwnRow, after: int = 0) -> Incoming:
    """``row`` with its events after ``after``, and ``own`` before them."""
    events = [counted(version) for version in range(after + 1, row.version + 1)]
    return Incoming(row, after, [*own, *events])


class TransferContract(Contract):
    async def test_rows_are_what_is_stored_the_oldest_stream_first(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        await store.append(dispatch(7, 8, to="z", priority=3, head={"n": 1}, due_at=9.5))
        clock.advance(0.25)
        await store.append(
            decision(
                Counted(1),
                to="a",
                stream="other",
                commands=[CommandRecord("c2", "h"), CommandRecord("c1", "h")],
            )
        )
        [lease] = await store.queue.claim("worker", 1)
        await store.append(
            decision(Counted(2), to="a", at=1, stream="other", commands=[CommandRecord("c0", "h")])
        )
        expected: list[Row] = [
            StreamRow("note", "z", 2, '{"n":1}', 9.5, 100.0, 100.0),
            TaskRow(7, 1, "r", 1, lease.epoch, 1, False, "t", 3, started_at=100.25),
            TaskRow(8, 1, "r", 2, 0, 0, False, "t", 3),
            EventRow(1, "Counted", 1, '{"number":7}', META, 100.0),
            EventRow(2, "Counted", 1, '{"number":8}', META, 100.0),
            StreamRow("other", "a", 2, "{}", None, 100.25, 100.25),
            CommandRow("c1", "h", 1, 100.25),
            CommandRow("c2", "h", 1, 100.25),
            CommandRow("c0", "h", 2, 100.25),
            counted(1, 100.25),
            counted(2, 100.25),
        ]
        assert await all_rows(store) == expected
        assert await all_rows(store, ["a", "absent"]) == expected[5:]
        assert await all_rows(store, []) == []
        assert await store.transfer.versions(["a", "z", "absent"]) == {"a": 2, "z": 2}
        assert await store.transfer.owners(["c1", "c9"]) == {"c1": "a"}

    async def test_rows_come_in_pages(self, store: EventStore) -> None:
        for at in range(0, 5_000, 1_000):
            await store.append(decision(*map(Counted, range(at, at + 1_000)), at=at))
        for number in range(300):
            await store.append(decision(Noted("x" * 10_000), to=f"b{number:03}"))
        pages = [page async for page in store.transfer.rows()]
        assert max(map(len, pages)) <= 2_000
        sizes = [sum(len(row.data) for row in page if isinstance(row, EventRow)) for page in pages]
        assert max(sizes) < 3_000_000
        rows = [row for page in pages for row in page]
        versions = [row.version for row in rows[1:] if isinstance(row, EventRow)]
        assert versions == [*range(1, 5_001), *[1] * 300]

    async def test_rows_are_of_one_moment(self, backend: Backend) -> None:
        store = await backend.open()
        other = await backend.open() if backend.shared else store
        for name in "ab":
            await store.append(decision(*map(Counted, range(1_500)), to=name))
        seen: list[Row] = []
        async with aclosing(store.transfer.rows()) as pages:
            async for page in pages:
                if not seen:
                    await other.append(decision(Counted(0), to="b", at=1_500))
                    await other.append(decision(Counted(0), to="c"))
                seen += page
        assert [row.version for row in seen if isinstance(row, StreamRow)] == [1_500, 1_500]
        assert len(seen) == 3_002
        assert len(await all_rows(store)) == 3_005

    async def test_what_is_written_is_read_as_it_was(self, store: EventStore) -> None:
        rows: list[Row] = [
            StreamRow("note", "a", 4, '{"b": 1, "a":2.50}', 7.125, 3.0000001, 4.0),
            CommandRow("c1", "hash", 2, 3.5),
            TaskRow(9, 2, "route", 1, 5, 3, True, "tool", -5, 2.5, 2),
            TaskRow(3, 1, "route", 3, 0, 0, False, limits="api,lock"),
            EventRow(
                1, "Unheard", 7, '{"nul":"\\u0000", "n":123456789012345678901234567890}', "{}", 1.5
            ),
            EventRow(2, "Counted", 1, '{ "number":\n 1 }', META, 2.0000001),
            EventRow(3, "Noted", 1, "no JSON at all ☃ \U0001f680", "nor this", 3.0),
            EventRow(4, "Noted", 1, '{"value":"' + "x" * 2_000_000 + '"}', META, 3.0),
        ]
        await store.transfer.write([Incoming(rows[0], 0, rows[1:])])  # type: ignore[arg-type]
        assert await all_rows(store) == rows
        head = await store.head("a")
        assert head is not None
        assert (head.head, head.due_at) == ({"b": 1, "a": 2.5}, 7.125)
        events = [e.event for e in await store.read(Query())]
        assert isinstance(events[0], Undecoded)
        assert events[1] == Counted(1)
        assert [row.version for row in await store.read(Query(aggregate_id="a"))] == [1, 2, 3, 4]
        assert await rows_of(store) == [9, 3]
        assert await store.find_command("c1") == ("a", "hash")
        assert [due.aggregate_id for due in await store.queue.upcoming(9)] == ["a"]

    async def test_a_written_task_that_is_to_stop_needs_no_place(self, store: EventStore) -> None:
        task = TaskRow(1, 1, "r", 1, 4, 1, True, limits="undeclared")
        await store.transfer.write([incoming(stream("a", 2), task)])
        [lease] = await store.queue.claim("worker", 5)
        assert (lease.cancel, lease.limits) == (True, ())

    async def test_a_written_stream_continues(self, store: EventStore) -> None:
        await store.transfer.write([incoming(stream("a", 2), TaskRow(1, 1, "r", 1, 4, 1, False))])
        [lease] = await store.queue.claim("worker", 5)
        assert (lease.epoch, lease.starts, lease.cause) == (5, 2, "a#1")
        await store.append(decision(Counted(3), at=2))
        assert (await store.load("a")).events == [Counted(1), Counted(2), Counted(3)]

    async def test_a_written_stream_takes_its_turns(self, store: EventStore) -> None:
        tasks = [TaskRow(task, 1, "r", task, 0, 0, False) for task in (1, 2)]
        await store.append(dispatch(1, 2, 3, to="b"))
        await store.transfer.write([incoming(stream("a", 2), *tasks)])
        leases = await store.queue.claim("worker", 9)
        assert [le.aggregate_id for le in leases] == ["b", "a", "b", "a", "b"]

    async def test_a_refusal_leaves_nothing_behind(self, store: EventStore) -> None:
        await store.append(decision(Counted(1), to="there", commands=[CommandRecord("c", "h")]))
        before = await all_rows(store)
        taken = incoming(stream("b", 1), CommandRow("c", "h", 1, 1.0))
        for bad in (
            [incoming(stream("a", 3)), incoming(stream("there", 2))],
            [incoming(stream("a", 3)), incoming(stream("there", 3), after=2)],
            [incoming(stream("a", 3)), incoming(stream("b", 3), after=1)],
            [incoming(stream("a", 3)), taken],
        ):
            with pytest.raises(Conflict):
                await store.transfer.write(bad)
            assert await all_rows(store) == before
        await store.transfer.write([incoming(stream("a", 3))])
        assert await store.version("a") == 3

    async def test_a_fault_while_reading_leaves_nothing_behind(self, store: EventStore) -> None:
        def rows() -> Iterable[OwnRow]:
            yield counted(1)
            raise CorruptLog("the file is gone")

        class Rows:
            def __iter__(self) -> Any:
                return rows()

        with pytest.raises(CorruptLog, match="gone"):
            await store.transfer.write(
                [incoming(stream("b", 1)), Incoming(stream("a", 2), 0, Rows())]
            )
        assert await all_rows(store) == []
        await store.append(decision(Counted(1)))

    async def test_a_stream_is_extended_and_its_queue_replaced(self, store: EventStore) -> None:
        tasks = [TaskRow(task, 1, "r", task, 0, 0, False) for task in (1, 2)]
        await store.transfer.write([incoming(stream("a", 2), *tasks, CommandRow("c", "h", 1, 1.0))])
        for _ in range(3):
            [lease] = await store.queue.claim("worker", 1)
            await store.queue.release("worker", lease, started=True)
        longer = stream("a", 4, head='{"n":4}')
        own = (
            CommandRow("c", "h", 1, 1.0),
            CommandRow("d", "h", 4, 1.0),
            TaskRow(1, 1, "r", 1, 1, 1, False, started_at=5.0),
            TaskRow(3, 1, "r", 4, 0, 0, False),
        )
        await store.transfer.write([incoming(longer, *own, after=2)])
        assert await all_rows(store) == [
            longer,
            *own[:2],
            # what fences off late results is kept
            TaskRow(1, 1, "r", 1, 3, 3, False, started_at=5.0),
            own[3],
            *map(counted, range(1, 5)),
        ]

    async def test_a_stream_that_a_worker_is_at_is_left_alone(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        await store.append(dispatch(1))
        [lease] = await store.queue.claim("worker", 1)
        longer = incoming(stream("a", 2), after=1)
        with pytest.raises(Conflict, match="a worker holds task 1 of a; stop the workers first"):
            await store.transfer.write([longer])
        await store.queue.release("worker", lease, started=True)
        await store.transfer.write([longer])
        assert await rows_of(store) == []

    async def test_who_waits_for_events_gets_what_is_written(self, backend: Backend) -> None:
        store = await backend.open()
        other = await backend.open() if backend.shared else store
        events = other.subscribe(Query())
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await store.transfer.write([incoming(stream("a", 2)), incoming(stream("b", 1))])
        async with asyncio.timeout(PATIENCE_S):
            got = [await first, await anext(events), await anext(events)]
        assert [e.event_id for e in got] == ["a#1", "a#2", "b#1"]
        assert got[0].recorded_at == 100.0
        await events.aclose()  # type: ignore[attr-defined]


class ArchiveContract(Contract):
    @staticmethod
    def tombstone(name: str = "a", version: int = 1) -> Tombstone:
        row = stream(name, version)
        times = (row.created_at, row.updated_at, 200.0)
        return Tombstone("note", name, version, row.head, *times, "/a b/x.jsonl", "sum")

    @staticmethod
    async def end(
        store: EventStore, name: str = "a", status: str = "completed", **more: Any
    ) -> int:
        return await store.append(decision(Counted(1), to=name, head={"status": status}, **more))

    async def archive(self, store: EventStore, name: str = "a", version: int = 1) -> str:
        [reason] = await store.transfer.archive([self.tombstone(name, version)], ENDED)
        return reason

    async def test_an_archived_stream_leaves_a_tombstone(self, store: EventStore) -> None:
        await self.end(store, commands=[CommandRecord("c", "h")])
        await store.checkpoints.save_snapshot("a", 1, b"data")
        await self.end(store, "b")
        last = await store.last_position()
        assert await self.archive(store, "b") == ""
        assert await self.archive(store) == ""
        assert await all_rows(store) == []
        assert (
            await store.head("a"),
            await store.version("a"),
            (await store.load("a")).events,
        ) == (
            None,
            0,
            [],
        )
        assert await store.find_command("c") is None
        assert await store.checkpoints.snapshot("a") is None
        assert await store.last_position() == last
        assert await store.transfer.tombstones(["a", "absent"]) == [self.tombstone()]
        odd = ["a\0", "\ud800"]  # no stream can have such an id
        assert await store.transfer.tombstones([*odd, "a"]) == [self.tombstone()]
        assert await store.transfer.tombstones(odd) == []
        assert await store.transfer.find_tombstones("") == [self.tombstone(), self.tombstone("b")]
        assert await store.transfer.find_tombstones("", limit=1) == [self.tombstone()]
        assert await store.transfer.find_tombstones("a") == [self.tombstone()]
        assert await self.archive(store) == "it is no longer in the database"

    async def test_it_cannot_begin_again(self, store: EventStore) -> None:
        await self.end(store)
        await self.archive(store)
        other = asyncio.ensure_future(store.append(decision(Counted(1), to="b")))
        with pytest.raises(CommandRejected, match=r"was archived; import /a b/x\.jsonl to bring"):
            await store.append(decision(Counted(2), commands=[CommandRecord("c", "h")]))
        with pytest.raises(Conflict):
            await store.append(decision(Counted(2), at=1))
        await other
        assert [
            row.aggregate_id for row in await all_rows(store) if isinstance(row, StreamRow)
        ] == ["b"]

    async def test_it_comes_back_by_being_written(self, store: EventStore) -> None:
        await self.end(store)
        before = await all_rows(store)
        await self.archive(store)
        await store.transfer.write([Incoming(before[0], 0, before[1:])])  # type: ignore[arg-type]
        assert await all_rows(store) == before
        assert await store.transfer.tombstones(["a"]) == []
        await store.append(decision(Counted(2), at=1))

    @pytest.mark.parametrize(
        ("status", "version", "reason"),
        [
            ("running", 1, "it is running"),
            ("", 1, "it is "),
            ("completed", 2, "it has new events"),
        ],
    )
    async def test_what_is_at_work_stays(
        self, store: EventStore, status: str, version: int, reason: str
    ) -> None:
        await self.end(store, status=status)
        await self.end(store, "b")
        before = await all_rows(store)
        tombstones = [self.tombstone("a", version), self.tombstone("b")]
        assert await store.transfer.archive(tombstones, ENDED) == [reason, ""]
        assert await all_rows(store) == [row for row in before if row in before[:2]]
        assert await store.transfer.tombstones(["a"]) == []

    async def test_what_has_tasks_in_the_queue_stays(self, store: EventStore) -> None:
        await store.append(dispatch(1, head={"status": "completed"}))
        assert await self.archive(store) == "it has tasks in the queue"
        assert await rows_of(store) == [1]

    async def test_what_lacks_events_stays(self, backend: Backend) -> None:
        store = await backend.open()
        await store.append(decision(Counted(1), Counted(2), head={"status": "failed"}))
        await backend.lose_event("a", 1)
        assert "its log is damaged" in await self.archive(store, version=2)

    async def test_what_a_consumer_has_not_read_stays(self, store: EventStore) -> None:
        position = await self.end(store)
        await handle_up_to(store, "mail", position)
        await handle_up_to(store, "slow", position - 1)
        assert await self.archive(store) == "consumer 'slow' has not read all of it"
        await handle_up_to(store, "slow", position)
        assert await self.archive(store) == ""
        assert await handled_by(store, "slow") == position  # not beyond the end of the log

    async def test_what_a_consumer_has_put_aside_stays(self, store: EventStore) -> None:
        position = await self.end(store)
        consumers = store.checkpoints.consumers
        [share] = (await consumers.attend("mail", "me", 1, after=0)).shares
        parked = Parked("mail", "a", position, "it failed", 3, 100.0)
        await consumers.advance(share, position, parked=[parked])
        assert await self.archive(store) == "consumer 'mail' has parked it"
        await consumers.advance(share, position, freed=["a"])
        assert await self.archive(store) == ""

    async def test_old_streams_are_found_by_id(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        for name in "dbca":
            await self.end(store, name)
            clock.advance(1)
        await self.end(store, "e", stream="other")
        find = store.transfer.unchanged_since
        found = await find("note", 102.0, after_id="", limit=2)
        assert [(row.aggregate_id, row.updated_at) for row in found] == [("b", 101.0), ("c", 102.0)]
        found = await find("note", 102.0, after_id="c", limit=2)
        assert found == [StreamRow("note", "d", 1, '{"status":"completed"}', None, 100.0, 100.0)]
