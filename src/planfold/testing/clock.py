"""``ManualClock``: time that does not pass until the test advances it."""

from __future__ import annotations


class ManualClock:
    """Pass it as ``clock``; ``now`` is in seconds since the epoch."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
