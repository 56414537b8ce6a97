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


class TestAppending(contracts.AppendingContract):
    pass


class TestReading(contracts.ReadingContract):
    pass


class TestRecording(contracts.RecordingContract):
    pass


class TestUnreadable(contracts.UnreadableContract):
    pass


class TestClaiming(contracts.ClaimingContract):
    pass


class TestLeasing(contracts.LeasingContract):
    pass


class TestFairness(contracts.FairnessContract):
    pass


class TestSuspects(contracts.SuspectsContract):
    pass


class TestRemembering(contracts.RememberingContract):
    pass


class TestSubscribing(contracts.SubscribingContract):
    pass


class TestConsuming(contracts.ConsumingContract):
    pass


class TestFanOut(contracts.FanOutContract):
    pass


class TestOutOfOrder(contracts.OutOfOrderContract):
    pass


class TestTransferring(contracts.TransferringContract):
    pass


class TestArchiving(contracts.ArchivingContract):
    pass
