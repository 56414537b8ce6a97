"""The one door for commands: batches, causes, idempotence, conflicts, and bad company."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planfold.backends.sqlite import stream_lock
from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import CommandRejected, Conflict, CorruptLog, LeaseLost, NotFound, Transient
from planfold.eventstore.codec import Codec, event_types
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import Append, Fence, WorkerRecord
from planfold.handler import Enqueue, Handler, Metadata, Outlook
from planfold.runtime import mailbox as mailbox_module
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.commit import Commit
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.letter import Letter
from planfold.runtime.mailbox import Mailbox
from testbed.patience import PATIENCE_S

LIMIT = 1_000


class Add(msgspec.Struct, frozen=True):
    number: int
    note: str = ""


class RoundUp(msgspec.Struct, frozen=True):
    pass


class Added(msgspec.Struct, frozen=True):
    number: int
    note: str = ""


class Tally(Handler[Add | RoundUp, Added]):
    """Adds up to a limit; a sum that ends in 5 is rounded up automatically."""

    def __init__(self) -> None:
        self.total = 0
        self.phase: Any = "active"

    def process(self, command: Add | RoundUp) -> list[Added]:
        if isinstance(command, RoundUp):
            return [Added(5, "rounded")]
        if command.note == "fault":
            raise ZeroDivisionError("a fault of the handler")
        if self.total + command.number > LIMIT:
            raise CommandRejected("too much")
        return [Added(command.number, command.note)] if command.number else []

    def apply(self, event: Added) -> None:
        self.total += event.number
        self.phase = event.note if event.note in ("waiting", "ended") else "active"

    def outlook(self, events: Sequence[Added] = (), now: float = 0.0) -> Outlook[RoundUp]:
        return Outlook(
            RoundUp() if self.total % 10 == 5 else None,
            queue=[(i, Enqueue(1, 1, "r")) for i, e in enumerate(events) if e.note == "enqueue"],
            head={"total": self.total},
            phase=self.phase,
        )

    def snapshot(self) -> bytes:
        return b"%d" % self.total

    @classmethod
    def restore(cls, snapshot: bytes) -> Tally:
        tally = cls()
        tally.total = int(snapshot)
        return tally


TALLY = Aggregate("tally", Tally, (Added,))
Until = Callable[[Callable[[], object]], Awaitable[None]]
OTHER = Aggregate("other", Tally, (Added,))


class Bench:
    """Two processes' worth of stores and dispatchers on one file."""

    def __init__(self, path: Path) -> None:
        self.commits: list[Append] = []
        self.stores = [SqliteStore.open(str(path), Codec(event_types([Added]))) for _ in range(2)]
        self.here, self.there = (Dispatcher(store) for store in self.stores)
        self.store = self.stores[0]
        append = self.store.append

        def observed(decision: Append) -> asyncio.Future[int]:
            self.commits.append(decision)
            return append(decision)

        self.store.append = observed  # type: ignore[method-assign]

    async def add(self, number: int, note: str = "", **options: Any) -> list[Any]:
        return await self.here.send(TALLY, "t", Add(number, note), **options)

    async def add_there(self, number: int) -> list[Any]:
        return await self.there.send(TALLY, "t", Add(number))

    async def all(self, *sends: Any) -> list[Any]:
        return await asyncio.gather(*sends, return_exceptions=True)

    async def total(self) -> int:
        tally = await self.here.view(TALLY, "t")
        assert isinstance(tally, Tally)
        return tally.total

    async def log(self) -> list[Envelope]:
        return await self.store.read(Query(aggregate_id="t"))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "plans.db")
    yield bench
    for store in bench.stores:
        await store.close()


# --- batches -----------------------------------------------------------------------------------


async def test_a_command_for_a_new_stream_reads_nothing_before_it(bench: Bench) -> None:
    def unexpected(*_: object) -> Any:
        raise AssertionError("it looks for a stream that cannot be there")

    load, bench.store.load = bench.store.load, unexpected  # type: ignore[method-assign]
    assert await bench.add(4, expected_version=0) == [Added(4)]
    bench.store.load = load  # type: ignore[method-assign]
    await bench.add_there(3)
    await bench.add(2)
    assert [e.event.number for e in await bench.log()] == [4, 3, 2]


