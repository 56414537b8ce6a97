"""Every example runs as its reader would run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def maintained(folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit code of a night's maintenance, and its tasks by label."""
    plan = str(EXAMPLES / "maintenance.md")
    command = [sys.executable, "-m", "planfold", "run", "--yes", "--json", plan]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    view = json.loads(done.stdout)
    return done.returncode, {task["label"]: task for task in view["tasks"]}


def test_maintenance_with_small_logs_does_not_rotate_them(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    code, tasks = maintained(tmp_path)
    assert code == 0
    assert tasks["rotate"]["skip_reason"] == tasks["alert"]["skip_reason"] == "condition"
    assert tasks["report"]["result"]["stdout"] == "1 files, logs skipped"
    assert not (tmp_path / ".work").exists()


def test_maintenance_with_large_logs_rotates_them(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_bytes(os.urandom(300_000))
    code, tasks = maintained(tmp_path)
    assert code == 0
    assert tasks["report"]["result"]["stdout"] == "1 files, logs completed"
    assert not list((tmp_path / "logs").iterdir())


def test_failed_maintenance_is_retried_reported_and_tidied_up(tmp_path: Path) -> None:
    code, tasks = maintained(tmp_path)
    assert code == 1
    assert (tasks["backup"]["status"], tasks["backup"]["attempt"]) == ("failed", 3)
    assert tasks["report"]["skip_reason"] == "failure"
    said = tasks["alert"]["result"]["stdout"]
    assert said.startswith("backup failed, archive skipped: exit code ")
    assert tasks["tidy"]["status"] == "completed"
    assert not (tmp_path / ".work").exists()


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


@contextmanager
def web_service(folder: Path) -> Iterator[str]:
    """The address of the service on a free port. The block ends with SIGTERM, and checks that the
    service shut down gracefully."""
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", "0"]
    with subprocess.Popen(
        [*command, "web_service:service"],
        cwd=folder,
        env={**os.environ, "PLANFOLD_DB": "sqlite:///orders.db"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            addresses = (re.search(r"running on (http://\S+)", line) for line in lines)
            yield next(found[1] for found in addresses if found)
            process.send_signal(signal.SIGTERM)
            assert "Application shutdown complete" in process.stderr.read()
        finally:
            process.kill()


def ask(url: str, data: dict[str, Any] | None = None) -> tuple[int, Any]:
    """The status code and the JSON of a GET, or of a POST where there is ``data``."""
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def wait_for(url: str, status: str) -> Any:
    """The plan once it has this status."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        code, plan = ask(url)
        if (code, plan["status"]) == (200, status):
            return plan
        time.sleep(0.02)
    raise AssertionError(f"{status} was not reached: {plan}")


ORDER = {"id": "order-1", "item": "book", "quantity": 2}


def test_an_order_of_the_web_service_survives_a_restart(tmp_path: Path) -> None:
    with web_service(tmp_path) as url:
        for _ in range(2):
            assert ask(f"{url}/orders", ORDER) == (202, {"id": "order-1"})
        plan = wait_for(f"{url}/orders/order-1", "awaiting_answer")
        assert plan["questions"] == [{"question": "Order 2 of book?", "choices": ["yes", "no"]}]
    with web_service(tmp_path) as url:
        assert ask(f"{url}/orders/order-1/confirm", {"answer": "yes"}) == (202, {})
        results = wait_for(f"{url}/orders/order-1", "completed")["results"]
        assert results["charge"] == "charged 25.00 under the key order-1/3/1"


def test_the_web_service_refuses_what_is_wrong(tmp_path: Path) -> None:
    with web_service(tmp_path) as url:
        assert ask(f"{url}/orders", {"item": "book"})[0] == 400
        assert ask(f"{url}/orders/order-1")[0] == 404
        assert ask(f"{url}/orders", ORDER)[0] == 202
        assert ask(f"{url}/orders", {**ORDER, "quantity": 3})[0] == 409
        wait_for(f"{url}/orders/order-1", "awaiting_answer")
        assert ask(f"{url}/orders/order-1/confirm", {"answer": "maybe"})[0] == 409
        assert ask(f"{url}/orders", {**ORDER, "id": "order-2", "item": "car"})[0] == 202
        assert "no item 'car'" in wait_for(f"{url}/orders/order-2", "failed")["results"]["price"]
