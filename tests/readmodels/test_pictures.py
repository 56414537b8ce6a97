"""Pictures of plans: nothing overlaps, nothing is left out, and texts stay texts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from example_pictures import EXAMPLES, IMAGES, Played, chain, fan_out, layered, release, tool
from hypothesis import given
from hypothesis import strategies as st

from planfold.planner.tasks import NodeKind, TaskSpec, TaskStatus
from planfold.readmodels.fan_outs import COUNTED_FROM, shapes_of
from planfold.readmodels.layout import BOX_W, Layout, reading_order
from planfold.readmodels.picture_style import FILL, STYLE
from planfold.readmodels.time_scale import GAP_W, TimeScale

_PASSAGE = re.compile(r"C\S+ \S+ \S+ \S+ ([\d.]+) ([\d.]+)H([\d.]+)")


@st.composite
def graphs(draw: st.DrawFn) -> list[TaskSpec]:
    count = draw(st.integers(1, 40))
    near = draw(st.sampled_from([1, 3, 40]))
    parents = [
        draw(st.sets(st.integers(max(1, n - near), max(n - 1, 1)), max_size=3))
        for n in range(1, count + 1)
    ]
    words = st.sampled_from(["fetch", "read"])
    specs = [
        TaskSpec(id=n, description=draw(words), depends_on=tuple(p for p in found if p < n))
        for n, found in enumerate(parents, 1)
    ]
    return draw(st.permutations(specs))


@given(graphs())
def test_no_line_runs_through_a_box(specs: list[TaskSpec]) -> None:
    layout = Layout(specs)
    boxes = [(*layout.corner(n), node.height) for n, node in enumerate(layout.nodes)]
    for x, y, height in boxes:
        assert x >= 0
        assert y >= 0
        assert x + BOX_W <= layout.width
        assert y + height <= layout.height
    assert not any(
        one != other and one[0] == other[0] and one[1] <= other[1] <= one[1] + one[2]
        for one in boxes
        for other in boxes
    )
    for number, node in enumerate(layout.nodes):
        for parent in node.parents:
            for x, y, _ in _PASSAGE.findall(layout.path(parent, number)):
                for left, top, height in boxes:
                    assert not (left == float(x) and top <= float(y) <= top + height)


@given(graphs())
def test_every_task_and_dependency_is_in_the_layout(specs: list[TaskSpec]) -> None:
    layout = Layout(specs)
    place = {spec.id: n for n, node in enumerate(layout.nodes) for spec in node.tasks}
    assert Counter(spec.id for node in layout.nodes for spec in node.tasks) == Counter(
        spec.id for spec in specs
    )
    assert sorted(n for column in layout.columns for n in column) == sorted(place.values()) or any(
        node.counted for node in layout.nodes
    )
    drawn = {(parent, n) for n, node in enumerate(layout.nodes) for parent in node.parents}
    assert drawn == {(place[p], place[s.id]) for s in specs for p in s.depends_on}
    assert all(not 1 < len(node.tasks) < COUNTED_FROM for node in layout.nodes)


@given(graphs())
def test_the_reading_order_puts_parents_first(specs: list[TaskSpec]) -> None:
    place = {spec.id: index for index, spec in enumerate(reading_order(specs))}
    assert len(place) == len(specs)
    assert all(place[parent] < place[s.id] for s in specs for parent in s.depends_on)


def sizes(specs: list[TaskSpec]) -> list[int]:
    return [len(shape) for shape in shapes_of(specs)]


def test_branches_of_one_shape_are_counted() -> None:
    fan = [tool(1, "begin")]
    for n in range(2, 42, 2):
        fan += [tool(n, f"fetch {n}", 1), tool(n + 1, f"store {n}", n)]
    assert sizes(fan) == [1, 20, 20]
    fan[6] = tool(fan[6].id, "count it", fan[6].depends_on[0])
    assert sizes(fan) == [1, 19, 19, 1, 1], "a branch that does something else is a branch apart"
    few = [tool(1, "begin"), *(tool(n, f"fetch {n}", 1) for n in range(2, COUNTED_FROM + 1))]
    assert sizes(few) == [1] * COUNTED_FROM


def test_a_long_chain_is_broken_into_bands() -> None:
    layout = Layout([tool(n, f"step {n}", *([n - 1] if n > 1 else [])) for n in range(1, 501)])
    assert layout.width < 2_500
    assert len({layout.corner(n)[1] for n in range(500)}) == -(-500 // 8)


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in ET.fromstring(svg).iter() if e.tag.endswith("text")]


def test_a_picture_shows_states_attempts_and_waits() -> None:
    svg = release().picture().svg()
    shown = texts(svg)
    assert "✓ completed" in shown
    assert "✗ failed" in shown
    assert "≈ 2 h 0 min" in shown, "the time in which nothing ran"
    assert shown.count("2") == 2, "the second attempts"
    assert "✓ completed, ran 8 min 0 s" in shown
    assert [t for t in shown if t.startswith("4 docs: ")], "a row for each task"
    assert svg.count("edge critical") == 3
    assert svg.count("box completed critical") == 3


def test_a_counted_node_says_how_many_are_in_each_state() -> None:
    shown = texts(fan_out(60, until=35).picture().svg())
    assert "60 x http" in shown
    assert [t for t in shown if re.fullmatch(r"▸ \d+, · \d+, ✓ \d+", t)], shown
    assert [t for t in shown if re.fullmatch(r"up to \d+ at once", t)]


def test_every_status_has_a_colour_in_light_and_dark() -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme:dark)")
    for status in TaskStatus:
        assert status.value in FILL
        assert f".box.{status.value}{{fill:" in light
        assert f".box.{status.value}{{fill:" in dark


def test_untrusted_texts_are_escaped() -> None:
    evil = "</text><script>alert(1)</script>\x1b[31m\u202e & \"'"
    spec = TaskSpec(id=1, description=evil, label="<b>", kind=NodeKind.Clarification)
    picture = Played([spec], lambda _: 1.0, title=evil).picture()
    for drawing in (picture.svg(), picture.html()):
        assert "<script" not in drawing
        assert "<b>" not in drawing
        assert "\x1b" not in drawing
        assert "\u202e" not in drawing
    assert evil.split("\x1b")[0] in texts(picture.svg())[0]


def test_a_page_lists_the_tasks_of_a_fan_out() -> None:
    page = fan_out(30).picture().html()
    assert "default-src &#x27;none" in page or "default-src 'none'" in page
    assert page.count("<tr><td>") == 62
    assert "Fetch page 17" in page


def test_a_plan_that_has_only_begun_is_drawn_without_a_timeline() -> None:
    played = Played([tool(1, "x")], lambda _: 1.0)
    played.envelopes, played.now = played.envelopes[:1], played.envelopes[0].recorded_at
    assert "critical path" not in played.picture().svg()


def test_idle_time_is_shortened_and_time_never_goes_back() -> None:
    scale = TimeScale([(10, 20), (15, 30), (3_000, 3_020)], 10, 3_600, 500)
    assert [(round(end - begin), s) for begin, end, s in scale.gaps] == [
        (GAP_W, 2_970),
        (GAP_W, 580),
    ]
    places = [scale.at(t) for t in range(0, 4_000, 5)]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, pytest.approx(500))
    ticks = list(scale.ticks())
    assert ticks[0] == (0, 0)
    assert all(scale.at(10 + seconds) == pytest.approx(place) for place, seconds in ticks)
    assert not any(begin < place < end for place, _ in ticks for begin, end, _ in scale.gaps)


@pytest.mark.parametrize("play", [lambda: layered(500, 25), lambda: chain(500)])
def test_a_large_plan_is_a_picture_of_moderate_size(play: type[Played]) -> None:
    assert len(play().picture().svg()) < 600_000


@pytest.mark.parametrize(("tasks", "axes"), [(50, 1), (51, 2), (500, 10)])
def test_a_long_timeline_has_an_axis_above_every_50_rows(tasks: int, axes: int) -> None:
    drawn = chain(tasks).picture().svg()
    times = re.findall(r'<text class="dim" x="253" y="(\S+)" font-size="11">0 s</text>', drawn)
    assert len(times) == axes
    rows = [float(y) for y in re.findall(r'y="(\S+)"[^>]*font-weight="bold">\d+: Step', drawn)]
    for place in map(float, times[1:]):
        assert min(abs(place - y) for y in rows) >= 11


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_pictures_of_the_documentation_are_as_drawn(name: str) -> None:
    drawn = EXAMPLES[name]().picture().svg()
    assert (IMAGES / name).read_text(encoding="utf-8") == drawn, (
        "run: .venv/bin/python tests/readmodels/example_pictures.py"
    )
