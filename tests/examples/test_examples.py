"""Every example runs as its reader would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_plain_script_runs_its_plan(tmp_path: Path) -> None:
    assert run(tmp_path, str(EXAMPLES / "plain_script.py")) == "completed - hello, world!\n"


def test_own_tools_run_once_under_an_id_of_ones_own(tmp_path: Path) -> None:
    first = run(tmp_path, str(EXAMPLES / "own_tools.py"))
    assert "charged 12.50 under the key order-1/2/1" in first
    assert run(tmp_path, str(EXAMPLES / "own_tools.py")) == first


def test_the_tests_of_own_tools_pass(tmp_path: Path) -> None:
    options = ["-c", "/dev/null", "--rootdir", str(tmp_path), "-o", "asyncio_mode=auto"]
    test = str(EXAMPLES / "test_own_tools.py")
    assert "4 passed" in run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", *options, test)


def test_the_release_checklist_is_a_plan_that_needs_only_built_in_tools(tmp_path: Path) -> None:
    plan = str(EXAMPLES / "release.md")
    printed = run(tmp_path, "-m", "planfold", "plan", plan, "--json")
    assert '"channel"' in printed
    assert not any(tmp_path.iterdir())
