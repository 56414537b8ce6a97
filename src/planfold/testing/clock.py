"""``ManualClock``: time that does not pass until the test advances it."""

from __future__ import annotations


class ManualClock:
    """Pass it as ``clock``; ``now`` is in seconds since the epoch.

    Example:
        import planfold
        from planfold.testing import ManualClock

        clock = ManualClock()
        async with planfold.open_app("sqlite:///:memory:", clock=clock) as app:
            clock.advance(3_600)  # an hour later
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The present time, in seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time, by a negative number also backwards."""
        self.now += seconds
