"""What only SQLite's queue has: liveness files, and claims that no index is missing for."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from planfold.backends.sqlite.connection import MEMORY, connect, migrate, migrations
from planfold.backends.sqlite.liveness import Liveness
from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.queue import WorkerRecord
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import CODEC, dispatch

LEASE_S = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "plans.db.workers"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- liveness ----------------------------------------------------------------------------------


def test_to_enter_again_changes_nothing(folder: Path) -> None:
    mine, other = Liveness(folder), Liveness(folder)
    mine.enter("me")
    before = open_files()
    mine.enter("me")
    mine.enter("me")
    assert open_files() == before
    assert [path.name for path in folder.iterdir()] == ["me"]
    assert (mine.is_alive("me"), other.is_alive("me")) == (True, True)
    mine.leave("me")
    assert not folder.exists()
    assert other.is_alive("me") is None


def test_a_file_without_a_lock_says_that_its_owner_is_dead(folder: Path) -> None:
    mine, others = Liveness(folder), [Liveness(folder) for _ in range(2)]
    mine.enter("me")
    mine.leave("me", holds=True)
    assert [other.is_alive("me") for other in others] == [False, False]
    others[0].forget("me")
    assert others[1].is_dead("me") is False


def test_a_name_is_never_seen_without_its_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may look at any moment of it."""
    seen: list[bool | None] = []

    def look(call: object) -> object:
        def looked(*args: object) -> object:
            seen.append(Liveness(folder).is_alive("me"))
            return call(*args)  # type: ignore[operator]

        return looked

    mine = Liveness(folder)
    monkeypatch.setattr("fcntl.flock", look(__import__("fcntl").flock))
    monkeypatch.setattr(Path, "rename", look(Path.rename))
    mine.enter("me")
    assert len(seen) >= 2
    assert False not in seen


def test_a_forked_child_does_not_keep_its_parent_alive(folder: Path) -> None:
    mine, other = Liveness(folder), Liveness(folder)
    mine.enter("me")
    forked = multiprocessing.get_context("fork")
    ready = forked.Event()

    def outlive() -> None:
        ready.set()
        signal.pause()

    child = forked.Process(target=outlive)
    child.start()
    try:
        assert ready.wait(20)
        assert other.is_alive("me") is True
        mine.leave("me", holds=True)
        assert other.is_alive("me") is False
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("name", ["absent", "nul\0", "a/b/c", "x" * 300])
def test_of_an_owner_without_a_file_nothing_is_known(folder: Path, name: str) -> None:
    folder.mkdir()
    assert Liveness(folder).is_alive(name) is None


async def test_where_locks_cannot_be_had_leases_decide(tmp_path: Path) -> None:
    path, clock = tmp_path / "plans.db", ManualClock()
    (tmp_path / "plans.db.workers").write_text("no folder")
    stores = [SqliteStore.open(str(path), CODEC, clock=clock) for _ in range(2)]
    await stores[0].queue.enter(WorkerRecord("me"))
    await stores[0].append(dispatch(1))
    await stores[0].queue.claim("me", 1)
    assert await stores[1].queue.claim("you", 1) == []
    clock.advance(LEASE_S + 1)
    assert await stores[1].queue.claim("you", 1)
    for store in stores:
        await store.close()


async def test_a_worker_that_does_not_wait_for_its_end_to_be_recorded_is_dead(
    tmp_path: Path,
) -> None:
    """Another process holds the lock of the database for longer than the worker waits."""
    path = str(tmp_path / "plans.db")
    mine, others = [SqliteStore.open(path, CODEC) for _ in range(2)]
    await mine.queue.enter(WorkerRecord("me"))
    await mine.append(dispatch(1))
    assert await mine.queue.claim("me", 1)
    blocker = apsw.Connection(path)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mine.queue.leave("me"), 0.01)
    assert await others.queue.dead(["me"]) == {"me"}
    blocker.execute("ROLLBACK")
    blocker.close()
    await mine.close()  # after its last commit
    assert await others.queue.claim("you", 1)
    await others.close()


# --- indexes -----------------------------------------------------------------------------------

BINDINGS = {
    "free": (16, "r", "t", "", None, None, 0),
    "first_turn": (0, "r", "t", ""),
    "first_turn_of_all": (0,),
    "lanes": (),
    "owners": (),
    "held_crashes": ("me",),
}


@pytest.mark.parametrize("name", BINDINGS)
def test_a_claim_neither_sorts_nor_scans_the_queue(name: str) -> None:
    connection = connect(MEMORY)
    migrate(connection, MEMORY)
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + SQL[name], BINDINGS[name])]
    text = "\n".join(plan)
    assert "TEMP B-TREE" not in text
    assert "SCAN task_queue\n" not in text + "\n"
    assert "INDEX task_queue_" in text


# --- an older database -------------------------------------------------------------------------


@pytest.fixture
async def older(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A database in which plans waited before claims were fair."""
    path = str(tmp_path / "plans.db")
    connection = apsw.Connection(path)
    for _, sql in migrations()[:5]:
        connection.execute(sql)
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('store_id', 's'); PRAGMA user_version = 5;"
        "PRAGMA application_id = 0x706C6664; PRAGMA journal_mode = wal"
    )
    columns = "aggregate_id, task_id, attempt, route, cause, owner, epoch, starts, expires"
    row = f"INSERT INTO task_queue ({columns})"
    for task in range(1, 51):
        connection.execute(row + " VALUES ('large', ?, 1, 'gpu', 1, NULL, 0, 0, NULL)", (task,))
    connection.execute(row + " VALUES ('held', 1, 1, 'gpu', 1, 'gone', 3, 2, 1.0)")
    connection.execute(row + " VALUES ('small', 1, 1, 'gpu', 1, NULL, 0, 0, NULL)")
    connection.close()
    store = SqliteStore.open(path, CODEC)
    yield store
    await store.close()


async def test_what_waited_before_the_migration_is_granted_fairly(older: SqliteStore) -> None:
    leases = await older.queue.claim("me", 4)
    found = [(le.aggregate_id, le.task_id, le.tool, le.priority) for le in leases]
    assert found == [
        ("held", 1, "gpu", 0),
        ("large", 1, "gpu", 0),
        ("small", 1, "gpu", 0),
        ("large", 2, "gpu", 0),
    ]
    assert (leases[0].epoch, leases[0].starts, leases[0].started_at) == (4, 3, None)
