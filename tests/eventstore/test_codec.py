"""The closed registry of events."""

from __future__ import annotations

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
