"""PostgreSQL behind a pooler in transaction mode: no session state, no prepared statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from postgres_backend import PostgresBackend

from planfold.backends.postgres.store import PostgresStore
from planfold.errors import ConfigurationError, Conflict
from testbed import contracts
from testbed.contracts.backend import CODEC, Counted, decision, dispatch
from testbed.patience import PATIENCE_S
from testbed.pooling import PoolingProxy


@pytest.fixture
async def pooled(postgres_database: str) -> AsyncIterator[str]:
    async with PoolingProxy(postgres_database, size=3) as proxy:
        yield f"{proxy.address}?pooled=true"


@pytest.fixture
async def backend(pooled: str) -> AsyncIterator[PostgresBackend]:
    backend = PostgresBackend(pooled)
    yield backend
    await backend.close()


class TestAppend(contracts.AppendContract):
    pass


class TestClaims(contracts.ClaimsContract):
    pass


async def test_several_processes_work_through_few_connections(pooled: str) -> None:
    stores = [await PostgresStore.open(pooled, CODEC) for _ in range(4)]

    async def write(store: PostgresStore, name: str) -> int:
        conflicts = 0
        for _ in range(10):
            at = await store.version(name)
            try:
                await store.append(dispatch(at, to=name, at=at))
            except Conflict:
                conflicts += 1
            await store.queue.claim(name, 1)
            await store.queue.renew(name)
        return conflicts

    conflicts = await asyncio.gather(*(write(store, f"s{n}") for store in stores for n in range(6)))
    versions = [await stores[0].version(f"s{n}") for n in range(6)]
    assert sum(versions) + sum(conflicts) == 4 * 6 * 10
    feed = stores[1].subscribe()
    async with asyncio.timeout(PATIENCE_S):
        seen = [await anext(feed) for _ in range(sum(versions))]
    assert len({e.position for e in seen}) == sum(versions)
    for store in stores:
        await store.close()


async def test_a_pooler_that_was_not_mentioned_is_suspected(pooled: str) -> None:
    async def use_it() -> None:
        store = await PostgresStore.open(pooled.partition("?")[0], CODEC)
        for at in range(3):
            await store.append(decision(Counted(1), at=at))

    with pytest.raises(ConfigurationError, match="pooled=true"):
        await use_it()
