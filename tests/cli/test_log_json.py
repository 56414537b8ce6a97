"""``--log-json``: one JSON object per line on standard error, and nothing else there."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from command_line import call, called, ended, sh, shown, start, wait_until, write_plan


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_logs_json() -> None:
    result = call("run", "--yes", "--log-json", write_plan(sh("a", "exit 3")))
    assert result.exit_code == 1
    found = lines(result.stderr)
    plan_id = shown()["id"]
    assert {line["plan_id"] for line in found} == {plan_id}
    assert {line["correlation_id"] for line in found} == {plan_id}
    failed = next(line for line in found if line["level"] == "warning")
    assert (failed["task_id"], failed["status"], failed["logger"]) == (
        1,
        "failed",
        "planfold.plans",
    )
    assert [line["event"] for line in found] == [
        "TasksPlanned",
        "PlanApproved",
        "TaskDispatched",
        "TaskStatusUpdated",
        "PlanningCompleted",
    ]
    assert not logging.getLogger("planfold").handlers, "the next command does not log"
    assert "{" not in call("run", "--yes", write_plan(sh("a", "true"))).stderr


def test_a_worker_logs_json() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    worker = start("worker", "--log-json")
    wait_until(lambda: shown()["status"] == "completed", "the plan has ended")
    worker.send_signal(signal.SIGTERM)
    code, _, errors = ended(worker)
    assert code == 0
    assert [line["event"] for line in lines(errors)] == ["TaskStatusUpdated", "PlanningCompleted"]
    assert all(line["time"].endswith("+00:00") for line in lines(errors))


def test_without_it_standard_error_has_no_log(tmp_path: Path) -> None:
    """In a process of its own: pytest gives loggers a handler."""
    command = [sys.executable, "-m", "planfold", "run", "--yes", "1. Run `false`"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    for words in (["run", "--yes", "--detach", "1. Run `false`"], ["resume"]):
        command = [sys.executable, "-m", "planfold", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
