"""``Cron``: the occurrences of a cron expression in a time zone, as seconds since the epoch.

The five fields are read, and days counted, by ``cronsim``, which follows the cron of Debian. A job
at fixed times (``30 2 * * *``) runs once a day: where clocks are set forward over its time, right
after that; where they are set back, the first time. A job whose minute or hour field begins with
``*`` runs in each minute whose local time matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final

from cronsim import CronSim, CronSimError

from planfold.instants import zone_of

LONGEST: Final = 200  # characters; a list of all minutes has 169
DAY: Final = 86_400
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_STEP: Final = re.compile(r"/([0-9]+)")
_MOST: Final = {"minutes": 60, "hours": 24, "days": 31, "months": 12, "days of the week": 7}
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_RANGES: Final = {  # by the names of cronsim, in the order of the fields
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L or LW",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, or SUN to SAT",
}
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_TO_SUNDAY: Final = re.compile(f"(?<={'|'.join(_DAYS[1:])})-SUN")


class Cron:
    """Raises ValueError where ``expression`` is not one of five fields or a nickname such as
    ``@daily``, never occurs, or there is no such time zone.

    What it finds after a time depends on that time alone, so processes agree on it.
    """

    def __init__(self, expression: str, tz: str = "UTC") -> None:
        self.zone = zone_of(tz)
        if len(expression) > LONGEST:
            raise ValueError(f"it is longer than {LONGEST} characters; split it in two schedules")
        fields = _fields(expression)
        _check_steps(fields)
        self.expression = " ".join([*fields[:4], _weekdays(fields[4])])
        try:
            next(CronSim(self.expression, _FIRST))
        except CronSimError as fault:
            raise ValueError(_said(fields, str(fault).removeprefix("Bad "))) from None
        except StopIteration:
            raise ValueError("there is no such day within 50 years") from None
        self._at_fixed_times = not any(field.startswith("*") for field in fields[:2])

    def after(self, at: float) -> float | None:
        """The first occurrence after ``at``; None where there is none within 50 years."""
        try:
            return self._fixed_after(at) if self._at_fixed_times else self._matching_after(at)
        except (StopIteration, OverflowError, ValueError):  # beyond the year 9999
            return None

    def between(self, after: float, until: float) -> Iterator[float]:
        """The occurrences after one time and until another, the earliest first."""
        return takewhile(lambda at: at <= until, self._all_after(after))

    def latest(self, after: float, until: float) -> float | None:
        """The last occurrence after one time and until another, or None."""
        found = self._within(after, until)
        if found is None:
            return None
        early, late = int(found), int(until) + 1  # something is in (early - 1, until], not in late
        while late - early > 1:
            middle = (early + late) // 2
            if (later := self._within(middle, until)) is None:
                late = middle
            else:
                early, found = int(later), later
        return found

    def _within(self, after: float, until: float) -> float | None:
        found = self.after(after)
        return None if found is None or found > until else found

    def _all_after(self, at: float) -> Iterator[float]:
        found = self.after(at)
        while found is not None:
            yield found
            found = self.after(found)

    def _fixed_after(self, at: float) -> float:
        found = at
        times = CronSim(self.expression, datetime.fromtimestamp(at, self.zone))
        while found <= at:  # within the hour that comes twice, the first ones are over
            found = next(times).timestamp()
        return found

    def _matching_after(self, at: float) -> float:
        """Between two changes of the clocks local times are a plain count, which is all that
        cronsim has to know: it takes whole steps of an hour over a change of half an hour."""
        begin, offset = at, self._offset(at)
        while True:
            local = datetime.fromtimestamp(at, UTC).replace(tzinfo=None) + offset
            match = next(CronSim(self.expression, local)) - offset
            found = match.replace(tzinfo=UTC).timestamp()
            change = self._change(begin, found)
            if change is None:
                return found
            begin, at, offset = change, change - 1, self._offset(change)

    def _change(self, after: float, until: float) -> int | None:
        """When the clocks are first set, after one time and until another."""
        offset, early, last = self._offset(after), int(after), int(until)
        while early < last:
            late = min(early + DAY, last)
            if self._offset(late) != offset:
                while late - early > 1:
                    middle = (early + late) // 2
                    if self._offset(middle) == offset:
                        early = middle
                    else:
                        late = middle
                return late
            early = late
        return None

    def _offset(self, at: float) -> timedelta:
        return datetime.fromtimestamp(at, self.zone).utcoffset() or timedelta()


def _fields(expression: str) -> list[str]:
    fields = expression.split()
    if len(fields) == 1 and fields[0].startswith("@"):
        known = _NICKNAMES.get(fields[0].lower())
        if known is None:
            raise ValueError(f"{fields[0]} is not one of {', '.join(_NICKNAMES)}")
        return known.split()
    if len(fields) != 5:
        raise ValueError(
            f"it has {len(fields)} fields, not 5: minute, hour, day of the month, month, day "
            "of the week, as in 0 2 * * MON-FRI"
        )
    return fields


def _said(fields: list[str], name: str) -> str:
    """What is wrong with the field that cronsim has refused."""
    field = fields[list(_RANGES).index(name)]
    if name == "day-of-month":
        try:
            CronSim(f"0 0 {field} * *", _FIRST)
        except CronSimError:
            pass
        else:
            return f"its months have no day {field[:40]}, so it never occurs"
    called = name.replace("-of-", " of the ")
    return (
        f"its {called} cannot be {field[:40]!r}: use {_RANGES[name]}, or * for all; also as a list "
        "(1,15), a range that rises (1-5) or a step (*/10)"
    )


def _check_steps(fields: list[str]) -> None:
    """A step is counted within its field, so ``*/90`` would be each hour, not each 90 minutes."""
    for field, (unit, most) in zip(fields, _MOST.items(), strict=True):
        for step in _STEP.findall(field):
            if int(step) > most:
                raise ValueError(
                    f"the step {step} is above {most}, the number of {unit}, and steps are counted "
                    "from the beginning of each field; write a list of times, or two schedules"
                )


def _weekdays(field: str) -> str:
    """``field`` as cronsim reads it: the last Friday is ``5L``, and Sunday ends a week as 7."""
    field = field.upper()
    for number, day in enumerate(_DAYS):
        field = field.replace(f"{day}L", f"{number}L")
    return _TO_SUNDAY.sub("-7", field)
