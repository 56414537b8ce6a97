"""The store's other tables: stream heads, due times, checkpoints, snapshots."""

from __future__ import annotations

from typing import Any

from planfold.eventstore.port import EventStore, StreamHead
from planfold.eventstore.queue import Due
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import Backend, Contract, Counted, decision


class CheckpointsContract(Contract):
    async def test_heads_show_streams_of_one_kind_oldest_first(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        for name in ("z", "a", "m"):
            await store.append(decision(Counted(1), to=name, head={"title": name}))
            clock.advance(1)
        await store.append(decision(Counted(1), to="other", stream="other"))
        await store.append(decision(Counted(2), to="a", at=1, head={"title": "A"}, due_at=7.0))
        assert await store.heads("note") == [
            StreamHead("note", "z", 1, {"title": "z"}, 100.0, 100.0),
            StreamHead("note", "a", 2, {"title": "A"}, 101.0, 103.0, 7.0),
            StreamHead("note", "m", 1, {"title": "m"}, 102.0, 102.0),
        ]
        assert await store.head("a") == (await store.heads("note"))[1]
        assert await store.head("absent") is None
        assert await store.heads("absent") == []

    async def test_heads_are_read_a_page_at_a_time_newest_first(self, backend: Backend) -> None:
        store = await backend.open()
        for number in range(7):
            parity = "odd" if number % 2 else "even"
            made = decision(
                Counted(number),
                to=f"n{number // 2}{number}",
                head={"status": parity, "questions": number // 5},
            )
            await store.append(made)
        await store.append(decision(Counted(9), to="x", stream="other"))
        newest_first = (await store.heads("note"))[::-1]
        for status in (None, "odd", "even", "absent"):
            wanted = [h for h in newest_first if status in (None, h.head["status"])]
            found, before = [], None
            while page := await store.heads_page("note", limit=2, before=before, status=status):
                assert len(page) <= 2
                found += page
                before = (page[-1].created_at, page[-1].aggregate_id)
            assert found == wanted, status
        asking = await store.heads_page("note", limit=9, asking=True)
        assert asking == newest_first[:2]

    async def test_streams_that_wait_come_the_earliest_first(self, store: EventStore) -> None:
        for name, at in (("late", 3.0), ("never", None), ("soon", 9.0), ("first", 1.0)):
            await store.append(decision(Counted(1), to=name, due_at=at))
        await store.append(decision(Counted(1), to="foreign", stream="other", due_at=2.0))

        async def names(limit: int = 9, **which: Any) -> list[str]:
            return [due.aggregate_id for due in await store.queue.upcoming(limit, **which)]

        assert await names() == ["first", "foreign", "late", "soon"]
        assert await names(2) == ["first", "foreign"]
        assert await names(stream_ids=["note"]) == ["first", "late", "soon"]
        assert await names(stream_ids=["note", "other"], limit=2) == ["first", "foreign"]
        assert await names(stream_ids=[]) == []
        assert await names(aggregate_id="late") == ["late"]
        assert await names(aggregate_id="late", stream_ids=["other"]) == []
        assert await names(aggregate_id="never") == []

    async def test_a_due_time_moves_with_the_next_decision(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        await store.append(decision(Counted(1), due_at=1.0))
        clock.advance(10)
        await store.append(decision(Counted(2), at=1, due_at=5.0))
        assert await store.queue.upcoming(9) == [Due("note", "a", 5.0, 110.0)]
        await store.append(decision(Counted(3), at=2))
        assert await store.queue.upcoming(9) == []

    async def test_a_store_has_an_identity_that_lasts(self, backend: Backend) -> None:
        store = await backend.open()
        assert len(store.store_id) >= 12
        if backend.shared:
            assert (await backend.open()).store_id == store.store_id

    async def test_a_snapshot_is_kept_until_a_newer_one_or_none(self, store: EventStore) -> None:
        kept = store.checkpoints
        assert await kept.snapshot("a") is None
        for version, data in ((3, b"\0\xff three"), (5, b"five")):
            await kept.save_snapshot("a", version, data)
            assert await kept.snapshot("a") == (version, data)
        assert await kept.snapshot("b") is None
        await kept.save_snapshot("a", 6, None)
        assert await kept.snapshot("a") is None

    async def test_a_damaged_snapshot_is_as_good_as_none(self, backend: Backend) -> None:
        store = await backend.open()
        await store.checkpoints.save_snapshot("a", 3, b"three")
        await backend.damage_snapshot("a")
        assert await store.checkpoints.snapshot("a") is None
        await store.checkpoints.save_snapshot("a", 4, b"four")
        assert await store.checkpoints.snapshot("a") == (4, b"four")
