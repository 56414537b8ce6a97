"""The pooler in transaction mode: what survives a transaction behind it, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from testbed.pooling import PoolingProxy

MY_SERVER_PROCESS = "SELECT pg_backend_pid()"


@pytest.fixture
async def pooler(empty_postgres_database: str) -> AsyncIterator[PoolingProxy]:
    async with PoolingProxy(empty_postgres_database, size=2) as pooler:
        yield pooler


async def connect(pooler: PoolingProxy, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
    """As one connects behind PgBouncer: without a cache of named statements."""
    return await asyncpg.connect(pooler.address, statement_cache_size=0, **options)


@pytest.fixture
async def client(pooler: PoolingProxy) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    client = await connect(pooler)
    yield client
    client.terminate()


async def test_queries_with_arguments_work(client: asyncpg.Connection[asyncpg.Record]) -> None:
    for number in range(10):
        assert await client.fetchval("SELECT $1::int + 1", number) == number + 1
    rows = [(number, f"text {number}") for number in range(100)]
    await client.execute("CREATE TABLE written (number int, text text)")
    await client.executemany("INSERT INTO written VALUES ($1, $2)", rows)
    await client.copy_records_to_table("written", records=rows)
    assert await client.fetchval("SELECT count(*) FROM written") == 200
    with pytest.raises(asyncpg.DivisionByZeroError):
        await client.fetchval("SELECT 1 / $1::int", 0)
    assert await client.fetchval("SELECT repeat('x', 1000000)") == "x" * 1_000_000


async def test_transactions_go_to_different_server_connections(
    client: asyncpg.Connection[asyncpg.Record],
) -> None:
    assert len({await client.fetchval(MY_SERVER_PROCESS) for _ in range(4)}) == 2
    async with client.transaction():
        assert len({await client.fetchval(MY_SERVER_PROCESS) for _ in range(4)}) == 1


async def test_a_named_prepared_statement_is_lost(pooler: PoolingProxy) -> None:
    client = await asyncpg.connect(pooler.address)  # its cache names the statements
    assert await client.fetchval("SELECT $1::int", 1) == 1
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        await client.fetchval("SELECT $1::int", 2)
    client.terminate()


async def test_settings_of_the_session_are_lost(
    client: asyncpg.Connection[asyncpg.Record],
) -> None:
    await client.execute("SET statement_timeout = 12345")
    assert {await client.fetchval("SHOW statement_timeout") for _ in range(4)} == {"0"}
    async with client.transaction():
        await client.execute("SET LOCAL statement_timeout = 12345")
        assert await client.fetchval("SHOW statement_timeout") == "12345ms"


async def test_advisory_locks_of_the_session_are_lost(
    client: asyncpg.Connection[asyncpg.Record], empty_postgres_database: str
) -> None:
    await client.execute("SELECT pg_advisory_lock(1)")
    async with client.transaction():
        await client.execute("SELECT pg_advisory_xact_lock(2)")
        direct = await asyncpg.connect(empty_postgres_database)
        assert await direct.fetchval("SELECT pg_try_advisory_lock(1)")
        assert not await direct.fetchval("SELECT pg_try_advisory_lock(2)")
        await direct.close()


async def test_notifications_are_lost(
    client: asyncpg.Connection[asyncpg.Record], empty_postgres_database: str
) -> None:
    heard: list[object] = []
    await client.add_listener("news", lambda *what: heard.append(what))
    direct = await asyncpg.connect(empty_postgres_database)
    await direct.execute("NOTIFY news")
    await direct.close()
    for _ in range(4):
        await client.fetchval("SELECT 1")
    assert heard == []


async def test_many_clients_share_few_server_connections(pooler: PoolingProxy) -> None:
    clients = [await connect(pooler) for _ in range(10)]

    async def use(client: asyncpg.Connection[asyncpg.Record]) -> set[int]:
        processes = set()
        for _ in range(5):
            async with client.transaction():
                processes.add(await client.fetchval(MY_SERVER_PROCESS))
                await client.execute("SELECT 1")
        return processes

    used = await asyncio.gather(*map(use, clients))
    assert len(set().union(*used)) == 2
    assert pooler.connections == 10
    for client in clients:
        await client.close()


async def test_a_transaction_waits_for_a_server_connection(pooler: PoolingProxy) -> None:
    clients = [await connect(pooler) for _ in range(3)]
    first = clients[0].transaction()
    second = clients[1].transaction()
    await first.start()
    await second.start()
    third = asyncio.create_task(clients[2].fetchval("SELECT 3"))
    done, _ = await asyncio.wait([third], timeout=0.05)
    assert not done
    await first.rollback()
    assert await third == 3
    await second.rollback()
    for client in clients:
        await client.close()


async def test_a_client_that_leaves_is_rolled_back(
    pooler: PoolingProxy, client: asyncpg.Connection[asyncpg.Record]
) -> None:
    await client.execute("CREATE TABLE written (number int)")
    for _ in range(4):  # more often than there are server connections
        leaver = await connect(pooler)
        await leaver.transaction().start()
        await leaver.execute("INSERT INTO written VALUES (1)")
        leaver.terminate()
    assert await client.fetchval("SELECT count(*) FROM written") == 0


async def test_a_query_is_cancelled_through_the_pool(
    client: asyncpg.Connection[asyncpg.Record],
) -> None:
    with pytest.raises(TimeoutError):
        await client.execute("SELECT pg_sleep(60)", timeout=0.1)
    assert await client.fetchval("SELECT 1") == 1


async def test_a_server_connection_that_died_is_replaced(
    client: asyncpg.Connection[asyncpg.Record], empty_postgres_database: str
) -> None:
    processes = {await client.fetchval(MY_SERVER_PROCESS) for _ in range(4)}
    direct = await asyncpg.connect(empty_postgres_database)
    for process in processes:
        await direct.execute("SELECT pg_terminate_backend($1, 5000)", process)
    await direct.close()
    fresh = {await client.fetchval(MY_SERVER_PROCESS) for _ in range(4)}
    assert len(fresh) == 2
    assert not fresh & processes


async def test_connections_are_dropped(
    pooler: PoolingProxy, client: asyncpg.Connection[asyncpg.Record]
) -> None:
    await client.transaction().start()
    await pooler.drop_connections()
    with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError)):
        await client.execute("SELECT 1")
    again = await connect(pooler)
    assert len({await again.fetchval(MY_SERVER_PROCESS) for _ in range(4)}) == 2
    await again.close()


async def test_a_startup_parameter_that_would_be_lost_is_refused(pooler: PoolingProxy) -> None:
    with pytest.raises(asyncpg.ProtocolViolationError, match="search_path"):
        await connect(pooler, server_settings={"search_path": "plans"})
    client = await connect(pooler, server_settings={"application_name": "planfold"})
    await client.close()


async def test_another_database_is_refused(pooler: PoolingProxy) -> None:
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await connect(pooler, database="another")


async def test_a_server_that_is_not_there() -> None:
    async with PoolingProxy("postgresql://postgres@127.0.0.1:1/nowhere") as pooler:
        with pytest.raises(asyncpg.ConnectionFailureError, match="does not reach"):
            await connect(pooler)
