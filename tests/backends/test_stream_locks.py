"""The lock of a stream, on both databases: one process has it at a time, and nothing waits long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from planfold.backends.postgres import stream_locks as on_postgres
from planfold.backends.postgres.connection import ServerConnection
from planfold.backends.postgres.store import PostgresStore
from planfold.backends.sqlite import stream_lock as on_sqlite
from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.codec import Codec
from planfold.eventstore.port import EventStore, WorkerRecord
from planfold.eventstore.stream_lock import not_locked
from testbed.patience import PATIENCE_S

Waits = Callable[[float], None]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Sets how long the lock is waited for, in seconds."""

    def wait(seconds: float) -> None:
        for module in (on_postgres, on_sqlite):
            monkeypatch.setattr(module, "WAIT_S", seconds)

    wait(PATIENCE_S)
    return wait


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "plans.db")
    found: str = request.getfixturevalue("postgres_database")
    return found


@pytest.fixture
async def stores(address: str, waits: Waits) -> AsyncIterator[list[Any]]:
    """Two processes with a worker each."""
    found: list[Any] = []
    for _ in range(2):
        if address.startswith("postgresql:"):
            found.append(await PostgresStore.open(address, Codec()))
        else:
            found.append(SqliteStore.open(address, Codec()))
    for number, store in enumerate(found):
        await store.queue.enter(WorkerRecord(f"worker-{number}"))
    yield found
    for store in found:
        await store.close()


async def test_one_process_has_it_at_a_time(stores: list[EventStore]) -> None:
    inside: list[int] = []

    async def work(number: int) -> None:
        for _ in range(10):
            unlock = await stores[number].lock_stream("a")
            assert unlock is not not_locked
            inside.append(number)
            assert inside == [number]
            await asyncio.sleep(0)
            inside.remove(number)
            unlock()

    await asyncio.gather(work(0), work(1))


async def test_it_is_not_waited_for_longer_than_a_moment(
    stores: list[EventStore], waits: Waits
) -> None:
    unlock = await stores[0].lock_stream("a")
    waits(0.01)
    assert await stores[1].lock_stream("a") is not_locked
    unlock()
    assert await stores[1].lock_stream("a") is not_locked, "not asked for again for a while"


async def test_a_process_that_ends_gives_it_back(stores: list[EventStore]) -> None:
    await stores[0].lock_stream("a")
    waiting = asyncio.create_task(stores[1].lock_stream("a"))
    await stores.pop(0).close()
    assert await waiting is not not_locked


async def test_who_gives_up_waiting_leaves_it_to_others(stores: list[EventStore]) -> None:
    unlock = await stores[0].lock_stream("a")
    waiting = asyncio.create_task(stores[1].lock_stream("a"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    unlock()
    unlock = await stores[0].lock_stream("a")
    assert unlock is not not_locked
    unlock()


async def test_a_pooler_that_moves_sessions_is_noticed(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in transaction mode that knows prepared statements, without ``?pooled=true``."""
    store = await PostgresStore.open(postgres_database, Codec())
    rows = ServerConnection.rows

    async def moved(session: ServerConnection, name: str, *arguments: Any, **rest: Any) -> Any:
        if name != "unlock_stream":
            return await rows(session, name, *arguments, **rest)
        other = await ServerConnection.open(store.address)
        try:
            return await rows(other, name, *arguments, **rest)
        finally:
            await other.close()

    monkeypatch.setattr(ServerConnection, "rows", moved)
    unlock = await store.lock_stream("a")
    assert unlock is not not_locked
    unlock()
    assert await store.lock_stream("b") is not_locked
    await store.close()
