"""Every example runs as its reader would run it."""

from __future__ import annotations

import json
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


GREETINGS = "sqlite:///greetings.db"


def test_the_audit_log_holds_every_event_once_even_after_a_torn_line(tmp_path: Path) -> None:
    audit = [str(EXAMPLES / "audit_log.py"), GREETINGS, "audit.jsonl", "--once"]
    lines = tmp_path / "audit.jsonl"
    run(tmp_path, str(EXAMPLES / "plain_script.py"))
    run(tmp_path, *audit)
    run(tmp_path, str(EXAMPLES / "plain_script.py"))
    with lines.open("a") as file:
        file.write('{"store_id": "cut o')
    for _ in range(2):
        run(tmp_path, *audit)
    written = [json.loads(line)["position"] for line in lines.read_text().splitlines()]
    log = run(tmp_path, "-m", "planfold", "--db", GREETINGS, "log", "--all", "--json")
    assert written == [json.loads(line)["position"] for line in log.splitlines()]


def test_the_metrics_count_tasks_and_write_the_audit_log_from_one_subscription(
    tmp_path: Path,
) -> None:
    metrics = [str(EXAMPLES / "plan_metrics.py"), GREETINGS, "metrics.db", "--once"]
    for plans in (1, 2):
        run(tmp_path, str(EXAMPLES / "plain_script.py"))
        for _ in range(2):
            out = json.loads(run(tmp_path, *metrics, "--json", "--audit", "audit.jsonl"))
            assert out["tasks"] == {"completed": 3 * plans}
            assert out["routes"]["shell"]["attempts"] == 3 * plans
            assert out["routes"]["shell"]["longest_s"] > 0
    assert "completed                   6" in run(tmp_path, *metrics)
    audit = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert sum("TaskDispatched" in line for line in audit) == 6


def test_a_wish_is_planned_and_worked_off_by_a_scripted_model(tmp_path: Path) -> None:
    said = run(tmp_path, str(EXAMPLES / "wish.py"))
    assert "completed: Write the letter\nAhoy!" in said
    assert said.count("asked: The plan wants to call look_up") == 2
