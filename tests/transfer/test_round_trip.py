"""Export and import: what comes out is what went in, through any store."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from histories import (
    METADATA,
    History,
    body,
    counts,
    exported,
    fill,
    histories,
    imported,
    open_sqlite,
    rows_of,
    stream,
)
from hypothesis import given, settings

from planfold.backends.postgres.store import PostgresStore
from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import Conflict, CorruptLog
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import EventRow, Incoming, StreamRow, TaskRow
from testbed.contracts.backend import CODEC, Counted, decision, dispatch

HERE = Path(__file__).parent


# --- SQLite -> PostgreSQL -> SQLite -------------------------------------------------------------


async def _round_trip(history: History, folder: Path, address: str) -> None:
    postgres = await PostgresStore.open(address, CODEC)
    first, last = open_sqlite(":memory:"), open_sqlite(":memory:")
    try:
        await fill(first, history)
        data = await exported(first)
        await imported(postgres, data, folder / "a.jsonl")
        ids = [row.aggregate_id for row, _ in history]
        through = await exported(postgres, ids)
        await imported(last, through, folder / "b.jsonl")
        assert body(data) == body(through) == body(await exported(last))
        assert await rows_of(first) == await rows_of(last)
        again = await imported(postgres, through, folder / "c.jsonl")
        assert (again.already_there, again.events) == (len(history), 0)
    finally:
        for store in (postgres, first, last):
            await store.close()


def test_byte_by_byte_through_both_databases(
    postgres: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("moves")
    number = 0

    @given(histories())
    @settings(max_examples=settings().max_examples // 2)
    def moves(history: History) -> None:
        nonlocal number
        number += 1

        async def run() -> None:
            name = f"moves_{folder.name}_{number}".replace("-", "_")
            address = await postgres.create_database(name)  # type: ignore[attr-defined]
            try:
                await _round_trip(history, folder, address)
            finally:
                await postgres.drop_database(name)  # type: ignore[attr-defined]

        asyncio.run(run())

    moves()


async def test_large_values_go_through(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    big = [
        EventRow(version, "Noted", 1, '{"value":"' + "☃x\\u0000" * 300_000 + '"}', METADATA, 1.0)
        for version in range(1, 5)
    ]
    row = StreamRow("note", "big", 4, "{}", None, 1.0, 2.0)
    await other.transfer.write([Incoming(row, 0, big)])
    data = await exported(other)
    await imported(store, data, tmp_path / "x.jsonl")
    assert body(await exported(store)) == body(data)


# --- again, further, otherwise ------------------------------------------------------------------


async def test_again_does_nothing(store: EventStore, tmp_path: Path) -> None:
    await fill(store, [stream("a", 3), stream("b", 2)])
    data, last = await exported(store), await store.last_position()
    found = await imported(store, data, tmp_path / "x.jsonl")
    assert counts(found) == {"streams": 2, "already_there": 2}
    assert await store.last_position() == last
    await store.append(decision(Counted(4), to="a", at=3, stream="plan"))
    found = await imported(store, data, tmp_path / "x.jsonl")
    assert counts(found) == {"streams": 2, "already_there": 2}
    assert await store.version("a") == 4


async def test_a_stream_that_is_shorter_is_extended(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    await fill(other, [stream("a", 3), stream("b", 2)])
    await imported(store, await exported(other), tmp_path / "x.jsonl")
    await other.append(decision(Counted(4), Counted(5), to="a", at=3, stream="plan"))
    data = await exported(other)
    found = await imported(store, data, tmp_path / "x.jsonl")
    assert counts(found) == {"streams": 2, "extended": 1, "already_there": 1, "events": 2}
    assert body(await exported(store)) == body(data)


async def test_another_history_is_refused_and_with_it_the_file(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    await fill(store, [stream("a", 2, first=7), stream("c", 1)])
    await fill(other, [stream("a", 3), stream("b", 2), stream("c", 1)])
    before = await rows_of(store)
    with pytest.raises(Conflict, match=r"nothing was imported from x.jsonl:\na exists with a diff"):
        await imported(store, await exported(other), tmp_path / "x.jsonl")
    assert await rows_of(store) == before
    found = await imported(store, await exported(other, ["b", "c"]), tmp_path / "y.jsonl")
    assert counts(found) == {"streams": 2, "new": 1, "already_there": 1, "events": 2}


async def test_another_kind_and_a_taken_command_id_are_refused(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    row, own = stream("a", 1)
    await fill(other, [(row, own), stream("b", 1)])
    as_note = StreamRow("note", *[getattr(row, name) for name in row.__struct_fields__[1:]])
    await fill(store, [(as_note, own[1:]), ("c" and stream("c", 1)[0], [*stream("b", 1)[1]])])
    with pytest.raises(Conflict) as refusal:
        await imported(store, await exported(other), tmp_path / "x.jsonl")
    assert "a exists with a different history" in str(refusal.value)
    assert "command id 'command of b' of b was already used for a command to c" in str(
        refusal.value
    )


async def test_many_conflicts_are_cut_short(other: SqliteStore, tmp_path: Path) -> None:
    store = open_sqlite(":memory:")
    await fill(store, [stream(f"p{n:03}", 1, first=7) for n in range(600)])
    await fill(other, [stream(f"p{n:03}", 1) for n in range(600)])
    with pytest.raises(Conflict) as refusal:
        await imported(store, await exported(other), tmp_path / "x.jsonl")
    lines = str(refusal.value).splitlines()
    assert (len(lines), lines[-1]) == (12, "and 590 more")
    await store.close()


async def test_a_task_at_work_keeps_its_stream_from_being_extended(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    await other.append(dispatch(1, 2))
    await imported(store, await exported(other), tmp_path / "x.jsonl")
    await other.append(decision(Counted(3), at=2))
    data = await exported(other)
    [lease] = await store.queue.claim("worker", 1)
    with pytest.raises(Conflict, match="a worker holds task 1 of a; stop the workers first"):
        await imported(store, data, tmp_path / "x.jsonl")
    await store.queue.release("worker", lease, started=True)
    await imported(store, data, tmp_path / "x.jsonl")
    rows = [row for row in await rows_of(store) if isinstance(row, TaskRow)]
    assert [(row.task_id, row.epoch, row.starts) for row in rows] == [(1, 1, 1), (2, 0, 0)]


async def test_a_lease_is_not_exported_but_counts_as_a_start(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    await store.append(dispatch(1))
    await store.queue.claim("worker", 1)
    await imported(other, await exported(store), tmp_path / "x.jsonl")
    [lease] = await other.queue.claim("another", 1)
    assert (lease.epoch, lease.starts) == (2, 2)


async def test_what_is_known_of_a_task_moves_with_it(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    await store.append(dispatch(1, tool="bash", priority=-4))
    (before,) = await store.queue.claim("worker", 1)
    await imported(other, await exported(store), tmp_path / "x.jsonl")
    (after,) = await other.queue.queued("a")
    assert (after.tool, after.priority, after.crashes) == ("bash", -4, 0)
    assert after.started_at == before.started_at


async def test_an_export_of_format_1_is_read(other: SqliteStore, tmp_path: Path) -> None:
    lines = [
        b'{"planfold":"export","format":1,"store_id":"s","epoch":1,"exported_at":1.0}',
        b'{"kind":"stream","stream_id":"plan","aggregate_id":"a","version":1,"head":{},'
        b'"created_at":1.0,"updated_at":1.0}',
        b'{"kind":"task","task_id":1,"attempt":1,"route":"gpu","cause":1,"epoch":2,"starts":1}',
        b'{"kind":"event","version":1,"event_type":"Counted","event_version":1,'
        b'"data":{"number":1},"metadata":{},"recorded_at":1.0}',
    ]
    body = b"".join(line + b"\n" for line in lines)
    digest = hashlib.sha256(body).hexdigest()
    end = b'{"kind":"end","streams":1,"events":1,"sha256":"%s"}\n' % digest.encode()
    await imported(other, body + end, tmp_path / "x.jsonl")
    (row,) = await other.queue.queued("a")
    assert (row.route, row.tool, row.priority, row.started_at) == ("gpu", "gpu", 0, None)
    assert (row.epoch, row.starts, row.suspect) == (2, 1, False)


async def test_an_archived_stream_comes_back_only_as_it_was(
    store: EventStore, other: SqliteStore, tmp_path: Path
) -> None:
    from planfold.transfer.archive import Choice, archive

    await fill(other, [stream("a", 3), stream("b", 2)])
    whole = await exported(other)
    await fill(store, [stream("a", 3), stream("b", 2)])
    choice = Choice("plan", frozenset({"completed"}), 200.0)
    done = await archive(store, tmp_path / "archive", choice)
    assert (done.streams, await rows_of(store)) == (2, [])
    shorter, otherwise = open_sqlite(":memory:"), open_sqlite(":memory:")
    await fill(shorter, [stream("a", 2)])
    await fill(otherwise, [stream("a", 3, first=9)])
    for wrong in (shorter, otherwise):
        with pytest.raises(Conflict, match=r"a was archived; import .*a different history"):
            await imported(store, await exported(wrong), tmp_path / "x.jsonl")
        await wrong.close()
    found = await imported(store, whole, tmp_path / "x.jsonl")
    assert counts(found) == {"streams": 2, "new": 2, "lifted": 2, "events": 5}
    assert await store.transfer.find_tombstones("") == []
    assert body(await exported(store)) == body(whole)


async def test_a_damaged_stream_is_not_exported(tmp_path: Path) -> None:
    store = open_sqlite(":memory:")
    await fill(store, [stream("a", 3)])
    store._writer.connection.execute("DELETE FROM events WHERE version = 2")
    with pytest.raises(CorruptLog, match="a is at version 3 but its event 2 is not the next one"):
        await exported(store)
    await store.close()


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("streams", "events"),
    [
        (1, 30_000),
        (1_000, 25),
        pytest.param(10_000, 100, marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
def test_memory_is_that_of_a_page(tmp_path: Path, streams: int, events: int) -> None:
    """In a process of its own, before and after: making the streams costs what it costs."""
    command = [
        sys.executable,
        str(HERE / "moving_much.py"),
        str(tmp_path),
        str(streams),
        str(events),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    before, after = map(int, done.stdout.split())
    size = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    assert size > 100 * streams * events
    assert (after - before) * 1024 < 12_000_000 + 150 * streams
