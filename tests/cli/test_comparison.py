"""replay: what this version decides otherwise, and what it cannot read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import apsw
import pytest
from command_line import called, sh, write_plan

from planfold.planner import outcomes

RETRIED = {"attempts": 2, "base": 0.01}


def run(name: str) -> None:
    plan = write_plan(sh("a", "echo hi"), sh("b", "exit 3", retry=RETRIED), title=name)
    called("run", plan, "--yes", "--id", name, code=1)


def test_a_plan_that_is_decided_in_the_same_way() -> None:
    run("one")
    assert called("replay").endswith("decisions: 7 as recorded\n")
    found = json.loads(called("replay", "one", "--json"))
    assert (found["plans"], found["checked"], found["different"]) == (1, 7, [])


def test_the_first_difference_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    run("one")
    monkeypatch.setattr(outcomes, "retry_delay", lambda *_: 5.0)
    first, command, expected, actual, *_ = called("replay", code=1).splitlines()
    assert first.startswith("one differs at event ")
    assert '{"HandleExecutorEvent": {"type": "HandleExecutorEvent", "task_id": 2' in command
    assert '"RetryScheduled"' in expected
    assert '"delay": 5.0' in actual
    (different,) = json.loads(called("replay", "--json", code=1))["different"]
    assert different["actual"]["RetryScheduled"]["delay"] == 5.0


def test_all_plans_are_replayed_although_one_cannot_be_read() -> None:
    for name in ("one", "two", "three"):
        run(name)
    with apsw.Connection(str(Path(".planfold/planfold.db"))) as connection:
        connection.execute(
            "UPDATE events SET data = '{}' WHERE aggregate_id = 'two' AND version = 3"
        )
    out = called("replay", "--all", code=1)
    assert "two cannot be read: two#3: " in out
    assert "3 plans" in out
    assert "14 as recorded" in out


def test_one_plan_or_all() -> None:
    assert "name a plan, or use --all" in called("replay", "one", "--all", code=2)


def test_two_plans_are_compared() -> None:
    for name, text in (("one", "hi"), ("two", "ho")):
        plan = write_plan(sh("a", "cat given"), sh("b", "true", "a"), sh("c", "true"))
        Path("given").write_text(text)
        called("run", plan, "--yes", "--id", name)
    out = called("diff", "one", "two")
    assert "First divergence: task 1 a\n" in out
    assert "completed hi (TaskCompleted)\n" in out
    assert "completed ho (TaskCompleted)\n" in out
    assert '  + result {"exit_code": 0, "stdout": "ho"' in out
    assert "2 tasks with the same outcome" in out
    found = json.loads(called("diff", "one", "two", "--json"))
    assert found["divergence"]["events"][1]["TaskStatusUpdated"]["result"]["stdout"] == "ho"
    assert found["tasks"][0]["changes"]["result"][0]["stdout"] == "hi"
    assert found["spent"][0] == {"tokens": 0, "cost": 0, "calls": 0, "seconds": 0, "tasks": 0}
    assert "They are equal, except for times." in called("diff", "one", "one")


def test_tasks_are_named_by_their_labels() -> None:
    called("run", write_plan(sh("a", "true"), sh("b", "true")), "--yes", "--id", "one")
    other = write_plan(sh("a", "true"), sh("b", "echo $a.stdout", "a"), sh("lint", "true"))
    called("run", other, "--yes", "--id", "two")
    out = called("diff", "one", "two")
    assert "\n+ 3 lint\n" in out
    assert "\n  - depends_on none\n  + depends_on 1 a\n" in out


def test_a_task_that_was_skipped_did_not_run() -> None:
    for name, text in (("one", "true"), ("two", "false")):
        called(
            "run", f"1. Run `{text}`\n2. Run `echo hi`", "--yes", "--id", name, code=text == "false"
        )
    out = called("diff", "one", "two")
    assert re.search(r"~ 2: Run `echo hi`  [\d.]+ s -> did not run\n", out)


def test_two_versions_of_a_plan_are_compared() -> None:
    run("one")
    out = called("diff", "one@2", "one")
    assert "- no such event\n+ event 3: queued" in out
    assert "one has no version 99" in called("diff", "one@99", "one", code=2)
    assert "there is no plan 'other'" in called("diff", "other@2", "one", code=2)
