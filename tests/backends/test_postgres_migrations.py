"""Opening a PostgreSQL database: fresh, again, newer, of another program, and by many at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, TypeAlias

import asyncpg
import pytest

from planfold.backends.postgres import migration as migration_module
from planfold.backends.postgres.address import parse_address
from planfold.backends.postgres.connection import connect
from planfold.backends.postgres.inspection import inspect
from planfold.backends.postgres.migration import migrate, migrations
from planfold.backends.postgres.store import PostgresStore
from planfold.errors import ConfigurationError, LeaseLost, PlanfoldError
from planfold.eventstore.envelope import History
from planfold.eventstore.port import Fence
from planfold.handler import Enqueue, QueueChange, Settle
from testbed.contracts.backend import CODEC, Counted, decision
from testbed.patience import PATIENCE_S

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SOMEBODY = "planfold_somebody"


@pytest.fixture
async def direct(empty_postgres_database: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(empty_postgres_database)
    yield connection
    connection.terminate()


@pytest.fixture
def one_step_more(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """As if the next planfold had one more migration."""
    steps = [*migrations(), ("9999_next.sql", "CREATE TABLE planfold.later (x integer)")]
    monkeypatch.setattr(migration_module, "migrations", lambda: steps)
    return steps


async def open_and_close(address: str, **rest: Any) -> str:
    store = await PostgresStore.open(address, CODEC, **rest)
    await store.close()
    return store.store_id


async def tables(connection: Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'planfold'")
    return {row[0] for row in rows}


async def test_a_fresh_database_gets_the_whole_schema_and_an_identity(
    empty_postgres_database: str, direct: Connection
) -> None:
    store = await PostgresStore.open(empty_postgres_database, CODEC)
    assert re.fullmatch(r"[0-9a-f]{16}", store.store_id)
    assert store.epoch == 1
    await store.close()
    wanted = {"events", "streams", "task_queue", "commands", "consumers", "snapshots", "meta"}
    assert wanted <= await tables(direct)
    rows = await direct.fetch("SELECT number, name FROM planfold.migrations ORDER BY number")
    assert [tuple(row) for row in rows] == [
        (number, name) for number, (name, _) in enumerate(migrations(), 1)
    ]


async def test_opening_again_changes_nothing(empty_postgres_database: str) -> None:
    store = await PostgresStore.open(empty_postgres_database, CODEC)
    await store.append(decision(Counted(1)))
    await store.close()
    again = await PostgresStore.open(empty_postgres_database, CODEC, create=False)
    assert (again.store_id, (await again.load("a")).events) == (store.store_id, [Counted(1)])
    await again.close()
    session = await connect(parse_address(empty_postgres_database))
    assert await migrate(session, parse_address(empty_postgres_database)) == 0
    await session.close()


async def test_processes_that_make_one_schema_at_once_agree(empty_postgres_database: str) -> None:
    opened = await asyncio.gather(*(open_and_close(empty_postgres_database) for _ in range(8)))
    assert len(set(opened)) == 1


async def test_a_later_migration_keeps_what_is_there(
    empty_postgres_database: str, direct: Connection, request: pytest.FixtureRequest
) -> None:
    store = await PostgresStore.open(empty_postgres_database, CODEC)
    await store.append(decision(Counted(1)))
    request.getfixturevalue("one_step_more")
    opened = await asyncio.gather(*(open_and_close(empty_postgres_database) for _ in range(3)))
    assert set(opened) == {store.store_id}
    assert "later" in await tables(direct)
    await store.append(decision(Counted(2), at=1))  # an older planfold that is still running
    assert (await store.load("a")).events == [Counted(1), Counted(2)]
    await store.close()


async def test_a_database_of_schema_4_is_upgraded(
    empty_postgres_database: str, direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(migration_module, "migrations", lambda: migrations()[:4])
        session = await connect(parse_address(empty_postgres_database))
        assert await migrate(session, parse_address(empty_postgres_database)) == 4
        await session.close()
    await direct.execute("""
        INSERT INTO planfold.streams VALUES ('a', 's', 2, '{}', NULL, 5, 6);
        INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version,
                                     data, metadata, recorded_at, receipt)
        VALUES ('s', 'a', 1, 'Counted', 1, '{"number":1}', '{}', 5, 77),
               ('s', 'a', 2, 'Counted', 1, '{"number":2}', '{}', 6, NULL);
        INSERT INTO planfold.task_queue
            (aggregate_id, task_id, attempt, route, cause, epoch, starts)
        VALUES ('a', 1, 1, 'r', 1, 0, 0), ('a', 2, 1, 'r', 2, 0, 0);
    """)
    store = await PostgresStore.open(empty_postgres_database, CODEC)
    kind = "s"
    assert await store.load("a", stream_id=kind) == History([Counted(1), Counted(2)], [5, 6], 2)
    queue: list[tuple[QueueChange, int]] = [(Enqueue(3, 1, "r", "r"), 3)]
    await store.append(decision(Counted(3), stream=kind, at=2, queue=queue))
    leases = await store.queue.claim("me", 5)
    assert [lease.task_id for lease in leases] == [1, 2, 3]
    fence = Fence(1, 1, leases[0].epoch)
    settled = decision(Counted(4), stream=kind, at=3, fences=[fence], queue=[(Settle(1), 4)])
    await store.append(settled)
    assert [lease.task_id for lease in await store.queue.owned("me")] == [2, 3]
    with pytest.raises(LeaseLost):
        await store.append(decision(Counted(5), stream=kind, at=4, fences=[fence]))
    assert (await store.load("a")).events == [Counted(n) for n in (1, 2, 3, 4)]
    await store.close()


async def test_an_append_that_waits_for_the_migration_is_found_by_its_status(
    empty_postgres_database: str, direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs the function of the former schema, after the migration."""

    async def waiting(count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while await direct.fetchval(waits) < count:  # noqa: ASYNC110 - a lock sets no event
                await asyncio.sleep(0.01)

    former = migrations()[:14]
    with monkeypatch.context() as patched:
        patched.setattr(migration_module, "migrations", lambda: former)
        await open_and_close(empty_postgres_database)
    await direct.execute(
        "INSERT INTO planfold.streams (aggregate_id, stream_id, version, head, created_at, "
        "updated_at, turn) VALUES ('a', 'plan', 1, '{\"status\":\"running\"}', 1, 1, 0)"
    )
    appending = await asyncpg.connect(empty_postgres_database)
    async with direct.transaction():
        await direct.execute("SELECT FROM planfold.streams")
        opening = asyncio.ensure_future(open_and_close(empty_postgres_database))
        await waiting(1)
        head = 'UPDATE planfold.streams SET head = \'{"status":"completed"}\''
        append = asyncio.ensure_future(appending.execute(head))
        await waiting(2)
    await asyncio.gather(opening, append)
    assert await direct.fetchval("SELECT status FROM planfold.streams") == "completed"
    await appending.close()


async def test_a_migration_that_fails_leaves_what_was_there(
    empty_postgres_database: str, direct: Connection, one_step_more: list[tuple[str, str]]
) -> None:
    one_step_more[-1] = ("9999_next.sql", "CREATE TABLE planfold.events (x integer)")
    with pytest.raises(PlanfoldError, match="already exists"):
        await open_and_close(empty_postgres_database)
    assert await tables(direct) == set()
    one_step_more.pop()
    await open_and_close(empty_postgres_database)


async def test_a_crash_at_any_statement_leaves_nothing_behind(
    empty_postgres_database: str, direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "\n".join(sql for _, sql in migrations() if "FUNCTION" not in sql)
    statements = [s for s in re.split(r";\s*\n", sql) if s.strip()]
    assert len(statements) > 20
    for crash_at in range(0, len(statements), 3):
        steps = [(f"{n:04}.sql", s) for n, s in enumerate(statements)]
        steps.insert(crash_at, ("crash", "SELECT pg_terminate_backend(pg_backend_pid())"))
        monkeypatch.setattr(migration_module, "migrations", lambda steps=steps: steps)
        with pytest.raises(PlanfoldError):
            await open_and_close(empty_postgres_database)
        assert await tables(direct) == set()
    monkeypatch.undo()
    await open_and_close(empty_postgres_database)


async def test_a_missing_database_is_not_made_when_it_must_exist(
    empty_postgres_database: str, direct: Connection
) -> None:
    with pytest.raises(ConfigurationError, match=r"no database at postgresql://"):
        await open_and_close(empty_postgres_database, create=False)
    assert await direct.fetchval("SELECT to_regnamespace('planfold') IS NULL")


async def test_a_database_of_a_newer_planfold_is_refused(
    empty_postgres_database: str, direct: Connection
) -> None:
    await open_and_close(empty_postgres_database)
    await direct.execute("INSERT INTO planfold.migrations VALUES (99, 'of the future', 0)")
    with pytest.raises(ConfigurationError, match=r"has schema 99.*knows up to.*upgrade planfold"):
        await open_and_close(empty_postgres_database)


async def test_a_schema_of_another_program_is_refused(
    empty_postgres_database: str, direct: Connection
) -> None:
    await direct.execute("CREATE SCHEMA planfold; CREATE TABLE planfold.theirs (x integer)")
    with pytest.raises(ConfigurationError, match="another program"):
        await open_and_close(empty_postgres_database)
    assert await tables(direct) == {"theirs"}


async def test_the_rights_that_are_needed_are_named(
    empty_postgres_database: str, direct: Connection
) -> None:
    with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        await direct.execute(f"CREATE ROLE {SOMEBODY} LOGIN")
    name = empty_postgres_database.rpartition("/")[2]
    theirs = re.sub(r"//[^@]*@", f"//{SOMEBODY}@", empty_postgres_database)
    with pytest.raises(ConfigurationError, match=rf"GRANT CREATE ON DATABASE {name} TO {SOMEBODY}"):
        await open_and_close(theirs)
    await direct.execute(f"GRANT CREATE ON DATABASE {name} TO {SOMEBODY}")
    store = await PostgresStore.open(theirs, CODEC)
    await store.append(decision(Counted(1)))
    await store.close()


async def test_a_schema_that_was_made_beforehand_needs_no_right_on_the_database(
    empty_postgres_database: str, direct: Connection
) -> None:
    with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        await direct.execute(f"CREATE ROLE {SOMEBODY} LOGIN")
    await direct.execute(f"CREATE SCHEMA planfold AUTHORIZATION {SOMEBODY}")
    await open_and_close(re.sub(r"//[^@]*@", f"//{SOMEBODY}@", empty_postgres_database))


async def test_a_database_that_cannot_hold_every_text_is_refused(
    empty_postgres_database: str, direct: Connection
) -> None:
    name = empty_postgres_database.rpartition("/")[2] + "_latin"
    await direct.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(ConfigurationError, match="encoding LATIN1"):
            await open_and_close(empty_postgres_database + "_latin")
    finally:
        await direct.execute(f"DROP DATABASE {name}")


async def test_inspecting_changes_nothing(empty_postgres_database: str, direct: Connection) -> None:
    with pytest.raises(ConfigurationError, match="no database at"):
        await inspect(empty_postgres_database)
    await open_and_close(empty_postgres_database)
    report = await inspect(empty_postgres_database)
    assert report.schema == report.newest_schema == len(migrations())
    assert report.integrity == "ok"
    assert report.bytes > 0
    await direct.execute("INSERT INTO planfold.migrations VALUES (99, 'of the future', 0)")
    assert (await inspect(empty_postgres_database)).schema == 99
