"""One table for all figures: what was measured, the physical limit in the same run, the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """``ratio`` is the median of the ratios of neighbouring runs; ``better`` says which way the
    target points: ">=" or "<="."""

    name: str
    value: str
    limit: str
    ratio: float
    target: float
    better: str = ">="

    @property
    def met(self) -> bool:
        return self.ratio >= self.target if self.better == ">=" else self.ratio <= self.target


def reduced(size: int, scale: int, least: int = 2) -> int:
    """``size`` of a workload divided by ``scale``, which is more than 1 in a smoke test."""
    return max(size // scale, least)


def interleaved(
    measure: Callable[[], float], limit: Callable[[], float], rounds: int
) -> tuple[float, float, float]:
    """Run ``limit`` and ``measure`` in turn, after one warm-up of each; returns both medians and
    the median of the ratios measure / limit, so that a drifting machine does not matter."""
    limit(), measure()
    pairs = [(limit(), measure()) for _ in range(rounds)]
    return (
        median(value for _, value in pairs),
        median(bound for bound, _ in pairs),
        median(value / bound for bound, value in pairs),
    )


def print_table(figures: list[Figure]) -> None:
    rows = [("figure", "measured", "limit in the same run", "ratio", "target", "")]
    for f in figures:
        mark = "met" if f.met else "MISSED"
        rows.append((f.name, f.value, f.limit, f"{f.ratio:.2f}", f"{f.better} {f.target:g}", mark))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
