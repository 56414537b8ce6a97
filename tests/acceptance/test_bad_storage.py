"""Bad storage: a clear message, nothing lost, nothing half-written, and work continues later."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

import planfold
from planfold.app import App
from planfold.backends.sqlite import connection as connection_module
from planfold.backends.sqlite import writer as writer_module
from planfold.cli.diagnosis import diagnose
from planfold.errors import ConfigurationError, CorruptLog, Transient
from planfold.eventstore.envelope import Query, Undecoded
from planfold.planner.commands import CancelPlan
from planfold.planner.tasks import PlanStatus
from testbed.patience import PATIENCE_S

NOBODY = 65_534


@planfold.tool(effect="once")
async def produce(size: int) -> str:
    return "x" * size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plans.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait ten seconds for a lock."""
    monkeypatch.setattr(connection_module, "BUSY_MS", 50)
    monkeypatch.setattr(writer_module, "BUSY_MS", 50)


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[App]:
    async with planfold.open_app(f"sqlite:///{path}", tools=[produce], **options) as app:
        yield app


def chain(length: int, size: int) -> planfold.PlanDraft:
    tasks = [
        planfold.TaskDraft(
            description="produce",
            tool="produce",
            arguments={"size": size},
            depends_on=[n] if n else [],
        )
        for n in range(length)
    ]
    return planfold.PlanDraft(title="chain", tasks=tasks)


async def finished(app: App, plan_id: str) -> planfold.PlanView:
    async with asyncio.timeout(PATIENCE_S):
        return await app.run(plan_id)


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not check():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def read(file: str) -> bytes:
    return Path(file).read_bytes()


def execute(path: Path, sql: str) -> list[Any]:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def assert_sound(path: Path) -> None:
    """The file is whole, and every stream is as long as its head says."""
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    heads = "SELECT aggregate_id, version FROM streams ORDER BY 1"
    events = "SELECT aggregate_id, max(version) FROM events GROUP BY 1 ORDER BY 1"
    assert execute(path, heads) == execute(path, events)


# --- full disk ---------------------------------------------------------------------------------


def limit_pages(app: App, spare: int | None) -> None:
    """Let the file grow by ``spare`` pages only, as if the disk were full."""
    connection = app.store._writer.connection  # type: ignore[attr-defined]
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", 2**30 if spare is None else pages + spare)


async def test_on_a_full_disk_a_command_fails_clearly_and_works_later(path: Path) -> None:
    async with opened(path) as app:
        first = await app.submit(chain(1, 1), approved_by="me")
        limit_pages(app, 0)
        big = planfold.PlanDraft(
            title="big", tasks=[planfold.TaskDraft(description="y" * 15_000) for _ in range(40)]
        )
        with pytest.raises(Transient, match=r"disk of .*plans\.db is full; nothing was written"):
            await app.submit(big, plan_id="big")
        assert [head.aggregate_id for head in await app.plans()] == [first]
        assert await app.store.read(Query(aggregate_id="big")) == []
        limit_pages(app, None)
        await app.submit(big, plan_id="big")
        assert (await finished(app, first)).status is PlanStatus.Completed
    assert_sound(path)


async def test_results_wait_until_the_disk_has_room_again(path: Path) -> None:
    async with opened(path) as app:
        plan_id = await app.submit(chain(6, 100_000), approved_by="me")
        limit_pages(app, 60)
        async with app.worker() as worker:
            await until(lambda: worker.fault is not None)
            assert isinstance(worker.fault, Transient)
            assert await app.status(plan_id) is PlanStatus.Running
            before = len(await app.store.read(Query()))
            assert_sound(path)
            limit_pages(app, None)
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result(plan_id)
    assert view.status is PlanStatus.Completed
    assert {len(task.result) for task in view.tasks} == {100_000}
    assert 2 < before < 13
    assert_sound(path)


async def test_other_appends_of_a_commit_that_does_not_fit_are_written(path: Path) -> None:
    async with opened(path) as app:
        limit_pages(app, 8)
        drafts = {f"p{n}": chain(1, 1) for n in range(5)}
        huge = planfold.PlanDraft(
            title="huge", tasks=[planfold.TaskDraft(description="z" * 15_000) for _ in range(40)]
        )
        answers = await asyncio.gather(
            *(app.submit(draft, plan_id=key) for key, draft in drafts.items()),
            app.submit(huge, plan_id="huge"),
            return_exceptions=True,
        )
        assert isinstance(answers[-1], Transient)
        assert answers[:-1] == list(drafts)
        assert {head.aggregate_id for head in await app.plans()} == set(drafts)
    assert_sound(path)


