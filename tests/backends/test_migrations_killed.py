"""A migration that is killed at any of its statements has done nothing, and is done again."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from planfold.backends.sqlite import connection as connection_module
from planfold.backends.sqlite.connection import connect, migrate, migrations
from planfold.backends.sqlite.store import SqliteStore
from testbed.contracts.backend import CODEC, Counted, decision

HERE = Path(__file__).parent
pytestmark = pytest.mark.crash


def migrator(database: str, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "migrators.py"), database, str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def statements(database: str) -> int:
    done = migrator(database, 0)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def schema(path: Path) -> list[Any]:
    connection = apsw.Connection(str(path))
    try:
        sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
        return [connection.pragma("user_version"), *connection.execute(sql)]
    finally:
        connection.close()


@pytest.mark.parametrize("first", [0, 1])
def test_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """From nothing, and from the oldest schema."""
    old = tmp_path / "old.db"
    if first:
        monkeypatch.setattr(connection_module, "migrations", lambda: migrations()[:first])
        connection = connect(str(old))
        migrate(connection, str(old))
        connection.close()
        monkeypatch.undo()
    before = schema(old)
    whole = tmp_path / "whole.db"
    shutil.copy(old, whole)
    count = statements(str(whole))
    assert count > 12
    killed = tmp_path / "killed.db"
    for kill_at in range(1, count + 1):
        for leftover in tmp_path.glob("killed.db*"):
            leftover.unlink()
        shutil.copy(old, killed)
        assert migrator(str(killed), kill_at).returncode == -signal.SIGKILL
        assert schema(killed) in (before, schema(whole))
        store = SqliteStore.open(str(killed), CODEC)
        asyncio.run(store.close())
        assert schema(killed) == schema(whole)


async def tables(database: str) -> list[str]:
    connection = await asyncpg.connect(database)
    try:
        ours = "relnamespace = to_regnamespace('planfold')::oid"
        rows = await connection.fetch(f"SELECT relname FROM pg_class WHERE {ours} ORDER BY 1")  # noqa: S608
        return [row[0] for row in rows]
    finally:
        await connection.close()


async def test_on_postgresql(postgres: Any, postgres_database: str) -> None:
    from planfold.backends.postgres.store import PostgresStore

    loop = asyncio.get_running_loop()
    count = await loop.run_in_executor(None, statements, postgres_database)
    assert count > 8
    whole = await tables(postgres_database)
    for kill_at in range(1, count + 1):
        name = f"killed_{postgres_database[-12:]}_{kill_at}"
        database = await postgres.create_database(name)
        done = await loop.run_in_executor(None, migrator, database, kill_at)
        assert done.returncode == -signal.SIGKILL
        assert await tables(database) in ([], whole)
        store = await PostgresStore.open(database, CODEC)
        await store.append(decision(Counted(1)))
        await store.close()
        assert await tables(database) == whole
        await postgres.drop_database(name)