@pytest.mark.parametrize("number", [4, LIMIT + 1, 0], ids=["events", "refused", "no events"])
async def test_a_command_for_a_new_stream_is_refused_where_there_is_one(
    bench: Bench, number: int
) -> None:
    await bench.add_there(1)
    with pytest.raises(Conflict, match="at version 1, not 0"):
        await bench.add(number, expected_version=0)
    assert await bench.total() == 1


async def test_commands_that_wait_are_decided_in_order_and_committed_together(
    bench: Bench,
) -> None:
    answers = await bench.all(*(bench.add(2) for _ in range(50)))
    assert answers == [[Added(2)]] * 50
    assert [len(commit.events) for commit in bench.commits] == [50]
    assert [e.version for e in await bench.log()] == list(range(1, 51))
    assert (await bench.store.heads("tally"))[0].head == {"total": 100}


async def test_a_command_sees_what_those_before_it_led_to(bench: Bench) -> None:
    answers = await bench.all(*(bench.add(600) for _ in range(3)))
    assert answers[0] == [Added(600)]
    assert all(isinstance(answer, CommandRejected) for answer in answers[1:])
    assert await bench.total() == 600


async def test_a_refusal_that_rests_on_what_was_never_written_is_taken_back(bench: Bench) -> None:
    bad, good = await bench.all(bench.add(600, "\ud800"), bench.add(700))
    assert isinstance(bad, ValueError)
    assert good == [Added(700)]
    assert await bench.total() == 700


@pytest.mark.parametrize("note", ["fault", "\ud800"])
async def test_a_bad_command_does_not_take_others_along(bench: Bench, note: str) -> None:
    answers = await bench.all(bench.add(1), bench.add(2, note), bench.add(3), bench.add(4))
    assert [isinstance(answer, list) for answer in answers] == [True, False, True, True]
    assert isinstance(answers[1], ZeroDivisionError if note == "fault" else ValueError)
    assert await bench.total() == 8
    assert await bench.add(1) == [Added(1)]


async def test_a_command_that_changes_nothing_writes_nothing(bench: Bench) -> None:
    assert await bench.add(0) == []
    assert bench.commits == []
    with pytest.raises(NotFound):
        await bench.here.view(TALLY, "t")


