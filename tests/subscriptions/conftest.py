"""Stores for consumers, with a clock that the test moves; and no test waits for nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from planfold.backends.sqlite.store import SqliteStore
from planfold.subscriptions import consumer, partition
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import CODEC


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "TEND_PAUSE_S", 0.0)
    monkeypatch.setattr(partition, "SAVE_AFTER_S", 0.001)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(str(tmp_path / "log.db"), CODEC, clock=clock)
    yield store
    await store.close()
