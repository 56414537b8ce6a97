"""The feed on a real server: unruly writers, crashes, gaps."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from postgres_stores import INSERT, ask, opened

from planfold.backends.postgres.store import PostgresStore
from planfold.errors import ConfigurationError
from planfold.eventstore.envelope import Query
from testbed.contracts.backend import CODEC, Counted, decision
from testbed.contracts.subscriptions import count_up, feed_of, numbers, take, until
from testbed.postgres import FAST, PostgresServer
from testbed.proxies import CuttingProxy

HERE = Path(__file__).parent


# --- unruly writers ----------------------------------------------------------------------------

KILL = """
SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name <> 'test' ORDER BY random() LIMIT 1
) AS unlucky
"""


async def kill_now_and_then(address: str, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await ask(address, KILL)


async def start_writers(address: str, processes: int, events: int, batch: int) -> list[Any]:
    return [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "feed_writers.py"),
            *(address, f"p{n}w", "4", str(events // processes), str(batch)),
            stdout=asyncio.subprocess.PIPE,
        )
        for n in range(processes)
    ]


@pytest.mark.parametrize(
    ("events", "batch", "kill_every_s"),
    [
        (20_000, 60, 0.1),
        pytest.param(
            1_000_000, 150, 0.5, marks=[pytest.mark.soak, pytest.mark.timeout(600)], id="soak"
        ),
    ],
)
async def test_unruly_writers_lose_and_double_nothing(
    postgres_database: str, events: int, batch: int, kill_every_s: float
) -> None:
    async with opened(postgres_database) as store:
        feed = store.subscribe()
        seen: list[int] = []
        versions: dict[str, int] = {}

        async def read() -> None:
            async for envelope in feed:
                stream, version = envelope.aggregate_id, envelope.version
                assert version == versions.get(stream, 0) + 1, f"{stream} skips to {version}"
                versions[stream] = version
                seen.append(envelope.position)

        writers = await start_writers(postgres_database, 4, events, batch)
        reading = asyncio.ensure_future(read())
        killing = asyncio.ensure_future(kill_now_and_then(postgres_database, kill_every_s))
        told = [int((await writer.communicate())[0]) for writer in writers]
        killing.cancel()
        assert sum(told) >= events
        rows = await ask(
            postgres_database, "SELECT array_agg(position ORDER BY position) FROM planfold.events"
        )
        async with asyncio.timeout(300):
            while len(seen) < len(rows) and not reading.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        if reading.done():
            await reading
        assert seen == rows
        reading.cancel()


# --- the feed ----------------------------------------------------------------------------------


async def test_subscriptions_outlive_a_server_that_goes_away(postgres_database: str) -> None:
    async with CuttingProxy(postgres_database) as proxy, opened(postgres_database) as there:
        here = await PostgresStore.open(proxy.address, CODEC)
        waiting = asyncio.ensure_future(take(here.subscribe(), 40))
        for number in range(4):
            async with proxy.refusing():
                await proxy.drop_connections()
                await count_up(there, 10 * number, 10 * number + 10)
            await until(lambda: proxy.connections > 0)
        assert numbers(await waiting) == list(range(40))
        await here.close()


async def test_a_prepared_transaction_is_awaited_over_a_crash() -> None:
    """It has another id then, and its session is gone."""
    try:
        server = PostgresServer(options={**FAST, "max_prepared_transactions": "2"})
    except ConfigurationError as error:
        pytest.skip(str(error))
    with server:
        address = await server.create_database("planfold")
        async with opened(address) as store:
            feed = store.subscribe()
            late = await asyncpg.connect(address)
            await late.execute("BEGIN")
            await late.execute(INSERT, "late")
            await count_up(store, 0, 1)
            waiting = asyncio.ensure_future(take(feed, 3))
            await until(lambda: feed_of(store).blocked_since is not None)
            await late.execute("PREPARE TRANSACTION 'late'")
            await late.close()
            server.stop("kill")
            server.start()
            await count_up(store, 1, 2)
            looks = feed_of(store).looks
            await until(lambda: feed_of(store).looks > looks + 3)
            assert not waiting.done()
            await ask(address, "COMMIT PREPARED 'late'")
            assert [e.aggregate_id for e in await waiting] == ["late", "a", "a"]


async def test_a_sequence_with_a_cache_is_refused(postgres_database: str) -> None:
    async with opened(postgres_database) as store:
        await ask(postgres_database, "ALTER SEQUENCE planfold.events_position_seq CACHE 10")
        with pytest.raises(ConfigurationError, match="CACHE 1"):
            await take(store.subscribe(), 1)
        await ask(postgres_database, "ALTER SEQUENCE planfold.events_position_seq CACHE 1")
        await count_up(store, 0, 1)
        assert numbers(await take(store.subscribe(), 1)) == [0]


async def test_who_is_awaited_is_said(
    postgres_database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planfold.subscriptions.feed.WORTH_SAYING_S", 0.1)
    async with opened(postgres_database) as store:
        late = await asyncpg.connect(postgres_database)
        process = await late.fetchval("SELECT pg_backend_pid()")
        await late.execute("BEGIN")
        await late.execute(INSERT, "late")
        await count_up(store, 0, 1)
        waiting = asyncio.ensure_future(take(store.subscribe(), 2))
        with caplog.at_level(logging.WARNING, "planfold"):
            await until(lambda: f"process {process}" in caplog.text)
        assert feed_of(store).blocked_since is not None
        await late.execute("COMMIT")
        assert [e.aggregate_id for e in await waiting] == ["late", "a"]
        await late.close()


async def test_a_filtered_page_looks_through_a_span_at_a_time(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planfold.subscriptions.feed.SPAN", 10)
    async with opened(postgres_database) as store:
        await store.append(decision(*map(Counted, range(95))))
        await store.append(decision(Counted(1), to="b", stream="other"))
        (found,) = await take(store.subscribe(Query(stream_id="other")), 1)
        assert found.aggregate_id == "b"
        assert feed_of(store).pages_read == 10