async def test_a_look_waits_for_what_is_being_committed(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.here.view(TALLY, "t")
    sent = asyncio.ensure_future(bench.add(1))
    await asyncio.sleep(0)
    assert await bench.total() == 1
    assert await sent == [Added(1)]


@pytest.mark.parametrize("now", [True, False])
async def test_a_look_sees_nothing_that_is_decided_while_it_wakes(bench: Bench, now: bool) -> None:
    """A report comes, or the turn of another stream, between a commit and the reader of it."""
    loop, gate, append = asyncio.get_running_loop(), asyncio.Event(), bench.store.append
    letter, other = (Letter(Add(2), answer=loop.create_future()) for _ in range(2))

    async def late(decision: Append) -> int:
        await gate.wait()
        return await append(decision)

    def committed(_: Commit) -> None:
        bench.here._on_commit = None
        bench.store.append = lambda one: asyncio.ensure_future(late(one))  # type: ignore[method-assign]
        if now:
            loop.call_soon(partial(bench.here.post, TALLY, "t", letter, now=True))
        else:
            bench.here.post(TALLY, "t", letter)
            bench.here.post(OTHER, "o", other)

    bench.here._on_commit = committed
    sent = asyncio.ensure_future(bench.add(1))
    await asyncio.sleep(0)
    assert await bench.total() == 1
    gate.set()
    assert await asyncio.gather(sent, letter.answer) == [[Added(1)], [Added(2)]]
    assert await bench.total() == 3


async def test_streams_that_come_in_all_the_time_keep_no_answer_back(bench: Bench) -> None:
    await bench.add(1)
    written = bench.store.wakeup.ticket("t")
    sent = asyncio.ensure_future(bench.add(1))
    others, seen = [], None
    for number in range(200):  # in every turn of the event loop one more
        others.append(asyncio.ensure_future(bench.here.send(TALLY, f"o{number}", Add(1))))
        await asyncio.sleep(0)
        if written.is_set():
            # Those who wait for a status look now, and are not woken again.
            settled = bench.here.settled(TALLY, "t")
            total = settled.total if isinstance(settled, Tally) else await in_log(bench)
            seen = seen or {"total": total}
        if sent.done():
            break
    assert await sent == [Added(1)]
    assert seen == {"total": 2}
    assert number < 100
    await asyncio.gather(*others)


async def in_log(bench: Bench) -> int:
    head = await bench.store.head("t")
    assert head is not None
    total: int = head.head["total"]
    return total


async def test_nothing_is_settled_while_a_commit_is_in_progress(bench: Bench) -> None:
    def settled() -> int | None:
        tally = bench.here.settled(TALLY, "t")
        return tally.total if isinstance(tally, Tally) else None

    await bench.add(1)
    assert settled() == 1
    sent = asyncio.ensure_future(bench.add(1))
    await asyncio.sleep(0)
    assert settled() is None
    await sent
    assert settled() == 2


async def test_refused_commands_are_not_kept(bench: Bench) -> None:
    for _ in range(20):
        with pytest.raises(CommandRejected):
            await bench.add(LIMIT + 1)
    gc.collect()
    kept = [found for found in gc.get_objects() if isinstance(found, CommandRejected)]
    assert len(kept) < 10


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_stream_is_of_one_kind(bench: Bench, where: str) -> None:
    await bench.add(1)
    dispatcher = getattr(bench, where)
    with pytest.raises(CommandRejected, match="'t' is a stream of the kind 'tally', not 'other'"):
        await dispatcher.send(OTHER, "t", Add(5))
    with pytest.raises(CommandRejected, match="'t' is a stream of the kind 'tally', not 'other'"):
        await dispatcher.view(OTHER, "t")
    assert await dispatcher.send(OTHER, "another", Add(5, "x")) != []
    assert await bench.add(2) == [Added(2)]
    assert {e.stream_id for e in await bench.log()} == {"tally"}


async def test_of_two_kinds_that_begin_one_stream_one_is_refused(bench: Bench) -> None:
    results = await bench.all(
        bench.add(1), bench.here.send(OTHER, "t", Add(2)), bench.there.send(OTHER, "t", Add(3))
    )
    assert results[0] == [Added(1)]
    assert [type(result) for result in results[1:]] == [CommandRejected, CommandRejected]
    assert [e.event for e in await bench.log()] == [Added(1)]


async def test_a_sender_that_goes_away_does_not_stop_its_command(bench: Bench) -> None:
    gone = asyncio.ensure_future(bench.add(1))
    stays = asyncio.ensure_future(bench.add(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == [Added(2)]
    assert await bench.total() == 3


# --- where things come from --------------------------------------------------------------------


async def test_causes_are_filled_in_along_the_whole_chain(bench: Bench) -> None:
    await bench.add(15, command_id="first", correlation_id="request", extra={"by": "me"})
    await bench.add(1, command_id="second")
    about = [e.metadata for e in await bench.log()]
    assert about == [
        Metadata("request", "first", {"by": "me"}, command={"Add": {"number": 15, "note": ""}}),
        Metadata("request", "t#1/RoundUp"),
        Metadata("request", "second", command={"Add": {"number": 1, "note": ""}}),
    ]


async def test_the_correlation_is_known_to_other_processes(bench: Bench) -> None:
    await bench.add(1, correlation_id="request")
    await bench.there.send(TALLY, "t", Add(2), command_id="c")
    assert (await bench.log())[-1].metadata.correlation_id == "request"


async def test_a_stream_correlates_by_its_own_name_when_nothing_else_was_said(
    bench: Bench,
) -> None:
    await bench.add(5)
    assert {e.metadata.correlation_id for e in await bench.log()} == {"t"}


# --- sending again -----------------------------------------------------------------------------


async def test_a_command_id_is_honoured_once(bench: Bench) -> None:
    assert await bench.add(7, command_id="c", idempotent=True) == [Added(7)]
    assert await bench.add(7, command_id="c", idempotent=True) == []
    assert await bench.there.send(TALLY, "t", Add(7), command_id="c", idempotent=True) == []
    assert await bench.total() == 7


async def test_a_command_id_is_honoured_once_within_a_batch(bench: Bench) -> None:
    answers = await bench.all(
        *(bench.add(7, command_id="c", idempotent=True) for _ in range(3)), bench.add(1)
    )
    assert answers == [[Added(7)], [], [], [Added(1)]]


async def test_a_command_id_is_honoured_once_by_two_processes_at_once(bench: Bench) -> None:
    answers = await bench.all(
        bench.add(7, command_id="c", idempotent=True),
        bench.there.send(TALLY, "t", Add(7), command_id="c", idempotent=True),
    )
    assert sorted(answers, key=len) == [[], [Added(7)]]
    assert await bench.total() == 7


@pytest.mark.parametrize(("to", "number"), [("t", 8), ("u", 7)])
async def test_a_command_id_stands_for_one_command(bench: Bench, to: str, number: int) -> None:
    await bench.add(7, command_id="c", idempotent=True)
    with pytest.raises(Conflict, match="another command"):
        await bench.here.send(TALLY, to, Add(number), command_id="c", idempotent=True)


async def test_a_refused_command_may_be_sent_again(bench: Bench) -> None:
    with pytest.raises(CommandRejected):
        await bench.add(LIMIT + 1, command_id="c", idempotent=True)
    assert await bench.add(1, command_id="c", idempotent=True) == [Added(1)]


# --- others were first -------------------------------------------------------------------------


async def test_what_another_process_wrote_in_between_is_taken_into_account(bench: Bench) -> None:
    answers = await bench.all(bench.add(600), bench.add_there(600))
    assert [isinstance(a, CommandRejected) for a in answers].count(True) == 1
    assert await bench.total() == 600


async def test_two_processes_that_write_all_the_time_lose_nothing(bench: Bench) -> None:
    async def add_many(add: Any) -> None:
        for _ in range(40):
            await add(2)

    await asyncio.gather(*(add_many(a) for a in (bench.add, bench.add_there) * 3))
    assert await bench.total() == 480
    assert [e.version for e in await bench.log()] == list(range(1, 241))


async def test_a_view_follows_other_processes(bench: Bench) -> None:
    await bench.add(1)
    for number in range(1, 5):
        await bench.add_there(number)
        await bench.here.send(TALLY, "elsewhere", Add(1))  # a transaction notices them
    assert await bench.total() == 11


async def test_a_result_without_a_lease_is_refused_to_its_sender_only(bench: Bench) -> None:
    await bench.add(1, "enqueue")
    (lease,) = await bench.store.queue.claim("me", 1)
    good, lost, plain, late = await bench.all(
        bench.add(2, fence=Fence(1, 1, lease.epoch)),
        bench.add(100, fence=Fence(1, 1, lease.epoch - 1)),
        bench.add(4),
        bench.add(200, fence=Fence(9, 1, 1)),
    )
    assert (good, plain) == ([Added(2)], [Added(4)])
    assert isinstance(lost, LeaseLost)
    assert isinstance(late, LeaseLost)
    assert await bench.total() == 7


async def test_a_full_disk_fails_the_batch_and_nothing_is_remembered(bench: Bench) -> None:
    await bench.add(1)
    append = bench.store.append

    def full(_: Append) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_exception(Transient("the disk is full"))
        return future

    bench.store.append = full  # type: ignore[method-assign]
    answers = await bench.all(bench.add(600), bench.add(600), bench.add(2))
    assert all(isinstance(answer, Transient) for answer in answers)
    bench.store.append = append  # type: ignore[method-assign]
    assert await bench.total() == 1
    assert await bench.add(600) == [Added(600)]


async def test_a_damaged_stream_is_refused_instead_of_tried_for_ever(bench: Bench) -> None:
    await bench.add(1)
    bench.stores[1]._writer.connection.execute("UPDATE streams SET version = 5")
    with pytest.raises(CorruptLog):
        async with asyncio.timeout(PATIENCE_S):
            await bench.add(1)


# --- snapshots ---------------------------------------------------------------------------------


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "SNAPSHOT_EVERY", 10)


@pytest.mark.usefixtures("often")
async def test_a_long_stream_is_resumed_from_its_snapshot(bench: Bench, until: Until) -> None:
    for _ in range(14):
        await bench.add(2)

    async def saved() -> bool:
        return await bench.store.checkpoints.snapshot("t") == (10, b"20")

    await until(saved)
    loads: list[int] = []
    load = bench.stores[1].load

    async def observed(aggregate_id: str, *, after_version: int = 0, **rest: Any) -> list[Any]:
        loads.append(after_version)
        return await load(aggregate_id, after_version=after_version, **rest)

    bench.stores[1].load = observed  # type: ignore[method-assign]
    assert await bench.add_there(2) == [Added(2)]
    assert loads == [10]
    assert await bench.total() == 30


async def test_after_a_conflict_a_stream_is_not_folded_from_its_beginning_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "KEEP_EVERY", 10)
    loads: list[int] = []
    for store in bench.stores:

        async def observed(
            aggregate_id: str, *, after_version: int = 0, load: Any = store.load, **rest: Any
        ) -> Any:
            loads.append(after_version)
            return await load(aggregate_id, after_version=after_version, **rest)

        monkeypatch.setattr(store, "load", observed)
        monkeypatch.setattr(store, "generation", lambda *_: 0)  # as if it did not know
    for _ in range(30):
        await bench.add(2)
        await bench.add_there(2)
    assert await bench.total() == 120
    # At first there is nothing to go back to: once, and while fewer than ten events are there.
    assert loads.count(0) <= 2 * (1 + 5 + 1)
    assert [e.version for e in await bench.log()] == list(range(1, 61))


async def test_processes_that_write_to_one_stream_take_turns_after_a_conflict(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_lock, "WAIT_S", PATIENCE_S)
    await bench.store.queue.enter(WorkerRecord("worker"))  # makes the folder of the lock
    for store in bench.stores:
        monkeypatch.setattr(store, "generation", lambda *_: 0)  # as if it did not know
    lost: list[int] = []  # how many of the two knew that the other one writes

    def observed(mailbox: Mailbox, commit: Commit, fault: BaseException | None, sent: Any) -> None:
        if fault is not None:
            both = [each._mailboxes["tally", "t"] for each in (bench.here, bench.there)]
            lost.append(sum(mailbox.wary > 0 for mailbox in both))
        sent(mailbox, commit, fault)

    for each in (bench.here, bench.there):
        monkeypatch.setattr(each._outbox, "_sent", partial(observed, sent=each._sent))

    async def add(send: Callable[[int], Awaitable[Any]]) -> None:
        for _ in range(40):
            await send(2)

    await asyncio.gather(add(bench.add), add(bench.add_there))
    assert await bench.total() == 160
    assert lost
    assert lost.count(2) <= 2  # what each had sent before it knew


@pytest.mark.parametrize(("note", "saved"), [("", None), ("waiting", 4), ("ended", None)])
async def test_a_stream_that_waits_is_saved_sooner(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, until: Until, note: str, saved: int | None
) -> None:
    monkeypatch.setattr(mailbox_module, "SNAPSHOT_AT_REST", 4)
    for _ in range(3):
        await bench.add(2, note)
    await bench.add(2, note)
    if saved:
        await until(lambda: bench.store.checkpoints.snapshot("t"))
    await bench.here.save_snapshots()
    kept = await bench.store.checkpoints.snapshot("t")
    assert kept == (None if note == "ended" else (4, b"8"))


async def test_what_was_saved_at_rest_is_saved_again_when_it_has_grown_by_a_quarter(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "SNAPSHOT_AT_REST", 1)
    versions = []
    for number in range(1, 14):
        await bench.add(2)
        await bench.here.save_snapshots()
        kept = await bench.store.checkpoints.snapshot("t")
        assert kept is not None
        assert kept[1] == b"%d" % (2 * kept[0])
        versions.append(kept[0] - number)
    assert versions == [0, 0, 0, 0, 0, -1, 0, -1, 0, -1, -2, 0, -1]


async def test_a_snapshot_that_cannot_be_saved_is_no_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "SNAPSHOT_AT_REST", 1)

    async def full(*_: object) -> None:
        raise Transient("the disk is full")

    monkeypatch.setattr(bench.store.checkpoints, "save_snapshot", full)
    await bench.add(2)
    await bench.here.save_snapshots()
    assert await bench.total() == 2


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("data", [b"not a number", b"", b"\xff", None])
async def test_a_snapshot_that_does_not_fit_is_rebuilt_from_the_log(
    bench: Bench, data: bytes | None, until: Until
) -> None:
    for _ in range(12):
        await bench.add(2)
    await until(lambda: bench.store.checkpoints.snapshot("t"))
    if data is None:  # it is ahead of a log that was restored from a backup
        await bench.store.checkpoints.save_snapshot("t", 99, b"999")
    else:
        await bench.store.checkpoints.save_snapshot("t", 10, data)
    tally = await bench.there.view(TALLY, "t")
    assert isinstance(tally, Tally)
    assert tally.total == 24


