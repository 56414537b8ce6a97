"""Start-up of whole commands, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.report import Figure

PYTHON = "pass"
IMPORT = "import planfold"
ROUND = "{round}"  # in a command: the number of the round, from 1
IMPORT_ALL = "import planfold; planfold.open_app"


def environment() -> dict[str, str]:
    """As installed: pip compiles what it installs, and a variable may keep us from it here."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def seconds(command: list[str], rounds: int) -> float:
    """Median wall time after one warm-up, which writes the bytecode; the warm-up's where there
    are no ``rounds``."""
    times = []
    for number in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run(
            [word.replace(ROUND, str(number + 1)) for word in command],
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=environment(),
        )
        times.append(time.perf_counter() - begun)
    return median(times[1:] or times)


def startup_figures(folder: Path, rounds: int) -> list[Figure]:
    python = [sys.executable, "-c"]
    database = f"sqlite:///{folder / 'startup.db'}"
    planfold = [sys.executable, "-m", "planfold", "--db", database]
    questions = "\n".join(f"{n}. Which colour has wall {n}?" for n in range(1, rounds + 2))
    begin = [*planfold, "run", questions, "--yes", "--detach"]
    subprocess.run(begin, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    bare = seconds([*python, PYTHON], rounds)
    commands = (
        ("import planfold", [*python, IMPORT], 0.100),
        ("import planfold; planfold.open_app", [*python, IMPORT_ALL], 0.120),
        ("planfold --help", [*planfold, "--help"], 0.100),
        ("planfold list", [*planfold, "list"], 0.150),
        ("planfold show", [*planfold, "show"], 0.150),
        ("planfold answer", [*planfold, "answer", ROUND, "blue"], 0.150),
    )
    return [_figure(name, seconds(command, rounds), bare, most) for name, command, most in commands]


def _figure(name: str, took: float, bare: float, most: float) -> Figure:
    return Figure(
        name,
        f"{took * 1e3:.0f} ms",
        f"{took / bare:.1f} times bare Python ({bare * 1e3:.0f} ms)",
        took / most,
        1.0,
        "<=",
    )
