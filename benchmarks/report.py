"""One table for all figures: what was measured, the physical limit in the same run, the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, TypeVar

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Figure:
    """``ratio`` is the median of the ratios of neighbouring runs, ``spread`` the lowest and the
    highest of them; ``better`` says which way the target points: ">=" or "<="."""

    name: str
    value: str
    limit: str
    ratio: float
    target: float
    better: str = ">="
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        return self.ratio >= self.target if self.better == ">=" else self.ratio <= self.target


def reduced(size: int, scale: int, least: int = 2) -> int:
    """``size`` of a workload divided by ``scale``, which is more than 1 in a smoke test."""
    return max(size // scale, least)


class Compared(NamedTuple):
    """The median of what was measured, of its limit, and of their ratio, with the lowest and the
    highest ratio."""

    value: float
    limit: float
    ratio: float
    spread: tuple[float, float]


def compared(pairs: Sequence[tuple[float, float]]) -> Compared:
    """``pairs``: what was measured, and the limit just before."""
    ratios = [value / limit for value, limit in pairs]
    return Compared(
        median(value for value, _ in pairs),
        median(limit for _, limit in pairs),
        median(ratios),
        (min(ratios), max(ratios)),
    )


def interleaved(
    measure: Callable[[], Measured], limit: Callable[[], float], rounds: int
) -> list[tuple[Measured, float]]:
    """Run ``limit`` and ``measure`` in turn, after one warm-up of each: neighbours are compared,
    so that a machine that becomes slower or faster does not matter."""
    limit(), measure()
    pairs = []
    for _ in range(rounds):
        bound = limit()
        pairs.append((measure(), bound))
    return pairs


def print_table(figures: list[Figure]) -> None:
    rows = [("figure", "measured", "limit in the same run", "ratio", "target", "")]
    for f in figures:
        mark = "met" if f.met else "MISSED"
        ratio = f"{f.ratio:.2f}"
        if f.spread is not None:
            ratio += " ({:.2f} to {:.2f})".format(*f.spread)
        rows.append((f.name, f.value, f.limit, ratio, f"{f.better} {f.target:g}", mark))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
