"""``$occurrence``: the time that a plan runs for, as its log says it.

Of a plan that a schedule began it is that of the occurrence, in the time zone of the schedule; of
any other it is when the plan began, in UTC. It does not change: all attempts of all tasks have the
same, a fork has that of its origin and a sub-plan that of its parent.
"""

from __future__ import annotations

import re
from typing import Final

from planfold.errors import CommandRejected
from planfold.patterns import pattern
from planfold.planner.references import OCCURRENCE, references_in, value_of
from planfold.planner.state import PlannerState

_FORM: Final = pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def occurrence_of(state: PlannerState) -> str:
    """For example ``2026-12-01T02:00:00+01:00``."""
    if state.occurrence:
        return state.occurrence
    from planfold.instants import in_utc  # most plans do not refer to it

    return in_utc(state.created_at)


def with_occurrence(state: PlannerState, text: str) -> str:
    """A text for people and models, with the time in place of ``$occurrence``."""
    if f"${OCCURRENCE}" not in text:
        return text
    parts: list[str] = []
    end = 0
    for reference, start, stop in references_in(text):
        if reference.target == OCCURRENCE and not reference.about:
            parts += [text[end:start], value_of(reference, lambda _: occurrence_of(state))]
            end = stop
    return "".join((*parts, text[end:]))


def check_occurrence(text: str) -> None:
    """Raises CommandRejected where ``text`` is not such a time, nor empty."""
    if text and not _FORM.fullmatch(text):
        raise CommandRejected(
            f"occurrence {text[:40]!r} is not a time with its offset from UTC, such as "
            "2026-12-01T02:00:00+01:00"
        )
