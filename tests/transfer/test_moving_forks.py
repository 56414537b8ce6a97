"""Forks and what they continue, moved: an origin and its forks stay readable together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from histories import open_store

import planfold
from planfold import App, CorruptLog, PlanStatus
from planfold.errors import CommandRejected, Conflict
from planfold.eventstore.port import EventStore
from planfold.planner.commands import ForkPlan
from planfold.planner.events import PlanForked
from planfold.planner.planner import Planner
from planfold.runtime.origins import begin_fork
from planfold.transfer import archive as archiving
from planfold.transfer.archive import Choice, archive
from planfold.transfer.export_file import ExportFile
from planfold.transfer.exporter import export, with_related
from planfold.transfer.importer import Imported, import_file

CANCELLED = Choice("plan", frozenset({"cancelled"}), 1e12)
DRAFT = planfold.PlanDraft(
    title="t", tasks=[planfold.TaskDraft(description="d", effect=planfold.Effect.Safe)]
)


@pytest.fixture
async def app(address: str) -> AsyncIterator[App]:
    database = address if "://" in address else f"sqlite:///{address}"
    async with planfold.open_app(database) as app:
        yield app


async def family(app: App) -> tuple[str, str, str]:
    """A plan, its fork, and the fork's fork; all cancelled."""
    plan_id = await app.submit(DRAFT)
    child = (await app.fork(plan_id)).plan_id
    grandchild = (await app.fork(child)).plan_id
    for each in (plan_id, child, grandchild):
        await app.cancel(each)
    return plan_id, child, grandchild


async def write(store: EventStore, path: Path, ids: list[str]) -> Path:
    with path.open("wb") as file:
        await export(store, file.write, ids)
    return path


async def read(store: EventStore, path: Path) -> Imported:
    with path.open("rb") as file:
        return await import_file(store, ExportFile(file, path.name))


async def test_an_export_of_a_fork_includes_its_origins(app: App, tmp_path: Path) -> None:
    plan_id, child, grandchild = await family(app)
    ids = await with_related(app.store, [grandchild])
    assert set(ids) == {plan_id, child, grandchild}
    assert await with_related(app.store, [plan_id]) == [plan_id]
    path = await write(app.store, tmp_path / "x.jsonl", ids)
    async with planfold.open_app(f"sqlite:///{tmp_path}/other.db") as other:
        assert (await read(other.store, path)).new == 3
        view = await other.view(grandchild)
        assert (view.origin, view.status) == (child, PlanStatus.Cancelled)
        assert (await other.replay(grandchild)).difference is None


async def test_an_import_without_the_origin_is_refused(
    app: App, tmp_path: Path, other: EventStore
) -> None:
    plan_id, child, grandchild = await family(app)
    path = await write(app.store, tmp_path / "x.jsonl", [grandchild])
    message = f"{grandchild} is a fork of {child}, which is neither in the file nor in the database"
    with pytest.raises(Conflict, match=message):
        await read(other, path)
    assert await other.heads("plan") == []
    await read(other, await write(app.store, tmp_path / "y.jsonl", [plan_id, child]))
    assert (await read(other, path)).new == 1


async def test_an_import_checks_that_the_origin_is_the_one_that_is_continued(
    app: App, tmp_path: Path
) -> None:
    plan_id = await app.submit(DRAFT)
    short = await write(app.store, tmp_path / "short.jsonl", [plan_id])
    await app.cancel(plan_id, reason="no more")
    fork = await app.fork(plan_id)
    alone = await write(app.store, tmp_path / "fork.jsonl", [fork.plan_id])
    both = await write(app.store, tmp_path / "both.jsonl", [plan_id, fork.plan_id])
    async with planfold.open_app(f"sqlite:///{tmp_path}/other.db") as other:
        await read(other.store, short)
        message = f"{fork.plan_id} continues version {fork.version} of {plan_id}, which is only at"
        with pytest.raises(Conflict, match=message):
            await read(other.store, alone)
        await other.cancel(plan_id, reason="another history")
        message = f"{fork.plan_id} continues another history of {plan_id}; import it into another"
        with pytest.raises(Conflict, match=message):
            await read(other.store, alone)
        with pytest.raises(Conflict, match="exists with a different history"):
            await read(other.store, both)
        assert len(await other.plans()) == 1
    async with planfold.open_app(f"sqlite:///{tmp_path}/third.db") as third:
        await read(third.store, short)
        await read(third.store, both)  # the file has the rest of the origin
        assert (await third.view(fork.plan_id)).origin == plan_id
        assert (await read(third.store, alone)).already_there == 1


