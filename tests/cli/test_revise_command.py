"""``planfold revise``."""

from __future__ import annotations

import re
from pathlib import Path

from command_line import called, question, sh, shown, statuses, write_plan
from terminals import Terminal


def begun() -> str:
    """A plan that waits for an answer; "b" has not started."""
    called("run", "--yes", write_plan(question("q"), sh("b", "touch old", "q")), code=3)
    plan_id: str = shown()["id"]
    return plan_id


def test_a_revision_shows_what_changes_and_replaces_it() -> None:
    plan_id = begun()
    name = write_plan(question("q"), sh("b", "touch new", "q"), sh("c", "true", "b"))
    out = called("revise", plan_id, name, "--yes", code=0)
    assert "~ 2 b it (tool)" in out
    assert "+ 3 c it" in out
    called("answer", "q", "yes")
    called("resume")
    assert statuses(shown()) == ["completed"] * 3
    assert Path("new").exists()
    assert not Path("old").exists()


def test_without_a_terminal_it_waits_for_approval() -> None:
    begun()
    called("revise", write_plan(sh("c", "true")), code=3)
    assert shown()["status"] == "awaiting_approval"
    assert [task["label"] for task in shown()["tasks"]] == ["q", "c"]


def test_faults_change_nothing() -> None:
    begun()
    before = shown()
    out = called("revise", write_plan(sh("c", "true", "nowhere")), code=2)
    assert "nowhere" in out
    called("revise", "a", "b", "c", code=2)
    assert shown() == before


def test_in_a_terminal_it_asks() -> None:
    plan_id = begun()
    before = shown()
    name = write_plan(sh("c", "true"))
    with Terminal("revise", plan_id, name) as terminal:
        terminal.expect("Approve this revision")
        terminal.type("n\r")
        assert terminal.end() == 0
    assert shown() == before
    with Terminal("revise", plan_id, name) as terminal:
        terminal.expect("Approve this revision")
        terminal.type("y\r")
        assert terminal.end() == 0
    assert shown()["status"] != "awaiting_approval"
    assert [task["label"] for task in shown()["tasks"]] == ["q", "c"]


def test_what_failed_is_replaced() -> None:
    out = called("run", "--yes", write_plan(sh("a", "exit 3"), sh("b", "touch b", "a")), code=1)
    assert re.search("PLAN +# or replaces the task", out)
    out = called("revise", write_plan(sh("a", "touch a"), sh("b", "touch b", "a")), "--yes")
    assert "What would change\n- 1 a it\n~ 2 b it (depends_on)\n+ 3 a it\n" in out
    called("resume")
    assert [(t["id"], t["status"], t["superseded"]) for t in shown()["tasks"]] == [
        (1, "failed", True),
        (3, "completed", False),
        (2, "completed", False),
    ]
    assert shown()["status"] == "completed"
    assert "failed, superseded" in called("show")


def test_a_text_corrects_what_failed() -> None:
    called("run", "--yes", "1. Run `exit 3`\n2. Run `touch made`", code=1)
    called("revise", "1. Run `true`\n2. Run `touch made`", code=3)
    assert "- 1 Run `exit 3`" in called("show")
    assert "exit 3" not in called("show").partition("What would run")[2]
    called("approve")
    called("resume")
    assert Path("made").exists()
