"""``python -m benchmarks.runs [RUNS]``: tasks per second in several runs, five if none are given.

One run in one process is luck. Each run here is a process of its own on new databases, SQLite and
PostgreSQL in turn; it measures each shape seven times beside the raw commits. The table has the
medians of the runs, with the lowest and the highest run.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

import planfold
from benchmarks.throughput import SHAPES, TITLES, Outcome
from testbed.postgres import PostgresServer

ROUNDS, COMMITS = 7, 1_600
Run = dict[str, Outcome]  # by shape


def run(place: str) -> Run:
    """``place``: a folder for SQLite databases, or the address of a PostgreSQL database."""
    command = [sys.executable, "-m", "benchmarks.throughput", str(ROUNDS), str(COMMITS), place]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Run)


def row(database: str, shape: str, runs: Sequence[Run]) -> str:
    found = [outcomes[shape] for outcomes in runs]
    ratios = [outcome.ratio for outcome in found]
    cells = (
        f"{TITLES[shape]}, {database}",
        spread([outcome.rates.approval for outcome in found]),
        spread([outcome.rates.submission for outcome in found]),
        spread([outcome.limit for outcome in found]),
        f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
    )
    return f"| {' | '.join(cells)} |"


def spread(rates: Sequence[float]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


async def new_database(server: PostgresServer, number: int) -> str:
    address = await server.create_database(f"run_{number}")
    async with planfold.open_app(address):
        pass  # makes the tables
    return address


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    runs: dict[str, list[Run]] = {"SQLite": [], "PostgreSQL": []}
    with (
        tempfile.TemporaryDirectory(prefix="planfold-bench-", dir=Path.cwd()) as folder,
        PostgresServer(Path(folder) / "postgres") as server,
    ):
        for number in range(count):
            runs["SQLite"].append(run(folder))
            runs["PostgreSQL"].append(run(asyncio.run(new_database(server, number))))
    print("| | tasks/s from approval | from submission | raw commits/s | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for database, found in runs.items():
        for shape in SHAPES:
            print(row(database, shape, found))


if __name__ == "__main__":
    main()
