"""The proxy that cuts connections: where exactly it cuts them, and what the server did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from testbed.postgres_messages import Message, query, read_message, startup_message
from testbed.proxies import CuttingProxy

LOST = (asyncpg.ConnectionDoesNotExistError, ConnectionError)
INSERT = "INSERT INTO written VALUES ($1)"


@pytest.fixture
async def proxy(empty_postgres_database: str) -> AsyncIterator[CuttingProxy]:
    connection = await asyncpg.connect(empty_postgres_database)
    await connection.execute("CREATE TABLE written (number int)")
    await connection.close()
    async with CuttingProxy(empty_postgres_database) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: CuttingProxy) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    client = await asyncpg.connect(proxy.address)
    yield client
    client.terminate()


async def written(database: str) -> list[int]:
    """What was committed, read past the proxy."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT number FROM written ORDER BY number")
        return [row["number"] for row in rows]
    finally:
        await connection.close()


async def kinds_until_lost(reader: asyncio.StreamReader) -> str:
    kinds = ""
    try:
        while True:
            kinds += (await read_message(reader)).kind
    except (ConnectionError, asyncio.IncompleteReadError):
        return kinds


def commits(request: Message) -> bool:
    return request.kind == "Q" and request.body.startswith(b"COMMIT")


async def test_everything_passes(
    client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy, empty_postgres_database: str
) -> None:
    await client.executemany(INSERT, [(number,) for number in range(3000)])
    text = await client.fetchval("SELECT repeat('x', 1000000)")
    assert len(text) == 1_000_000
    await client.copy_records_to_table("written", records=[(3000,)])
    assert await written(empty_postgres_database) == list(range(3001))
    assert proxy.connections == 1
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.execute("SELECT * FROM nowhere")
    with pytest.raises(TimeoutError):
        await client.execute("SELECT pg_sleep(60)", timeout=0.1)
    assert await client.fetchval("SELECT 1") == 1


async def test_a_commit_is_executed_and_not_answered(
    client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy, empty_postgres_database: str
) -> None:
    cut = proxy.cut_after_request(commits)
    with pytest.raises(LOST):
        async with client.transaction():
            await client.execute(INSERT, 1)
    assert cut.fallen
    assert await written(empty_postgres_database) == [1]


async def test_a_statement_is_parsed_and_not_answered(
    client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy
) -> None:
    cut = proxy.cut_after_request(lambda request: request.kind == "P")
    with pytest.raises(LOST):
        await client.prepare(INSERT)
    assert cut.fallen


@pytest.mark.parametrize("kind", ["E", "S"])
async def test_a_statement_is_executed_and_not_answered(
    kind: str,
    client: asyncpg.Connection[asyncpg.Record],
    proxy: CuttingProxy,
    empty_postgres_database: str,
) -> None:
    statement = await client.prepare(INSERT)
    await statement.fetch(1)
    cut = proxy.cut_after_request(lambda request: request.kind == kind)
    with pytest.raises(LOST):
        await statement.fetch(2)
    assert cut.request is not None
    assert cut.request.kind == kind
    assert await written(empty_postgres_database) == [1, 2]


async def test_a_commit_is_cut_off_before_the_server(
    client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy, empty_postgres_database: str
) -> None:
    cut = proxy.cut_before_request(commits)
    with pytest.raises(LOST):
        async with client.transaction():
            await client.execute(INSERT, 1)
    assert cut.fallen
    assert await written(empty_postgres_database) == []


async def test_a_cut_falls_once_and_on_one_connection(
    client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy, empty_postgres_database: str
) -> None:
    other = await asyncpg.connect(proxy.address)
    proxy.cut_after_request(lambda request: b"VALUES (7)" in request.body)
    with pytest.raises(LOST):
        await client.execute("INSERT INTO written VALUES (7)")
    await other.execute("INSERT INTO written VALUES (7)")
    assert await written(empty_postgres_database) == [7, 7]
    await other.close()


async def test_answers_to_earlier_requests_still_pass(
    proxy: CuttingProxy, empty_postgres_database: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    place = urlsplit(empty_postgres_database)
    cut = proxy.cut_after_request(lambda request: b"VALUES (2)" in request.body)
    requests = [query("INSERT INTO written VALUES (1)"), query("INSERT INTO written VALUES (2)")]
    writer.write(
        b"".join(map(bytes, (startup_message(place.username or "", place.path[1:]), *requests)))
    )
    kinds = await kinds_until_lost(reader)
    assert kinds.endswith("ZCZ")
    assert kinds.count("Z") == 2
    assert cut.fallen
    assert await written(empty_postgres_database) == [1, 2]


@pytest.mark.parametrize("reset", [True, False])
async def test_connections_are_dropped(
    reset: bool, client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy
) -> None:
    passed = asyncio.Event()
    cut = proxy.cut_after_request(lambda request: bool(passed.set()))
    waiting = asyncio.create_task(client.execute("SELECT pg_sleep(60)"))
    await passed.wait()
    await proxy.drop_connections(reset=reset)
    with pytest.raises(LOST):
        await waiting
    assert proxy.connections == 0
    assert not cut.fallen
    again = await asyncpg.connect(proxy.address)
    assert await again.fetchval("SELECT 1") == 1
    await again.close()


async def test_new_connections_are_refused_for_a_while(
    client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy
) -> None:
    async with proxy.refusing():
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(proxy.address)
        assert await client.fetchval("SELECT 1") == 1
    again = await asyncpg.connect(proxy.address)
    await again.close()


async def test_requests_and_answers_are_late(
    client: asyncpg.Connection[asyncpg.Record], proxy: CuttingProxy
) -> None:
    proxy.delay = 0.05
    began = time.monotonic()
    await client.execute("SELECT 1")
    assert time.monotonic() - began >= 0.1
    proxy.delay = 60.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.execute("SELECT 1"), 0.05)


async def test_a_server_that_is_not_there() -> None:
    async with CuttingProxy("postgresql://postgres@127.0.0.1:1/nowhere") as proxy:
        with pytest.raises(LOST):
            await asyncpg.connect(proxy.address)
