"""The picture of the README: ``python -m benchmarks.picture`` draws docs/images/throughput.svg.

It draws the figures of benchmarks/recorded.json: copy them there from a run of ``make bench``. The
colours have enough contrast on white and on black; the background is transparent.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import msgspec

ROOT: Final = Path(__file__).resolve().parent.parent
RECORDED: Final = ROOT / "benchmarks/recorded.json"
PICTURE: Final = ROOT / "docs/images/throughput.svg"

WIDTH, LABELS, RIGHT = 760, 240, 90  # px; the bars are between the labels and the figures
BAR, GAP, ROW, HEADING, LEGEND = 13, 3, 42, 30, 34
TEXT, TASKS, COMMITS = "#74808c", "#3a86e0", "#8b949e"


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tasks per second, and the commits per second of the same database without planfold: single
    rows, on one connection (SQLite, a chain) or on 16 (many plans on PostgreSQL)."""

    database: str
    shape: str
    tasks: int
    commits: int


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of ``make bench`` for each database."""

    machine: str
    rows: list[Row]


def load() -> Recorded:
    return msgspec.json.decode(RECORDED.read_bytes(), type=Recorded)


def draw(recorded: Recorded) -> str:
    """The picture as SVG."""
    scale = (WIDTH - LABELS - RIGHT) / max(max(row.tasks, row.commits) for row in recorded.rows)
    parts = [_legend()]
    y = LEGEND
    for database, rows in groupby(recorded.rows, key=lambda row: row.database):
        parts.append(_text(0, y + 18, database, weight="bold"))
        y += HEADING
        for row in rows:
            parts.append(_text(LABELS - 12, y + BAR + 6, row.shape, anchor="end"))
            parts += _bar(y, row.tasks, TASKS, scale)
            parts += _bar(y + BAR + GAP, row.commits, COMMITS, scale)
            y += ROW
    title = escape("Tasks per second beside the commits per second of the database alone")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
        f'height="{y}" role="img" font-family="system-ui, sans-serif" font-size="13" '
        f'fill="{TEXT}">\n<title>{title}</title>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _legend() -> str:
    x = LABELS
    return "\n".join(
        [
            _box(x, 6, 12, TASKS),
            _text(x + 18, 17, "planfold, tasks per second"),
            _box(x + 214, 6, 12, COMMITS),
            _text(x + 232, 17, "the database alone, commits per second"),
        ]
    )


def _bar(y: int, value: int, colour: str, scale: float) -> list[str]:
    width = max(round(value * scale), 1)
    return [
        _box(LABELS, y, width, colour),
        _text(LABELS + width + 6, y + 11, f"{value:,}", size=12),
    ]


def _box(x: int, y: int, width: int, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{BAR}" rx="2" fill="{colour}"/>'


def _text(
    x: int, y: int, text: str, *, anchor: str = "start", weight: str = "normal", size: int = 13
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}">{escape(text)}</text>'
    )


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(load()), encoding="utf-8")


if __name__ == "__main__":
    main()
