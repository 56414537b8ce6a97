"""Many claimers in several processes on one PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from planfold.backends.postgres.store import PostgresStore
from testbed.contracts.backend import CODEC, dispatch

CLAIMERS = Path(__file__).parents[1] / "backends" / "claimers.py"
PATIENCE_S = 120.0


@pytest.mark.parametrize(
    ("claimers", "tasks"),
    [(16, 600), pytest.param(64, 10_000, marks=pytest.mark.soak)],
)
async def test_each_task_is_granted_once_among_four_processes(
    postgres_database: str, claimers: int, tasks: int
) -> None:
    store = await PostgresStore.open(postgres_database, CODEC)
    for first in range(0, tasks, 1_000):
        many = range(first, min(first + 1_000, tasks))
        await store.append(dispatch(*many, to=f"p{first}"))
    each = str(claimers // 4)
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, str(CLAIMERS), postgres_database, name, each),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=10_000_000,
        )
        for name in "abcd"
    ]

    async def hear(process: Any) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return (await process.stdout.readline()).decode().strip()

    assert [await hear(process) for process in processes] == ["ready"] * 4
    for process in processes:
        process.stdin.write(b"\n")
    answers = await asyncio.gather(*map(hear, processes))
    for process in processes:
        await process.communicate(b"\n")
    granted = [tuple(grant) for answer in answers for grant in json.loads(answer)]
    times = Counter((task, attempt) for task, attempt, _, _ in granted)
    assert len(times) == tasks
    assert set(times.values()) == {1}
    assert {epoch for _, _, epoch, _ in granted} == {1}
    assert len({owner[0] for *_, owner in granted}) > 1, "they took turns"
    await store.close()
