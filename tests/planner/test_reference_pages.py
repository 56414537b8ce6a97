"""The reference pages say what the code says."""

from __future__ import annotations

import pytest
from reference_pages import PAGES, REFERENCE, generated, sections


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_is_generated(name: str) -> None:
    text = (REFERENCE / name).read_text(encoding="utf-8")
    hint = "run .venv/bin/python tests/planner/reference_pages.py"
    assert generated(text) == PAGES[name](), hint
    assert "tests/planner/reference_pages.py" in text


def test_no_command_and_no_event_is_missing() -> None:
    text = (REFERENCE / "events.md").read_text(encoding="utf-8")
    names = [each.__name__ for types in sections().values() for each in types]
    assert [name for name in names if f"### {name}\n" not in text] == []
    assert len(sections()["Commands"]) >= 12
