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
