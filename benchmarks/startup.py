"""Start-up of whole commands, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.report import Figure

PYTHON = "pass"
IMPORT = "import planfold"
IMPORT_ALL = "import planfold; planfold.open_app"


def seconds(command: list[str], rounds: int) -> float:
    """Median wall time after one warm-up, or the warm-up's where there are no ``rounds``."""
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return median(times[1:] or times)


def startup_figures(folder: Path, rounds: int) -> list[Figure]:
    python = [sys.executable, "-c"]
    planfold = [sys.executable, "-m", "planfold"]
    database = f"sqlite:///{folder / 'startup.db'}"
    subprocess.run(
        [*planfold, "--db", database, "run", "1. Run `true`", "--yes"],
        check=True,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    bare = seconds([*python, PYTHON], rounds)
    everything = seconds([*python, IMPORT_ALL], rounds)
    commands = (
        ("import planfold", [*python, IMPORT], 0.100),
        ("planfold --help", [*planfold, "--help"], 0.150),
    )
    figures = [
        Figure(
            name,
            f"{(took := seconds(command, rounds)) * 1e3:.0f} ms",
            f"{bare * 1e3:.0f} ms bare Python",
            took / target,
            1.0,
            "<=",
        )
        for name, command, target in commands
    ]
    listed = seconds([*planfold, "--db", database, "list"], rounds)
    figures.append(
        Figure(
            "planfold list",
            f"{listed * 1e3:.0f} ms",
            f"{everything * 1e3:.0f} ms Python and all imports",
            listed / everything,
            2.0,
            "<=",
        )
    )
    return figures
