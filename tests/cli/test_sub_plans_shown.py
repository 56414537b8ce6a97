"""Sub-plans as each command shows them, from the file to the copy in another database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import called, shown

from planfold.testing import check_golden

PLAN = """# Release

1. Run `echo v7` {#build effect=safe}
2. Deploy it {#deploy plan=parts/deploy.md set="version=$build.stdout"}
3. Run `echo $deploy.done.stdout` {#tell effect=safe}
"""
DEPLOY = """---
params:
  version: {description: what to deploy}
---
# Deploy $params.version

1. Continue with $params.version? {#sure} (yes/no)
2. Run `echo deployed $params.version` {#done effect=safe}
"""
LOOP = "1. Again {plan=loop.md}\n"


@pytest.fixture(autouse=True)
def files() -> None:
    Path("parts").mkdir()
    Path("plan.md").write_text(PLAN)
    Path("loop.md").write_text(LOOP)
    Path("parts/deploy.md").write_text(DEPLOY)


def test_it_is_shown_asked_about_and_moved() -> None:
    printed = called("plan", "plan.md")
    assert 'plan {"version": "$build.stdout"}' in printed
    assert "runs the plan Deploy $params.version (2 tasks)" in " ".join(printed.split())
    assert "       2  done: Run `echo deployed $params.version`" in printed
    assert json.loads(called("plan", "plan.md", "--json"))["tools"] == ["shell"]

    printed = called("run", "plan.md", "--yes", "--id", "p", code=3)
    assert "began 2 deploy: the plan p.2" in printed
    assert "p.2 asks 1 sure: Continue with v7?" in printed
    assert "? 1 sure of p.2\n" in printed
    assert "planfold answer p.2 sure yes" in printed
    assert "runs p.2" in called("show")  # the latest plan is not a sub-plan
    assert "a sub-plan of p, for its task 2" in called("show", "p.2")
    assert shown("p.2")["parent"] == {"plan_id": "p", "task_id": 2, "attempt": 1}
    why = called("why", "deploy")
    assert "task deploy waits for its plan p.2 to end" in why
    assert "planfold why p.2" in why
    stopped = json.loads(called("resume", "p", "--json", code=3))["stopped_because"]
    assert stopped == "its sub-plan p.2: task sure waits for an answer"

    called("export", "p", "--to", "p.jsonl")
    other = ("--db", "sqlite:///other.db")
    called("import", "p.jsonl", *other)
    for db in ((), other):
        called("answer", "p.2", "sure", "yes", *db)
        called("resume", "p", *db)
        plan = shown("p", *db)
        assert plan["tasks"][1]["plan_id"] == "p.2"
        assert plan["tasks"][2]["result"]["stdout"] == "deployed v7"
        called("replay", "p", *db)
        called("replay", "p.2", *db)
        called("doctor", *db)
    called("golden", "p", "--redact", "--to", "golden.jsonl")
    assert check_golden("golden.jsonl").checked > 5
    assert "deployed" not in Path("golden.jsonl").read_text()


def test_a_plan_that_contains_itself_is_refused() -> None:
    assert "the plan contains itself: loop.md -> loop.md" in called("plan", "loop.md", code=2)


def test_a_revision_reads_files_too() -> None:
    called("run", "plan.md", "--id", "p", "--detach", code=3)
    Path("parts/deploy.md").write_text(DEPLOY.replace("deployed", "brought"))
    assert "Nothing." not in called("revise", "p", "plan.md", code=3)
    spec = json.loads(called("plan", "plan.md", "--json"))
    assert spec["revision_hash"] == shown("p")["revision_hash"]
