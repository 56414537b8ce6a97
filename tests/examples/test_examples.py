"""Every example runs as its reader would run it."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

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


def test_the_tests_of_an_own_executor_pass(tmp_path: Path) -> None:
    options = ["-c", "/dev/null", "--rootdir", str(tmp_path), "-o", "asyncio_mode=auto"]
    test = str(EXAMPLES / "test_own_executor.py")
    assert "3 passed" in run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", *options, test)


def test_a_synchronous_script_finds_the_service_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PLANFOLD_DB", f"sqlite:///{tmp_path}/plans.db")
    command = [sys.executable, "-m", "planfold", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            assert "http://127.0.0.1:" in service.stdout.readline()
            for _ in range(2):  # the second time it finds its plan
                said = run(tmp_path, str(EXAMPLES / "synchronous_script.py"))
                assert said == "completed - hello, world!\n"
        finally:
            service.terminate()


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


INVOICES = EXAMPLES / "invoices.py"


def write_invoices(folder: Path, count: int) -> list[str]:
    """Each tenth is large, and the seventh has no total; returns the numbers of the others."""
    totals = [5_000 if n % 10 == 0 else 0 if n == 7 else n for n in range(count)]
    invoices = [{"number": f"R{n}", "total": total} for n, total in enumerate(totals)]
    (folder / "invoices.json").write_text(json.dumps(invoices), encoding="utf-8")
    return [f"R{n}" for n, total in enumerate(totals) if total]


def entries(folder: Path) -> list[str]:
    if not (folder / "ledger.db").exists():
        return []
    with closing(sqlite3.connect(folder / "ledger.db", timeout=30)) as ledger:
        tables = ledger.execute("SELECT name FROM sqlite_master").fetchall()
        return [n for (n,) in ledger.execute("SELECT number FROM entries")] if tables else []


def test_large_invoices_are_posted_only_with_approval(tmp_path: Path) -> None:
    expected = write_invoices(tmp_path, 12)
    status, _, said = run(tmp_path, str(INVOICES), "no").partition(" ")
    found = json.loads(said)
    assert status == "completed"
    assert (found["posted"], found["refused"], found["failed"]) == (9, 2, 1)
    assert "2[7]: Permanent: R7 has no total" in found["failures"]
    assert sorted(entries(tmp_path)) == sorted(set(expected) - {"R0", "R10"})


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.soak)])
@pytest.mark.timeout(600)
def test_invoices_are_posted_exactly_once_however_often_it_is_killed(
    tmp_path: Path, kills: int
) -> None:
    expected = write_invoices(tmp_path, 10 * kills)
    for number in range(1, kills + 1):
        with subprocess.Popen([sys.executable, str(INVOICES), "yes"], cwd=tmp_path) as process:
            enough = number * len(expected) // (kills + 2)
            while len(entries(tmp_path)) < enough:
                assert process.poll() is None
                time.sleep(0.002)
            process.kill()
    status, _, said = run(tmp_path, str(INVOICES), "yes").partition(" ")
    assert status == "completed"
    assert json.loads(said)["posted"] == len(expected)
    assert sorted(entries(tmp_path)) == sorted(expected)


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
    for plans, times in ((1, 2), (2, 1)):
        run(tmp_path, str(EXAMPLES / "plain_script.py"))
        for _ in range(times):
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
        for number, item in enumerate(("a $5 voucher", "$confirm", "$params.id"), 3):
            assert ask(f"{url}/orders", {"id": f"order-{number}", "item": item})[0] == 202
            results = wait_for(f"{url}/orders/order-{number}", "failed")["results"]
            assert f"no item '{item}'" in results["price"]
