"""Conditions and failure handlers as each command shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import called, shown, statuses

PLAN = """# Disk

1. Run `echo 42` {#disk effect=safe}
2. If it is nearly full, run `touch cleaned` {#clean when="int($disk.stdout) > 80"}
3. Run `false` {#broken effect=safe}
4. Run `echo "broken: $broken:status"` {#tell run_if=failed}
5. Run `echo tidied` {#tidy run_if=ended}
6. Run `echo published` {#publish}
"""


@pytest.fixture
def plan() -> str:
    Path("plan.md").write_text(PLAN)
    called("run", "--yes", "plan.md", code=1)
    return "plan.md"


def test_the_preview_says_when_a_task_runs() -> None:
    Path("plan.md").write_text(PLAN)
    printed = called("plan", "plan.md")
    assert "runs when int($disk.stdout) > 80, after 1" in printed
    assert "runs if a task before it failed" in printed
    assert "runs however the tasks before it end" in printed
    tasks = json.loads(called("plan", "plan.md", "--json"))["tasks"]
    assert tasks[1]["when"] == "int($1.stdout) > 80"
    assert [task.get("run_if") for task in tasks[3:5]] == ["failed", "ended"]


def test_the_preview_does_not_repeat_a_command_that_only_escapes_its_dollar() -> None:
    Path("plan.md").write_text("1. Run `echo \\$way`\n2. Run `echo \\$way now`\n")
    assert "$ echo" not in called("plan", "plan.md")


def test_views_say_what_ran_and_what_was_not_needed(plan: str) -> None:
    view = shown()
    assert statuses(view) == ["completed", "skipped", "failed", "completed", "completed", "skipped"]
    assert [task["skip_reason"] for task in view["tasks"]][1::4] == ["condition", "failure"]
    assert view["status"] == "failed"
    assert view["tasks"][3]["result"]["stdout"] == "broken: failed"
    assert not Path("cleaned").exists()
    printed = called("show")
    assert 'its condition is false: int($disk.stdout) > 80 ($disk.stdout is "42")' in printed
    assert "failed: 3; skipped: 6; not needed: 2" in printed
    assert "not needed" in called("show", "--task", "clean")
    assert "(when int($disk.stdout) > 80)" in called("graph")
    assert 'style="rounded,filled,dashed"' in called("graph", "--dot", "-")
    assert "runs if a task before it failed" in called("graph", "--svg", "-")
    assert "task clean was not needed: its condition is false: int($disk.stdout)" in called(
        "why", view["id"], "2"
    )
    assert "task clean" not in called("why", view["id"])  # it holds nothing up
    assert "its condition is false" in called("log")
    assert "as recorded" in called("replay")
