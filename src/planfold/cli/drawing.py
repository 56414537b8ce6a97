"""A plan as a picture: Graphviz DOT, and SVG drawn from the plan's waves without any library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from planfold.cli.outline import graph_of, kind_of, name_of
from planfold.cli.printing import clean, cut
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
        text = f"{name_of(spec)}\n{cut(clean(spec.description), 60)}"
        lines.append(f'  {spec.id} [label={_quoted(text)}, fillcolor="{_FILL[status]}"];')
    lines += [f"  {parent} -> {spec.id};" for spec in specs for parent in spec.depends_on]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def svg(title: str, specs: Sequence[TaskSpec], statuses: Statuses) -> str:
    """The graph from left to right, one column for each wave."""
    columns = waves(graph_of(specs))
    rows = max(map(len, columns), default=0)
    width = 2 * _MARGIN + len(columns) * (_BOX_W + _GAP_X) - _GAP_X
    height = 2 * _MARGIN + _TITLE_H + rows * (_BOX_H + _GAP_Y) - _GAP_Y
    places: dict[int, tuple[float, float]] = {}
    for column, ids in enumerate(columns):
        top = _MARGIN + _TITLE_H + (rows - len(ids)) * (_BOX_H + _GAP_Y) / 2
        for row, task_id in enumerate(ids):
            x = _MARGIN + column * (_BOX_W + _GAP_X)
            places[task_id] = (x, top + row * (_BOX_H + _GAP_Y))
    body = [*_edges(specs, places), *_boxes(specs, places, statuses)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
            f"<title>{_text(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#6b7280"/></marker>'
            "</defs>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{_MARGIN}" y="{_MARGIN + 10}" font-size="17" font-weight="bold">'
            f"{_text(cut(clean(title), max(width // 10, 20)))}</text>",
            *body,
            "</svg>",
        ]
    )


def _edges(specs: Sequence[TaskSpec], places: Mapping[int, tuple[float, float]]) -> Iterator[str]:
    yield '<g fill="none" stroke="#9ca3af" stroke-width="1.5" marker-end="url(#tip)">'
    for spec in specs:
        for parent in spec.depends_on:
            x1, y1 = places[parent][0] + _BOX_W, places[parent][1] + _BOX_H / 2
            x2, y2 = places[spec.id][0] - 2, places[spec.id][1] + _BOX_H / 2
            bend = min(max((x2 - x1) / 2, 20), _GAP_X)
            yield (
                f'<path marker-end="url(#tip)" d="M{x1:g} {y1:g}'
                f'C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"/>'
            )
    yield "</g>"


def _boxes(
    specs: Sequence[TaskSpec], places: Mapping[int, tuple[float, float]], statuses: Statuses
) -> Iterator[str]:
    for spec in specs:
        x, y = places[spec.id]
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
            f"{_text(cut(head, _CHARS + 4))}</text>"
        )
        text = cut(clean(spec.description), _CHARS)
        yield f'<text x="{x + 12:g}" y="{y + 42:g}">{_text(text)}</text>'
        yield "</g>"


def _text(text: str) -> str:
    return escape(clean(text), quote=True)
