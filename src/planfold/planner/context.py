"""A task's context: what it should know of its plan, within a token budget.

Goal, constraints, approval, answers and the plan itself are rendered from the state and never
summarised. Results of finished tasks are replaced by a summary once the whole exceeds the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from planfold.compaction.extracts import shorten
from planfold.compaction.profiles import CODING, PROFILES, Profile
from planfold.compaction.tokens import CHARS_PER_TOKEN, estimate_tokens, text_tokens
from planfold.compaction.truncation import truncate_middle
from planfold.errors import ContextCannotFit
from planfold.patterns import pattern
from planfold.planner.commands import ContextSummarised
from planfold.planner.events import ContextCompacted
from planfold.planner.overview import plan_overview
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskStatus

SUMMARY_SHARE = 0.15  # of the budget: what a summary may take, the rest is for what comes next
_LEAST = 16  # tokens of a summary, however small the budget
_RESULTS_SHARE = (
    0.25  # of the budget: the least that is reserved for results, however long the plan is
)
_QUESTION = 500  # characters of a question that was answered
_NARROW = 60  # characters: results cut shorter than that say nothing; the oldest are left out
_KEPT = 24  # characters: of a line's start so much is left however short it was cut
_NUMBERED = pattern(r"\d+\. ")


def render_context(state: PlannerState, limit_tokens: int | None = None) -> str:
    """All that a task should know, in at most ``limit_tokens`` (None: the plan's token budget).

    Where it is too much, the plan's outline and the results are shortened, the oldest first.

    Raises:
        ContextCannotFit: goal, constraints and answers alone take more.
    """
    limit = state.config.token_budget if limit_tokens is None else limit_tokens
    must = list(_must(state))
    room = limit * CHARS_PER_TOKEN - sum(len(text) + 1 for _, text in must)
    least = plan_overview(state, 0)
    if room < len(least):
        parts = [(name, estimate_tokens(text)) for name, text in must]
        raise ContextCannotFit(limit, [*parts, ("the plan", estimate_tokens(least))])
    fresh = {_line(task, None): task for task in _fresh(state)}
    summary = current_summary(state)
    wanted = sum(len(line) + 1 for line in fresh) + len(summary) + 60
    plan = plan_overview(state, max(room - wanted, room // 4))
    results = _results(state, fresh, summary, room - len(plan) - 1)
    return "\n".join([*(text for _, text in must), plan, *results])


def _must(state: PlannerState) -> Iterator[tuple[str, str]]:
    """Names and texts that are never shortened."""
    yield "the goal", f"Goal: {state.goal or state.title}"
    if state.config.system_prompt:
        yield "system_prompt", f"Standing instructions: {state.config.system_prompt}"
    bounds = msgspec.to_builtins(state.budget)
    limits = [f"{name} {bound}" for name, bound in bounds.items() if bound is not None]
    if limits:
        yield "the budget", f"The plan may spend at most: {', '.join(limits)}"
    if state.cancelled:
        yield "the cancellation", "The plan was cancelled."
    else:
        approved = "approved" if state.approved else "not approved yet"
        yield "the approval", f"Revision {state.revision_hash} of the plan is {approved}."
    for task in state.written().values():
        asks = task.kind is NodeKind.Clarification and task.spec.for_each is None
        if asks and task.result is not None:
            question = truncate_middle(task.description, _QUESTION)
            yield f"the answer to task {task.id}", f"Answer to {question!r}: {task.result}"
        for asked, answer in zip(task.asked, task.answers, strict=False):
            asked = truncate_middle(asked, _QUESTION)
            yield f"an answer in task {task.id}", f"Task {task.id} asked {asked!r}: {answer}"


def _results(
    state: PlannerState, fresh: Mapping[str, Task], summary: str, room: int
) -> Iterator[str]:
    """The summary and the results that came after it, in at most ``room`` characters with a
    newline before each."""
    if summary:
        head = "Summary of earlier results:"
        share = max(room - sum(len(line) + 1 for line in fresh), room // 2)
        kept = _last_lines(summary.split("\n"), share - len(head) - 2)
        if kept:
            yield head
            yield kept
            room -= len(head) + len(kept) + 2
    width = max(_fair_width([len(line) for line in fresh], room), _NARROW)
    lines = [
        line if len(line) <= width else _line(task, width, profile_of(state))
        for line, task in fresh.items()
    ]
    while lines and sum(len(line) + 1 for line in lines) > room:
        del lines[: max(len(lines) // 10, 1)]
    yield from lines


def _fair_width(sizes: Sequence[int], room: int) -> int:
    """The longest line length with which all lines fit; short lines leave their share to the
    others."""
    left, width = room, room
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        width = left // count - 1
        if size > width:
            return width
        left -= size + 1
    return max(width, max(sizes, default=0))


def profile_of(state: PlannerState) -> Profile:
    """What compaction keeps in this plan."""
    config = state.config
    own = config.own_profile
    if own is not None and own.name == config.profile:
        return own
    return PROFILES.get(config.profile, CODING)


def over_budget(state: PlannerState) -> bool:
    """Whether the rendered context has passed the budget and there is something left to compact.
    Takes the same time however large the plan is."""
    summary = state.context_summary
    taken = state.fresh_tokens + (text_tokens(summary) if summary else 0)
    if taken <= state.config.token_budget * _RESULTS_SHARE or not state.uncompacted:
        return False  # the share that results always have: the usual case
    return taken > _results_room(state)


def _results_room(state: PlannerState) -> int:
    """Tokens for results and summary: what remains beside the parts that are never summarised. A
    long plan's outline is shortened before results are."""
    budget = state.config.token_budget
    must = estimate_tokens(state.goal or state.title) + state.answer_tokens
    must += estimate_tokens(state.config.system_prompt) + _LEAST
    return max(budget - must - min(state.plan_tokens, budget // 4), int(budget * _RESULTS_SHARE))


def summary_tokens(state: PlannerState) -> int:
    """The size limit of a summary, small enough that it is not soon replaced."""
    share = min(state.config.token_budget * SUMMARY_SHARE, _results_room(state) / 2)
    return max(int(share), _LEAST)


def current_summary(state: PlannerState) -> str:
    """The summary without its lines about tasks that were reset since. If a model wrote the
    summary, a note names those tasks instead."""
    if not state.stale:
        return state.context_summary
    starts = {i: _start(state.tasks[i])[:_KEPT] for i in state.stale if i in state.tasks}
    lines = state.context_summary.split("\n")
    kept = [line for line in lines if not line.startswith(tuple(starts.values()))]
    if not all(_NUMBERED.match(line) for line in kept):
        ids = ", ".join(str(i) for i in sorted(starts))
        kept.append(f"(No longer true: what the summary says of task {ids}, which was reset.)")
    return "\n".join(kept)


def compact_context(state: PlannerState, summary: str | None = None) -> ContextCompacted:
    """Fold the finished tasks into the summary: the given one, or an extract of one line per
    task. The oldest lines go first where it would not fit its share of the budget."""
    room = summary_tokens(state) * CHARS_PER_TOKEN
    if summary is None:
        fresh, profile = _fresh(state), profile_of(state)
        width = min(max(80, room // max(len(fresh), 1)), room)
        old = current_summary(state)
        lines = old.split("\n") if old else []
        lines += [_line(task, width, profile) for task in fresh]
    else:
        lines = summary.splitlines()
    kept = _last_lines(lines, room)
    return ContextCompacted(kept, state.context_tokens, estimate_tokens(kept))


def summarise_context(state: PlannerState, report: ContextSummarised) -> Iterator[ContextCompacted]:
    """Replace results by a model's summary; one that is too large is cut like any other. One that
    covers nothing new, or was made from results that have since changed, is ignored."""
    covered = set(report.covers) & {task.id for task in _fresh(state)}
    if not covered or not report.summary.strip():
        return
    if report.basis and report.basis != summary_basis(state, report.covers):
        return
    kept = _last_lines(report.summary.splitlines(), summary_tokens(state) * CHARS_PER_TOKEN)
    left = [state.tasks[i].result for i in state.uncompacted if i not in covered]
    after = estimate_tokens(kept) + sum(map(estimate_tokens, left))
    yield ContextCompacted(kept, state.context_tokens, after, tuple(sorted(covered)))


def summary_basis(state: PlannerState, covers: Sequence[int]) -> str:
    """A digest of the inputs of a summary of the tasks ``covers``. It changes when one of them
    runs again, or when the summary up to now changes."""
    import hashlib  # few processes need it

    attempts = [(i, state.tasks[i].attempt) for i in sorted(covers) if i in state.tasks]
    data = msgspec.json.encode((state.context_summary, state.stale, attempts))
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _fresh(state: PlannerState) -> list[Task]:
    """Tasks whose present result is not in the summary."""
    finished = (state.tasks[i] for i in dict.fromkeys(state.uncompacted))
    return [task for task in finished if task.status is TaskStatus.Completed]


def _start(task: Task) -> str:
    return " ".join(f"{task.id}. {task.description}".split())


def _line(task: Task, width: int | None, profile: Profile = CODING) -> str:
    start, text = _start(task), _text(task.result)
    if width is not None and len(start) + len(text) + 2 > width:
        start = truncate_middle(start, max(width // 2, _NARROW))
        text = shorten(text, max(width - len(start) - 2, 0), profile)
    line = " ".join(f"{start}: {text}".rstrip(": ").split())
    return line if width is None else truncate_middle(line, width)


def _text(result: Any) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else msgspec.json.encode(result).decode()


def _last_lines(lines: Sequence[str], limit: int) -> str:
    kept: list[str] = []
    for line in reversed(lines):
        if len(line) > limit:
            if not kept and limit > 0:
                kept.append(truncate_middle(line, limit))
            break
        limit -= len(line) + 1
        kept.append(line)
    return "\n".join(reversed(kept))
