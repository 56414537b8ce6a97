"""The log alone: appends per second against bare apsw, and how fast histories fold."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.raw import commits_per_second
from benchmarks.report import Figure, compared, interleaved, reduced
from planfold.backends.sqlite.connection import connect
from planfold.backends.sqlite.queries import ReadConnection
from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.codec import Codec
from planfold.eventstore.port import Append
from planfold.handler import Metadata
from planfold.planner.events import TaskStatusUpdated
from planfold.planner.planner import Planner
from planfold.planner.tasks import TaskStatus
from planfold.runtime.aggregate import PLAN

RESULT = "x" * 162  # makes the event's data 200 bytes, as in the raw rows
METADATA = Metadata("plan-0123456789", "plan-0123456789#1/TaskCompleted")


def open_store(folder: Path) -> SqliteStore:
    return SqliteStore.open(str(folder / f"{time.monotonic_ns()}.db"), Codec(PLAN.event_types))


async def _commits(folder: Path, commits: int, rows: int) -> float:
    store = open_store(folder)
    event = TaskStatusUpdated(1, TaskStatus.Completed, result=RESULT)
    events = [(event, METADATA)] * rows
    begun = time.perf_counter()
    for i in range(commits):
        await store.append(Append("plan", "raw", i * rows, events))
    took = time.perf_counter() - begun
    await store.close()
    return commits / took


def append_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    """Append of 1, 10 and 100 events per commit; the limit inserts the same rows, no more."""
    figures = []
    for rows, full, target in ((1, 1_000, 0.7), (10, 1_000, 0.7), (100, 300, 0.8)):
        commits = reduced(full, scale)
        pairs = interleaved(
            lambda rows=rows, commits=commits: asyncio.run(_commits(folder, commits, rows)),
            lambda rows=rows, commits=commits: commits_per_second(folder, commits, rows),
            rounds,
        )
        value, limit, ratio, spread = compared(pairs)
        figures.append(
            Figure(
                f"append, {rows} event(s) a commit",
                f"{value:,.0f} commits/s = {value * rows:,.0f} events/s",
                f"{limit:,.0f} raw commits/s",
                ratio,
                target,
                spread=spread,
            )
        )
    return figures


async def fold_figure(store: SqliteStore, plan_id: str, rounds: int) -> Figure:
    """Events from the rows of the store to a folded planner, per second of the processor; the limit
    reads the rows only."""
    reader = ReadConnection(connect(store.path, create=False), store.path, time.time)
    rates, limits = [], []
    for _ in range(rounds):
        begun = time.process_time()
        rows = reader.rows("load", (plan_id, 0))
        limits.append(len(rows) / (time.process_time() - begun))
        begun = time.process_time()
        Planner.fold((await store.load(plan_id)).events)
        rates.append(len(rows) / (time.process_time() - begun))
    rate, limit = sorted(rates)[rounds // 2], sorted(limits)[rounds // 2]
    return Figure(
        "fold from the store, CPU",
        f"{rate:,.0f} events/s",
        f"{limit:,.0f} rows/s read",
        rate / 300_000,
        1.0,
    )
