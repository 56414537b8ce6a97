"""Occurrences counted minute by minute, to compare with: a second opinion on clocks and cron."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

ZONES = ("Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "UTC")
HALF_HOUR = 1_800


class Rule(NamedTuple):
    """A cron expression, and what it means: which days, hours and minutes. ``each_minute``: it
    runs in each minute that matches, else once a day for each time."""

    expression: str
    day: Callable[[date], bool]
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    each_minute: bool = False


def every(_: date) -> bool:
    return True


RULES = (
    Rule("30 2 * * *", every, (2,), (30,)),
    Rule("0,15,45 1,2 * * SUN", lambda day: day.weekday() == 6, (1, 2), (0, 15, 45)),
    Rule("30 2,3 31 * *", lambda day: day.day == 31, (2, 3), (30,)),
    Rule("0 */2 * * *", every, tuple(range(0, 24, 2)), (0,), each_minute=True),
    Rule("30 * * * *", every, tuple(range(24)), (30,), each_minute=True),
    Rule("*/10 3 * * *", every, (3,), tuple(range(0, 60, 10)), each_minute=True),
    Rule(
        "*/20 1-2 * 3,4,10,11 *", lambda day: day.month in (3, 4, 10, 11), (1, 2), (0, 20, 40), True
    ),
)


def start_of(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


@functools.cache
def blocks(zone: str, year: int) -> list[tuple[int, datetime]]:
    """Each half-hour of a year in UTC, with its local time. All changes of clocks begin one."""
    tz = ZoneInfo(zone)
    times = range(start_of(year), start_of(year + 1), HALF_HOUR)
    return [(at, datetime.fromtimestamp(at, tz).replace(tzinfo=None)) for at in times]


@functools.cache
def occurrences(rule: Rule, zone: str, year: int) -> list[int]:
    """All occurrences of a year in UTC, in order."""
    found: set[int] = set()
    for at, local in blocks(zone, year):
        if local.hour in rule.hours and rule.day(local.date()):
            found.update(
                at + 60 * (minute - local.minute)
                for minute in rule.minutes
                if local.minute <= minute < local.minute + 30
            )
    return sorted(found) if rule.each_minute else _once_a_day(rule, zone, year)


def _once_a_day(rule: Rule, zone: str, year: int) -> list[int]:
    """Each local time once: the first of two, or the end of the gap that it is in."""
    first: dict[datetime, int] = {}
    gaps: list[tuple[datetime, datetime, int]] = []
    before = blocks(zone, year)[0][1] - timedelta(seconds=HALF_HOUR)
    for at, local in blocks(zone, year):
        first.setdefault(local, at)
        expected = before + timedelta(seconds=HALF_HOUR)
        if local > expected:
            gaps.append((expected, local, at))
        before = local
    found: set[int] = set()
    day = date(year, 1, 1) - timedelta(days=1)
    while day <= date(year + 1, 1, 1):
        for hour in rule.hours if rule.day(day) else ():
            for minute in rule.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute)
                block = local.replace(minute=minute // 30 * 30)
                if block in first:
                    found.add(first[block] + 60 * (minute % 30))
                else:
                    found.update(end for a, b, end in gaps if a <= local < b)
        day += timedelta(days=1)
    return sorted(found)
