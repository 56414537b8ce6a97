"""The scores of a planner: as a table for people, and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from evals.dataset import Dataset
from evals.evaluation import Evaluated
from evals.scores import ExampleScore, Summary, summarise
from planfold.cli.amount_text import spent_words
from planfold.cli.terminal import Line, clean, clean_lines, counted, fit

_WIDTH: Final = 11
_MOST: Final = 5  # examples without an answer that are listed


def _share(value: float) -> str:
    return f"{value * 100:.1f} %"


def _number(value: float) -> str:
    return f"{value:.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


ROWS: Final[tuple[tuple[str, str, Callable[[float], str]], ...]] = (
    ("valid before repair", "valid_before", _share),
    ("valid after repair", "valid_after", _share),
    ("node F1", "node_f1", lambda value: f"{value:.3f}"),
    ("argument F1", "argument_f1", lambda value: f"{value:.3f}"),
    ("edge F1", "edge_f1", lambda value: f"{value:.3f}"),
    ("false dependencies", "false_dependencies", _share),
    ("  of pairs in order", "ordered", _count),
    ("missed dependencies", "missed_dependencies", _share),
    ("  of gold pairs", "gold_ordered", _count),
    ("critical path ratio", "critical_path_ratio", _number),
)
CALL_ROWS: Final[tuple[tuple[str, str, Callable[[float], str]], ...]] = (
    ("repair rounds a plan", "rounds", _number),
    ("calls a plan", "calls", _number),
    ("tokens a plan", "tokens", _count),
    ("cost a plan", "cost", lambda value: f"${value:.4f}"),
    ("seconds a plan", "seconds", _number),
)


def report_lines(plan_id: str, planner: str, data: Dataset, found: Evaluated) -> list[Line]:
    """The table, one column for all examples and one for each part of the data set."""
    columns = _columns(data, found)
    title = f"{clean(planner)} on {data.kind}, {counted(len(found.scores), 'example')}"
    head = "".join(f"{fit(clean(name), _WIDTH - 1):>{_WIDTH}}" for name in columns)
    lines: list[Line] = [[(title, "bold"), (f"  {plan_id}", "dim")], [(f"{'':22}{head}", "dim")]]
    asked = any(score.calls for score in found.scores)
    for label, field, shown in ROWS + (CALL_ROWS if asked else ()):
        values = [getattr(summary, field) for summary in columns.values()]
        if all(value is None for value in values):
            continue
        cells = "".join(f"{'-' if v is None else shown(v):>{_WIDTH}}" for v in values)
        lines.append([(f"{label:<22}{cells}", "")])
    if spent := spent_words(found.spent):
        lines.append([(f"paid in all: {spent}", "dim")])
    return [*lines, *_unanswered_lines(found)]


def _columns(data: Dataset, found: Evaluated) -> dict[str, Summary]:
    groups: dict[str, list[ExampleScore]] = {}
    group_of = {example.id: example.group for example in data.examples}
    for score in found.scores:
        groups.setdefault(group_of[score.id], []).append(score)
    parts = {"all": list(found.scores)} | (groups if len(groups) > 1 else {})
    return {
        name: summarise(scores, calls_compared=data.calls_compared)
        for name, scores in parts.items()
    }


def _unanswered_lines(found: Evaluated) -> list[Line]:
    if not found.unanswered:
        return []
    count = counted(len(found.unanswered), "example")
    lines: list[Line] = [
        [(f"{count} without an answer, in no score; the same command tries again:", "bad")]
    ]
    for name, why in list(found.unanswered.items())[:_MOST]:
        said = (clean_lines(why) or [""])[0]
        lines.append([(f"  {clean(name)}: {fit(said, 90)}", "")])
    if len(found.unanswered) > _MOST:
        lines.append([(f"  and {len(found.unanswered) - _MOST:,} more", "dim")])
    return lines


def report_json(plan_id: str, planner: str, data: Dataset, found: Evaluated) -> dict[str, Any]:
    """The same, with every example; shares from 0 to 1, cost in US dollars."""
    columns = {name: msgspec.to_builtins(s) for name, s in _columns(data, found).items()}
    return {
        "plan": plan_id,
        "planner": planner,
        "dataset": {"kind": data.kind, "digest": data.digest, "notes": data.notes},
        "summary": columns.pop("all"),
        "parts": columns,
        "spent": msgspec.to_builtins(found.spent),
        "unanswered": found.unanswered,
        "examples": [msgspec.to_builtins(score) for score in found.scores],
    }
