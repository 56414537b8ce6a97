"""``TimeScale``: maps times to places on a timeline; long times in which nothing runs are
compressed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

GAP_W: Final = 70  # pixels
_IDLE_SHARE: Final = 0.12  # of the busy time: a longer idle time is compressed
_TICK_W: Final = 90  # at least
_LABEL_W: Final = 64
_NICE: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600,
    900, 1800, 3600, 7200, 14400, 21600, 43200, 86400,
)  # fmt: skip


class TimeScale:
    """From ``start`` to ``end`` (seconds since the epoch) over ``width`` pixels. ``busy`` are
    times in which something runs; ``gaps`` are the compressed ones: left, right, seconds."""

    def __init__(
        self, busy: Iterable[tuple[float, float]], start: float, end: float, width: float
    ) -> None:
        idle = list(_idle(busy, start, end))
        busy_s = (end - start) - sum(stop - begin for begin, stop in idle)
        least = busy_s * _IDLE_SHARE
        idle = [(begin, stop) for begin, stop in idle if stop - begin > least]
        shown_s = (end - start) - sum(stop - begin for begin, stop in idle)
        self._rate = max(width - GAP_W * len(idle), width / 4) / shown_s if shown_s > 0 else 0.0
        self._times, self._places = [start], [0.0]
        self.gaps: list[tuple[float, float, float]] = []
        for begin, stop in idle:
            self._add(begin, self._rate * (begin - self._times[-1]))
            left = self._places[-1]
            self._add(stop, GAP_W)
            self.gaps.append((left, left + GAP_W, stop - begin))
        self._add(end, self._rate * (end - self._times[-1]))
        self.width = self._places[-1]

    def _add(self, time: float, pixels: float) -> None:
        self._times.append(time)
        self._places.append(self._places[-1] + pixels)

    def at(self, time: float) -> float:
        """The place of a time, in pixels."""
        times, places = self._times, self._places
        after = min(max(bisect_right(times, time), 1), len(times) - 1)
        begin, end = times[after - 1], times[after]
        share = 0.0 if end <= begin else (time - begin) / (end - begin)
        return places[after - 1] + min(max(share, 0.0), 1.0) * (places[after] - places[after - 1])

    def ticks(self) -> Iterator[tuple[float, float]]:
        """Places with their time since the start in seconds; none within a gap."""
        if not self._rate:
            return
        step = next((s for s in _NICE if s * self._rate >= _TICK_W), 86400.0)
        step *= max(1, -(-_TICK_W // (step * self._rate)))
        origin, last = self._times[0], -_TICK_W * 1.0
        gaps = [left for left, _, _ in self.gaps]
        for index in range(len(self._times) - 1):
            if self._places[index] in gaps:
                continue
            first = self._times[index] - origin
            number = -(-first // step)
            while number * step + origin <= self._times[index + 1]:
                place = self.at(number * step + origin)
                free = not any(0 <= left - place < _LABEL_W for left in gaps)
                if free and place - last >= _LABEL_W:
                    yield place, number * step
                    last = place
                number += 1


def _idle(
    busy: Iterable[tuple[float, float]], start: float, end: float
) -> Iterator[tuple[float, float]]:
    """The times between ``start`` and ``end`` that are outside all busy times."""
    cursor = start
    for begin, stop in sorted(busy):
        if begin > cursor:
            yield cursor, min(begin, end)
        cursor = max(cursor, stop)
    if cursor < end:
        yield cursor, end
