"""Every figure for PostgreSQL in one run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import planfold
from benchmarks.large_store import large_store_figures as plan_figures
from benchmarks.postgres.latency import feed_figures, idle_figure
from benchmarks.postgres.scale import large_store_figures, open_plans_figure, rebuild_figures
from benchmarks.postgres.throughput import (
    append_figures,
    shape_figures,
    slow_sync_figure,
    worker_figures,
)
from benchmarks.report import Figure
from benchmarks.service import service_figures
from benchmarks.slowsync import slow_sync, slow_sync_library
from testbed.postgres import Postgres, PostgresServer


async def measure(address: str, *, rounds: int, scale: int) -> list[Figure]:
    """Each group in a fresh database on the server at ``address``; large sizes are divided by
    ``scale``, all of them in a smoke test."""
    smoke = scale if scale > 10 else 1
    server = Postgres(address)

    async def fresh(name: str) -> str:
        await server.drop_database(f"bench_{name}")
        found = await server.create_database(f"bench_{name}")
        async with planfold.open_app(found):
            pass  # makes the tables
        return found

    figures = await shape_figures(await fresh("shapes"), rounds, smoke)
    if smoke == 1:
        figures += await _slow_sync(max(rounds // 2, 1))
    figures += await append_figures(await fresh("appends"), rounds, smoke)
    figures += await feed_figures(await fresh("feed"), 2_000 // scale)
    counts = (1, 2, 4) if smoke == 1 else (1,)
    figures += await worker_figures(await fresh("workers"), 1_000 // scale, counts)
    figures.append(await open_plans_figure(await fresh("open"), 10_000 // scale, 1_600 // scale))
    large, events = await fresh("large"), 1_000_000 // scale
    figures += await large_store_figures(large, events, rounds, smoke)
    figures += await rebuild_figures(large, min(events, 300_000))
    figures += await plan_figures(await fresh("plans"), rounds, scale)
    figures += await service_figures(fresh, scale)
    figures.append(await idle_figure(large, smoke))
    return figures


async def _slow_sync(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="planfold-bench-", dir=Path.cwd()) as name:
        library = slow_sync_library(Path(name))
        if library is None:
            return []
        with patch.dict(os.environ, slow_sync(library)):
            server = PostgresServer(Path(name) / "server")
            server.start()
        try:
            address = await server.create_database("bench")
            async with planfold.open_app(address):
                pass  # makes the tables
            return [await slow_sync_figure(address, rounds)]
        finally:
            server.close()
