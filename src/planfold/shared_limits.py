"""``SharedLimit``: how often, and how many at once, tasks start over all workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from planfold.errors import ConfigurationError
from planfold.patterns import pattern

START_WITHIN_S: Final = 0.5
"""An attempt of a task under a limit begins so soon after its claim, or it goes back to the queue.
A start counts for its period and for this long."""

MOST_STARTS: Final = 10_000  # in one period; each is a row, and a claim counts them
LONGEST_CLOSED_S: Final = 86_400.0  # what a server may ask for with Retry-After

_NAME: Final = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_RATE: Final = pattern(r"\s*([0-9]{1,9})\s*/\s*([1-9][0-9]{0,5})?\s*(s|sec|m|min|h|d)\s*")
_SECONDS: Final = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class SharedLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit that tasks name, over all workers of a database: ``rate`` is how many attempts may
    start in any time of a length (``"60/min"``, ``"10/s"``, ``"500/15min"``), ``concurrency`` how
    many may run at once. One of them is set. A lock is a limit with ``concurrency`` 1.

    Example:
        from planfold import Settings, SharedLimit

        limits = {"openai": SharedLimit(rate="60/min"), "production": SharedLimit(concurrency=1)}
        settings = Settings(limits=limits)
    """

    rate: str | None = None
    concurrency: int | None = None

    @property
    def starts(self) -> int | None:
        """How many attempts may start in a period; None: any number."""
        found = None if self.rate is None else _RATE.fullmatch(self.rate)
        if found is None or not 1 <= int(found[1]) <= MOST_STARTS:
            return None
        return int(found[1])

    @property
    def period(self) -> float:
        """The seconds in which at most ``starts`` attempts start; 0.0 without a rate."""
        found = None if self.rate is None else _RATE.fullmatch(self.rate)
        return int(found[2] or 1) * _SECONDS[found[3]] if found else 0.0


def check_limits(limits: Mapping[str, SharedLimit]) -> None:
    """Raises ConfigurationError where a name cannot be used in a plan's text, a limit limits
    nothing, or a number is out of its range."""
    for name, limit in limits.items():
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name[:100]!r} is not a name of a limit; use letters, digits, _, - and ."
            )
        if fault := _fault(limit):
            raise ConfigurationError(f"limits.{name}{fault}")


def _fault(limit: SharedLimit) -> str:
    if limit.rate is None and limit.concurrency is None:
        return ' has no rate and no concurrency; set one: rate = "60/min"'
    if limit.rate is not None and limit.starts is None:
        return (
            f".rate: {limit.rate[:100]!r} is not a number of starts (1 to {MOST_STARTS:,}) for "
            'each s, min, h or d; write "60/min" or "500/15min"'
        )
    if limit.concurrency is not None and limit.concurrency < 1:
        return f".concurrency must be at least 1, not {limit.concurrency}"
    return ""


def joined(names: tuple[str, ...]) -> str:
    """The names as a row of the task queue has them."""
    return ",".join(names)


def split(joined_names: str) -> tuple[str, ...]:
    """The names that :func:`joined` has joined."""
    return tuple(joined_names.split(",")) if joined_names else ()
