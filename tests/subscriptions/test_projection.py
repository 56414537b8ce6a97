"""Projections: exactly once, after any crash."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from desk import until, write
from hypothesis import given
from hypothesis import strategies as st
from tally import Tally

from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import ConfigurationError
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.positions import position_after, subscribe_after
from planfold.subscriptions.projection import project
from testbed.contracts.backend import CODEC, Counted, Noted, decision
from testbed.patience import PATIENCE_S

HERE = Path(__file__).parent


def expected(counts: dict[str, int]) -> dict[str, tuple[int, int]]:
    """For streams of so many events that ``write`` has numbered from 1."""
    return {name: (count, count * (count + 1) // 2) for name, count in counts.items()}


async def test_it_is_brought_up_to_a_position_and_continues_from_there(
    store: SqliteStore, tmp_path: Path
) -> None:
    tally = Tally(str(tmp_path / "tally.db"))
    await write(store, *"abcab")
    await project(store, tally, until=3)
    assert tally.result() == expected({"a": 1, "b": 1, "c": 1})
    for _ in range(2):
        await project(store, tally, until=await store.last_position())
        assert tally.result() == expected({"a": 2, "b": 2, "c": 1})


async def test_it_follows_live(store: SqliteStore, tmp_path: Path) -> None:
    tally = Tally(str(tmp_path / "tally.db"))
    await write(store, *"ab")
    running = asyncio.create_task(project(store, tally))
    await until(lambda: tally.result() == expected({"a": 1, "b": 1}))
    await write(store, *"ac")
    await until(lambda: tally.result() == expected({"a": 2, "b": 1, "c": 1}))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_one_subscription_serves_several_each_from_its_own_checkpoint(
    store: SqliteStore, tmp_path: Path
) -> None:
    ahead, behind = Tally(str(tmp_path / "1.db")), Tally(str(tmp_path / "2.db"))
    await write(store, *"abc")
    await project(store, ahead, until=2)
    await write(store, *"abc")
    await project(store, ahead, behind, until=6)
    assert ahead.result() == behind.result() == expected({"a": 2, "b": 2, "c": 2})


async def test_only_what_matches_is_projected(store: SqliteStore, tmp_path: Path) -> None:
    tally = Tally(str(tmp_path / "tally.db"))
    await store.append(decision(Counted(5), Noted(1), to="a"))
    await store.append(decision(Noted(1), Counted(7), Noted(2), to="b"))
    await project(store, tally, query=Query(event_type="Counted"), until=5)
    assert tally.result() == {"a": (1, 5), "b": (1, 7)}


async def test_batches_are_bounded(store: SqliteStore, tmp_path: Path) -> None:
    tally = Tally(str(tmp_path / "tally.db"))
    await store.append(decision(*map(Counted, range(1_000))))
    await project(store, tally, batch=64, until=1_000)
    assert sum(tally.batches) == 1_000
    assert max(tally.batches) == 64


async def test_what_apply_raises_ends_it_and_nothing_is_lost(
    store: SqliteStore, tmp_path: Path
) -> None:
    tally = Tally(str(tmp_path / "tally.db"))
    await store.append(decision(Counted(1), Noted("has no number"), Counted(2)))
    with pytest.raises(AttributeError):
        await project(store, tally, batch=1)
    assert tally.result() == {"a": (1, 1)}
    with pytest.raises(AttributeError):
        await project(store, tally)
    assert tally.result() == {"a": (1, 1)}


# --- checkpoints ------------------------------------------------------------------------------


@given(
    st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    st.integers(0, 10**17),
    st.integers(0, 10**17),
)
def test_a_checkpoint_has_a_text_form(store_id: str, epoch: int, position: int) -> None:
    checkpoint = Checkpoint(store_id, epoch, position)
    assert Checkpoint.parse(str(checkpoint)) == checkpoint


@pytest.mark.parametrize("text", ["", "7", "a:1", "a:1:x", "a:1:-1", "a b:1:2", "a:1:2\n", "a:²:1"])
def test_other_text_is_no_checkpoint(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a checkpoint"):
        Checkpoint.parse(text)


async def test_a_checkpoint_holds_for_its_store_and_epoch_only(store: SqliteStore) -> None:
    await write(store, *"abc")
    good = Checkpoint(store.store_id, store.epoch, 2)
    assert await position_after(store, good) == 2
    assert [e.position async for e in _first(subscribe_after(store, None, good))] == [3]
    assert await position_after(store, 99) == 99
    for checkpoint, words in (
        (Checkpoint("another", store.epoch, 2), "belongs to another store"),
        (Checkpoint(store.store_id, store.epoch + 1, 2), "restored from a backup"),
        (Checkpoint(store.store_id, store.epoch, 4), "raise the store's epoch"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            await position_after(store, checkpoint)
        with pytest.raises(ConfigurationError, match=words):
            await anext(subscribe_after(store, None, checkpoint))
        with pytest.raises(ConfigurationError, match=words):
            await project(store, Fixed(checkpoint))


async def _first(feed: object) -> object:
    async with asyncio.timeout(PATIENCE_S):
        yield await anext(feed)  # type: ignore[call-overload]


class Fixed:
    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    async def load(self) -> Checkpoint:
        return self.checkpoint

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        raise AssertionError("must not be called")


async def test_a_restored_backup_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "log.db")
    store = SqliteStore.open(path, CODEC)
    await write(store, *"abc")
    with sqlite3.connect(path) as source, sqlite3.connect(tmp_path / "backup.db") as backup:
        source.backup(backup)
    await write(store, *"de")
    tally = Tally(str(tmp_path / "tally.db"))
    await project(store, tally, until=5)
    await store.close()

    store = SqliteStore.open(str(tmp_path / "backup.db"), CODEC)
    with pytest.raises(ConfigurationError, match="position 5, but the log ends at 3"):
        await project(store, tally)
    await write(store, *"xyz")  # other events get the same positions
    await store.checkpoints.raise_epoch()
    await store.close()
    store = SqliteStore.open(str(tmp_path / "backup.db"), CODEC)
    with pytest.raises(ConfigurationError, match="restored from a backup"):
        await project(store, tally)
    await store.close()


# --- kill -9 ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.parametrize("total", [600, pytest.param(1_600, marks=pytest.mark.soak)])
async def test_killed_again_and_again_it_equals_one_that_never_crashed(
    store: SqliteStore, tmp_path: Path, total: int
) -> None:
    chance = random.Random(7)
    for start in range(0, total, 200):
        name = f"s{start}"
        await store.append(decision(*map(Counted, range(start, start + 200)), to=name))
    result = tmp_path / "tally.db"
    watcher = Tally(str(result))

    def done() -> int:
        return sum(events for events, _ in watcher.result().values())

    kills = 0
    while done() < total:
        command = [sys.executable, str(HERE / "tally.py"), store.path, str(result), "7"]
        process = subprocess.Popen(command)  # noqa: ASYNC220 - it takes no time
        goal = min(done() + chance.randrange(1, total // 4), total)
        try:
            await until(lambda goal=goal: done() >= goal)
        finally:
            process.kill()
            process.wait()
        kills += 1
    assert kills >= 3
    whole = Tally(str(tmp_path / "whole.db"))
    await project(store, whole, until=total)
    assert watcher.result() == whole.result()
