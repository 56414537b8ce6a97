"""The graph of a plan as SVG: a box for each task with its status, a line for each dependency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set

from planfold.planner.tasks import TaskSpec
from planfold.readmodels.labels import (
    STATUS_MARKS,
    fit,
    kind_words,
    manner_of,
    name_of,
    status_word,
)
from planfold.readmodels.layout import BOX_W, Layout, Node
from planfold.readmodels.picture_style import box, escaped, words

# Of a fan-out the first of these that one of its tasks has is the one to look at.
_FIRST_SEEN = (
    "failed", "needs_clarification", "running", "cancelled", "skipped", "planned", "undone",
    "completed",
)  # fmt: skip
_COLUMNS = 29  # of 13 pixels text that fit into a box


def graph_elements(
    layout: Layout, statuses: Mapping[int, str], critical: Set[int]
) -> Iterator[str]:
    """The SVG elements of the graph. ``critical`` tasks, and the lines between them, are bold."""
    bold = {n for n, node in enumerate(layout.nodes) if any(s.id in critical for s in node.tasks)}
    for number, node in enumerate(layout.nodes):
        for parent in node.parents:
            kind = "edge critical" if parent in bold and number in bold else "edge"
            path = layout.path(parent, number)
            yield f'<path class="{kind}" marker-end="url(#tip)" d="{path}"/>'
    for number, node in enumerate(layout.nodes):
        found = Counter(statuses.get(spec.id, "planned") for spec in node.tasks)
        status = next(each for each in _FIRST_SEEN if found[each])
        kind = f"box {status} critical" if number in bold else f"box {status}"
        x, y = layout.corner(number)
        yield "<g>"
        yield f"<title>{escaped(_about(node, found))}</title>"
        if node.counted:
            for behind in (6, 3):
                more = ' rx="8"'
                yield box(x + behind, y + behind, BOX_W, node.height - 6, f"box {status}", more)
        yield box(x, y, BOX_W, node.height - (6 if node.counted else 0), kind, ' rx="8"')
        yield from (
            _counted(x, y, node, found) if node.counted else _single(x, y, node.tasks[0], status)
        )
        yield "</g>"


def status_words(status: str) -> str:
    """ "✓ completed"."""
    return f"{STATUS_MARKS[status]} {status_word(status)}"


def node_name(node: Node) -> str:
    """The name of a node: "3 build", for a fan-out "1,000 x fetch"."""
    if node.counted:
        return f"{len(node.tasks):,} x {kind_words(node.tasks[0])}"
    return name_of(node.tasks[0])


def _single(x: float, y: float, spec: TaskSpec, status: str) -> Iterator[str]:
    word = status_words(status)
    head = fit(f"{name_of(spec)} · {kind_words(spec)}", 37 - len(word))
    yield words(x + 12, y + 22, head, "dim", ' font-size="11"')
    end = ' font-size="11" text-anchor="end"'
    yield words(x + BOX_W - 10, y + 22, word, f"word {status}", end)
    yield words(x + 12, y + 42, fit(_line(spec), _COLUMNS))


def _counted(x: float, y: float, node: Node, found: Counter[str]) -> Iterator[str]:
    yield words(x + 12, y + 20, fit(node_name(node), 30), "ink", ' font-weight="bold"')
    first, last = node.tasks[0], node.tasks[-1]
    yield words(x + 12, y + 38, fit(f"{first.id}: {_line(first)}", _COLUMNS))
    shown = [
        f"{STATUS_MARKS[status]} {found[status]:,}"
        + (f" {status.replace('_', ' ')}" if len(found) < 3 else "")
        for status in _FIRST_SEEN
        if found[status]
    ]
    yield words(x + 12, y + 55, fit(", ".join(shown), 38), "dim", ' font-size="11"')
    end = ' font-size="11" text-anchor="end"'
    yield words(x + BOX_W - 10, y + 20, f"{first.id} … {last.id}", "dim", end)
    left, room = x + 12, BOX_W - 24
    for status in _FIRST_SEEN:
        if found[status]:
            part = room * found[status] / len(node.tasks)
            yield box(left, y + 62, part, 4, f"bar {status}")
            left += part


def _line(spec: TaskSpec) -> str:
    return " ".join(spec.description.split())


def _about(node: Node, found: Counter[str]) -> str:
    shown = ", ".join(f"{found[s]:,} {s.replace('_', ' ')}" for s in _FIRST_SEEN if found[s])
    if node.counted:
        return f"{node_name(node)}: {shown}"
    manner = manner_of(node.tasks[0])
    said = f"{node.tasks[0].description} ({manner})" if manner else node.tasks[0].description
    return f"{node_name(node)}, {shown.partition(' ')[2]}: {said}"
