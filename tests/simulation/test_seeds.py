"""Many seeds of the simulation hold every invariant, and a planted bug breaks one soon."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS, OF_POSTGRES

ROOT = Path(__file__).resolve().parents[2]

SEEDS = 2_000
PARTS = 2  # of them, which run at the same time
SOON = 120
MORE_S = float(os.environ.get("PLANFOLD_TEST_SIMULATION_S") or 300)  # of CPU time
FOUND_SOON = (
    "answer before commit",
    "clock of the server not heeded",
    "early keyed and once",
    "end of a sub-plan confirmed before it is reported",
    "lost wake-up",
    "map wider than its concurrency",
    "needed settle dropped",
    "parent not woken",
    "reader sees what is not committed",
    "result of a sub-plan lost on the way",
    "slots not given back",
    "times swapped",
)
HAPPENS = (  # in that many seeds, so that a change does not leave something out
    *("ClarificationReceived", "MapExpanded", "PlanForked", "PlanPaused", "PlanRevised"),
    *("SignalDelivered", "CancelRequested", "EndReported", "TaskDecided", "UndoPlanned"),
    *("OccurrenceSubmitted", "StepRecorded", "TasksReset", "WaitRegistered", "RetryScheduled"),
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
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_seeds_violate_nothing_and_show_all_that_plans_can_do(part: int) -> None:
    count = SEEDS // PARTS
    said = check(f"{part * count}-{(part + 1) * count - 1}", "--events")
    events, summary = said.splitlines()
    assert summary.startswith(f"{count} seeds, 0 failed")
    seen = {word.partition("=")[0] for word in events.split()}
    assert seen >= {*HAPPENS}, f"never seen: {sorted({*HAPPENS} - seen)}"


@pytest.mark.parametrize("seed", ["3", "7"])
def test_a_seed_happens_the_same_way_again(seed: str) -> None:
    first, second = check(seed), check(seed)
    assert first.splitlines()[:-1] == second.splitlines()[:-1]  # the last shows the time


@pytest.mark.slow
@pytest.mark.timeout(600)
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
    of_postgres = ["--database", "postgres"] if bug in OF_POSTGRES else []
    ran = simulate("0-9999", "--bug", bug, *of_postgres)
    assert ran.stdout.count("FAILED") == 1, ran.stdout + ran.stderr
    assert re.search(r"FAILED \d+: Violation", ran.stdout), "the bug does not fit the code any more"


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1_200 + 3 * MORE_S)
@pytest.mark.parametrize("first", [SEEDS, 1_000_000])
def test_more_seeds_violate_nothing(first: int) -> None:
    """Until the time is over; half of them on each processor."""
    print(check(f"{first}-9999999", "--seconds", str(MORE_S)))
