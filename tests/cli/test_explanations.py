"""``planfold why`` and ``planfold stats``."""

from __future__ import annotations

import json

from command_line import called, question, sh, write_plan


def test_why_names_each_reason_and_the_command_that_helps() -> None:
    plan = write_plan(
        sh("bad", "echo no such host >&2; exit 3"),
        sh("after", "true", "bad"),
        question("which"),
        sh("deploy", "true", "which"),
    )
    called("run", "--yes", "--id", "plan-a", plan, code=3)
    out = called("why")
    assert "task 1 failed: exit code 3: no such host" in out
    assert "task 2 was skipped: task 1 failed" in out
    assert "planfold retry plan-a 1" in out
    assert "task 3 waits for an answer: which, please?" in out
    assert "planfold answer plan-a 3 TEXT" in out
    assert "task 4" not in out
    out = called("why", "plan-a", "deploy")
    assert "task 4 waits for task 3" in out
    assert "planfold answer plan-a 3 TEXT" in out
    assert "waiting for its parents, and lasts" in out
    called("answer", "plan-a", "3", "here")
    called("resume", "plan-a", code=1)
    found = json.loads(called("why", "plan-a", "deploy", "--json"))
    assert (found["task_id"], found["task_status"], found["reasons"]) == (4, "completed", [])
    assert [span["phase"] for span in found["history"]][-1] == "running"
    assert found["history"][0]["phase"] == "parents"
    assert found["history"][0]["by"] == 3
    assert "Nothing holds it up." in called("why", "plan-a", "deploy")


def test_why_of_a_plan_without_approval_and_of_equal_reasons() -> None:
    called("run", "--id", "plan-a", write_plan(sh("a", "true"), sh("b", "true")), code=3)
    out = called("why")
    assert "tasks 1, 2 wait for approval" in out
    assert "planfold approve plan-a" in out
    called("why", "plan-a", "c", code=2)
