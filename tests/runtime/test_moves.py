"""How often a reader turns to another module who follows a plan of two tasks from its approval."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MOST = 226  # 453 in the first engine; 224 to 225 now
PROGRAM = Path(__file__).parent / "moves_process.py"


def test_a_plan_of_two_tasks_takes_few_moves_between_modules(tmp_path: Path) -> None:
    """In a process of its own: what other tests have imported or left behind adds moves."""
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[0]) <= MOST, done.stdout
