"""Statistics of all plans, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from planfold.cli.amount_text import spent_words
from planfold.cli.terminal import Line, clean, counted, duration
from planfold.planner.budget import Spend

_TIMES = {"queued": "queued", "running": "ran", "person": "waited for a person", "lasted": "plans"}


def statistics_lines(
    found: Mapping[str, Mapping[str, Any]], by: str | None, unreadable: Sequence[str]
) -> list[Line]:
    """What ``planfold stats`` prints, from figures as JSON."""
    lines: list[Line] = []
    for name, figures in found.items():
        title = f"{by} {clean(name) or 'none'}" if by else "All plans"
        lines += [[]] * bool(lines) + [[(title, "bold")], *_figure_lines(figures)]
    if not lines:
        lines = [[("Nothing has happened in this time.", "")]]
    if unreadable:
        shown = ", ".join(map(clean, unreadable[:5])) + (", ..." if len(unreadable) > 5 else "")
        lines.append([(f"Not counted, because this version cannot read them: {shown}", "bad")])
    return lines


def _figure_lines(figures: Mapping[str, Any]) -> list[Line]:
    rows: list[tuple[str, str]] = []
    begun = figures["plans_begun"]
    if begun or figures["plans"]:
        rows.append(("plans", f"{begun:,} begun" + _ends(figures["plans"])))
    rows.append(("tasks", counted(figures["attempts"], "attempt") + _ends(figures["tasks"])))
    if (rate := figures["completion_rate"]) is not None:
        rows.append(("completed", f"{rate:.1%}"))
    rows.append(("retries", f"{figures['retries']:,}"))
    asked = f"{figures['questions']:,} asked, {figures['answers']:,} answered by a person"
    asked += f", {figures['defaults']:,} by their default"
    if begun:
        asked += f"; {figures['questions'] / begun:.2f} per plan"
    rows.append(("questions", asked))
    rows += [
        (words, _times(figures[name])) for name, words in _TIMES.items() if figures[name]["count"]
    ]
    if spent := spent_words(msgspec.convert(figures["spent"], Spend)):
        rows.append(("spent", spent))
    return [[(f"  {name:<20}", "dim"), (value, "")] for name, value in rows]


def _ends(counts: Mapping[str, int]) -> str:
    return "".join(f", {count:,} {status}" for status, count in sorted(counts.items()))


def _times(summary: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_short(summary[name])}" for name in ("mean", "p50", "p95", "p99"))


def _short(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else f"{seconds * 1_000:.1f} ms"
