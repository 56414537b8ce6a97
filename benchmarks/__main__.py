"""``python -m benchmarks [--quick]``: every figure in one run, its physical limit beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.plans import resume_and_fold_figures, size_figures
from benchmarks.raw import commits_per_second
from benchmarks.report import Figure, interleaved, print_table
from benchmarks.startup import startup_figures
from benchmarks.store import append_figures
from benchmarks.throughput import SHAPES, tasks_per_second

TITLES = {
    "chain": "chain of 100",
    "independent": "100 independent and a join",
    "many": "100 plans x 10",
}
TARGETS = {"chain": 0.4, "independent": 1.5, "many": 1.0}
SLOW_SYNC = Path(__file__).resolve().parents[2] / "shared" / "tools" / "slowsync.c"


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
    if not SLOW_SYNC.exists() or shutil.which("cc") is None:
        print(f"skipped: 2 ms fsync needs a C compiler and {SLOW_SYNC.name} in ../shared/tools")
        return []
    library = folder / "slowsync.so"
    compiler = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SLOW_SYNC), "-ldl"]
    subprocess.run(compiler, check=True)
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", str(rounds), "200", str(folder)],
        env={**os.environ, "LD_PRELOAD": str(library), "SLOWSYNC_US": "2000"},
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
        ]
    print_table(figures)
    if not quick:
        from benchmarks import asynchow

        asynchow.main()


if __name__ == "__main__":
    main()
