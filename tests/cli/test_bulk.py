"""Tags, and decisions about all plans that a filter chooses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import call, called, sh, shown, write_plan


def plans(*names: str, tag: str = "nightly", script: str = "true", yes: bool = False) -> None:
    plan = write_plan(sh("a", script), title=f"of {tag}")
    for name in names:
        more = ["--yes"] if yes else []
        call("run", *more, "--id", name, "--tag", tag, "--tag", f"of-{name}", plan)


def statuses() -> dict[str, str]:
    return {plan["id"]: plan["status"] for plan in json.loads(called("list", "--json"))}


def test_a_plan_is_found_by_its_tags_which_may_change() -> None:
    plans("p", "q")
    plans("r", tag="weekly")
    assert [p["id"] for p in json.loads(called("list", "--tag", "weekly", "--json"))] == ["r"]
    found = json.loads(called("list", "--tag", "nightly", "--tag", "of-p", "--json"))
    assert [(p["id"], p["tags"]) for p in found] == [("p", ["nightly", "of-p"])]
    assert "Tagged" in called("tag", "r", "--add", "nightly", "--remove", "weekly")
    assert "It was so already" in called("tag", "r", "--add", "nightly")
    assert "tags: nightly, of-r" in called("show", "r")
    assert "+nightly -weekly" in called("log", "r")
    assert "No such plans" in called("list", "--tag", "weekly")
    assert "not a tag" in called("tag", "r", "--add", "a b", code=2)
    assert "give --add TAG" in called("tag", "r", code=2)
    assert "not a tag" in called("run", "--tag", "!", "Run `true`", code=2)
    assert shown("r")["tags"] == ["nightly", "of-r"]


def test_tags_in_a_draft_are_checked() -> None:
    Path("plan.json").write_text(json.dumps({"tags": ["ok"], "tasks": [sh("a", "true")]}))
    called("run", "--id", "p", "--tag", "more", "plan.json", code=3)
    assert shown("p")["tags"] == ["more", "ok"]
    assert json.loads(called("plan", "plan.json", "--json"))["tags"] == ["ok"]
    Path("plan.json").write_text(json.dumps({"tags": ["a b"], "tasks": [sh("a", "true")]}))
    assert "tags" in called("plan", "plan.json", code=2)
    Path("plan.json").write_text(json.dumps({"tags": "ok", "tasks": [sh("a", "true")]}))
    assert "must be a list of texts" in called("plan", "plan.json", code=2)


@pytest.mark.parametrize("verb", ["approve", "cancel"])
def test_without_a_terminal_and_without_yes_nothing_changes(verb: str) -> None:
    plans("p", "q")
    before = statuses()
    out = called(verb, "--tag", "nightly", code=2)
    assert "  p  awaiting approval  of nightly" in out
    assert f"nothing was changed; to {verb} 2 plans, add --yes" in out
    assert statuses() == before
    assert "name one plan, or choose plans" in called(verb, "p", "--tag", "nightly", code=2)
    assert "--yes needs --tag" in called(verb, "--yes", code=2)


def test_plans_are_approved_cancelled_retried_and_archived_by_a_filter() -> None:
    plans("p", "q")
    plans("r", tag="weekly")
    assert "Approved 2 plans." in called("approve", "--tag", "nightly", "--yes")
    assert statuses() == {"p": "running", "q": "running", "r": "awaiting_approval"}
    assert "No such plans." in called("approve", "--tag", "nightly", "--yes")
    assert "Cancelled 1 plan." in called("cancel", "--title", "weekly", "--yes")
    plans("s", "t", tag="broken", script="test -e now", yes=True)
    assert statuses()["s"] == "failed"
    Path("now").touch()
    assert "nothing was changed; to retry 2 plans" in called("retry", "--tag", "broken", code=2)
    assert "Retried 2 plans." in called("retry", "--tag", "broken", "--yes")
    called("resume")
    assert statuses()["s"] == statuses()["t"] == "completed"
    wanted = ("archive", "--older-than", "0h", "--tag", "broken")
    assert "nothing was changed; to archive 2 plans" in called(*wanted, code=2)
    assert "Archived 2 plans" in called(*wanted, "--yes")
    assert set(statuses()) == {"p", "q", "r"}


def test_what_would_run_is_shown_before_many_plans_are_approved() -> None:
    tasks = [sh(f"t{n}", f"echo {n}") for n in range(12)]
    call("run", "--id", "p", "--tag", "x", "--pause-before", "t1", write_plan(*tasks))
    call("run", "--id", "q", "--tag", "x", write_plan(sh("a", "rm -rf old")))
    out = called("approve", "--tag", "x", code=2)
    assert "$ echo 0" in out
    assert "$ rm -rf old" in out
    assert "... and 2 more tasks" in out
    assert "pauses before task t1" in out
    assert out.index("  p  awaiting") > out.index("$ rm -rf old") > out.index("  q  awaiting")


def test_a_bulk_cancellation_says_what_ends_only_with_a_worker() -> None:
    call("run", "--id", "p", "--tag", "x", "--yes", "--detach", write_plan(sh("a", "true")))
    call("run", "--id", "q", "--tag", "x", write_plan(sh("a", "true")))
    out = called("cancel", "--tag", "x", "--yes")
    assert "Cancelled 2 plans." in out
    assert "1 plan ends when a worker runs: planfold worker" in out
    assert statuses() == {"p": "cancelling", "q": "cancelled"}
