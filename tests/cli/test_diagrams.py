"""Pictures of plans, and text that is cut to fit."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.cli.diagrams import svg
from planfold.cli.preview import reading_order
from planfold.cli.terminal import clean, clean_lines, duration, fit, in_json, width_of
from planfold.planner.tasks import TaskSpec

_PASSAGE = re.compile(r"C\S+ \S+ \S+ \S+ (\S+) (\S+)H(\d+)")


@st.composite
def plans(draw: st.DrawFn) -> list[TaskSpec]:
    count = draw(st.integers(1, 14))
    parents = [
        draw(st.sets(st.integers(1, max(n - 1, 1)), max_size=3)) for n in range(1, count + 1)
    ]
    specs = [
        TaskSpec(id=n, description="<&>\x1b", depends_on=tuple(p for p in found if p < n))
        for n, found in enumerate(parents, 1)
    ]
    return draw(st.permutations(specs))


@given(plans())
def test_no_line_runs_through_a_box(specs: list[TaskSpec]) -> None:
    picture = svg("title", specs, {})
    root = ET.fromstring(picture)
    boxes = [e.attrib for e in root.iter() if e.tag.endswith("rect") and "rx" in e.attrib]
    assert len(boxes) == len(specs)
    for x, y, _ in _PASSAGE.findall(picture):
        for box in boxes:
            top = float(box["y"])
            assert not (box["x"] == x and top <= float(y) <= top + float(box["height"]))
    paths = [e for e in root.iter() if e.tag.endswith("path")]
    assert len(paths) == 1 + sum(len(spec.depends_on) for spec in specs)


@given(plans())
def test_the_reading_order_puts_parents_first(specs: list[TaskSpec]) -> None:
    place = {spec.id: index for index, spec in enumerate(reading_order(specs))}
    assert len(place) == len(specs)
    assert all(place[parent] < place[s.id] for s in specs for parent in s.depends_on)


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    joiners = "\u200c\u200d"
    for line in (clean(text), *clean_lines(text)):
        assert all(c.isprintable() or c in joiners for c in line)
    assert all(c.isprintable() or c in joiners for c in in_json(text))


@given(st.text(), st.integers(2, 30))
def test_cut_text_fits(text: str, width: int) -> None:
    assert width_of(fit(clean(text), width)) <= width


@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5))
def test_escaped_json_means_the_same(value: object) -> None:
    import json

    assert json.loads(in_json(value)) == value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.7, "12 s"), (125, "2 min 5 s"), (7300, "2 h 1 min"), (1e6, "11 d 13 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
