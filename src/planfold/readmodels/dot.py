"""A plan's graph in Graphviz's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planfold.planner.tasks import TaskSpec
from planfold.readmodels.labels import (
    STATUS_MARKS,
    clean,
    fit,
    guard_of,
    limit_words,
    name_of,
    wait_words,
)
from planfold.readmodels.picture_style import FILL


def dot(title: str, specs: Sequence[TaskSpec], statuses: Mapping[int, str]) -> str:
    """The graph with each task's status as mark and colour."""
    lines = [
        "digraph plan {",
        f"  label={_quoted(clean(title))}; labelloc=t; rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif"];',
    ]
    for spec in specs:
        status = statuses.get(spec.id, "planned")
        text = f"{STATUS_MARKS[status]} {name_of(spec)}\n{fit(clean(spec.description), 60)}"
        guard = guard_of(spec) or wait_words(spec) or limit_words(spec)
        text += f"\n{fit(guard, 60)}" if guard else ""
        dashed = ', style="rounded,filled,dashed"' if guard else ""
        lines.append(f'  {spec.id} [label={_quoted(text)}, fillcolor="{FILL[status]}"{dashed}];')
    lines += [f"  {parent} -> {spec.id};" for spec in specs for parent in spec.depends_on]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
