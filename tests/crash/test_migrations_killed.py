"""A migration that is killed at any of its statements has done nothing, and is done again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest
from crash_runs import Zygote

from planfold.backends.postgres.store import PostgresStore
from planfold.backends.sqlite import connection as connection_module
from planfold.backends.sqlite.connection import connect, migrate, migrations
from planfold.backends.sqlite.store import SqliteStore
from testbed.contracts.backend import CODEC, Counted, decision

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def migrators() -> Iterator[Zygote]:
    zygote = Zygote("migrators")
    yield zygote
    zygote.stop()


def statements(migrators: Zygote, database: str, folder: Path) -> int:
    done = migrators.run(program(database), folder, database=database, kill_at=0)
    assert done is not None
    count: int = done["statements"]
    return count


def killed_at(migrators: Zygote, database: str, folder: Path, kill_at: int) -> bool:
    job = {"database": database, "kill_at": kill_at}
    return migrators.run(program(database), folder, **job) is None


def program(database: str) -> str:
    return "postgres" if "://" in database else "sqlite"


def schema(path: Path) -> list[Any]:
    connection = apsw.Connection(str(path))
    try:
        sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
        return [connection.pragma("user_version"), *connection.execute(sql)]
    finally:
        connection.close()


EACH = pytest.mark.parametrize("each", [5, pytest.param(1, marks=pytest.mark.soak)])


@EACH
@pytest.mark.parametrize("first", [0, 1])
def test_on_sqlite(
    migrators: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, each: int
) -> None:
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
    count = statements(migrators, str(whole), tmp_path)
    assert count > 12
    killed = tmp_path / "killed.db"
    for kill_at in range(1, count + 1, each):
        for leftover in tmp_path.glob("killed.db*"):
            leftover.unlink()
        shutil.copy(old, killed)
        assert killed_at(migrators, str(killed), tmp_path, kill_at)
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


@EACH
async def test_on_postgresql(
    migrators: Zygote, postgres: Any, empty_postgres_database: str, tmp_path: Path, each: int
) -> None:
    count = await asyncio.to_thread(statements, migrators, empty_postgres_database, tmp_path)
    assert count > 8
    whole = await tables(empty_postgres_database)
    for kill_at in range(1, count + 1, each):
        name = f"killed_{empty_postgres_database[-12:]}_{kill_at}"
        database = await postgres.create_database(name)
        assert await asyncio.to_thread(killed_at, migrators, database, tmp_path, kill_at)
        assert await tables(database) in ([], whole)
        store = await PostgresStore.open(database, CODEC)
        await store.append(decision(Counted(1)))
        await store.close()
        assert await tables(database) == whole
        await postgres.drop_database(name)
