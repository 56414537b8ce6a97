"""PostgreSQL keeps the contract of every backend."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from postgres_backend import PostgresBackend

from planfold.backends.postgres.store import PostgresStore
from planfold.eventstore.codec import Codec
from testbed import contracts
from testbed.postgres import Postgres


@pytest.fixture(scope="module")
def migrated(postgres: Postgres) -> Iterator[str]:
    """The address of a database with planfold's schema."""
    name = f"test_{secrets.token_hex(6)}"

    async def make() -> None:
        await (await PostgresStore.open(await postgres.create_database(name), Codec())).close()

    asyncio.run(make())
    yield postgres.address(name)
    asyncio.run(postgres.drop_database(name))


@pytest.fixture
async def backend(migrated: str) -> AsyncIterator[PostgresBackend]:
    """An empty database: the same for all tests, because making one takes longer than most."""
    backend = PostgresBackend(migrated)
    yield backend
    await backend.close()
    await backend.clear()


class TestAppend(contracts.AppendContract):
    pass


class TestQueries(contracts.QueriesContract):
    pass


class TestEventRows(contracts.EventRowsContract):
    pass


class TestUnreadableEvents(contracts.UnreadableEventsContract):
    pass


class TestClaims(contracts.ClaimsContract):
    pass


class TestLeases(contracts.LeasesContract):
    pass


class TestFairness(contracts.FairnessContract):
    pass


class TestSuspects(contracts.SuspectsContract):
    pass


class TestLimits(contracts.LimitsContract):
    pass


class TestCheckpoints(contracts.CheckpointsContract):
    pass


class TestSubscriptions(contracts.SubscriptionsContract):
    pass


class TestConsumers(contracts.ConsumersContract):
    pass


class TestFanOut(contracts.FanOutContract):
    pass


class TestOutOfOrder(contracts.OutOfOrderContract):
    pass


class TestTransfer(contracts.TransferContract):
    pass


class TestArchive(contracts.ArchiveContract):
    pass