LIMITED = """
import asyncio, json, resource, signal, sys
import planfold
from planfold.errors import Transient

async def main(database, limit):
    acknowledged = []
    async with planfold.open_app(database) as app:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        message = ""
        try:
            for number in range(1_000):
                task = planfold.TaskDraft(description="w" * 5_000)
                draft = planfold.PlanDraft(title=str(number), tasks=[task])
                acknowledged.append(await app.submit(draft, plan_id=f"p{number}"))
        except Transient as fault:
            message = str(fault)
        sys.stdout.write(json.dumps([acknowledged, message]) + "\\n")

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_a_file_that_may_not_grow_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """The system refuses to write, as on a disk that is really full."""
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LIMITED, f"sqlite:///{path}", "600000", stdout=subprocess.PIPE
    )
    output, _ = await run.communicate()
    acknowledged, message = json.loads(output)
    assert 3 < len(acknowledged) < 1_000
    assert str(path) in message
    assert_sound(path)
    async with opened(path) as app:
        assert {head.aggregate_id for head in await app.plans()} >= set(acknowledged)
        await app.submit(chain(1, 1), plan_id="after")


# --- output that fills the disk -----------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_long_output_leaves_room_for_the_log(small_disk: Path) -> None:
    scripts = ["echo start", "head -c 4000000 /dev/zero | tr '\\0' x", "echo after"]
    tasks = [
        planfold.TaskDraft(
            description=script,
            tool="shell",
            arguments={"script": script},
            depends_on=[n] if n else [],
        )
        for n, script in enumerate(scripts)
    ]
    async with opened(small_disk / "plans.db") as app:
        draft = planfold.PlanDraft(title="much", tasks=tasks)
        view = await finished(app, await app.submit(draft, approved_by="me"))
    assert view.status is PlanStatus.Completed
    result = view.tasks[1].result
    assert (result["stdout_truncated"], result["stdout_bytes"]) == (True, 4_000_000)
    kept = read(result["stdout_file"])
    assert 500_000 < len(kept) < 1_600_000
    assert kept.endswith(b"x\n[... the rest was not kept: the disk is nearly full ...]\n")
    assert view.tasks[2].result["stdout"] == "after"
    assert_sound(small_disk / "plans.db")


def test_doctor_warns_of_a_disk_that_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    free = 10**12
    monkeypatch.setattr(
        os, "statvfs", lambda _: SimpleNamespace(f_frsize=1, f_bavail=free, f_blocks=10**12)
    )
    assert not [note for note in diagnose(None, ()).notes if "disk" in note]
    free = 10**9
    (note,) = [note for note in diagnose(None, ()).notes if "disk" in note]
    assert note.startswith("the disk of the database is nearly full (1,000,000,000 bytes are free")


# --- read-only ---------------------------------------------------------------------------------


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def reachable(folder: Path) -> None:
    if os.geteuid() != 0:
        return
    for parent in (folder, *folder.parents):
        if parent.stat().st_mode & 0o005 != 0o005:
            if parent.owner() != "root" or "pytest" not in str(parent):
                pytest.skip(f"an unprivileged user cannot reach {parent}")
            parent.chmod(parent.stat().st_mode | 0o055)


def allow(path: Path, *, file: bool, folder: bool) -> None:
    path.chmod(0o666 if file else 0o444)
    path.parent.chmod(0o777 if folder else 0o555)


@pytest.mark.parametrize("part", ["file", "folder", "both"])
async def test_a_read_only_database_is_named_and_left_alone(path: Path, part: str) -> None:
    reachable(path.parent)
    async with opened(path) as app:
        await app.submit(chain(1, 1), plan_id="p", approved_by="me")
    content = path.read_bytes()  # noqa: ASYNC240 - no process has it open
    allow(path, file=part == "folder", folder=part == "file")
    with (
        unprivileged(),
        pytest.raises(ConfigurationError, match=r"plans\.db.*(read-only|you may write)"),
    ):
        async with opened(path) as app:
            await app.submit(chain(1, 1), plan_id="q")
    allow(path, file=True, folder=True)
    assert path.read_bytes() == content  # noqa: ASYNC240
    async with opened(path) as app:
        assert (await finished(app, "p")).status is PlanStatus.Completed


async def test_a_database_that_becomes_read_only_says_so(path: Path) -> None:
    async with opened(path) as app:
        await app.submit(chain(1, 1), plan_id="p", approved_by="me")
        connection = app.store._writer.connection  # type: ignore[attr-defined]
        connection.execute("PRAGMA query_only = on")
        with pytest.raises(ConfigurationError, match="is read-only; planfold needs to write it"):
            await app.submit(chain(1, 1), plan_id="q")
        async with app.worker() as worker:
            await until(lambda: worker.fault is not None)
            assert isinstance(worker.fault, ConfigurationError)
            connection.execute("PRAGMA query_only = off")
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result("p")
    assert view.status is PlanStatus.Completed


# --- locked ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
async def test_a_lock_of_another_program_is_waited_for_then_named(path: Path, lock: str) -> None:
    async with opened(path) as app:
        await app.submit(chain(2, 1), plan_id="p", approved_by="me")
        other = apsw.Connection(str(path))
        other.execute(f"BEGIN {lock}")
        with pytest.raises(Transient, match=r"plans\.db is locked by another program; try again"):
            await app.submit(chain(1, 1), plan_id="q")
        async with app.worker() as worker:
            await until(lambda: worker.fault is not None)
            assert (await app.view("p")).task(1).result is None
            other.execute("ROLLBACK")
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result("p")
        other.close()
        assert view.status is PlanStatus.Completed
        assert [head.aggregate_id for head in await app.plans()] == ["p"]
    assert_sound(path)


@pytest.mark.usefixtures("impatient")
async def test_a_lock_does_not_keep_a_process_from_ending(path: Path) -> None:
    other = apsw.Connection(str(path))
    async with opened(path) as app:
        other.execute("BEGIN IMMEDIATE")
        async with app.worker():
            pass
    other.close()


async def test_a_short_lock_is_not_even_noticed(path: Path) -> None:
    async with opened(path) as app:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        sent = asyncio.ensure_future(app.submit(chain(1, 1), plan_id="p"))
        asyncio.get_running_loop().call_later(0.05, other.execute, "ROLLBACK")
        assert await sent == "p"
        other.close()


# --- damaged, foreign, newer -------------------------------------------------------------------


async def use_everything(path: Path) -> None:
    async with opened(path) as app:
        for head in await app.plans():
            await app.view(head.aggregate_id)
            await finished(app, head.aggregate_id)


async def test_a_truncated_file_is_refused_and_a_backup_continues(path: Path) -> None:
    async with opened(path) as app:
        for number in range(30):
            await app.submit(chain(3, 1), plan_id=f"p{number}", approved_by="me")
    backup = path.read_bytes()  # noqa: ASYNC240 - no process has it open
    for length in (100, 4_096 * 3, len(backup) // 2, len(backup) - 1_000):
        path.write_bytes(backup[:length])  # noqa: ASYNC240
        with pytest.raises((CorruptLog, ConfigurationError), match=r"plans\.db|from a backup"):
            await use_everything(path)
    path.write_bytes(backup)  # noqa: ASYNC240
    async with opened(path) as app:
        assert (await finished(app, "p29")).status is PlanStatus.Completed


async def test_a_newer_schema_and_a_foreign_file_are_refused(path: Path) -> None:
    async with opened(path) as app:
        await app.submit(chain(1, 1), plan_id="p")
    execute(path, "PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match=r"has schema 99.*upgrade planfold"):
        async with opened(path):
            pass
    execute(path, "PRAGMA user_version = 1; PRAGMA application_id = 7")
    with pytest.raises(ConfigurationError, match="another program"):
        async with opened(path):
            pass
    path.with_name("text.db").write_text("no database\n" * 1_000)
    with pytest.raises(ConfigurationError, match="is not an SQLite database"):
        async with opened(path.with_name("text.db")):
            pass


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("event_type = 'TaskTeleported'", "'TaskTeleported' is unknown; upgrade planfold"),
        ("event_version = 9", "has version 9, this planfold knows up to 1; upgrade"),
        ('data = \'{"task_id": "one"}\'', "does not have its shape"),
        ("data = '{'", "does not have its shape"),
    ],
)
async def test_an_event_that_cannot_be_read_makes_its_plan_read_only(
    path: Path, change: str, reason: str
) -> None:
    async with opened(path) as app:
        await app.submit(chain(2, 1), plan_id="bad", approved_by="me")
        await app.submit(chain(2, 1), plan_id="good", approved_by="me")
    before = execute(path, "SELECT count(*) FROM events")
    third = "aggregate_id = 'bad' AND version = 3"
    execute(path, f"UPDATE events SET {change}, checksum = NULL WHERE {third}")  # noqa: S608
    async with opened(path) as app:
        async with app.worker():
            async with asyncio.timeout(PATIENCE_S):
                good = await app.result("good")
            with pytest.raises(CorruptLog, match=reason):
                await app.send("bad", CancelPlan())
            with pytest.raises(CorruptLog, match=reason):
                await app.view("bad")
            assert len(await app.plans()) == 2
        log = await app.store.read(Query(aggregate_id="bad"))
        assert [isinstance(e.event, Undecoded) for e in log] == [False, False, True]
    assert good.status is PlanStatus.Completed
    assert execute(path, "SELECT count(*) FROM events WHERE aggregate_id = 'bad'") == [(3,)]
    assert before == [(6,)]


async def test_text_that_is_none_is_named(path: Path) -> None:
    async with opened(path) as app:
        await app.submit(chain(1, 1), plan_id="bad", approved_by="me")
        await app.submit(chain(1, 1), plan_id="good", approved_by="me")
    execute(path, "UPDATE events SET data = CAST(x'fffe' AS TEXT) WHERE aggregate_id = 'bad'")
    async with opened(path) as app:
        assert (await finished(app, "good")).status is PlanStatus.Completed
        with pytest.raises(CorruptLog, match=r"bad#1.*checksum"):
            await app.send("bad", CancelPlan())
        with pytest.raises(CorruptLog, match=r"bad#1.*checksum"):
            await app.view("bad")
