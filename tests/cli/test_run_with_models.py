"""Plans that a language model makes and works on, from the command line. The model is a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Plan, call, called, shown, start, statuses
from terminals import Terminal

from planfold.cli.exits import BAD_INPUT, COMPLETED, FAILED, WAITS

MODEL = "scripted:model.json"
WISH = "Summarise notes.txt and count its words"


def task(label: str, kind: str, **fields: Any) -> Plan:
    return {"label": label, "kind": kind, "description": f"{label} it", **fields}


PLANNED = [
    task("read", "tool_call", tool="read_file", arguments={"path": "notes.txt"}),
    task("count", "tool_call", tool="shell", arguments={"argv": ["wc", "-w", "notes.txt"]}),
    task("judge", "processing", depends_on=["read"]),
]
ANEW = [task("list", "tool_call", tool="list_files", arguments={}, depends_on=["read"])]


@pytest.fixture(autouse=True)
def model(folder: Path) -> None:
    conversations = [
        {"when": "has to be planned again", "replies": [{"json": {"tasks": ANEW}}]},
        {"when": "You turn a request into a plan", "replies": [{"json": {"tasks": PLANNED}}]},
        {"when": "judge it", "replies": ["It is good."]},
    ]
    (folder / "model.json").write_text(json.dumps(conversations))
    (folder / "notes.txt").write_text("planfold makes plans durable\n")


def run(*words: str, code: int = WAITS) -> str:
    return called("run", "--model", MODEL, *words, WISH, code=code)


def test_a_wish_is_planned_shown_and_approved_before_it_runs() -> None:
    out = run()
    assert "$ wc -w notes.txt" in out
    assert "It waits for approval" in out
    assert statuses(shown()) == ["completed", "planned", "planned", "planned"]
    called("approve")
    called("resume", code=WAITS)
    plan = shown()
    assert statuses(plan) == ["completed", "completed", "needs_clarification", "completed"]
    assert plan["tasks"][3]["result"] == "It is good."
    assert plan["model"] == MODEL
    assert plan["spent"]["calls"] == 2
    assert plan["spent"]["tasks"] == 3


def test_what_the_model_proposes_is_asked_and_done_once_allowed() -> None:
    out = run("--yes")
    assert "The plan wants to call shell" in out
    called("answer", "count", "allow once")
    assert "4 notes.txt" in called("resume")


def test_in_a_terminal_planning_approval_and_work_are_one_sitting() -> None:
    with Terminal("run", "--model", MODEL, WISH) as terminal:
        terminal.expect("wc -w notes.txt")
        terminal.expect("Run it")
        terminal.type("y\n")
        terminal.expect("The plan wants to call shell")
        terminal.expect("1. allow once")
        terminal.type("1\n")
        terminal.expect("4 of 4 tasks completed")
        assert terminal.end() == COMPLETED


def test_as_written_the_model_works_but_does_not_plan() -> None:
    out = called("run", "--yes", "--as-written", "--model", MODEL, "1. judge it")
    assert "It is good." in out
    assert statuses(shown()) == ["completed"]


def test_a_plan_in_json_is_taken_as_it_is() -> None:
    Path("plan.json").write_text(json.dumps({"tasks": [{"description": "judge it"}]}))
    called("run", "--yes", "--model", MODEL, "plan.json")
    assert shown()["tasks"][0]["result"] == "It is good."


@pytest.mark.parametrize("name", ["nonsense", "scripted:missing.json", "nobody:x", ","])
def test_an_unknown_model_is_reported_before_anything_is_written(name: str) -> None:
    out = called("run", "--model", name, WISH, code=BAD_INPUT)
    assert "model" in out
    assert not Path(".planfold").exists()


def test_a_plan_stops_at_its_budget_and_continues_with_more() -> None:
    out = run("--yes", "--budget", "calls=1,tokens=900_000")
    assert "The plan's budget is used up: 1 call" in out
    assert "planfold budget" in out
    more = called("budget", "--add", "calls=1", "--add", "tokens=5")
    assert "allowed:   900,005 tokens, 2 calls" in more
    called("resume", code=WAITS)
    assert shown()["tasks"][3]["result"] == "It is good."
    spent = json.loads(called("budget", "--json"))["spent"]
    assert spent["calls"] == 2


@pytest.mark.parametrize("budget", ["tokens", "tokens=x", "token=5", "cost=-1", "calls=0", ""])
def test_a_budget_that_cannot_be_meant_is_refused(budget: str) -> None:
    run("--budget", budget, code=BAD_INPUT)


def test_an_amount_that_is_no_number_is_named() -> None:
    out = run("--budget", "tokens=x", code=BAD_INPUT)
    assert "tokens must be a whole number, not 'x'" in out
    assert not Path(".planfold").exists()


def test_planning_again_shows_what_would_change_and_waits() -> None:
    run("--yes")
    called("answer", "count", "deny")
    called("resume", code=FAILED)
    assert "until you approve" in called("replan", "count the files instead")
    out = called("resume", code=WAITS)
    assert "What would change\n- 3 count it\n+ 6 list it" in out
    called("approve")
    assert "completed" in called("resume", code=COMPLETED)
    assert statuses(shown())[2] == "failed"
    assert "failed, superseded" in called("show")


def test_a_plan_without_a_model_cannot_be_planned_again() -> None:
    called("run", "--yes", "1. Run `false`", code=FAILED)
    assert "no model" in called("replan", "again", code=BAD_INPUT)


def test_the_log_tells_of_calls_and_what_they_cost() -> None:
    run("--yes")
    log = called("log")
    assert f"calls 1: {MODEL}" in log
    assert "tokens, 1 call" in log
    assert "3 tasks planned by the model" in log


def test_killed_while_the_model_plans_the_plan_keeps_what_was_planned(folder: Path) -> None:
    script = json.loads(Path("model.json").read_text())
    script[1]["pause"] = 0.05
    Path("model.json").write_text(json.dumps(script))
    process = start("run", "--yes", "--model", MODEL, WISH)
    while "read" not in labels_when_there():
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    planned = labels_when_there()
    assert "judge" not in planned  # it was killed in the middle
    script[1]["pause"] = 0.0
    Path("model.json").write_text(json.dumps(script))
    called("resume", code=WAITS)
    assert "again: it was interrupted" in called("log")
    labels = labels_when_there()
    assert labels[: len(planned)] == planned
    assert sorted(set(labels)) == ["", "count", "judge", "read"]
    assert labels.count("read") == 1


def labels_when_there() -> list[str]:
    result = call("show", "--json")
    if result.exit_code:
        return []
    return [task["label"] or "" for task in json.loads(result.stdout)["tasks"]]
