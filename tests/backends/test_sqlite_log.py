"""The write-ahead log is given its full size before commits need it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from planfold.backends.sqlite.connection import FRAME_BYTES, PAGE_BYTES, connect, grow_log
from planfold.backends.sqlite.store import SqliteStore
from planfold.backends.sqlite.writer import GROW_AFTER
from testbed.contracts.backend import CODEC, dispatch
from testbed.patience import PATIENCE_S

FULL = 1_000 * (PAGE_BYTES + FRAME_BYTES)  # SQLite begins the log again after 1,000 pages

KILLED = """
import os, signal, sys
from planfold.backends.sqlite.connection import connect, grow_log

def kill_before_rollback(cursor, sql, bindings):
    if sql == "ROLLBACK":
        os.kill(os.getpid(), signal.SIGKILL)
    return True

connection = connect(sys.argv[1])
connection.exec_trace = kill_before_rollback
grow_log(connection, sys.argv[1])
"""


def size_of_log(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def killed_while_growing(path: Path) -> int:
    command = [sys.executable, "-c", KILLED, str(path)]
    return subprocess.run(command, timeout=PATIENCE_S).returncode


async def commits(store: SqliteStore, count: int, name: str = "a") -> None:
    for number in range(count):
        await store.append(dispatch(1, to=f"{name}{number}"))


async def test_a_process_that_commits_often_grows_the_log_once(tmp_path: Path) -> None:
    path = tmp_path / "plans.db"
    store = SqliteStore.open(str(path), CODEC)
    await commits(store, GROW_AFTER - 1)
    assert size_of_log(path) < FULL / 2
    await commits(store, 1, "last")
    grown = size_of_log(path)
    assert grown >= FULL
    await commits(store, 20, "more")
    assert size_of_log(path) == grown
    other = SqliteStore.open(str(path), CODEC)
    assert await other.version("more19") == 1
    assert await other.checkpoints.snapshot("") is None
    await other.close()
    await store.close()


async def test_a_process_that_is_killed_while_it_grows_the_log_changes_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "plans.db"
    store = SqliteStore.open(str(path), CODEC)
    await commits(store, 3)
    assert killed_while_growing(path) == -signal.SIGKILL
    assert size_of_log(path) >= FULL
    await commits(store, 3, "after")
    await store.close()
    again = SqliteStore.open(str(path), CODEC)
    assert [await again.version(name) for name in ("a2", "after2")] == [1, 1]
    assert await again.checkpoints.snapshot("") is None
    await again.close()
    checked = apsw.Connection(str(path))
    assert checked.pragma("integrity_check") == "ok"
    checked.close()


async def test_a_log_that_another_process_writes_is_not_grown(tmp_path: Path) -> None:
    path = str(tmp_path / "plans.db")
    store = SqliteStore.open(path, CODEC)
    writing, growing = connect(path), connect(path)
    growing.set_busy_timeout(0)
    writing.execute("BEGIN IMMEDIATE")
    with pytest.raises(apsw.BusyError):
        grow_log(growing, path)
    writing.execute("ROLLBACK")
    assert size_of_log(Path(path)) < FULL / 2
    await commits(store, 1)
    grow_log(growing, path)
    assert size_of_log(Path(path)) >= FULL
    for connection in (writing, growing):
        connection.close()
    await store.close()
