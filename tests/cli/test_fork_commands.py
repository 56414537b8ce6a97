"""``planfold fork``, ``checkpoint`` and ``restore``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from command_line import call, called, question, sh, shown, statuses, write_plan
from terminals import Terminal


def failed() -> str:
    """A plan whose task "deploy" failed; "docs" may not happen twice."""
    plan = write_plan(
        sh("build", "echo built"),
        sh("deploy", "exit 3", "build", effect="once"),
        sh("tell", "echo told", "deploy"),
        sh("docs", "echo docs >> docs", effect="once"),
    )
    called("run", "--yes", plan, code=1)
    plan_id: str = shown()["id"]
    return plan_id


def plans() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(called("list", "--json"))
    return found


def test_a_failed_task_runs_with_other_arguments() -> None:
    plan_id = failed()
    before = shown(plan_id)
    out = called("fork", plan_id, "--set", "deploy.script=echo deployed > out", "--yes")
    assert f"A fork of {plan_id} at version 10" in out
    assert "runs again: tasks 2, 3" in out
    assert "Forked. plan-" in out
    fork = plans()[0]["id"]
    called("resume", fork)
    assert statuses(shown(fork)) == ["completed"] * 4
    assert Path("out").read_text() == "deployed\n"
    assert Path("docs").read_text() == "docs\n"
    assert shown(plan_id) == before
    out = called("show", fork)
    assert f"a fork of {plan_id} at version 10" in out
    log = called("log", fork)
    assert f"forked {plan_id} at version 10; tasks 2, 3 again" in log
    assert "queued 2 deploy: attempt 2" in log
    assert "forked" in called("diff", plan_id, fork)
    called("replay", "--all")
    called("doctor")


def test_a_dry_run_writes_nothing() -> None:
    plan_id = failed()
    out = called("fork", plan_id, "--at", "docs", "--dry-run")
    assert "to come: tasks 1, 2, 3, 4" in out
    assert f"  docs: once, completed in {plan_id}; needs --repeat docs" in out
    found = json.loads(called("fork", plan_id, "--at", "docs", "--dry-run", "--json"))
    assert [(e["label"], e["effect"], e["status"]) for e in found["effects"]] == [
        ("docs", "once", "completed")
    ]
    out = called("fork", plan_id, "--at", "docs", "--yes", code=2)
    assert "would do so: 4 (docs); allow each of them to repeat; `--repeat TASK` allows one" in out
    assert len(plans()) == 1
    out = called("fork", plan_id, "--at", "docs", "--repeat", "docs", "--json")
    assert json.loads(out)["origin"] == plan_id


def test_without_a_terminal_changed_tasks_wait_for_approval() -> None:
    plan_id = failed()
    out = called(
        "fork", plan_id, "--set", "deploy.script=true", "--set", "deploy.timeout=5", code=3
    )
    assert "awaiting approval" in out
    fork = plans()[0]["id"]
    assert shown(fork)["status"] == "awaiting_approval"
    called("approve", fork)
    called("resume", fork)
    assert shown(fork)["status"] == "completed"


def test_in_a_terminal_it_asks() -> None:
    plan_id = failed()
    words = ("fork", plan_id, "--set", "deploy.script=true")
    with Terminal(*words) as terminal:
        terminal.expect("Begin this fork")
        terminal.type("n\r")
        assert terminal.end() == 0
    assert len(plans()) == 1
    with Terminal(*words) as terminal:
        terminal.expect("Begin this fork")
        terminal.type("y\r")
        assert terminal.end() == 0
    assert plans()[0]["status"] == "running"
    with Terminal("fork", plan_id, "--at", "docs") as terminal:  # it cannot be begun
        terminal.expect("needs --repeat docs")
        assert terminal.end() == 2


def test_the_fork_of_a_plan_that_waits_for_approval_waits_too() -> None:
    called("run", write_plan(sh("build", "echo built > out", effect="once")), code=3)
    plan_id = shown()["id"]
    words = ("fork", plan_id, "--repeat", "build")
    with Terminal(*words) as terminal:
        terminal.expect("The plan waits for approval at this version; the fork waits, too.")
        terminal.expect("Begin this fork")
        terminal.type("y\r")
        assert terminal.end() == 3
    called(*words, "--set", "build.script=true", "--yes", code=3)
    assert [plan["status"] for plan in plans()] == ["awaiting_approval"] * 3


def test_the_version_that_was_shown_is_forked() -> None:
    called("run", "--yes", write_plan(question("q"), sh("b", "true", "q")), code=3)
    plan_id, version = shown()["id"], shown()["version"]
    with Terminal("fork", plan_id) as terminal:
        terminal.expect(f"at version {version}")
        terminal.expect("Begin this fork")
        called("answer", "q", "yes")  # a decision of another person in the meantime
        terminal.type("y\r")
        assert terminal.end() == 0
    fork = next(plan["id"] for plan in plans() if plan["id"] != plan_id)
    assert shown(fork)["origin_version"] == version
    assert statuses(shown(fork)) == ["needs_clarification", "planned"]


def test_answers_are_changed_kept_or_asked_again() -> None:
    called(
        "run", "--yes", write_plan(question("q"), sh("b", "true", "q"), question("r", "b")), code=3
    )
    plan_id = shown()["id"]
    called("answer", "q", "yes")
    called("resume", code=3)
    called("answer", "r", "so")
    called("resume")
    called("fork", plan_id, "--answer", "q=no", "--keep-answers")
    fork = plans()[0]["id"]
    called("resume", fork)
    assert [task["result"] for task in shown(fork)["tasks"]][::2] == ["no", "so"]
    called("fork", plan_id, "--answer", "q=no")
    called("resume", plans()[0]["id"], code=3)


def test_a_checkpoint_is_named_listed_and_restored() -> None:
    called("run", "--yes", write_plan(question("q"), sh("b", "true", "q")), code=3)
    plan_id = shown()["id"]
    out = called("checkpoint", plan_id, "before q")
    assert out == f"Version 4 of {plan_id} is the checkpoint before q now.\n"
    assert "checkpoints: before q (version 4)" in called("show", plan_id)
    assert shown(plan_id)["checkpoints"] == {"before q": 4}
    assert "checkpoint before q" in called("log", plan_id)
    called("answer", "q", "yes")
    called("resume")
    assert "runs again: nothing" in called("restore", plan_id, "before q", "--dry-run")
    called("restore", plan_id, "before q")
    restored = plans()[0]["id"]
    assert statuses(shown(restored)) == ["needs_clarification", "planned"]
    assert shown(restored)["origin_version"] == 4
    assert "its checkpoints: before q" in called("restore", plan_id, "x", code=2)
    assert "choose another name" in called("checkpoint", plan_id, "before q", code=2)
    assert json.loads(called("checkpoint", plan_id, "end", "--json"))["version"] == 9


def test_what_is_named_wrongly_changes_nothing() -> None:
    plan_id = failed()
    for words, message in (
        (["--at", "99"], "its versions are 1 to 10"),
        (["--at", "0"], "no version 0"),
        (["--at", "task:99"], "no task '99'"),
        (["--set", "deploy.script"], "is not of the form NAME=TEXT"),
        (["--set", "deplay.script=x"], "names no task of the plan"),
        (["--set", "deploy.scirpt=x"], "has no field 'scirpt'"),
        (["--set", "deploy.timeout=soon"], "timeout"),
        (["--answer", "build=x"], "is not a question"),
        (["--repeat", "nothing"], "no task 'nothing'"),
    ):
        out = called("fork", plan_id, *words, "--yes", code=2)
        assert message in out, words
    assert call("fork", "plan-nowhere").exit_code == 2
    assert len(plans()) == 1


def test_a_value_is_json_where_the_present_one_is_not_a_text() -> None:
    task = {"label": "a", "description": "a", "tool": "shell", "arguments": {"argv": ["true"]}}
    called("run", "--yes", write_plan({**task, "effect": "safe"}))
    plan_id = shown()["id"]
    called("fork", plan_id, "--set", 'a.argv=["echo", "1"]', "--set", "a.description=2", "--yes")
    fork = plans()[0]["id"]
    called("resume", fork)
    assert shown(fork)["tasks"][0]["result"]["stdout"] == "1"
    assert shown(fork)["tasks"][0]["description"] == "2"


def test_an_export_of_a_fork_has_its_origin() -> None:
    plan_id = failed()
    called("fork", plan_id, "--set", "deploy.script=true", "--yes")
    fork = plans()[0]["id"]
    called("export", fork, "--to", "x.jsonl")
    called("import", "x.jsonl", "--db", "sqlite:///other.db")
    listed = json.loads(called("list", "--json", "--db", "sqlite:///other.db"))
    assert {plan["id"] for plan in listed} == {plan_id, fork}
    called("replay", "--all", "--db", "sqlite:///other.db")
