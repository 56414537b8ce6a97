"""``Histogram``: durations in buckets whose bounds grow by 2.2 %: a quantile is right to 1.1 %.

Powers of two are bounds of buckets. Adding durations in another order gives an equal histogram.
"""

from __future__ import annotations

from bisect import bisect_left
from math import frexp

import msgspec

STEPS = 32  # buckets from one power of two to the next
SHORTEST_S = 2.0**-14  # what is shorter counts as this
_ENDS = [2.0 ** (step / STEPS - 1) for step in range(STEPS)]  # of buckets, from 0.5 to 1.0


class Histogram(msgspec.Struct):
    """``micros`` is the sum in microseconds, ``longest`` in seconds; ``buckets`` counts by number:
    bucket ``n`` ends at ``2 ** (n / 32)`` seconds, which it includes."""

    count: int = 0
    micros: int = 0
    longest: float = 0.0
    buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.micros += round(seconds * 1e6)
        if seconds > self.longest:
            self.longest = seconds
        mantissa, exponent = frexp(seconds if seconds > SHORTEST_S else SHORTEST_S)
        number = (exponent - 1) * STEPS + bisect_left(_ENDS, mantissa)
        self.buckets[number] = self.buckets.get(number, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Count all durations of another histogram."""
        self.count += other.count
        self.micros += other.micros
        self.longest = max(self.longest, other.longest)
        for number, count in other.buckets.items():
            self.buckets[number] = self.buckets.get(number, 0) + count

    @property
    def seconds(self) -> float:
        """All durations added up."""
        return self.micros / 1e6

    @property
    def mean(self) -> float:
        """The mean in seconds; 0.0 if nothing was counted."""
        return self.seconds / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The duration in seconds that this share (0 to 1) of the durations does not exceed; 0.0 if
        nothing was counted."""
        wanted, seen = share * self.count, 0
        for number in sorted(self.buckets):
            seen += self.buckets[number]
            if seen >= wanted:
                middle: float = 2.0 ** ((number - 0.5) / STEPS)
                return min(middle, self.longest)
        return 0.0

    def up_to(self, exponent: int) -> int:
        """How many durations are at most ``2 ** exponent`` seconds."""
        last = exponent * STEPS
        return sum(count for number, count in self.buckets.items() if number <= last)

    def summary(self) -> dict[str, float]:
        """Count, seconds, mean, p50, p95, p99 and longest."""
        quantiles = {f"p{share}": self.quantile(share / 100) for share in (50, 95, 99)}
        about = {"count": self.count, "seconds": self.seconds, "mean": self.mean}
        return {**about, **quantiles, "longest": self.longest}
