"""A service on real sockets, on each backend, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from served import Served, serve

POSTGRES_TOO = ["sqlite", "postgres"]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plans.db"


@pytest.fixture(params=POSTGRES_TOO)
def each_database(request: pytest.FixtureRequest) -> str:
    name = "database" if request.param == "sqlite" else "postgres_database"
    found: str = request.getfixturevalue(name)
    return found


@pytest.fixture
async def served(database: str) -> AsyncIterator[Served]:
    async with serve(database) as found:
        yield found


@pytest.fixture
async def each_served(each_database: str) -> AsyncIterator[Served]:
    async with serve(each_database) as found:
        yield found
