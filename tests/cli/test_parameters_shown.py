"""Parameters and templates on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import called, shown

PLAN = """---
params:
  version: {description: the version to release}
  count: {type: integer, default: 3}
---
# Release $params.version

1. Run `printf %s $params.version` {#one effect=safe}
2. Run `printf %s "$params.version" | cat` {effect=safe}
3. Run `echo $params.count` {effect=safe when="$params.count > 2"}
"""
HOSTILE = "$(touch pwned);`touch pwned` $one.stdout ${HOME}\n'\"$$"
TEMPLATE = '''from planfold import PlanDraft, TaskDraft, template


@template
def greet(name: str, times: int = 1) -> PlanDraft:
    """Greet a person."""
    hello = {"argv": ["echo", "Hello", "$params.name"]}
    return PlanDraft(
        title="Greet $params.name",
        tasks=[
            TaskDraft(description="Greet", tool="shell", arguments=hello, effect="safe")
            for _ in range(times)
        ],
    )
'''


@pytest.fixture(autouse=True)
def files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("release.md").write_text(PLAN)
    Path("greetings.py").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(".")


def test_a_plan_is_shown_with_its_parameters() -> None:
    printed = called("plan", "release.md", "--set", "version=1.2")
    assert "version: 1.2 (string; the version to release)" in printed
    assert "count:   3 (integer)" in printed
    plan = json.loads(called("plan", "release.md", "--set", "version=1=2", "--json"))
    assert plan["title"] == "Release 1=2"
    assert plan["params"][0] == {
        "name": "version",
        "type": "string",
        "value": "1=2",
        "description": "the version to release",
    }


def test_a_hostile_value_is_printed_and_never_run() -> None:
    called("run", "--yes", "release.md", "--set", f"version={HOSTILE}", "--set", "count=5")
    plan = shown()
    assert [task["result"]["stdout"] for task in plan["tasks"]] == [HOSTILE, HOSTILE, "5"]
    assert plan["title"] == f"Release {HOSTILE}"
    assert not Path("pwned").exists()


def test_wrong_values_are_reported_and_nothing_is_written() -> None:
    printed = called("run", "--yes", "release.md", "--set", "versoin=1", "--set", "count=x", code=2)
    assert "there is no parameter 'versoin' (did you mean 'version'?)" in printed
    assert "params.version: is missing; it is a string" in printed
    assert "params.count: is a string; it must be an integer, default 3" in printed
    assert not Path(".planfold").exists()
    assert "NAME=VALUE" in called("plan", "release.md", "--set", "version", code=2)
    assert "given twice" in called("plan", "x.md", "--set", "a=1", "--set", "a=2", code=2)


def test_the_same_values_are_the_same_plan() -> None:
    words = ["run", "--yes", "--id", "r1", "release.md", "--set"]
    called(*words, "version=1")
    called(*words, "version=1")
    called(*words, "version=2", code=2)


def test_a_template_is_run_listed_and_described() -> None:
    tools = ("--tools", "greetings")
    called("run", "--yes", *tools, "greet", "--set", "name=$(id)", "--set", "times=2")
    assert [task["result"]["stdout"] for task in shown()["tasks"]] == ["Hello $(id)"] * 2
    schema = json.loads(called("schema", "greet", *tools))
    assert schema["required"] == ["name"]
    assert json.loads(called("schema", "release.md"))["required"] == ["version"]
    assert "greet" in called("tools", *tools)
    assert json.loads(called("tools", *tools, "--json"))["templates"][0]["name"] == "greet"


def test_a_revision_has_parameters_too() -> None:
    called("run", "release.md", "--set", "version=1", code=3)
    called("revise", "--yes", "release.md", "--set", "version=2")
    assert shown()["tasks"][0]["description"] == "Run `printf %s 2`"


def test_a_request_to_a_model_takes_no_values() -> None:
    printed = called("run", "--model", "none", "Release it", "--set", "version=1", code=2)
    assert "--set needs --as-written" in printed
