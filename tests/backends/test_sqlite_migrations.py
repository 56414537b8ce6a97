"""Opening a database: fresh, again, newer, older, and of another program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import apsw
import pytest

from planfold.backends.sqlite import connection as connection_module
from planfold.backends.sqlite.connection import APPLICATION_ID, connect, migrate, migrations
from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import ConfigurationError, CorruptLog, PlanfoldError
from planfold.eventstore.codec import Codec
from testbed.contracts.backend import CODEC, Counted, decision


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "plans.db")


def sql(path: str, statements: str) -> list[Any]:
    connection = apsw.Connection(path)
    try:
        return connection.execute(statements).fetchall()
    finally:
        connection.close()


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def schema(path: str) -> list[Any]:
    return sql(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")


@pytest.fixture
def two_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """As if the next planfold had one more migration."""
    steps = [
        *migrations(),
        ("9999_next.sql", "CREATE TABLE later (x); INSERT INTO later VALUES(1)"),
    ]
    monkeypatch.setattr(connection_module, "migrations", lambda: steps)
    return steps


async def test_a_fresh_database_gets_the_whole_schema_and_an_identity(path: str) -> None:
    store = SqliteStore.open(path, CODEC)
    assert re.fullmatch(r"[0-9a-f]{16}", store.store_id)
    await store.close()
    assert sql(path, "PRAGMA user_version") == [(len(migrations()),)]
    assert sql(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert sql(path, "PRAGMA journal_mode") == [("wal",)]
    tables = {name for kind, name, _, _ in schema(path) if kind == "table"}
    wanted = {"events", "streams", "task_queue", "commands", "consumers", "snapshots", "meta"}
    assert wanted <= tables


def test_every_commit_is_synced(path: str) -> None:
    connection = connect(path)
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("journal_mode") == "wal"


def test_the_library_is_free_of_the_wal_reset_bug() -> None:
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) > (3, 51, 2)


async def test_opening_again_changes_nothing(path: str) -> None:
    store = SqliteStore.open(path, CODEC)
    await store.append(decision(Counted(1)))
    identity, before = store.store_id, schema(path)
    await store.close()
    again = SqliteStore.open(path, CODEC)
    assert (again.store_id, (await again.load("a")).events) == (identity, [Counted(1)])
    assert migrate(connect(path), path) == 0
    await again.close()
    assert schema(path) == before


async def test_a_later_migration_keeps_what_is_there(
    path: str, request: pytest.FixtureRequest
) -> None:
    store = SqliteStore.open(path, CODEC)
    await store.append(decision(Counted(1)))
    identity = store.store_id
    await store.close()
    request.getfixturevalue("two_steps")
    newer = SqliteStore.open(path, CODEC)
    assert (newer.store_id, (await newer.load("a")).events) == (identity, [Counted(1)])
    await newer.close()
    assert sql(path, "SELECT x FROM later") == [(1,)]
    assert sql(path, "PRAGMA user_version") == [(len(migrations()) + 1,)]


async def test_a_migration_that_fails_leaves_what_was_there(
    path: str, two_steps: list[tuple[str, str]]
) -> None:
    two_steps[-1] = ("9999_next.sql", "CREATE TABLE later (x); CREATE TABLE events (x)")
    with pytest.raises(PlanfoldError, match="already exists"):
        SqliteStore.open(path, CODEC)
    assert schema(path) == []
    two_steps.pop()
    await SqliteStore.open(path, CODEC).close()


async def test_a_database_of_a_newer_planfold_is_refused_untouched(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await SqliteStore.open(path, CODEC).close()
    sql(path, f"PRAGMA user_version = {len(migrations()) + 1}")
    before = content(path)
    with pytest.raises(ConfigurationError, match=r"plans\.db has schema \d+.*upgrade planfold"):
        SqliteStore.open(path, CODEC)
    assert content(path) == before


@pytest.mark.parametrize("version", [0, 1, 7])
def test_a_database_of_another_program_is_refused_untouched(path: str, version: int) -> None:
    sql(path, f"CREATE TABLE theirs (x); PRAGMA user_version = {version}")
    before = Path(path).read_bytes()
    with pytest.raises(ConfigurationError, match="another program; name another file"):
        SqliteStore.open(path, CODEC)
    assert Path(path).read_bytes() == before
    assert [p.name for p in Path(path).parent.iterdir()] == ["plans.db"]


@pytest.mark.parametrize("data", [b"# a Markdown file\n" * 200, b"\0" * 4096, b"SQLite format 3"])
def test_what_is_no_database_is_refused_untouched(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)
    with pytest.raises((ConfigurationError, CorruptLog), match=r"plans\.db"):
        SqliteStore.open(path, CODEC)
    assert Path(path).read_bytes() == data


async def test_an_empty_file_becomes_a_database(path: str) -> None:
    Path(path).touch()  # noqa: ASYNC240 - nothing else waits
    assert (await SqliteStore.open(path, CODEC).load("a")).events == []


def test_a_missing_database_is_not_made_when_it_must_exist(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot open"):
        SqliteStore.open(path, Codec(), create=False)
    assert not Path(path).exists()


@pytest.mark.parametrize("name", ["", "a/b/c", "ümläut ☃", "with space", "quote'\"", "100%"])
async def test_the_path_may_be_any(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "plans.db"
    assert (await SqliteStore.open(str(path), CODEC).load("a")).events == []
    assert path.exists()


@pytest.mark.parametrize("path", ["{}", "{}/file/plans.db", "{}/nul\0/plans.db", "{}/\udcff/x.db"])
def test_a_path_that_cannot_be_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError):
        SqliteStore.open(path.format(tmp_path), CODEC)
