"""A plan as a picture: Graphviz DOT, and SVG drawn from the plan's waves without any library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from planfold.cli.preview import graph_of, kind_of, name_of
from planfold.cli.terminal import clean, fit
from planfold.planner.structure import waves
from planfold.planner.tasks import TaskSpec

_FILL: Final = {
    "planned": "#f3f4f6",
    "running": "#dbeafe",
    "needs_clarification": "#fef3c7",
    "completed": "#dcfce7",
    "failed": "#fee2e2",
    "cancelled": "#e5e7eb",
    "skipped": "#f9fafb",
}
_BOX_W, _BOX_H, _GAP_X, _GAP_Y, _MARGIN, _TITLE_H = 220, 56, 70, 18, 24, 36
_LANE_H: Final = 8
_MOST_LANES: Final = 20_000  # a drawing with more lines cannot be read
_CHARS: Final = 32  # of the description that fit into a box

Statuses = Mapping[int, str]


def dot(title: str, specs: Sequence[TaskSpec], statuses: Statuses) -> str:
    """The graph in Graphviz's language."""
    lines = [
        "digraph plan {",
        f"  label={_quoted(clean(title))}; labelloc=t; rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif"];',
    ]
    for spec in specs:
        status = statuses.get(spec.id, "planned")
        text = f"{name_of(spec)}\n{fit(clean(spec.description), 60)}"
        lines.append(f'  {spec.id} [label={_quoted(text)}, fillcolor="{_FILL[status]}"];')
    lines += [f"  {parent} -> {spec.id};" for spec in specs for parent in spec.depends_on]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Layout:
    """Where everything is: a column for each wave; where a dependency passes other waves, a
    narrow lane is kept free for it, one for all that come from the same task."""

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        columns = waves(graph_of(specs))
        self._column = {task: number for number, ids in enumerate(columns) for task in ids}
        self._parents = {spec.id: spec.depends_on for spec in specs}
        lanes = self._lanes(len(columns))
        heights = [
            len(ids) * (_BOX_H + _GAP_Y) + len(passing) * (_LANE_H + _GAP_Y) - _GAP_Y
            for ids, passing in zip(columns, lanes, strict=True)
        ]
        self.width = 2 * _MARGIN + len(columns) * (_BOX_W + _GAP_X) - _GAP_X
        self.height = 2 * _MARGIN + _TITLE_H + max(heights, default=0)
        self._middle: dict[tuple[int, int], float] = {}  # (task, column) -> y of box or lane
        for number, (ids, passing) in enumerate(zip(columns, lanes, strict=True)):
            room = max(heights) - heights[number]
            self._stack(number, ids, passing, _MARGIN + _TITLE_H + room / 2)

    def _lanes(self, columns: int) -> list[list[int]]:
        """For each column the tasks whose dependencies pass it."""
        last = dict(self._column)
        for task, parents in self._parents.items():
            for parent in parents:
                last[parent] = max(last[parent], self._column[task])
        lanes: list[list[int]] = [[] for _ in range(columns)]
        if sum(last[task] - column for task, column in self._column.items()) > _MOST_LANES:
            return lanes
        for task, column in self._column.items():
            for passed in range(column + 1, last[task]):
                lanes[passed].append(task)
        return lanes

    def _stack(self, column: int, ids: Sequence[int], passing: Sequence[int], top: float) -> None:
        """From the top, each near the middle of what leads to it, so that few lines cross."""
        wanted = {task: self._near(column - 1, self._parents[task]) for task in ids}
        wanted |= {~task: self._near(column - 1, [task]) for task in passing}
        for key in sorted(wanted, key=wanted.__getitem__):
            height = _BOX_H if key >= 0 else _LANE_H
            self._middle[key if key >= 0 else ~key, column] = top + height / 2
            top += height + _GAP_Y

    def _near(self, column: int, tasks: Sequence[int]) -> float:
        if not tasks:
            return 0.0
        return sum(self._at(task, column) for task in tasks) / len(tasks)

    def _at(self, task: int, column: int) -> float:
        return self._middle.get((task, column), self._middle[task, self._column[task]])

    def corner(self, task: int) -> tuple[float, float]:
        column = self._column[task]
        return _left(column), self._middle[task, column] - _BOX_H / 2

    def path(self, parent: int, child: int) -> str:
        """From the right of ``parent`` through its lanes to the left of ``child``."""
        first, last = self._column[parent], self._column[child]
        y = self._middle[parent, first]
        steps = [f"M{_left(first) + _BOX_W:g} {y:g}"]
        for column in range(first + 1, last + 1):
            middle = self._middle.get((parent if column < last else child, column))
            if middle is None:
                continue
            x = _left(column)
            tip = x - 2 if column == last else x
            steps.append(f"C{x - 35:g} {y:g} {x - 35:g} {middle:g} {tip:g} {middle:g}")
            y = middle
            if column < last:
                steps.append(f"H{x + _BOX_W:g}")
        return "".join(steps)


def _left(column: int) -> float:
    return _MARGIN + column * (_BOX_W + _GAP_X)


def svg(title: str, specs: Sequence[TaskSpec], statuses: Statuses) -> str:
    """The graph from left to right, one column for each wave."""
    layout = _Layout(specs)
    width, height = layout.width, layout.height
    edges = [
        f'<path d="{layout.path(parent, spec.id)}"/>'
        for spec in specs
        for parent in spec.depends_on
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" '
            f'viewBox="0 0 {width} {height:g}" font-family="sans-serif" font-size="13">',
            f"<title>{_text(title)}</title>",
            "<style>.e path{fill:none;stroke:#9ca3af;marker-end:url(#tip)}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#6b7280"/></marker>'
            "</defs>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{_MARGIN}" y="{_MARGIN + 10}" font-size="17" font-weight="bold">'
            f"{_text(fit(clean(title), max(width // 10, 20)))}</text>",
            '<g class="e">',
            *edges,
            "</g>",
            *_boxes(specs, layout, statuses),
            "</svg>",
        ]
    )


def _boxes(specs: Sequence[TaskSpec], layout: _Layout, statuses: Statuses) -> Iterator[str]:
    for spec in specs:
        x, y = layout.corner(spec.id)
        status = statuses.get(spec.id, "planned")
        head = f"{name_of(spec)} · {kind_of(spec)}"
        yield "<g>"
        yield f"<title>{_text(f'{status}: {spec.description}')}</title>"
        yield (
            f'<rect x="{x:g}" y="{y:g}" width="{_BOX_W}" height="{_BOX_H}" rx="8" '
            f'fill="{_FILL[status]}" stroke="#6b7280"/>'
        )
        yield (
            f'<text x="{x + 12:g}" y="{y + 23:g}" font-size="11" fill="#4b5563">'
            f"{_text(fit(head, _CHARS + 4))}</text>"
        )
        text = fit(clean(spec.description), _CHARS)
        yield f'<text x="{x + 12:g}" y="{y + 42:g}">{_text(text)}</text>'
        yield "</g>"


def _text(text: str) -> str:
    return escape(clean(text), quote=True)
