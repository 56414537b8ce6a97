"""docs/reference/plan-text.md keeps its word: each of its examples gives the table below it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from text_rows import Row, row_of

from planfold.drafting.text.drafter import parse_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "plan-text.md"


class Example(NamedTuple):
    line: int
    text: str
    rows: list[Row]


def examples() -> Iterator[Example]:
    text, line = "", 0
    tokens = MarkdownIt().enable("table").parse(PAGE.read_text(encoding="utf-8"))
    for place, token in enumerate(tokens):
        if token.type == "fence" and token.info in ("md", "text"):
            assert not text, f"no table below the example on line {line}"
            text, line = token.content, token.map[0] + 1 if token.map else 0
        elif token.type == "table_open" and text:
            yield Example(line, text, list(_rows(tokens[place:])))
            text = ""
    assert not text, f"no table below the example on line {line}"


def _rows(tokens: list[Token]) -> Iterator[Row]:
    cells: list[str] = []
    for token in tokens:
        if token.type == "table_close":
            return
        if token.type == "inline":
            cells.append("".join(child.content for child in token.children or ()))
        elif token.type == "tr_close":
            if cells[0].isdecimal():
                number, waits_for, kind, description, more = cells
                names = yaml.safe_load(f"[{waits_for}]")
                fields = yaml.safe_load(f"{{{more}}}")
                said = description.replace(" ⏎ ", "\n")
                yield int(number), names, kind, said, fields
            cells = []


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line-{example.line}")
def test_an_example_gives_its_table(example: Example) -> None:
    draft = parse_text(example.text, known_tools=["publish"])
    assert [row_of(task) for task in draft.tasks] == example.rows


def test_there_are_many_examples() -> None:
    assert len(EXAMPLES) >= 25
