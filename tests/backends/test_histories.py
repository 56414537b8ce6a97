"""The events of a stream from its rows: those that are as they should be are taken together."""

from __future__ import annotations

from typing import Any

import pytest

from planfold.backends import history
from planfold.backends.history import events_of
from planfold.errors import CommandRejected, CorruptLog
from planfold.eventstore.codec import Codec, EventType, event_types
from planfold.eventstore.event_rows import new_events
from planfold.handler import Metadata
from testbed.contracts.backend import CODEC, Counted, Noted, decision

PLAN = "plan-1"
ABOUT = Metadata(PLAN, f"{PLAN}#1/TaskCompleted", worker="worker-1", began_at=17.5)
EVENTS = [Counted(n) if n % 3 else Noted({"text": "Ünï " * n}) for n in range(10)]
COLUMNS = [
    "stream_id",
    "aggregate_id",
    "version",
    "event_type",
    "event_version",
    "data",
    "metadata",
]
COLUMNS += ["recorded_at", "checksum"]
Row = tuple[Any, ...]


@pytest.fixture(autouse=True, params=[1, 4, 256])
def together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "TOGETHER", request.param)


@pytest.fixture(params=[bytes, str])
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """As SQLite gives texts, and as PostgreSQL does."""
    append = decision(*EVENTS, to=PLAN, metadata=ABOUT)
    found = [
        (len(EVENTS), append.stream_id, PLAN, *event) for event in new_events(CODEC, append, 99.5)
    ]
    return found if request.param is str else [tuple(map(_as_bytes, row)) for row in found]


def _as_bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def changed(rows: list[Row], place: int, column: str, value: Any) -> list[Row]:
    at = 1 + COLUMNS.index(column)
    row = rows[place]
    return [*rows[:place], (*row[:at], value, *row[at + 1 :]), *rows[place + 1 :]]


def without_checksum(rows: list[Row], *places: int) -> list[Row]:
    return [(*row[:-1], None) if n in places else row for n, row in enumerate(rows)]


def test_events_come_in_order_with_their_times(rows: list[Row]) -> None:
    found = events_of(CODEC, PLAN, 0, rows, "note")
    assert found.events == EVENTS
    assert found.times == [99.5] * 10
    assert found.version == 10


def test_rows_of_older_versions_have_no_checksum(rows: list[Row]) -> None:
    assert events_of(CODEC, PLAN, 0, without_checksum(rows, 0, 5, 9)).events == EVENTS


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("place", [0, 1, 5, 9])
def test_each_changed_column_is_found_and_named(rows: list[Row], place: int, column: str) -> None:
    value = rows[place][1 + COLUMNS.index(column)]
    for other in _others(value):
        with pytest.raises(CorruptLog, match=f"{PLAN}#{place + 1}: |lacks its event {place + 1};"):
            events_of(CODEC, PLAN, 0, changed(rows, place, column, other))


@pytest.mark.parametrize(
    "column", [name for name in COLUMNS if name not in ("version", "checksum")]
)
@pytest.mark.parametrize("value", [None, 7, b"seven", "seven"])
@pytest.mark.parametrize("kind", [None, "note"])
def test_a_value_of_another_type_is_found_and_named(
    rows: list[Row], column: str, value: Any, kind: str | None
) -> None:
    """A damaged page can hold what the columns of the table do not allow."""
    for place in (0, 5, 9):
        with pytest.raises(CorruptLog, match=f"{PLAN}#{place + 1}: "):
            events_of(CODEC, PLAN, 0, changed(rows, place, column, value), kind)


def _others(value: Any) -> list[Any]:
    if isinstance(value, bytes):
        return [value[:-1] + bytes([value[-1] ^ 1]), b"\xff" + value[1:], b"", 7]
    if isinstance(value, str):
        return [value[:-1] + chr(ord(value[-1]) ^ 1), ""]
    if isinstance(value, float):
        return [value + 1e-9, -value, "late"]
    return [value ^ 1 << 5, value ^ 1 << 40, -value, "seven"]


def test_a_row_that_lacks_is_named(rows: list[Row]) -> None:
    for place in range(9):
        with pytest.raises(CorruptLog, match=f"lacks its event {place + 1}"):
            events_of(CODEC, PLAN, 0, rows[:place] + rows[place + 1 :])
    with pytest.raises(CorruptLog, match="is at version 10, but its last event is 9"):
        events_of(CODEC, PLAN, 0, rows[:9])


def test_a_stream_of_another_kind_is_refused(rows: list[Row]) -> None:
    with pytest.raises(CommandRejected, match="of the kind 'note', not 'plan'"):
        events_of(CODEC, PLAN, 0, rows, "plan")


def test_an_event_that_cannot_be_read_is_named(rows: list[Row]) -> None:
    smaller = Codec(event_types([Counted]))
    with pytest.raises(CorruptLog, match=f"{PLAN}#1: event type 'Noted' is unknown"):
        events_of(smaller, PLAN, 0, rows)
    later = Codec([EventType(Noted), EventType(Counted, 2, (lambda data: {"number": "x"},))])
    with pytest.raises(CorruptLog, match=f"{PLAN}#2: .*Counted"):
        events_of(later, PLAN, 0, rows)
