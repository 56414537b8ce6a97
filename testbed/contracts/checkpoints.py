"""The store's other tables: stream heads, due times, checkpoints, snapshots."""

from __future__ import annotations

from typing import Any

from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.heads import HeadChoice, key_of
from planfold.eventstore.port import EventStore, StreamHead
from planfold.eventstore.queue import Due
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import Backend, Contract, Counted, decision


class CheckpointsContract(Contract):
    async def test_heads_show_streams_of_one_kind_newest_first(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        for name in ("z", "a", "m"):
            await store.append(decision(Counted(1), to=name, head={"title": name}))
            clock.advance(1)
        await store.append(decision(Counted(1), to="other", stream="other"))
        await store.append(decision(Counted(2), to="a", at=1, head={"title": "A"}, due_at=7.0))
        assert await store.heads("note") == [
            StreamHead("note", "m", 1, {"title": "m"}, 102.0, 102.0),
            StreamHead("note", "a", 2, {"title": "A"}, 101.0, 103.0, 7.0),
            StreamHead("note", "z", 1, {"title": "z"}, 100.0, 100.0),
        ]
        assert await store.head("a") == (await store.heads("note"))[1]
        assert await store.head("absent") is None
        assert await store.heads("absent") == []

    async def test_pages_of_heads_have_each_stream_once(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        statuses = ("open", "done", "failed")
        for number in range(12):
            head = {"status": statuses[number % 3], "title": '"status":"done"'}
            await store.append(decision(Counted(1), to=f"n{number % 5}-{number}", head=head))
            clock.advance(number % 2)  # two and two of the same age
        await store.append(decision(Counted(1), to="odd", head={}))
        await store.append(
            decision(Counted(1), to="other", stream="other", head={"status": "open"})
        )
        everything = await store.heads("note")
        assert [key_of(head) for head in everything] == sorted(map(key_of, everything))[::-1]
        assert len(everything) == 13
        for wanted in ((), ("open",), ("done", "failed"), ("absent",), ("odd", *statuses)):
            matching = [h for h in everything if not wanted or h.head.get("status") in wanted]
            for size in (1, 2, 5, 100):
                found: list[StreamHead] = []
                choice = HeadChoice(wanted)
                while page := await store.heads("note", choice, limit=size):
                    found += page
                    choice = HeadChoice(wanted, below=key_of(page[-1]))
                assert found == matching, (wanted, size)
            late = HeadChoice(wanted, since=102.0, below=(104.0, ""))
            expected = [h for h in matching if 102.0 <= h.created_at < 104.0]
            assert await store.heads("note", late) == expected

    async def test_a_stream_leaves_the_list_of_a_status_with_the_status(
        self, store: EventStore
    ) -> None:
        await store.append(decision(Counted(1), head={"status": "open"}))
        assert [h.version for h in await store.heads("note", HeadChoice(("open",)))] == [1]
        await store.append(decision(Counted(1), at=1, head={"status": "done"}))
        assert await store.heads("note", HeadChoice(("open",))) == []
        assert [h.version for h in await store.heads("note", HeadChoice(("done",)))] == [2]

    async def test_heads_of_tags(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        every = {"a": 2, "ab": 3, "team/x": 5}
        for number in range(40):
            tags = [name for name, nth in every.items() if number % nth == 0]
            head: dict[str, Any] = {"title": '"tags":["a"]', "status": ("open", "done")[number % 2]}
            head |= {"tags": tags} if tags else {}
            head |= {"project": "red"} if number % 4 == 0 else {}
            await store.append(decision(Counted(1), to=f"n{number % 7}-{number}", head=head))
            clock.advance(number % 2)
        everything = await store.heads("note")
        for wanted in (("a",), ("ab", "a"), ("team/x", "ab", "a"), ("b",), ("a", "absent")):
            for statuses, projects in (((), ()), (("open",), ()), ((), ("red",))):
                named = [
                    h
                    for h in everything
                    if {*wanted} <= {*h.head.get("tags", ())}
                    and h.head["status"] in (statuses or ("open", "done"))
                    and h.head.get("project", "default") in (projects or ("default", "red"))
                ]
                found: list[StreamHead] = []
                choice = HeadChoice(statuses, projects=projects, tags=wanted)
                while page := await store.heads("note", choice, limit=3):
                    found += page
                    below = key_of(page[-1])
                    choice = HeadChoice(statuses, below=below, projects=projects, tags=wanted)
                assert found == named

    async def test_heads_of_projects(self, backend: Backend) -> None:
        clock = ManualClock(100.0)
        store = await backend.open(clock=clock)
        projects = ("default", "red", "blue")
        for number in range(12):
            project = projects[number % 3]
            head = {"status": ("open", "done")[number % 2], "title": '"project":"red"'}
            head |= {"project": project} if project != "default" else {}
            await store.append(decision(Counted(1), to=f"n{number % 5}-{number}", head=head))
            clock.advance(number % 2)
        everything = await store.heads("note")
        for wanted in (("red",), ("default", "blue"), ("absent",), ("a", "' OR 1", *projects)):
            for status in ((), ("open",), ("open", "done"), ("absent",)):
                matching = [
                    h
                    for h in everything
                    if h.head.get("project", "default") in wanted
                    and (not status or h.head["status"] in status)
                ]
                found: list[StreamHead] = []
                choice = HeadChoice(status, projects=wanted)
                while page := await store.heads("note", choice, limit=2):
                    found += page
                    choice = HeadChoice(status, below=key_of(page[-1]), projects=wanted)
                assert found == matching, (wanted, status)
            named = [h for h in everything if h.head.get("project", "default") in wanted]
            by_id = sorted(h.aggregate_id for h in named if h.aggregate_id.startswith("n1"))
            heads = await store.find_heads("note", "n1", limit=2, projects=wanted)
            assert [h.aggregate_id for h in heads] == by_id[:2]

    async def test_heads_are_found_by_the_beginning_of_an_id(self, store: EventStore) -> None:
        for name in ("plan-a1", "plan-a2", "plan-b", "plan", "PLAN-a3", "plan-\U0010fffe"):
            await store.append(decision(Counted(1), to=name))
        await store.append(decision(Counted(1), to="plan-a4", stream="other"))

        async def found(beginning: str, limit: int = 10) -> list[str]:
            heads = await store.find_heads("note", beginning, limit=limit)
            return [head.aggregate_id for head in heads]

        assert await found("plan-a") == ["plan-a1", "plan-a2"]
        assert await found("plan-a", 1) == ["plan-a1"]
        assert await found("plan-\U0010fffe") == ["plan-\U0010fffe"]
        assert len(await found("plan")) == 5
        assert await found("pl%") == []
        for none in ("x", "\0", "\ud800", "plan-a11"):
            assert await found(none) == []

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
        await store.append(decision(*map(Counted, range(6))))
        assert await kept.snapshot("a") is None
        for version, data in ((3, b"\0\xff three"), (5, b"five")):
            await kept.save_snapshot("a", version, data)
            assert await kept.snapshot("a") == (version, data)
        await kept.save_snapshot("a", 7, b"of a log before it was restored from a backup")
        assert await kept.snapshot("a") is None
        await kept.save_snapshot("b", 1, b"without a stream")
        assert await kept.snapshot("b") is None
        await kept.save_snapshot("a", 6, b"six")
        assert await kept.snapshot("a") == (6, b"six")
        await kept.save_snapshot("a", 6, None)
        assert await kept.snapshot("a") is None

    async def test_a_read_model_is_kept_with_its_checkpoint(self, store: EventStore) -> None:
        kept, other = store.checkpoints, Checkpoint("another-store", 7, 3)
        assert await kept.read_model("a") is None
        for checkpoint, data in ((Checkpoint(store.store_id, 1, 9), b"\0\xff"), (other, b"x")):
            await kept.save_read_model("a", checkpoint, data)
            assert await kept.read_model("a") == (checkpoint, data)
        assert await kept.read_model("b") is None
        assert await kept.times_forgotten() == 0
        for times in (1, 2):
            await kept.forget_read_models()
            assert await kept.read_model("a") is None
            assert await kept.times_forgotten() == times

    async def test_a_damaged_read_model_is_as_good_as_none(self, backend: Backend) -> None:
        store = await backend.open()
        checkpoint = Checkpoint(store.store_id, 1, 3)
        await store.checkpoints.save_read_model("a", checkpoint, b"three")
        await backend.damage_read_model("a")
        assert await store.checkpoints.read_model("a") is None
        await store.checkpoints.save_read_model("a", checkpoint, b"four")
        assert await store.checkpoints.read_model("a") == (checkpoint, b"four")

    async def test_a_damaged_snapshot_is_as_good_as_none(self, backend: Backend) -> None:
        store = await backend.open()
        await store.append(decision(*map(Counted, range(4))))
        await store.checkpoints.save_snapshot("a", 3, b"three")
        await backend.damage_snapshot("a")
        assert await store.checkpoints.snapshot("a") is None
        await store.checkpoints.save_snapshot("a", 4, b"four")
        assert await store.checkpoints.snapshot("a") == (4, b"four")
