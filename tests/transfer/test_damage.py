"""Files that are not what was exported are refused, with the place, and change nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest
from histories import body, exported, fill, imported, open_sqlite, rows_of, stream

from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import CorruptLog, Transient
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import TaskRow
from planfold.transfer.records import End, decode_line, encode


@pytest.fixture
async def empty() -> AsyncIterator[SqliteStore]:
    store = open_sqlite(":memory:")
    yield store
    await store.close()


@pytest.fixture
async def sound() -> bytes:
    store = open_sqlite(":memory:")
    row, own = stream("a", 3)
    task = TaskRow(1, 1, "r", 2, 0, 1, True, "t", 5, 99.5, 1)
    await fill(store, [(row, [own[0], task, *own[1:]]), stream("b", 1)])
    data = await exported(store)
    await store.close()
    return data


async def refused(store: SqliteStore, data: bytes, folder: Path) -> str:
    with pytest.raises(CorruptLog) as refusal:
        await imported(store, data, folder / "x.jsonl")
    assert await store.last_position() == 0
    return str(refusal.value)


async def test_every_flipped_byte_is_noticed(
    empty: SqliteStore, sound: bytes, tmp_path: Path
) -> None:
    for place in range(len(sound)):
        for mask in (0x01, 0x20, 0x80):
            data = bytearray(sound)
            data[place] ^= mask
            message = await refused(empty, bytes(data), tmp_path)
            assert message.startswith("x.jsonl, line "), (place, mask, message)
    assert await rows_of(empty) == []
    assert (await imported(empty, sound, tmp_path / "x.jsonl")).new == 2


async def test_a_file_cut_off_anywhere_is_noticed(
    empty: SqliteStore, sound: bytes, tmp_path: Path
) -> None:
    for length in range(len(sound)):
        await refused(empty, sound[:length], tmp_path)
    message = await refused(empty, sound[:-1], tmp_path)
    assert "the file ends before its closing line; copy or export it again" in message
    assert message.endswith("Nothing was imported.")


async def test_what_is_added_is_noticed(empty: SqliteStore, sound: bytes, tmp_path: Path) -> None:
    for more in (b"\n", sound, b"x"):
        message = await refused(empty, sound + more, tmp_path)
        assert "there is more after the closing line" in message


def sealed(lines: list[bytes]) -> bytes:
    """With a closing line that says that everything is right."""
    import hashlib

    kinds = [json.loads(line).get("kind") for line in lines]
    data = b"".join(line + b"\n" for line in lines)
    end = End(kinds.count("stream"), kinds.count("event"), hashlib.sha256(data).hexdigest())
    return data + encode(end)


def change(line: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(line), **fields}).encode()


Lines = list[bytes]
EDITS: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "another format": (
        lambda ls: [change(ls[0], format=3), *ls[1:]],
        "line 1: its format is 3, this planfold knows 1 to 2; upgrade planfold",
    ),
    "no header": (lambda ls: ls[1:], "line 1: this is not an export of planfold"),
    "a gap": (lambda ls: ls[:5] + ls[6:], "line 6: event 2 of a was expected here, not 3"),
    "an event twice": (
        lambda ls: [*ls[:5], ls[4], *ls[5:]],
        "line 6: event 2 of a was expected here, not 1",
    ),
    "an event too many": (
        lambda ls: [*ls[:7], change(ls[6], version=4), *ls[7:]],
        "line 8: event 3 of a was expected here, not 4",
    ),
    "an event too few": (
        lambda ls: ls[:6] + ls[7:],
        "line 7: a has 2 events before this line, not 3",
    ),
    "a stream twice": (lambda ls: ls + ls[7:], "line 11: stream 'b' occurs twice in the file"),
    "a command twice": (
        lambda ls: [*ls[:3], ls[2], *ls[3:]],
        "line 4: command 'command of a' occurs twice in the file",
    ),
    "a task twice": (lambda ls: [*ls[:4], ls[3], *ls[4:]], "line 5: task 1 occurs twice"),
    "a cause beyond": (
        lambda ls: [*ls[:3], change(ls[3], cause=9), *ls[4:]],
        "line 4: task 1 occurs twice or has no cause",
    ),
    "the wrong order": (
        lambda ls: [*ls[:3], ls[4], ls[3], *ls[5:]],
        "line 5: it is out of order",
    ),
    "an event of no stream": (lambda ls: [ls[0], *ls[4:]], "line 2: it belongs to no stream"),
    "an unknown field": (
        lambda ls: [*ls[:4], change(ls[4], more=1), *ls[5:]],
        "line 5: it is damaged (Object contains unknown field `more`",
    ),
    "an unknown kind": (
        lambda ls: [*ls[:4], change(ls[4], kind="event2"), *ls[5:]],
        "line 5: it is damaged (Invalid value 'event2'",
    ),
    "NUL in a name": (
        lambda ls: [*ls[:4], change(ls[4], event_type="a\0"), *ls[5:]],
        "line 5: 'a\\x00' is not a name",
    ),
    "no id": (
        lambda ls: [ls[0], change(ls[1], aggregate_id=""), *ls[2:]],
        "line 2: '' is not a name",
    ),
    "no events": (
        lambda ls: [*ls[:7], change(ls[7], version=0), ls[8]],
        "line 8: a stream's version is at least 1",
    ),
    "a head that is none": (
        lambda ls: [ls[0], change(ls[1], head=[1]), *ls[2:]],
        "line 2: a stream's head is a JSON object",
    ),
    "an empty line": (lambda ls: [*ls[:4], b"{}", *ls[4:]], "line 5: it is damaged"),
}


@pytest.mark.parametrize("name", EDITS)
async def test_a_file_that_was_edited_is_refused_with_the_line(
    name: str, empty: SqliteStore, sound: bytes, tmp_path: Path
) -> None:
    edit, expected = EDITS[name]
    lines = edit(sound.split(b"\n")[:-2])
    assert f"x.jsonl, {expected}" in await refused(empty, sealed(lines), tmp_path)


@pytest.mark.parametrize("data", [b"", b"\n", b"\0" * 9_999, b"# Markdown\n" * 99, b"x" * 99_999])
async def test_what_is_no_export_is_said_to_be_none(
    data: bytes, empty: SqliteStore, tmp_path: Path
) -> None:
    message = await refused(empty, data, tmp_path)
    assert "x.jsonl, line 1: this is not an export of planfold; name a file that it wr" in message


def test_the_fields_of_a_line_are_these(sound: bytes) -> None:
    """The format is a promise: see docs/decisions/0008-export-format.md."""
    lines = [json.loads(line) for line in sound.split(b"\n")[:-1]]
    about = ["stream_id", "aggregate_id", "version", "head", "created_at", "updated_at"]
    event = ["version", "event_type", "event_version", "data", "metadata", "recorded_at"]
    assert list(lines[0]) == ["planfold", "format", "store_id", "epoch", "exported_at"]
    assert list(lines[1]) == ["kind", *about]
    assert list(lines[2]) == ["kind", "command_id", "body_hash", "version", "recorded_at"]
    task = ["task_id", "attempt", "route", "cause", "epoch", "starts", "cancel"]
    task += ["tool", "priority", "started_at", "crashes"]
    assert list(lines[3]) == ["kind", *task]
    assert list(lines[4]) == ["kind", *event]
    assert list(lines[-1]) == ["kind", "streams", "events", "sha256"]
    assert isinstance(decode_line(sound.split(b"\n")[-2]), End)


async def test_a_full_disk_is_said_and_the_import_continues_from_there(tmp_path: Path) -> None:
    source = open_sqlite(":memory:")
    await fill(source, [stream(f"plan-{number}", 40) for number in range(100)])
    data = await exported(source)
    await source.close()
    store = open_sqlite(tmp_path / "small.db")
    raw = store._writer.connection
    raw.pragma("max_page_count", raw.pragma("page_count") + 60)
    with pytest.raises(Transient, match=r"the disk of .*small\.db is full.*free some space"):
        await imported(store, data, tmp_path / "x.jsonl")
    written = len(await store.transfer.versions([f"plan-{number}" for number in range(100)]))
    raw.pragma("max_page_count", 2**30)
    found = await imported(store, data, tmp_path / "x.jsonl")
    assert (found.new, found.already_there) == (100 - written, written)
    assert body(await exported(store)) == body(data)
    await store.close()


async def test_an_event_that_was_damaged_is_not_exported(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "plans.db")
    await fill(store, [stream("a", 3), stream("b", 2)])
    with apsw.Connection(str(tmp_path / "plans.db")) as raw:
        raw.execute("UPDATE events SET data = data || ' ' WHERE position = 2")
    with pytest.raises(CorruptLog, match=r"a#2: the row does not match its checksum.*export"):
        await exported(store)
    assert b'"b"' in await exported(store, ["b"])
    await store.close()


async def test_an_imported_event_gets_a_checksum(
    store: EventStore, sound: bytes, tmp_path: Path
) -> None:
    await imported(store, sound, tmp_path / "x.jsonl")
    envelopes = await store.read(Query())
    assert envelopes
    if isinstance(store, SqliteStore):
        count = "SELECT count(*), count(checksum) FROM events"
        assert store._writer.connection.execute(count).get == (len(envelopes), len(envelopes))
    assert body(await exported(store)) == body(sound)
