"""Exit codes: what a plan's end, or a fault, means for the calling shell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

COMPLETED: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
WAITS: Final = 3  # for a person: an answer, an approval, the end of a pause
CANCELLED: Final = 4
INTERRUPTED: Final = 130

_BY_STATUS: Final = {
    "completed": COMPLETED,
    "failed": FAILED,
    "cancelled": CANCELLED,
    "awaiting_approval": WAITS,
    "awaiting_answer": WAITS,
    "paused": WAITS,
}
_BAD_INPUT: Final = frozenset(
    {"CommandRejected", "InvalidPlan", "NotFound", "Conflict", "ConfigurationError"}
)


def exit_code(fault: BaseException) -> int:
    """2 where the caller can correct the fault, else 1."""
    return BAD_INPUT if type(fault).__name__ in _BAD_INPUT else FAILED


def exit_code_of(statuses: Iterable[str]) -> int:
    """The exit code for plans that ran together: the worst of their codes. A plan that has not
    ended and does not wait for a person counts as failed."""
    codes = {_BY_STATUS.get(status, FAILED) for status in statuses}
    return next((code for code in (FAILED, WAITS, CANCELLED) if code in codes), COMPLETED)
