"""``planfold why`` and ``planfold stats``."""

from __future__ import annotations

import json

import pytest
from command_line import called, ended, question, sh, shown, start, wait_until, write_plan


def test_why_names_each_reason_and_the_command_that_helps() -> None:
    plan = write_plan(
        sh("bad", "echo no such host >&2; exit 3"),
        sh("after", "true", "bad"),
        question("which"),
        sh("deploy", "true", "which"),
    )
    called("run", "--yes", "--id", "plan-a", plan, code=3)
    out = called("why")
    assert "task bad failed: exit code 3: no such host" in out
    assert "task after was skipped: task bad failed" in out
    assert out.count("planfold retry plan-a bad ") == 1, "the skipped task needs the same"
    assert "task which waits for an answer: which, please?" in out
    assert "planfold answer plan-a which TEXT" in out
    assert "task deploy" not in out
    out = called("why", "plan-a", "deploy")
    assert "task deploy waits for task which" in out
    assert "planfold answer plan-a which TEXT" in out
    assert "waiting for its parents, so far" in out
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
    assert "tasks a, b wait for approval" in out
    assert "planfold approve plan-a" in out
    called("why", "plan-a", "c", code=2)


def test_a_task_of_the_latest_plan_comes_before_a_plan_that_begins_so() -> None:
    plan = write_plan(sh("build", "true"), sh("build-1", "true"))
    for plan_id in ("build-1", "p"):
        called("run", "--id", plan_id, plan, code=3)
    assert called("why", "build").startswith("p  awaiting approval; task build is planned\n")
    assert called("why", "build-").startswith("build-1  awaiting approval\n")
    assert called("why", "build-1").startswith("build-1  awaiting approval\n"), "the whole id"


def test_stats_of_a_plan_name_what_held_it_up() -> None:
    called("run", "--yes", "--id", "plan-a", write_plan(sh("a", "sleep 0.2"), sh("b", "true", "a")))
    out = called("stats", "plan-a")
    assert out.startswith("plan-a took ")
    assert "1 a: running" in out
    assert "Shortening 1 a helps most" in out
    found = json.loads(called("stats", "plan-a", "--json"))
    assert found["longest"] == 1
    assert sum(found["by_phase"].values()) == pytest.approx(found["seconds"])
    assert "leave out the ID" in called("stats", "plan-a", "--by", "tool", code=2)


def test_what_if_plays_a_plan_under_other_limits() -> None:
    plan = write_plan(sh("a", "sleep 0.3"), sh("b", "sleep 0.3"))
    called("run", "--yes", "--id", "plan-a", plan)
    found = json.loads(called("whatif", "plan-a", "--route-limit", "shell=1", "--json"))
    assert found["changed"] >= found["replayed"] + 0.3
    assert found["replayed"] >= 0.3
    out = called("whatif", "plan-a", "--max-parallel", "1")
    assert out.startswith("plan-a took ")
    assert "Simulated as it was: 0." in out
    assert "NAME=NUMBER" in called("whatif", "plan-a", "--answer", "a=soon", code=2)
    called("whatif", "plan-a", "--answer", "nothing=5", code=2)
    called("run", "--id", "plan-b", write_plan(sh("a", "true")), code=3)
    assert "known when it has completed or failed" in called("whatif", "plan-b", code=2)


def test_stats_of_all_plans() -> None:
    called("run", "--yes", write_plan(sh("a", "true"), sh("b", "exit 3"), question("q")), code=3)
    called("run", "--yes", write_plan(sh("a", "true"), title="Another"))
    out = called("stats")
    assert "2 begun, 1 completed" in out
    assert "3 attempts, 2 completed, 1 failed" in out
    assert "1 asked, 0 answered by a person, 0 by their default; 0.50 per plan" in out
    out = called("stats", "--by", "title")
    assert "title A plan" in out
    assert "title Another" in out
    found = json.loads(called("stats", "--by", "tool", "--since", "1h", "--json"))
    assert [group["tool"] for group in found["groups"]] == ["", "shell"]
    assert found["groups"][1]["tasks"] == {"completed": 2, "failed": 1}
    assert found["groups"][1]["running"]["count"] == 3
    assert found["unreadable"] == []
    assert "12h" in called("stats", "--since", "yesterday", code=2)


def test_why_names_the_first_choice_of_a_question() -> None:
    plan = write_plan(question("which", choices=["blue", "red"]))
    called("run", "--yes", "--id", "plan-a", plan, code=3)
    assert "planfold answer plan-a which blue" in called("why")
    assert "planfold answer plan-a which blue" in called("show")


def test_one_word_is_a_task_of_the_latest_plan() -> None:
    called("run", "--yes", "--id", "plan-a", write_plan(sh("train", "exit 3")), code=1)
    out = called("why", "train")
    assert out.startswith("plan-a  failed; task train has failed")
    assert json.loads(called("why", "1", "--json"))["task_id"] == 1
    assert json.loads(called("why", "plan-a", "--json"))["task_id"] is None
    out = called("why", "tarin", code=2)
    assert "there is no plan 'tarin', and plan-a has no such task" in out
    assert "name the plan too" in out


def test_why_names_the_worker_for_a_route_that_none_serves() -> None:
    plan = write_plan(sh("train", "true", route="gpu"), sh("test", "true"))
    called("run", "--yes", "--detach", "--id", "plan-a", plan)
    assert "planfold worker --route gpu" in called("why", "train")
    assert "planfold resume plan-a" in called("why", "test")
    worker = start("worker", "--route", "shell")
    try:
        wait_until(lambda: shown()["tasks"][1]["status"] == "completed", "the worker is at work")
        out = called("why", "train")
    finally:
        worker.terminate()
        ended(worker)
    assert "1 worker here, none serves its route" in out
    assert "planfold worker --route gpu" in out


def test_why_says_which_tasks_take_the_slots_and_how_many_come_before() -> None:
    plan = write_plan(*(sh(label, "true") for label in "abc"))
    called("run", "--yes", "--detach", "--max-parallel", "1", plan)
    assert "  taken by task a\n" in called("why", "b")
    assert "  taken by task a; 1 task before it\n" in called("why", "c")
