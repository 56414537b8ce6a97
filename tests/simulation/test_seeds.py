"""Many seeds of the simulation hold every invariant, and a planted bug breaks one soon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]

SOON = 120
MORE_S = float(os.environ.get("PLANFOLD_TEST_SIMULATION_S") or 300)  # of CPU time
FOUND_SOON = (
    "answer before commit",
    "early keyed and once",
    "needed settle dropped",
    "reader sees what is not committed",
    "state kept when a commit failed",
    "times swapped",
)


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: sets of texts have the same order in each."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def check(*arguments: str) -> str:
    ran = simulate(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_seeds_violate_nothing() -> None:
    assert check("0-119").startswith("120 seeds, 0 failed")


def test_a_seed_happens_the_same_way_again() -> None:
    first, second = check("3"), check("3")
    assert first.splitlines()[:-1] == second.splitlines()[:-1]  # the last tells the time


@pytest.mark.slow
def test_planted_bugs_are_found() -> None:
    ran = simulate(f"0-{SOON - 1}", *(f"--bug={bug}" for bug in FOUND_SOON))
    assert ran.stdout.count("FAILED") == len(FOUND_SOON), ran.stdout + ran.stderr
    assert "TypeError" not in ran.stdout  # the bug does not fit the code any more


def test_a_failing_seed_tells_how_to_repeat_it() -> None:
    ran = simulate(f"0-{SOON - 1}", "--bug", "early keyed and once", "--explain")
    *trace, repetition, _ = ran.stdout.splitlines()
    assert repetition.startswith("python -m tests.simulation ")
    assert "VIOLATION" in trace[-1]


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("bug", sorted(set(BUGS) - set(FOUND_SOON)))
def test_each_planted_bug_is_found(bug: str) -> None:
    ran = simulate("0-9999", "--bug", bug)
    assert ran.stdout.count("FAILED") == 1, ran.stdout + ran.stderr
    assert "TypeError" not in ran.stdout


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1_200 + 3 * MORE_S)
def test_more_seeds_violate_nothing() -> None:
    """At least those from 120 to 1,999; then until the time is over."""
    assert check("120-1999").startswith("1880 seeds, 0 failed")
    print(check("2000-9999999", "--seconds", str(MORE_S)))
