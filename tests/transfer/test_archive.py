"""Archive: what has ended leaves the store for a file, and can come back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from histories import body, exported, fill, imported, open_sqlite, rows_of, stream

from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import ConfigurationError, CorruptLog, Transient
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import Tombstone
from planfold.transfer import archive as archiving
from planfold.transfer.archive import Choice, archive
from planfold.transfer.export_file import StreamSection
from planfold.transfer.exporter import Exported
from testbed.contracts.backend import Counted, decision, handle_up_to, handled_by

COMPLETED = frozenset({"completed"})
OLD = Choice("plan", COMPLETED, 150.0)
HISTORY = [
    stream("new", 2, created_at=200.0),
    stream("old-1", 3),
    stream("old-2", 1),
    stream("old-failed", 1, status="failed"),
    stream("old-live", 1, status="running"),
]


async def ids_of(store: EventStore) -> set[str]:
    return {head.aggregate_id for head in await store.heads("plan")}


async def test_old_ended_streams_move_to_a_file(store: EventStore, tmp_path: Path) -> None:
    await fill(store, HISTORY)
    before = await exported(store)
    folder = tmp_path / "made" / "here"
    done = await archive(store, folder, OLD)
    [file] = folder.iterdir()
    assert (done.streams, done.events, done.left_count, done.files) == (2, 4, 0, [str(file)])
    assert await ids_of(store) == {"new", "old-failed", "old-live"}
    found = await store.transfer.find_tombstones("old")
    assert [(t.aggregate_id, t.version, t.file) for t in found] == [
        ("old-1", 3, str(file)),
        ("old-2", 1, str(file)),
    ]
    await imported(store, file.read_bytes(), tmp_path / "x.jsonl")
    assert sorted(body(await exported(store)).splitlines()) == sorted(body(before).splitlines())


async def test_statuses_can_be_chosen_and_nothing_left_is_no_file(
    store: EventStore, tmp_path: Path
) -> None:
    await fill(store, HISTORY)
    choice = Choice("plan", frozenset({"failed", "cancelled"}), 150.0)
    assert (await archive(store, tmp_path / "a", choice)).streams == 1
    done = await archive(store, tmp_path / "b", choice)
    assert (done.streams, done.files, list((tmp_path / "b").iterdir())) == (0, [], [])


async def test_a_dry_run_changes_nothing(store: EventStore, tmp_path: Path) -> None:
    await fill(store, HISTORY)
    await handle_up_to(store, "mail", 1)
    before = await rows_of(store)
    folder = tmp_path / "none"
    done = await archive(store, folder, OLD, dry_run=True)
    assert (done.streams, folder.exists()) == (0, False)
    assert set(done.left.values()) == {"consumer 'mail' has not read all of it"}
    await handle_up_to(store, "mail", await store.last_position())
    done = await archive(store, folder, OLD, dry_run=True)
    assert (done.streams, done.events) == (2, 4)
    assert await rows_of(store) == before


async def test_many_streams_make_several_files(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "STREAMS_PER_FILE", 10)
    monkeypatch.setattr(archiving, "STREAMS_AT_ONCE", 4)
    await fill(store, [stream(f"p{number:02}", 2) for number in range(25)])
    seen: list[int] = []
    done = await archive(store, tmp_path / "a", OLD, progress=seen.append)
    assert (done.streams, len(done.files), await ids_of(store)) == (25, 3, set())
    assert seen == sorted(seen)
    assert seen[-1] == 25


class Meddling:
    """Does something between the file and the deletion."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._tombstone = archiving._tombstone

    def before_deletion(self, act: object) -> None:
        def tombstone(section: StreamSection, path: Path, now: float) -> Tombstone:
            if callable(act):
                act()
            return self._tombstone(section, path, now)

        self._monkeypatch.setattr(archiving, "_tombstone", tombstone)


async def test_what_continues_in_between_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_sqlite(tmp_path / "x.db")
    await fill(store, HISTORY)
    done_once: list[int] = []

    def go_on() -> None:
        if not done_once:
            done_once.append(1)
            sql = "UPDATE streams SET version = 4 WHERE aggregate_id = 'old-1'"
            store._writer.connection.execute(sql)

    Meddling(monkeypatch).before_deletion(go_on)
    done = await archive(store, tmp_path / "a", OLD)
    assert (done.streams, done.left) == (1, {"old-1": "it has new events"})
    assert "old-1" in await ids_of(store)
    await store.close()


async def test_a_file_that_does_not_read_back_deletes_nothing(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, HISTORY)
    before = await rows_of(store)
    read_again = archiving._read_again

    def damaged(path: Path, written: Exported) -> list[StreamSection]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        return read_again(path, written)

    monkeypatch.setattr(archiving, "_read_again", damaged)
    with pytest.raises(CorruptLog):
        await archive(store, tmp_path / "a", OLD)
    assert await rows_of(store) == before


async def test_a_folder_that_cannot_be_written_is_named(other: SqliteStore, tmp_path: Path) -> None:
    await fill(other, HISTORY)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "a\udcff"):
        with pytest.raises(ConfigurationError):
            await archive(other, folder, OLD)
    assert len(await ids_of(other)) == 5


async def test_a_full_disk_deletes_nothing(
    other: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(other, HISTORY)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Transient, match="is full; nothing was written there, free some space"):
        await archive(other, tmp_path / "a", OLD)
    assert list((tmp_path / "a").iterdir()) == []
    assert len(await ids_of(other)) == 5


async def test_consumers_that_are_up_to_date_continue(store: EventStore, tmp_path: Path) -> None:
    await fill(store, HISTORY)
    last = await store.last_position()
    await handle_up_to(store, "mail", last)
    choice = Choice("plan", frozenset({"completed", "failed", "running"}), 1e12)
    assert (await archive(store, tmp_path / "a", choice)).streams == 5
    assert await handled_by(store, "mail") == last == await store.last_position()
    assert await store.append(decision(Counted(1), to="next")) > last
