"""``planfold undo``, and what the other commands say of an undo."""

from __future__ import annotations

import pytest
from command_line import called, sh, shown, statuses, write_plan


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("USER", "ada")
    undo = {"tool": "shell", "arguments": {"argv": ["rm", "made"]}}
    tasks = [
        sh("make", "touch made", effect="once", undo=undo),
        sh("mail", "echo sent", effect="once"),
        sh("deploy", "test -e not-there", "make", "mail"),
    ]
    path = write_plan(*tasks)
    plan = called("plan", path)
    assert "undo: $ rm made" in plan
    assert "if the plan fails or is cancelled, a person is asked" in plan
    assert "Not undone: task 2: what" in " ".join(plan.split())
    out = called("run", "--yes", "--id", "p", path, code=3)
    assert "Undo what it did? In this order:" in out
    assert "planfold answer p 4 undo" in out
    return "p"


def test_a_plan_that_was_left_is_undone_by_hand(failed: str) -> None:
    called("answer", failed, "4", "leave it")
    called("resume", failed, code=1)
    assert statuses(shown(failed)) == ["completed", "completed", "failed", "completed", "skipped"]
    assert "planfold undo p" in called("show", failed)
    refused = called("undo", failed, code=2)
    assert "1. undo 1 make:" in refused
    assert "Not undone:" in refused
    assert "nothing was changed; to undo it, add --yes" in refused
    assert "To be undone." in called("undo", failed, "--yes")
    assert "It is being undone already" in called("undo", failed, "--yes")
    called("resume", failed, code=1)
    found = shown(failed)
    assert (found["summary"]["undone"], found["summary"]["to_undo"]) == (1, 1)
    assert [task["undone"] for task in found["tasks"]][:3] == [True, False, False]
    assert "undone: 1 of 1" in called("show", failed)
    assert "undone by task 6" in called("show", failed, "--task", "make")
    assert "was undone by task 6" in called("why", failed, "make")
    assert "task make was undone: 1 of 1" in called("why", failed)
    assert "retries the task, and runs again what was undone" in called("show", failed)
    log = called("log", failed)
    assert "to undo" in log
    assert "task 1, if a person agrees" in log
    assert "task 1 by ada" in log
    assert "there is nothing to undo" in called("undo", failed, "--yes", code=2)


def test_a_plan_is_undone_by_an_answer(failed: str) -> None:
    called("answer", failed, "4", "undo")
    called("resume", failed, code=1)
    assert shown(failed)["tasks"][0]["undone"]
    called("retry", failed, "deploy")
    assert statuses(shown(failed))[:3] == ["running", "completed", "planned"]
