"""``@tool`` without JSON: the tool without arguments, where it is known."""

from __future__ import annotations

import pytest

from planfold.drafting.analysis import parse_text
from planfold.drafting.draft import TaskDraft
from planfold.planner.tasks import NodeKind


def only(text: str) -> TaskDraft:
    (task,) = parse_text(text, known_tools={"one"}).tasks
    return task


@pytest.mark.parametrize(
    "text",
    [
        "@one",
        "1. @one",
        "- `@one`",
        "1. @one.",
        "1. @one {retry=2}",
        "1. @one {#first}",
        "1. @one {#first retry=2}",
        "1. Do it: @one",
        "1. Do it: @one {retry=2}",
    ],
)
def test_a_known_tool(text: str) -> None:
    task = only(text)
    assert (task.kind, task.tool, task.arguments) == (NodeKind.ToolCall, "one", {})
    assert task.description not in ("", ".")
    assert "{" not in task.description


def test_directives_hold() -> None:
    task = only("1. @one {#first retry=2}")
    assert task.label == "first"
    assert task.retry is not None
    assert task.retry.attempts == 2


@pytest.mark.parametrize(
    "text", ["1. @one {a: 1}", '1. @one {"a": 1', "1. @other", "1. See: @other"]
)
def test_what_is_no_call(text: str) -> None:
    task = only(text)
    assert task.kind is NodeKind.Processing
    assert task.tool is None


@pytest.mark.parametrize(
    "text",
    [
        '@one {"n": 1}\n@two {"n": 2}',
        '- @one {"n": 1}\n  @two {"n": 2}',
        '1. Do it: @one {"n": 1} and then @two {}',
        "1. @one and @one",
        '1. @two {"n": 1}, then @one.',
    ],
)
def test_an_item_with_two_calls_runs_neither(text: str) -> None:
    tasks = parse_text(text, known_tools={"one"}).tasks
    assert [task.tool for task in tasks] == [None] * len(tasks)
    said = " ".join(task.description for task in tasks)
    assert "@one" in said
    assert said.count("@") == 2


@pytest.mark.parametrize("text", ['1. @one {"n": 1} for @ann', "1. @one, see a@one.example"])
def test_a_name_behind_a_call_is_no_second_call(text: str) -> None:
    assert only(text).tool == "one"
