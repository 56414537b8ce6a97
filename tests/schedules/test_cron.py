"""When a cron expression occurs, in zones that set their clocks by an hour and by half of one."""

from __future__ import annotations

import bisect
from datetime import UTC, datetime

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from planfold.cron import LONGEST, Cron
from tests.schedules.calendars import RULES, ZONES, Rule, occurrences, start_of

YEAR = 2026
cases = pytest.mark.parametrize("zone", ZONES)
rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.expression)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@cases
@rules
def test_a_year(rule: Rule, zone: str) -> None:
    begin, end = start_of(YEAR), start_of(YEAR + 1)
    found = Cron(rule.expression, zone).between(begin - 1, end - 1)
    assert [int(each) for each in found] == occurrences(rule, zone, YEAR)


@settings(max_examples=60)
@for_all(
    st.sampled_from(RULES),
    st.sampled_from(ZONES),
    st.integers(start_of(YEAR), start_of(YEAR + 1) - 90 * 86_400),
    st.integers(0, 86_400 * 5),
)
def test_what_comes_next_depends_on_the_time_alone(
    rule: Rule, zone: str, begin: int, length: int
) -> None:
    cron, known = Cron(rule.expression, zone), occurrences(rule, zone, YEAR)
    place = bisect.bisect_right(known, begin)
    assert cron.after(begin) == known[place]
    last = bisect.bisect_right(known, begin + length)
    assert cron.latest(begin, begin + length) == (known[last - 1] if last > place else None)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("30 2 * * *", "Europe/Zurich", "2026-03-28T12:00+01:00", "2026-03-29T03:00+02:00"),
        ("30 2 * * *", "Europe/Zurich", "2026-10-25T01:00+02:00", "2026-10-25T02:30+02:00"),
        # In the hour that comes twice: the first one is over.
        ("45 2 * * *", "Europe/Zurich", "2026-10-25T02:10+01:00", "2026-10-26T02:45+01:00"),
        ("45 * * * *", "Europe/Zurich", "2026-10-25T02:50+02:00", "2026-10-25T02:45+01:00"),
        ("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+10:30", "2026-10-04T02:30+11:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00+00:00", "2028-02-29T00:00+00:00"),
        ("0 9 L * *", "UTC", "2026-02-01T00:00+00:00", "2026-02-28T09:00+00:00"),
        ("0 9 * * MON#1", "UTC", "2026-02-03T00:00+00:00", "2026-03-02T09:00+00:00"),
        ("0 9 * * FRIL", "UTC", "2026-02-03T00:00+00:00", "2026-02-27T09:00+00:00"),
        ("0 9 * * sat-sun", "UTC", "2026-02-02T00:00+00:00", "2026-02-07T09:00+00:00"),
        ("0 9 * * FRI-SUN", "UTC", "2026-02-07T10:00+00:00", "2026-02-08T09:00+00:00"),
        ("0 9 * * SUN-SUN", "UTC", "2026-02-02T00:00+00:00", "2026-02-08T09:00+00:00"),
        ("*/60 * * * *", "UTC", "2026-02-02T00:00+00:00", "2026-02-02T01:00+00:00"),
        ("0 9 1 * MON", "UTC", "2026-02-03T00:00+00:00", "2026-02-09T09:00+00:00"),
    ],
)
def test_next(expression: str, zone: str, after: str, expected: str) -> None:
    assert Cron(expression, zone).after(at(after)) == at(expected)


def test_an_expression_that_ends() -> None:
    cron = Cron("0 0 * 2 MON#5")
    assert cron.after(at("2026-01-01T00:00+00:00")) == at("2044-02-29T00:00+00:00")
    assert cron.after(datetime(9990, 1, 1, tzinfo=UTC).timestamp()) is None
    assert cron.latest(1.6e9, 2e9) is None


@pytest.mark.parametrize(
    ("expression", "zone", "fault"),
    [
        ("", "UTC", "it has 0 fields, not 5: minute, hour"),
        ("* * * *", "UTC", "it has 4 fields"),
        ("* * * * * *", "UTC", "it has 6 fields"),  # cronsim reads seconds first
        ("2am", "UTC", "it has 1 fields"),
        ("@reboot", "UTC", "@reboot is not one of @hourly, @daily"),
        ("0 22-6 * * *", "UTC", "its hour cannot be '22-6': .* a range that rises"),
        ("0 0 0 * *", "UTC", "its day of the month cannot be '0': use 1 to 31, L or LW"),
        ("0 0 * 13 *", "UTC", "its month cannot be '13': use 1 to 12, or JAN to DEC"),
        ("61 * * * *", "UTC", "its minute cannot be '61': use 0 to 59, or \\* for all"),
        ("*/90 * * * *", "UTC", "the step 90 is above 60, the number of minutes"),
        ("0 9,*/36 * * *", "UTC", "the step 36 is above 24, the number of hours"),
        ("0 9 * * */8", "UTC", "the step 8 is above 7, the number of days of the week"),
        ("* * * * FUN", "UTC", "its day of the week cannot be 'FUN': use 0 to 7, or SUN to SAT"),
        ("0 0 30 2 *", "UTC", "its months have no day 30, so it never occurs"),
        ("0 0 30 2 *,MON#5", "UTC", "its months have no day 30|no such day"),
        ("0," * 150 + "0 * * * *", "UTC", f"it is longer than {LONGEST} characters"),
        ("* * * * *", "Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
        ("* * * * *", "../../etc/passwd", "there is no time zone"),
        ("* * * * *", "", "there is no time zone"),
        ("* * * * *", "Europe", "there is no time zone"),
    ],
)
def test_what_is_no_cron_expression(expression: str, zone: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Cron(expression, zone)


@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@Weekly", "0 0 * * SUN"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 JAN *"),
    ],
)
def test_nicknames(nickname: str, expression: str) -> None:
    first = Cron(nickname, "Europe/Zurich").after(start_of(YEAR))
    assert first == Cron(expression, "Europe/Zurich").after(start_of(YEAR))


FIELD = st.text("0123456789*/,-#LW MONSUA", max_size=8)


@settings(max_examples=60)
@for_all(st.one_of(st.text(max_size=30), st.lists(FIELD, min_size=5, max_size=5).map(" ".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cron = Cron(text, "Europe/Zurich")
    except ValueError:
        return
    first = cron.after(start_of(YEAR))
    assert first is None or first > start_of(YEAR)
