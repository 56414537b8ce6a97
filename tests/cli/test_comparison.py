"""replay: what this version decides otherwise, and what it cannot read."""

from __future__ import annotations

import json
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
