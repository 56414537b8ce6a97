"""``planfold undo``, and what the other commands say of an undo."""

from __future__ import annotations

import json
from pathlib import Path

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
    assert "Not undone: task 2: what it does stays" in " ".join(plan.split())
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
    why = called("why", failed)
    assert "answer the open question; then retry the task, or revise the plan" in " ".join(
        why.split()
    )
    assert "planfold answer p 4 undo" in why
    assert "planfold retry" not in why
    assert "2 of 3 tasks completed" in called("show", failed)
    called("answer", failed, "4", "undo")
    called("resume", failed, code=1)
    assert shown(failed)["tasks"][0]["undone"]
    assert "2 of 3 tasks completed" in called("show", failed)
    assert "Task 3 is planned again; task make was undone and runs again." in called(
        "retry", failed, "deploy"
    )
    assert statuses(shown(failed))[:3] == ["running", "completed", "planned"]


def test_a_map_of_which_the_items_were_undone_is_shown_so() -> None:
    undo = {"tool": "shell", "arguments": {"argv": ["rm", "$item"]}}
    each = sh("make", "true", for_each=["a", "b"], undo=undo, effect="safe")
    each["arguments"] = {"argv": ["touch", "$item"]}
    tasks = [each, sh("deploy", "test -e not-there", "make")]
    Path("plan.json").write_text(json.dumps({"undo": "always", "tasks": tasks}))
    called("run", "--yes", "--id", "p", "plan.json", code=1)
    found = shown("p")["tasks"][0]
    assert (found["status"], found["undone"]) == ("completed", True)
    assert [item["undone"] for item in found["items"]] == [True, True]
    line = next(line for line in called("show", "p").splitlines() if " make: " in line)
    assert line.rstrip().endswith("undone")
    assert "task make was undone: 2 of 2 items that completed" in called("why", "p", "make")
