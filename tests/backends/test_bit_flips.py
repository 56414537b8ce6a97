"""One bit of a stored event is flipped: the damage is found, and the plan is named."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import asyncpg
import pytest

from planfold.backends.postgres import inspection as postgres_inspection
from planfold.backends.postgres.store import PostgresStore
from planfold.backends.sqlite import inspection as sqlite_inspection
from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import CorruptLog
from planfold.eventstore.envelope import Query, Undecoded
from planfold.eventstore.port import EventStore
from planfold.handler import Metadata
from testbed.contracts.backend import CODEC, Counted, Noted, decision

SEED = 20_261_129
PLANS = tuple(f"plan-{number:02}" for number in range(12))
TEXTS = ("stream_id", "aggregate_id", "event_type", "data", "metadata")
NUMBERS = {"version": 64, "event_version": 64, "checksum": 64}
NUMBERS_OF_POSTGRES = {"version": 64, "event_version": 32, "checksum": 32}


class Flip(NamedTuple):
    """One bit of the column of an event; ``value`` is what it becomes."""

    plan: str
    version: int
    column: str
    bit: int
    value: Any


async def fill(store: EventStore) -> None:
    """Streams of 3 events, in one append and in several."""
    for number, plan in enumerate(PLANS):
        about = Metadata(plan, f"{plan}#{number}/TaskCompleted", worker="worker-1", began_at=17.5)
        events = [Counted(number), Noted({"text": "Ünï " * (number + 1)}), Noted([1.5, None])]
        if number % 2:
            await store.append(decision(*events, to=plan, metadata=about))
        else:
            for at, event in enumerate(events):
                await store.append(decision(event, to=plan, at=at, metadata=about))


def flipped(value: str | int | float, column: str, bit: int, width: int = 64) -> Any:
    """``value`` with one bit of what is stored changed."""
    if isinstance(value, str):
        data = bytearray(value.encode())
        data[bit // 8 % len(data)] ^= 1 << bit % 8
        return bytes(data)
    if isinstance(value, float):
        (number,) = struct.unpack(">Q", struct.pack(">d", value))
        return struct.unpack(">d", struct.pack(">Q", number ^ 1 << bit % 64))[0]
    bits = (value ^ 1 << bit % width) & (1 << width) - 1
    return bits - (1 << width) if bits >> width - 1 else bits


def flips(rows: list[dict[str, Any]], numbers: dict[str, int]) -> Iterator[Flip]:
    """Without end; the database takes most of them."""
    choose = random.Random(SEED)
    columns = [*TEXTS, *numbers, "recorded_at"]
    while True:
        row, column = choose.choice(rows), choose.choice(columns)
        bit = choose.randrange(64 * 64)
        value = flipped(row[column], column, bit, numbers.get(column, 64))
        if value == value:  # NaN cannot be stored
            yield Flip(row["aggregate_id"], row["version"], column, bit, value)


async def is_named(store: EventStore, flip: Flip) -> bool:
    """Whether loading the plan fails and says which, and reading the log shows where."""
    with pytest.raises(CorruptLog, match=flip.plan):
        await store.load(flip.plan)
    if flip.column in ("version", "aggregate_id"):  # the row is at another place
        return True
    envelope = (await store.read(Query(aggregate_id=flip.plan)))[flip.version - 1]
    return isinstance(envelope.event, Undecoded) and "checksum" in envelope.event.reason


async def test_a_thousand_flips_in_sqlite_are_found_and_named(tmp_path: Path) -> None:
    path = str(tmp_path / "plans.db")
    store = SqliteStore.open(path, CODEC)
    await fill(store)
    raw = apsw.Connection(path)
    raw.execute("PRAGMA synchronous = OFF")
    names = [*TEXTS, *NUMBERS, "recorded_at"]
    rows = [
        dict(zip(names, row, strict=True))
        for row in raw.execute(f"SELECT {', '.join(names)} FROM events")  # noqa: S608
    ]
    found = []
    for number, flip in enumerate(flips(rows, NUMBERS)):
        before = next(row for row in rows if (row["aggregate_id"], row["version"]) == flip[:2])[
            flip.column
        ]
        [(position,)] = raw.execute(
            "SELECT position FROM events WHERE aggregate_id = ? AND version = ?", flip[:2]
        )
        cast = "CAST(? AS TEXT)" if isinstance(flip.value, bytes) else "?"
        change = f"UPDATE events SET {flip.column} = {cast} WHERE position = ?"  # noqa: S608
        try:
            raw.execute(change, (flip.value, position))
        except apsw.ConstraintError:  # the plan has that version
            continue
        assert await is_named(store, flip), flip
        if number % 20 == 0 or flip.column == "aggregate_id":
            integrity = sqlite_inspection.inspect(path).integrity
            assert f"{flip.plan}#{flip.version}" in integrity or flip.plan in integrity, flip
        raw.execute(change, (before.encode() if cast != "?" else before, position))
        found.append(flip)
        if len(found) == 1_000:
            break
    assert {flip.column for flip in found} == set(names)
    assert sqlite_inspection.inspect(path).integrity == "ok"
    raw.close()
    await store.close()


async def test_two_hundred_flips_in_postgresql_are_found_and_named(postgres_database: str) -> None:
    store = await PostgresStore.open(postgres_database, CODEC)
    await fill(store)
    raw = await asyncpg.connect(postgres_database)
    rows = [dict(row) for row in await raw.fetch("SELECT * FROM planfold.events")]
    found = []
    for number, flip in enumerate(flips(rows, NUMBERS_OF_POSTGRES)):
        value = flip.value
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                continue
            if "\0" in value:  # neither can be stored
                continue
        row = next(row for row in rows if (row["aggregate_id"], row["version"]) == flip[:2])
        change = f"UPDATE planfold.events SET {flip.column} = $1 WHERE position = $2"  # noqa: S608
        try:
            await raw.execute(change, value, row["position"])
        except asyncpg.UniqueViolationError:  # the plan has that version
            continue
        assert await is_named(store, flip), flip
        if number % 20 == 0 or flip.column == "aggregate_id":
            integrity = (await postgres_inspection.inspect(postgres_database)).integrity
            assert flip.plan in integrity, flip
        await raw.execute(change, row[flip.column], row["position"])
        found.append(flip)
        if len(found) == 200:
            break
    assert {flip.column for flip in found} == {*TEXTS, *NUMBERS_OF_POSTGRES, "recorded_at"}
    assert (await postgres_inspection.inspect(postgres_database)).integrity == "ok"
    await raw.close()
    await store.close()


async def test_the_only_event_of_a_stream_is_missed_by_the_inspection(tmp_path: Path) -> None:
    path = str(tmp_path / "plans.db")
    store = SqliteStore.open(path, CODEC)
    await store.append(decision(Counted(1), to="plan-1"))
    with apsw.Connection(path) as raw:
        raw.execute("UPDATE events SET aggregate_id = 'plan-3'")
    integrity = sqlite_inspection.inspect(path).integrity
    assert "plan-1 is at version 1, has 0 events" in integrity
    assert "plan-3 has 1 events and no stream" in integrity
    with pytest.raises(CorruptLog, match="plan-1 is at version 1"):
        await store.append(decision(Counted(1), to="plan-1"))
    with pytest.raises(CorruptLog, match="plan-3#1"):
        await store.load("plan-3")
    await store.close()


@pytest.mark.parametrize("position", [0, -7, 2, 2**40])
async def test_an_event_at_another_position_is_found(tmp_path: Path, position: int) -> None:
    path = str(tmp_path / "plans.db")
    store = SqliteStore.open(path, CODEC)
    for number in range(6):
        await store.append(decision(Counted(number), to="plan-1", at=number))
    await store.close()
    with apsw.Connection(path) as raw:
        raw.execute("DELETE FROM events WHERE version IN (1, 2)")  # as if they had been archived
        raw.execute("UPDATE events SET version = version - 2, checksum = NULL")
        raw.execute("UPDATE streams SET version = 4")
        assert sqlite_inspection.inspect(path).integrity == "ok"
        raw.execute("UPDATE events SET position = ? WHERE version = 2", (position,))
    assert "is out of order" in sqlite_inspection.inspect(path).integrity


async def test_events_of_older_versions_have_no_checksum(tmp_path: Path) -> None:
    path = str(tmp_path / "plans.db")
    store = SqliteStore.open(path, CODEC)
    await store.append(decision(Counted(1), Counted(2), to="old"))
    with apsw.Connection(path) as raw:
        raw.execute("UPDATE events SET checksum = NULL")
    await store.append(decision(Counted(3), to="old", at=2))
    assert (await store.load("old")).events == [Counted(1), Counted(2), Counted(3)]
    assert sqlite_inspection.inspect(path).integrity == "ok"
    await store.close()
