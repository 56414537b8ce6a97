"""A named subscription goes on where its reader had come to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import ConfigurationError
from planfold.eventstore.codec import Codec
from planfold.eventstore.port import Append
from planfold.handler import Metadata
from planfold.planner.events import PlanCancelled
from planfold.runtime.aggregate import PLAN
from planfold.subscriptions.subscription import follow


async def store_with(path: Path, events: int) -> SqliteStore:
    store = SqliteStore.open(str(path), Codec(PLAN.events))
    rows = [(PlanCancelled(str(n)), Metadata()) for n in range(1, events + 1)]
    await store.append(Append("plan", "p", await store.version("p"), rows))
    return store


async def take(store: SqliteStore, count: int, every: int = 1) -> list[str]:
    """Handle ``count`` events, then stop in the middle of the next."""
    seen: list[str] = []
    feed = follow(store, "audit", every=every)
    async for envelope in feed:
        if len(seen) == count:
            break
        seen.append(envelope.event.reason)
    await feed.aclose()  # type: ignore[attr-defined]  # an async generator has it
    return seen


async def test_it_goes_on_after_the_last_handled_event_even_after_reopening(
    tmp_path: Path,
) -> None:
    store = await store_with(tmp_path / "a.db", 6)
    assert await take(store, 2) == ["1", "2"]
    await store.close()
    store = SqliteStore.open(str(tmp_path / "a.db"), Codec(PLAN.events))
    assert await take(store, 3) == ["3", "4", "5"]
    await store.close()


async def test_a_checkpoint_saved_now_and_then_is_saved_on_closing_too(tmp_path: Path) -> None:
    store = await store_with(tmp_path / "a.db", 6)
    assert await take(store, 4, every=3) == ["1", "2", "3", "4"]
    assert await store.checkpoints.load("audit") == 4
    await store.close()


async def test_another_stores_checkpoint_is_refused(tmp_path: Path) -> None:
    store = await store_with(tmp_path / "a.db", 1)
    await store.checkpoints.save("audit", 1)
    await store.close()
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        connection.execute("UPDATE consumers SET store_id = 'another'")
    store = SqliteStore.open(str(tmp_path / "a.db"), Codec(PLAN.events))
    with pytest.raises(ConfigurationError, match="another store"):
        await take(store, 1)
    await store.close()
