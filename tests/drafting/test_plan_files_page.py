"""docs/reference/plan-files.md keeps its word: its plans compile, its faults are what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from markdown_it import MarkdownIt

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.files import load_plan
from planfold.drafting.schema import DESCRIPTIONS
from planfold.errors import InvalidPlan
from planfold.tools.tool import Tool, Toolbox

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "plan-files.md"
TEXT = PAGE.read_text(encoding="utf-8")


class Example(NamedTuple):
    line: int
    language: str
    plan: str
    faults: str | None


def blocks() -> list[tuple[int, str, str, str]]:
    """(line, language, content, what is before it) of every fenced block."""
    found = []
    before = ""
    for token in MarkdownIt().parse(TEXT):
        if token.type == "fence":
            line = token.map[0] + 1 if token.map else 0
            found.append((line, token.info, token.content, before))
        before = token.content.strip() or before
    return found


def examples() -> Iterator[Example]:
    found = blocks()
    for number, (line, language, content, before) in enumerate(found):
        if language in ("json", "yaml") and before != "<!-- tools -->":
            following = found[number + 1] if number + 1 < len(found) else (0, "", "", "")
            faults = following[2] if following[1] == "text" else None
            yield Example(line, language, content, faults)


@pytest.fixture(scope="module")
def tools() -> Toolbox:
    (text,) = [content for *_, content, before in blocks() if before == "<!-- tools -->"]
    return Toolbox(Tool(**tool) for tool in json.loads(text))


def faults_of(draft: PlanDraft, tools: Toolbox) -> str:
    with pytest.raises(InvalidPlan) as raised:
        compile_plan(draft, tools)
    return str(raised.value)


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: f"line{example.line}")
def test_an_example_does_what_the_page_says(example: Example, tools: Toolbox) -> None:
    source = f"plan.{example.language}"
    if example.faults is None:
        assert compile_plan(load_plan(example.plan, source=source), tools)
        return
    with pytest.raises(InvalidPlan) as raised:
        compile_plan(load_plan(example.plan, source=source), tools)
    assert str(raised.value) == example.faults.strip()
    assert all(fault.fix for fault in raised.value.faults if ", line " not in fault.message)


def test_json_and_yaml_say_the_same(tools: Toolbox) -> None:
    first, second = list(examples())[:2]
    assert first.language, second.language == ("json", "yaml")
    as_json, as_yaml = (
        compile_plan(load_plan(e.plan, source=f"plan.{e.language}"), tools) for e in (first, second)
    )
    assert as_json == as_yaml


def test_the_limits_are_reported_as_the_page_says(tools: Toolbox) -> None:
    nested: Any = 1
    for _ in range(70):
        nested = [nested]
    filler = TaskDraft(description="a" * 900)
    tasks = [
        TaskDraft(description="a" * 20_001, label="a" * 201),
        TaskDraft(description="x", depends_on=list(range(3, 1_004))),
        TaskDraft(description="x", tool="fetch", arguments={"url": "a" * 262_144}),
        TaskDraft(description="x", tool="fetch", arguments={"url": "x", "redirects": nested}),
        *[filler] * 19_997,
    ]
    (expected,) = [content for *_, content, before in blocks() if before == "<!-- size -->"]
    assert faults_of(PlanDraft(tasks=tasks), tools) == expected.strip()


def test_every_field_has_a_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    names = ("PlanDraft", "Parameter", "TaskDraft", "RetryPolicy")
    fields = [f for name in names for f in DESCRIPTIONS[name]]
    assert sorted(rows) == sorted(fields)
