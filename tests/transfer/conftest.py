"""Stores of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from histories import open_sqlite, open_store

from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.port import EventStore


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database that is empty, or not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    found: str = request.getfixturevalue("postgres_database")
    return found


@pytest.fixture
async def store(address: str) -> AsyncIterator[EventStore]:
    store = await open_store(address)
    yield store
    await store.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Another empty store."""
    store = open_sqlite(tmp_path / "other.db")
    yield store
    await store.close()
