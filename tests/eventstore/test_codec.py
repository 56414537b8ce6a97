"""The closed registry of events."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
from typing import Any

import msgspec
import pytest

from planfold.errors import ConfigurationError, CorruptLog
from planfold.eventstore.codec import Codec, EventType, event_types
from testbed.contracts.backend import Counted, Noted


class Impostor(msgspec.Struct):
    pass


Impostor.__name__ = "Counted"


def test_two_events_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two events are called 'Counted'"):
        Codec(event_types([Counted, Impostor]))


def test_an_impostor_of_a_registered_name_is_not_written() -> None:
    with pytest.raises(ConfigurationError, match="not a registered event type"):
        Codec(event_types([Counted])).encode(Impostor())


@pytest.mark.parametrize(("version", "steps"), [(2, 0), (1, 1), (3, 1)])
def test_an_upcaster_for_every_version_is_needed(version: int, steps: int) -> None:
    with pytest.raises(ConfigurationError, match="upcasters"):
        Codec([EventType(Counted, version, (dict,) * steps)])


def test_registering_the_same_event_again_is_harmless() -> None:
    codec = Codec(event_types([Counted, Counted]))
    assert codec.encode(Counted(1)) == ("Counted", 1, '{"number":1}')


@pytest.mark.parametrize(
    "data", ["", "{", "null", "[]", '"x"', '{"number":"1"}', '{"number":1.5}', "[" * 100_000]
)
def test_data_of_another_shape_is_corrupt(data: str) -> None:
    with pytest.raises(CorruptLog, match="Counted"):
        Codec(event_types([Counted])).decode("Counted", 1, data)


def test_fields_of_a_newer_minor_version_are_passed_over() -> None:
    codec = Codec(event_types([Counted]))
    assert codec.decode("Counted", 1, '{"number":1,"added_later":true}') == Counted(1)


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    codec = Codec(event_types([Noted]))
    for text in ("[" * 5_000, '\\"[' * 5_000, "\\" * 5_001 + "{" * 5_000):
        name, version, data = codec.encode(Noted([text, {text: text}]))
        assert codec.decode(name, version, data) == Noted([text, {text: text}])


def test_wide_values_do_not_count_as_deep() -> None:
    codec = Codec(event_types([Noted]))
    assert codec.encode(Noted([[{}]] * 10_000))[0] == "Noted"


class Part(msgspec.Struct, omit_defaults=True, tag="part", tag_field="kind"):
    size: float = 1.0
    names: tuple[str, ...] = ()


@dataclasses.dataclass
class Entry:
    at: float


class Mixed(msgspec.Struct, omit_defaults=True, rename="camel"):
    at_time: float = 0.0
    members: frozenset[int] = frozenset()
    parts: tuple[Part, ...] = ()
    by_number: dict[int, float] = {}
    by_name: dict[str, Part] = {}
    entry: Entry | None = None
    value: Any = None


_many = frozenset(range(40))
ODD: dict[str, Mixed] = {
    "an integer for a float": Mixed(at_time=5),
    "a default as an integer": Mixed(at_time=0, parts=(Part(size=1),)),
    "a list for a tuple": Mixed(parts=[Part(names=["a"])]),  # type: ignore[arg-type]
    "an empty list for a tuple": Mixed(parts=[], by_name={"a": Part(names=[])}),  # type: ignore[arg-type]
    "a set in another order": Mixed(members=_many - (_many - {2, 9})),
    "a set": Mixed(members={9, 2}),  # type: ignore[arg-type]
    "numbers as keys": Mixed(by_number={2: 1, 1: 2.5}),
    "a dict for a struct": Mixed(parts=({"kind": "part", "size": 2},)),  # type: ignore[arg-type]
    "an integer in a dataclass": Mixed(entry=Entry(3)),
    "floats": Mixed(value=[1e16, -0.0, 1e300, 5e-324, 0.1, 2**64 - 1, -(2**63)]),
    "a decimal": Mixed(value=decimal.Decimal("1.50")),
    "a date": Mixed(value=datetime.date(2026, 1, 2)),
}


@pytest.mark.parametrize("event", ODD.values(), ids=ODD)
def test_legal_values_of_another_type_are_written(event: Mixed) -> None:
    codec = Codec(event_types([Mixed]))
    name, version, data = codec.encode(event)
    read = codec.decode(name, version, data)
    assert codec.decode(*codec.encode(read)) == read
    assert (read.at_time, len(read.members)) == (event.at_time, len(event.members))


LOSSES: dict[str, Mixed] = {
    "an unknown field": Mixed(parts=({"kind": "part", "sise": 2},)),  # type: ignore[arg-type]
    "one of a dataclass": Mixed(entry={"at": 1, "until": 2}),  # type: ignore[arg-type]
    "two keys that are one": Mixed(value={1: "a", "1": "b"}),
    "digits": Mixed(at_time=2**53 + 1),
    "members": Mixed(members=[1, 1]),  # type: ignore[arg-type]
    "one beside an integer": Mixed(at_time=5, value=[{1: 2, "1": 3}]),
}


@pytest.mark.parametrize("event", LOSSES.values(), ids=LOSSES)
def test_what_would_lose_a_part_is_not_written(event: Mixed) -> None:
    with pytest.raises(ValueError, match="Mixed cannot be recorded"):
        Codec(event_types([Mixed])).encode(event)
