"""``Question``: what a task asks a person, while it waits for the answer."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold.planner.events import Then


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question that waits for a person. ``deadline``: seconds since the epoch, or None."""

    task_id: int
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    deadline: float | None = None
    then: Then = "complete"
    key: str = ""  # of the inner step that the answer is the value of
    partial: Any = None  # what the task has so far, where its budget is used up
    started_at: float | None = None  # of the attempt whose outcome is unknown: when it began,
    ended: bool = False  # and whether it is certain that it runs no more