async def test_a_fork_of_another_history_is_not_folded(app: App) -> None:
    plan_id = await app.submit(DRAFT)
    (first,) = await app.send("child", ForkPlan(origin=plan_id, version=1, repeat=(1,)))
    assert isinstance(first, PlanForked)
    wrong = msgspec.structs.replace(first, checksum="0" * 16)
    with pytest.raises(CorruptLog, match=f"{plan_id}#1 is of another history than the one that"):
        await begin_fork(app.store, Planner(), wrong)
    await begin_fork(app.store, Planner(), msgspec.structs.replace(first, checksum=""))
    command = ForkPlan(origin=plan_id, version=1, repeat=(1,), checksum="0" * 16)
    with pytest.raises(CommandRejected, match="has another checksum"):
        await app.send("second", command)


async def test_an_archive_takes_an_origin_with_its_forks(app: App, tmp_path: Path) -> None:
    plan_id, child, grandchild = await family(app)
    dry = await archive(app.store, tmp_path, CANCELLED, dry_run=True)
    assert (dry.streams, dry.left) == (3, {})
    done = await archive(app.store, tmp_path, CANCELLED)
    assert (done.streams, done.left, await app.plans()) == (3, {}, [])
    await read(app.store, Path(done.files[0]))
    assert (await app.view(grandchild)).origin == child
    assert (await app.view(plan_id)).status is PlanStatus.Cancelled


async def test_an_archive_leaves_what_a_fork_continues_that_stays(app: App, tmp_path: Path) -> None:
    plan_id, child, grandchild = await family(app)
    open_fork = (await app.fork(child, at=1)).plan_id
    done = await archive(app.store, tmp_path, CANCELLED)
    assert done.streams == 1
    assert done.left[child] == f"its fork {open_fork} stays"
    assert done.left.keys() == {plan_id, child}
    assert (await app.view(open_fork)).origin == child
    await app.cancel(open_fork)
    assert (await archive(app.store, tmp_path, CANCELLED)).streams == 3
    # The first archive can be imported only after the second, which has the origins.
    with pytest.raises(Conflict, match=f"{grandchild} is a fork of .* first import .*jsonl"):
        await read(app.store, Path(done.files[0]))


async def test_a_fork_that_is_written_in_between_keeps_its_origins(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id, child, grandchild = await family(app)
    depth = archiving._depth
    monkeypatch.setattr(archiving, "STREAMS_AT_ONCE", 1)
    file = archiving._read_again

    def read_again(*args: object) -> object:
        found = file(*args)  # type: ignore[arg-type]
        oldest_first = sorted(found, key=depth)
        return [
            msgspec.structs.replace(s, stream=msgspec.structs.replace(s.stream, version=99))
            if s.stream.aggregate_id == grandchild
            else s
            for s in oldest_first
        ]

    monkeypatch.setattr(archiving, "_read_again", read_again)
    done = await archive(app.store, tmp_path, CANCELLED)
    assert done.left[grandchild] == "it has new events"
    assert done.left.keys() == {plan_id, child, grandchild}
    assert (await app.view(grandchild)).origin == child


async def test_a_fork_that_is_made_while_a_file_is_written_keeps_its_origin(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await app.submit(DRAFT, plan_id=f"plan-{n}") for n in range(3)]
    for each in ids:
        await app.cancel(each)
    monkeypatch.setattr(archiving, "STREAMS_PER_FILE", 1)
    written, forks = archiving.export, []

    async def exporting(*args: object, **options: object) -> object:
        if not forks:  # of this file, and of a later one
            forks.extend([(await app.fork(each)).plan_id for each in (ids[0], ids[2])])
        return await written(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(archiving, "export", exporting)
    done = await archive(app.store, tmp_path, CANCELLED)
    assert done.streams == 1
    assert done.left[ids[0]] == f"its fork {forks[0]} stays"
    assert done.left[ids[2]] == f"its fork {forks[1]} stays"
    for fork, origin in zip(forks, (ids[0], ids[2]), strict=True):
        assert (await app.view(fork)).origin == origin


async def test_a_fork_whose_origin_is_gone_says_where_it_is(
    app: App, address: str, tmp_path: Path
) -> None:
    """As a process of an older version, which does not know of forks, would leave it."""
    plan_id, child, _ = await family(app)
    path = await write(app.store, tmp_path / "x.jsonl", [plan_id])
    with path.open("rb") as file:
        (section,) = ExportFile(file, "x").sections()
    tombstone = archiving._tombstone(section, path, 1.0)
    assert await app.store.transfer.archive([tombstone], {"cancelled"}) == [""]
    store = await open_store(address)
    await store.close()
    database = address if "://" in address else f"sqlite:///{address}"
    async with planfold.open_app(database) as fresh:
        with pytest.raises(CorruptLog, match=f"continues another one, and plan {plan_id} was arch"):
            await fresh.view(child)
        with pytest.raises(CorruptLog):
            await fresh.fork(child, at=1)
        assert child in (await fresh.statistics()).unreadable
        await read(fresh.store, path)
        assert (await fresh.view(child)).origin == plan_id
