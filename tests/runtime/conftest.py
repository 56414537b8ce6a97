"""A database on disk, and waiting for conditions in bounded time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from testbed.patience import PATIENCE_S


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plans.db"


@pytest.fixture(params=["sqlite", "postgres"])
def each_database(request: pytest.FixtureRequest) -> str:
    """A new database, once on each backend."""
    name = "database" if request.param == "sqlite" else "postgres_database"
    found: str = request.getfixturevalue(name)
    return found


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """``await until(check)``: continue once ``check()`` is true, after 20 s at the latest; it
    may be a coroutine function."""

    async def wait(check: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await holds(check):  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.002)

    async def holds(check: Callable[[], object]) -> bool:
        found = check()
        return bool(await found if inspect.isawaitable(found) else found)

    return wait
