"""The model of a PostgreSQL server, which the simulation uses, keeps the contracts of the queue, of
appends and of the rows of events: as the real server does, with the same client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest

from planfold.eventstore.codec import Codec
from testbed import contracts
from testbed.contracts import Backend
from tests.simulation.postgres import ModelConnection, ModelStore, connecting, open_store
from tests.simulation.server import ModelServer
from tests.simulation.stores import Database, empty_database


class ModelBackend(Backend):
    def __init__(self) -> None:
        super().__init__()
        self.database = Database(empty_database(), time.time)
        self.server = ModelServer(self.database)

    async def connect(self, codec: Codec, clock: Callable[[], float] | None) -> ModelStore:
        return open_store(self.server, codec, clock)

    async def lose_event(self, aggregate_id: str, version: int) -> None:
        self.database.connection.execute(
            "DELETE FROM events WHERE aggregate_id = ? AND version = ?", (aggregate_id, version)
        )

    async def damage_read_model(self, name: str) -> None:
        raise NotImplementedError

    async def damage_snapshot(self, aggregate_id: str) -> None:
        raise NotImplementedError

    async def lend_checkpoint(self, name: str) -> None:
        raise NotImplementedError


@pytest.fixture
async def backend() -> AsyncIterator[ModelBackend]:
    backend = ModelBackend()
    with connecting(lambda: ModelConnection(backend.server)):
        yield backend
        await backend.close()


class TestAppend(contracts.AppendContract):
    pass


class TestEventRows(contracts.EventRowsContract):
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
