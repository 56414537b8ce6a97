"""``python -m benchmarks [--quick | --smoke]``: all figures in one run, each beside its limit.

``--quick`` takes fewer rounds. ``--smoke`` runs every benchmark on a hundredth of its workload, to
find out whether it works: its figures mean nothing.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.large_store import large_store_figures
from benchmarks.maps import chain_figures, map_figures
from benchmarks.planning import planning_figures
from benchmarks.plans import resume_and_fold_figures, size_figures, written_figures
from benchmarks.report import Figure, print_table, reduced
from benchmarks.service import sqlite_service_figures
from benchmarks.slowsync import slow_sync, slow_sync_library
from benchmarks.startup import startup_figures
from benchmarks.store import append_figures
from benchmarks.throughput import SHAPES, TITLES, Outcome, figure, outcome_on_sqlite
from benchmarks.tracing import tracing_figures

TARGETS = {"chain": 1.2, "once": 0.5, "independent": 2.5, "many": 1.6}
SLOW_TARGETS = {"chain": 6.0, "many": 12.0}


def throughput_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    figures = []
    size, commits = reduced(100, scale), reduced(1_000, scale)
    for shape in SHAPES:
        found = outcome_on_sqlite(folder, shape, rounds, size=size, commits=commits)
        figures.append(figure(TITLES[shape], found, "raw commits/s", TARGETS[shape]))
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
    found = msgspec.json.decode(output, type=dict[str, Outcome])
    return [
        figure(f"{TITLES[shape]}, fsync 2 ms", found[shape], "raw commits/s", target)
        for shape, target in SLOW_TARGETS.items()
    ]


def sqlite_figures(rounds: int, scale: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="planfold-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        return [
            *throughput_figures(folder, rounds, scale),
            *(slow_sync_figures(folder, max(rounds // 2, 1)) if scale == 1 else []),
            *append_figures(folder, rounds, scale),
            *asyncio.run(resume_and_fold_figures(folder, rounds, scale)),
            *size_figures(folder, 3 if rounds < 5 else 5, scale),
            *written_figures(folder, scale),
            *asyncio.run(
                large_store_figures(
                    f"sqlite:///{folder / 'large.db'}",
                    rounds,
                    scale if rounds > 3 else max(scale, 10),
                )
            ),
            *map_figures(folder, 1 if rounds < 5 else 3, scale),
            *chain_figures(folder, 1 if rounds < 5 else 3, scale),
            *asyncio.run(sqlite_service_figures(folder, scale if rounds > 3 else max(scale, 10))),
            *tracing_figures(folder, rounds, scale),
            *startup_figures(folder, rounds if scale == 1 else 0),
            *planning_figures(folder, 1 if rounds < 5 else 3, scale),
        ]


def main() -> None:
    quick, smoke = "--quick" in sys.argv[1:], "--smoke" in sys.argv[1:]
    rounds, scale = (1, 100) if smoke else (3 if quick else 7, 1)
    address = os.environ.get("PLANFOLD_DB", "")
    if address.startswith("postgres"):
        from benchmarks.postgres import figures

        scale = 10 if quick else scale
        print_table(asyncio.run(figures.measure(address, rounds=rounds, scale=scale)))
        return
    print_table(sqlite_figures(rounds, scale))
    if rounds > 5:
        from benchmarks import asynchow

        asynchow.main()


if __name__ == "__main__":
    main()
