"""SQLite as a backend for the contracts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest

from planfold.backends.sqlite.connection import MEMORY
from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.codec import Codec
from testbed.contracts import Backend


class SqliteBackend(Backend):
    sees_processes = True

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.shared = path != MEMORY
        self._first: SqliteStore | None = None

    async def connect(self, codec: Codec, clock: Callable[[], float] | None) -> SqliteStore:
        store = SqliteStore.open(self.path, codec, clock=clock or time.time)
        self._first = self._first or store
        return store

    async def lose_event(self, aggregate_id: str, version: int) -> None:
        self._execute(
            "DELETE FROM events WHERE aggregate_id = ? AND version = ?", (aggregate_id, version)
        )

    async def damage_read_model(self, name: str) -> None:
        sql = "UPDATE read_models SET data = CAST('x' || data AS BLOB) WHERE name = ?"
        self._execute(sql, (name,))

    async def damage_snapshot(self, aggregate_id: str) -> None:
        self._execute(
            "UPDATE snapshots SET data = CAST('x' || data AS BLOB) WHERE aggregate_id = ?",
            (aggregate_id,),
        )

    async def lend_checkpoint(self, name: str) -> None:
        self._execute("UPDATE consumers SET store_id = 'other' WHERE name = ?", (name,))

    def _execute(self, sql: str, bindings: tuple[str | int, ...]) -> None:
        if self.shared:
            connection = apsw.Connection(self.path)
            connection.execute(sql, bindings)
            connection.close()
        else:
            assert self._first is not None
            self._first._writer.connection.execute(sql, bindings)


@pytest.fixture(params=["file", "memory"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteBackend]:
    path = MEMORY if request.param == "memory" else str(tmp_path / "plans.db")
    backend = SqliteBackend(path)
    yield backend
    await backend.close()
