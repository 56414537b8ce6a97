"""The first plans that a reader sees have the order that the texts beside them say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from planfold.drafting.text.drafter import parse_text
from planfold.planner.structure import waves

ROOT = Path(__file__).resolve().parents[2]
README = re.compile(r"\$ cat plan\.md\n(.*?)\n\n\$ planfold run", re.DOTALL)
QUICKSTART = re.compile(r"Save this as `plan\.md`:\n\n```\n(.*?)```", re.DOTALL)


def text_in(page: str, pattern: re.Pattern[str]) -> str:
    found = pattern.search((ROOT / page).read_text(encoding="utf-8"))
    assert found is not None, f"{page} shows no plan"
    return found[1]


def shape(text: str) -> list[list[int]]:
    tasks = parse_text(text).tasks
    return waves({index: task.depends_on for index, task in enumerate(tasks, 1)})


@pytest.mark.parametrize(
    "text",
    [text_in("README.md", README), text_in("docs/quickstart.md", QUICKSTART)],
    ids=["README", "quickstart"],
)
def test_the_two_bullets_run_side_by_side_and_the_numbered_items_in_order(text: str) -> None:
    assert shape(text) == [[1, 2], [3], [4]]
    assert shape(text.replace("In parallel:\n\n", "")) == [[1], [2], [3], [4]]


def test_the_checks_of_the_release_checklist_run_side_by_side() -> None:
    text = (ROOT / "examples" / "release.md").read_text(encoding="utf-8")
    assert shape(text) == [[1, 2, 3, 4], [5], [6], [7], [8], [9], [10], [11]]
