"""What an executor should know of a plan so far, under a token budget.

Goal, open questions and answers are rendered from the state and never summarised; results of
finished tasks are extracted into a summary once the whole passes the budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from planfold.compaction.tokens import CHARS_PER_TOKEN, estimate_tokens
from planfold.planner.commands import ContextSummarised
from planfold.planner.events import ContextCompacted
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskStatus

SUMMARY_SHARE = 0.25  # of the budget: what a summary may take, the rest is for what comes next


def render_context(state: PlannerState) -> str:
    """The plan's goal, its answers, the summary and the results that came after it."""
    parts = [f"Goal: {state.goal or state.title}"]
    parts += [
        f"Answer to {task.description!r}: {task.result}"
        for task in state.tasks.values()
        if task.kind is NodeKind.Clarification and task.result is not None
    ]
    if state.context_summary:
        parts.append(f"Summary of earlier results:\n{state.context_summary}")
    parts += [
        _line(task, None) for task in _fresh(state) if task.kind is not NodeKind.Clarification
    ]
    return "\n".join(parts)


def over_budget(state: PlannerState) -> bool:
    """Whether results piled up past the budget and there is something left to compact."""
    facts = state.facts
    return facts.context_tokens > facts.config.token_budget and bool(facts.uncompacted)


def compact_context(state: PlannerState, summary: str | None = None) -> ContextCompacted:
    """Fold the finished tasks into the summary: the given one, or an extract of one line per
    task. The oldest lines go first where it would not fit its share of the budget."""
    budget = max(int(state.config.token_budget * SUMMARY_SHARE), 16)
    if summary is None:
        fresh = _fresh(state)
        width = max(80, budget * CHARS_PER_TOKEN // max(len(fresh), 1))
        lines = state.context_summary.splitlines() + [_line(task, width) for task in fresh]
    else:
        lines = summary.splitlines()
    kept = _last_lines(lines, budget * CHARS_PER_TOKEN)
    return ContextCompacted(kept, state.facts.context_tokens, estimate_tokens(kept))


def summarise_context(state: PlannerState, report: ContextSummarised) -> Iterator[ContextCompacted]:
    """A model's summary takes the place of what it covers; one that covers nothing new, or that
    is larger than its share, is cut like any other."""
    covered = set(report.covers) & set(state.facts.uncompacted)
    if not covered:
        return
    budget = max(int(state.config.token_budget * SUMMARY_SHARE), 16)
    kept = _last_lines(report.summary.splitlines(), budget * CHARS_PER_TOKEN)
    left = [state.tasks[i].result for i in state.facts.uncompacted if i not in covered]
    after = estimate_tokens(kept) + sum(map(estimate_tokens, left))
    yield ContextCompacted(kept, state.facts.context_tokens, after, tuple(sorted(covered)))


def _fresh(state: PlannerState) -> list[Task]:
    """Tasks whose present result the summary does not hold; one that ran again stands once."""
    finished = (state.tasks[i] for i in dict.fromkeys(state.facts.uncompacted))
    return [task for task in finished if task.status is TaskStatus.Completed]


def _line(task: Task, width: int | None) -> str:
    line = " ".join(f"{task.id}. {task.description}: {_text(task.result)}".rstrip(": ").split())
    if width is None or len(line) <= width:
        return line
    half = (width - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def _text(result: Any) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else msgspec.json.encode(result).decode()


def _last_lines(lines: list[str], limit: int) -> str:
    kept: list[str] = []
    for line in reversed(lines):
        if len(line) > limit:
            if not kept:
                kept.append(line[-limit:])
            break
        limit -= len(line) + 1
        kept.append(line)
    return "\n".join(reversed(kept))
