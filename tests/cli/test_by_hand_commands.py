"""``pause``, ``unpause``, ``skip`` and ``complete`` on the command line."""

from __future__ import annotations

import json
import os
import pwd

import pytest
from command_line import called, question, sh, shown, statuses, write_plan
from terminals import Terminal


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("USER", "ada")
    tasks = [
        sh("build", "echo built"),
        sh("deploy", "echo deployed", "build"),
        sh("tell", "", "deploy", arguments={"argv": ["echo", "$deploy.stdout"]}),
    ]
    out = called(
        *("run", "--yes", "--id", "p", "--pause-before", "deploy", write_plan(*tasks)), code=3
    )
    assert "It is paused:" in out
    assert "planfold unpause p" in out
    return "p"


def test_a_break_point_is_shown_explained_and_lifted(plan: str) -> None:
    assert "pauses before task deploy" in called("show", plan)
    why = called("why", plan, "deploy")
    assert "waits for a person at its break-point (paused by ada)" in why
    assert "since 20" in why
    assert "planfold unpause p --before deploy" in why
    assert "break-point since" in called("show", plan, "--task", "deploy")
    assert "Unpaused" in called("unpause", plan)
    assert "It was not paused" in called("unpause", plan)
    log = called("log", plan)
    assert "before task 2 by ada" in log
    assert log.count("unpaused") == 1


def test_a_task_is_skipped_or_completed_with_who_and_why(plan: str) -> None:
    refused = called("complete", plan, "deploy", code=2)
    assert "task 3 uses $2.stdout: give the result of task 2 with result=..." in refused
    assert "`planfold complete TASK --result JSON` does that" in refused
    assert "not JSON" in called("complete", plan, "deploy", "--result", "{", code=2)
    assert "Task 3 was skipped. " in called("skip", plan, "tell", "--reason", "no need")
    assert "Task 3 was skipped already" in called("skip", plan, "tell")
    done = ("complete", plan, "deploy", "--result", '{"stdout": "x"}', "--reason", "did it")
    assert "Task 2 was completed. " in called(*done)
    assert "Task 2 was completed so already" in called(*done)
    called("resume", plan)
    found = shown(plan)
    assert statuses(found) == ["completed", "completed", "skipped"]
    assert found["tasks"][1]["by_hand"]["reason"] == "did it"
    assert "by hand" in called("show", plan, "--task", "deploy")
    assert "skipped by hand" in called("why", plan, "tell")
    assert "no need" in called("log", plan)


def test_a_paused_plan_waits_until_it_is_continued() -> None:
    called("run", "--yes", "--id", "q", write_plan(question("go"), sh("do", "true", "go")), code=3)
    assert "Paused. q: paused" in called("pause", "q", "--reason", "lunch")
    assert "It was so already" in called("pause", "q")
    assert json.loads(called("pause", "q", "--json"))["paused"]["reason"] == "lunch"
    assert "paused since" in called("show", "q")
    assert "q" in called("list", "--status", "paused")
    called("answer", "q", "go", "yes")
    called("resume", "q", code=3)
    assert "unpause the plan" in called("why", "q", "do")
    called("unpause", "q")
    called("resume", "q")
    assert "nothing to pause" in called("pause", "q", code=2)


def test_a_break_point_of_a_task_that_has_begun_promises_no_pause() -> None:
    called("run", "--yes", "--id", "q", write_plan(question("go"), sh("do", "true", "go")), code=3)
    assert "Task go has begun; the break-point holds back only a further attempt" in called(
        "pause", "q", "--before", "go"
    )
    assert "It will pause there" in called("pause", "q", "--before", "do")


def test_what_is_wrong_changes_nothing(plan: str) -> None:
    before = called("log", plan)
    assert "no task" in called("pause", plan, "--before", "9", code=2)
    assert "no task" in called("unpause", plan, "--before", "9", code=2)
    assert "is completed" in called("skip", plan, "build", code=2)
    assert "give a plan and one task" in called("skip", plan, "deploy", "tell", code=2)
    assert called("log", plan) == before
    assert "no task 'biuld' to pause before; did you mean 'build'?" in called(
        *("run", "--pause-before", "biuld", "--id", "r", write_plan(sh("build", "true"))), code=2
    )
    assert "no task 'x' to pause before" in called(
        "run", "--pause-before", "x", "--id", "r", "Run `true`", code=2
    )


def test_a_user_without_a_name_is_recorded_with_the_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    called("run", "--yes", "--detach", "--id", "q", write_plan(sh("a", "true")))
    monkeypatch.setattr("pwd.getpwuid", lambda _: pwd.struct_passwd(("eve", *"x" * 6)))
    called("pause", "q")
    assert shown("q")["paused"]["by"] == "eve"
    called("unpause", "q")

    def nameless(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nameless)
    called("pause", "q")
    assert shown("q")["paused"]["by"] == f"uid {os.getuid()}"


def test_a_fork_says_where_it_pauses(plan: str) -> None:
    assert "pauses before: task 2" in called("fork", plan, "--dry-run")
    out = called("fork", plan, "--yes")
    assert "pauses before: task 2" in out
    assert ": paused, 1 of 3 tasks completed" in out


def test_an_approval_says_where_the_plan_pauses() -> None:
    words = ("run", "--id", "q", "--pause-before", "a", write_plan(sh("a", "true")))
    with Terminal(*words) as terminal:
        terminal.expect("pauses before task a")
        terminal.expect("Run it?")
