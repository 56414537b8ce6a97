"""A database on disk, and waiting for conditions in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plans.db"


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """``await until(check)``: go on once ``check()`` is true, at the latest after 20 s."""

    async def wait(check: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not check():  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.002)

    return wait
