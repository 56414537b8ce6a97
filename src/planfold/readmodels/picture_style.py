"""Colours of pictures, light and dark, and the elements of SVG that they are drawn with."""

from __future__ import annotations

from html import escape
from typing import Final

from planfold.readmodels.labels import clean

FILL: Final = {
    "planned": "#f3f4f6",
    "running": "#dbeafe",
    "needs_clarification": "#fef3c7",
    "completed": "#dcfce7",
    "failed": "#fee2e2",
    "cancelled": "#e5e7eb",
    "skipped": "#ffffff",
    "undone": "#ffffff",
}
_DARK_FILL: Final = {
    "planned": "#1f2937",
    "running": "#1e3a5f",
    "needs_clarification": "#4a3a0a",
    "completed": "#14402a",
    "failed": "#5b1d1d",
    "cancelled": "#374151",
    "skipped": "#111827",
    "undone": "#111827",
}
_INK: Final = {
    "planned": "#4b5563",
    "running": "#1d4ed8",
    "needs_clarification": "#92400e",
    "completed": "#166534",
    "failed": "#b91c1c",
    "cancelled": "#4b5563",
    "skipped": "#4b5563",
    "undone": "#4b5563",
}
_DARK_INK: Final = {
    "planned": "#9ca3af",
    "running": "#93c5fd",
    "needs_clarification": "#fcd34d",
    "completed": "#86efac",
    "failed": "#fca5a5",
    "cancelled": "#9ca3af",
    "skipped": "#9ca3af",
    "undone": "#9ca3af",
}


def _rules(fill: dict[str, str], status_ink: dict[str, str], **base: str) -> str:
    lines = [
        f".page{{fill:{base['page']}}}.ink{{fill:{base['ink']}}}.dim{{fill:{base['dim']}}}",
        f".edge{{stroke:{base['line']}}}.tip{{fill:{base['line']}}}.grid{{stroke:{base['grid']}}}",
        f".gap{{fill:{base['grid']}}}.critical{{stroke:{base['ink']}}}",
        f".waiting{{stroke:{base['wait']}}}.queued{{stroke:{base['line']};fill:{base['page']}}}",
        f".running{{fill:{base['run']}}}.stopping{{fill:{base['wait']}}}",
    ]
    for status, colour in fill.items():
        lines.append(f".box.{status}{{fill:{colour};stroke:{status_ink[status]}}}")
        lines.append(
            f".word.{status}{{fill:{status_ink[status]}}}.bar.{status}{{fill:{status_ink[status]}}}"
        )
    return "".join(lines)


STYLE: Final = (
    ".edge{fill:none;stroke-width:1}.edge.critical{stroke-width:2.6}.box{stroke-width:1}"
    ".box.critical{stroke-width:3}.box.planned,.box.skipped{stroke-dasharray:4 3}"
    ".box.cancelled{stroke-dasharray:1 3}"
    ".waiting{stroke-width:1.5;stroke-dasharray:3 3}.span.critical{fill:none;stroke-width:2.2}"
    + _rules(
        FILL, _INK, page="#ffffff", ink="#111827", dim="#6b7280", line="#9ca3af", grid="#e5e7eb",
        wait="#d97706", run="#3b82f6",
    )
    + "@media (prefers-color-scheme:dark){"
    + _rules(
        _DARK_FILL, _DARK_INK, page="#0d1117", ink="#f3f4f6", dim="#9ca3af", line="#6b7280",
        grid="#30363d", wait="#f59e0b", run="#60a5fa",
    )
    + "}"
)  # fmt: skip


def escaped(text: str) -> str:
    """``text`` on one line, as content or attribute of SVG and HTML."""
    return escape(clean(text), quote=True)


def words(x: float, y: float, text: str, kind: str = "ink", more: str = "") -> str:
    """A line of text that begins at (x, y), or ends there with ``text-anchor``."""
    return f'<text class="{kind}" x="{x:.6g}" y="{y:.6g}"{more}>{escaped(text)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, more: str = "") -> str:
    """A rectangle."""
    return (
        f'<rect class="{kind}" x="{x:.6g}" y="{y:.6g}" width="{width:.6g}" height="{height:.6g}"'
        f"{more}/>"
    )


def line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    """A straight line."""
    return f'<path class="{kind}" d="M{x:.6g} {y:.6g}L{to_x:.6g} {to_y:.6g}"/>'
