"""``python -m benchmarks [--quick]``: every figure in one run, its physical limit beside it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.planning import planning_figures
from benchmarks.plans import resume_and_fold_figures, size_figures
from benchmarks.raw import commits_per_second
from benchmarks.report import Figure, interleaved, print_table
from benchmarks.slowsync import slow_sync, slow_sync_library
from benchmarks.startup import startup_figures
from benchmarks.store import append_figures
from benchmarks.throughput import SHAPES, TITLES, tasks_per_second

TARGETS = {"chain": 0.4, "independent": 1.5, "many": 1.0}


def throughput_figures(folder: Path, rounds: int) -> list[Figure]:
    figures = []
    for shape in SHAPES:
        value, limit, ratio = interleaved(
            lambda shape=shape: tasks_per_second(folder, shape),
            lambda: commits_per_second(folder),
            rounds,
        )
        name = TITLES[shape]
        figures.append(_throughput(name, value, limit, ratio, TARGETS[shape]))
    return figures


def slow_sync_figures(folder: Path, rounds: int) -> list[Figure]:
    """The same with an fsync that takes 2 ms, as on a cloud disk."""
    library = slow_sync_library(folder)
    if library is None:
        return []
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", str(rounds), "200", str(folder)],
        env={**os.environ, **slow_sync(library)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    value, limit, ratio = json.loads(output)["many"]
    return [_throughput("100 plans x 10, fsync 2 ms", value, limit, ratio, 10.0)]


def _throughput(name: str, value: float, limit: float, ratio: float, target: float) -> Figure:
    return Figure(name, f"{value:,.0f} tasks/s", f"{limit:,.0f} raw commits/s", ratio, target)


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    address = os.environ.get("PLANFOLD_DB", "")
    if address.startswith("postgres"):
        from benchmarks.postgres import figures

        print_table(asyncio.run(figures.measure(address, quick=quick)))
        return
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory(prefix="planfold-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        figures = [
            *throughput_figures(folder, rounds),
            *slow_sync_figures(folder, max(rounds // 2, 1)),
            *append_figures(folder, rounds),
            *asyncio.run(resume_and_fold_figures(folder, rounds)),
            *size_figures(folder, 3 if quick else 5),
            *startup_figures(folder, rounds),
            *planning_figures(folder, 1 if quick else 3),
        ]
    print_table(figures)
    if not quick:
        from benchmarks import asynchow

        asynchow.main()


if __name__ == "__main__":
    main()
