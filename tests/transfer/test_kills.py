"""kill -9 in the middle of an import or an archive: no event is lost or doubled."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest
from histories import History, exported, fill, imported, open_sqlite, open_store, rows_of, stream
from killed import OLD, archive_here, import_here, run_for

from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import EventRow, OwnRow, Row, StreamRow
from planfold.transfer.archive import archive
from planfold.transfer.export_file import ExportFile

pytestmark = pytest.mark.crash

LONG = [pytest.mark.soak, pytest.mark.slow, pytest.mark.timeout(3_600)]
KILLS = [pytest.param(6), pytest.param(300, marks=LONG)]
LONG_S = 60.0
HISTORY: History = [stream(f"p{number:02}", number % 9 + 1) for number in range(25)]
HISTORY.append(stream("large", 400, created_at=101.0))

Streams = dict[str, tuple[StreamRow, list[OwnRow]]]


def by_id(rows: list[Row]) -> Streams:
    found: Streams = {}
    own: list[OwnRow] = []
    for row in rows:
        if isinstance(row, StreamRow):
            own = []
            found[row.aggregate_id] = (row, own)
        else:
            own.append(row)
    return found


def moment(number: int, kills: int, took: float) -> float:
    """When to kill: at random, but every part of the work has its turn."""
    return took * (number + random.random()) / kills


WHOLE = {row.aggregate_id: (row, own) for row, own in HISTORY}


async def positions(store: EventStore) -> list[int]:
    from planfold.eventstore.envelope import Query

    return [envelope.position for envelope in await store.read(Query())]


@pytest.mark.parametrize("kills", KILLS)
def test_an_import_that_is_killed_continues(address: str, tmp_path: Path, kills: int) -> None:
    async def prepare() -> None:
        source = open_sqlite(":memory:")
        await fill(source, HISTORY)
        (tmp_path / "export.jsonl").write_bytes(await exported(source))
        await source.close()

    async def look() -> int:
        """Every stream is whole or not there; returns how many are."""
        store = await open_store(address)
        try:
            found = by_id(await rows_of(store))
            assert found == {name: WHOLE[name] for name in found}
            events = sum(
                len([r for r in own if isinstance(r, EventRow)]) for _, own in found.values()
            )
            assert len(await positions(store)) == events
            return len(found)
        finally:
            await store.close()

    async def empty() -> None:
        """So that the next import has all to do again."""
        store = await open_store(address)
        await archive(store, tmp_path / "away", OLD)
        await store.close()

    asyncio.run(prepare())
    took = run_for(LONG_S, import_here, address, tmp_path)
    assert took is not None
    assert asyncio.run(look()) == len(WHOLE)
    partly = 0
    for number in range(kills):
        asyncio.run(empty())
        run_for(moment(number, kills, took), import_here, address, tmp_path)
        partly += 0 < asyncio.run(look()) < len(WHOLE)
        run_for(LONG_S, import_here, address, tmp_path)
        assert asyncio.run(look()) == len(WHOLE)
    assert partly or kills < 100


@pytest.mark.parametrize("kills", KILLS)
def test_an_archive_that_is_killed_loses_nothing(address: str, tmp_path: Path, kills: int) -> None:
    folder = tmp_path / "archive"

    async def prepare() -> None:
        store = await open_store(address)
        await fill(store, HISTORY)
        await store.close()

    async def look() -> int:
        """Every stream is in the store, or in the file that its tombstone names; returns how
        many are in the store."""
        store = await open_store(address)
        try:
            here = by_id(await rows_of(store))
            assert here == {name: WHOLE[name] for name in here}
            tombstones = await store.transfer.find_tombstones("", limit=1_000)
            assert {t.aggregate_id for t in tombstones} == WHOLE.keys() - here.keys()
            for name in {t.file for t in tombstones}:
                with Path(name).open("rb") as file:  # noqa: ASYNC230
                    digests = {
                        section.stream.aggregate_id: section.digest
                        for section in ExportFile(file, name).sections()
                    }
                mine = {t.aggregate_id: t.sha256 for t in tombstones if t.file == name}
                assert mine == {key: digests[key] for key in mine}
            return len(here)
        finally:
            await store.close()

    async def bring_back() -> None:
        store = await open_store(address)
        for path in sorted(folder.glob("*.jsonl")):
            await imported(store, path.read_bytes(), tmp_path / "x.jsonl")
        assert by_id(await rows_of(store)) == WHOLE
        assert await store.transfer.find_tombstones("") == []
        await store.close()
        shutil.rmtree(folder)

    asyncio.run(prepare())
    took = run_for(LONG_S, archive_here, address, tmp_path)
    assert took is not None
    partly = 0
    for number in range(kills):
        asyncio.run(bring_back())
        run_for(moment(number, kills, took), archive_here, address, tmp_path)
        partly += 0 < asyncio.run(look()) < len(WHOLE)
        run_for(LONG_S, archive_here, address, tmp_path)
        assert asyncio.run(look()) == 0
    assert partly or kills < 100