async def test_a_reader_is_woken_where_what_it_waited_for_could_not_be_decided(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.add(1)
    await bench.add_there(1)  # so that the next decision reads the log

    async def away(*_: Any, **__: Any) -> Any:
        raise Transient("away")

    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "load", away)
        sent = asyncio.ensure_future(bench.add(1))
        await asyncio.sleep(0)
        look = asyncio.ensure_future(bench.here.view(TALLY, "t"))
        found = await bench.all(sent, look)
    assert [type(fault) for fault in found] == [Transient, Transient]
    assert await bench.total() == 2


async def test_a_decision_whose_look_into_the_log_is_cancelled_fails(bench: Bench) -> None:
    await bench.add(1)
    await bench.add_there(1)
    look_up, reading = bench.store.load, asyncio.Event()

    async def slow(*given: Any, **options: Any) -> Any:
        reading.set()
        await asyncio.Event().wait()

    bench.store.load = slow  # type: ignore[method-assign,assignment]
    sent = asyncio.ensure_future(bench.add(1))
    await reading.wait()
    bench.store.load = look_up  # type: ignore[method-assign]
    for lookup in bench.here._lookups._running:
        lookup.cancel()
    with pytest.raises(Transient, match="send the command again"):
        await sent
    await bench.add(1)
    assert await bench.total() == 3


async def test_the_correlation_id_of_a_stream_is_that_of_its_first_event(bench: Bench) -> None:
    append, conflicts = bench.store.append, [1]

    async def first_there(decision: Append) -> int:
        if conflicts:
            conflicts.pop()
            await bench.there.send(TALLY, "t", Add(1), correlation_id="two")
        return await append(decision)

    bench.store.append = first_there  # type: ignore[method-assign,assignment]
    await bench.add(1, correlation_id="one")
    await bench.add(1)
    assert [e.metadata.correlation_id for e in await bench.log()] == ["two", "one", "two"]


async def test_a_snapshot_that_fails_keeps_no_commit_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Tally) -> bytes:
        raise ValueError("no snapshot of this")

    monkeypatch.setattr(mailbox_module, "SNAPSHOT_EVERY", 1)
    monkeypatch.setattr(Tally, "snapshot", fails)
    assert await bench.all(*(bench.add(1) for _ in range(3))) == [[Added(1)]] * 3
