"""Histories of every released shape still fold to the state they had."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planfold.eventstore.codec import Codec
from planfold.planner.planner import Planner
from planfold.runtime.aggregate import PLAN

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
HISTORIES = sorted(GOLDEN.glob("*.jsonl"))


class Line(msgspec.Struct):
    event_type: str
    event_version: int
    data: msgspec.Raw


def lines(path: Path) -> list[Line]:
    decode = msgspec.json.Decoder(Line).decode
    return [decode(line) for line in path.read_bytes().splitlines()]


def history(path: Path) -> list[Any]:
    codec = Codec(PLAN.event_types)
    return [
        codec.decode(line.event_type, line.event_version, bytes(line.data).decode())
        for line in lines(path)
    ]


def assert_holds(recorded: Any, now: Any, place: str = "state") -> None:
    """What was recorded is still there; fields may have been added."""
    if isinstance(recorded, dict):
        for key, value in recorded.items():
            assert key in now, f"{place}.{key} is gone"
            assert_holds(value, now[key], f"{place}.{key}")
    elif isinstance(recorded, list):
        assert len(recorded) == len(now), place
        for number, (one, other) in enumerate(zip(recorded, now, strict=True)):
            assert_holds(one, other, f"{place}[{number}]")
    else:
        assert recorded == now, place


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_golden_history_folds_to_its_recorded_state(path: Path) -> None:
    recorded = msgspec.json.decode(path.with_suffix(".state.json").read_bytes())
    facts = Planner.fold(history(path)).state
    assert_holds(recorded, msgspec.json.decode(msgspec.json.encode(facts)))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_golden_history_can_be_written_again_without_a_loss(path: Path) -> None:
    codec = Codec(PLAN.event_types)
    for line, event in zip(lines(path), history(path), strict=True):
        _, version, data = codec.encode(event)
        if version == line.event_version:
            again = codec.decode(line.event_type, version, data)
            assert again == event
            assert_holds(msgspec.json.decode(line.data), msgspec.json.decode(data))


def test_the_newest_golden_history_has_every_event_type() -> None:
    newest = {line.event_type for line in lines(HISTORIES[-1])}
    hint = "let the story in tests/golden/record.py reach every event, and run that file"
    assert newest == {event.__name__ for event in PLAN.events}, hint


UNSET = {  # fields that the story of record.py leaves at their default
    "ClarificationReceived": {"result"},
    "ClarificationRequested": {"started_at"},
    "PlanForked": {"prepared", "interrupted", "checksum"},
    "PlanRevised": {"superseded"},
    "StepStarted": {"again", "epoch"},
    "TaskStatusUpdated": {"note", "outcome_unknown"},
    "WaitRegistered": {"stop"},
}


def test_the_story_of_the_next_golden_history_has_every_event_type_and_field() -> None:
    history = runpy.run_path(str(GOLDEN / "record.py"))["tell_story"]().history
    set_fields: dict[str, set[str]] = {event.__name__: set() for event in PLAN.events}
    for event in history:
        data = msgspec.to_builtins(event)  # without the fields that have their default
        set_fields[type(event).__name__] |= data.keys()
    unset = {
        event.__name__: missing
        for event in PLAN.events
        if (missing := {*event.__struct_fields__} - set_fields[event.__name__])
    }
    assert unset == UNSET, "let the story in tests/golden/record.py reach every event and field"


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_snapshot_anywhere_in_a_golden_history_leads_to_the_same_state(path: Path) -> None:
    events = history(path)
    whole = msgspec.json.encode(Planner.fold(events).state)
    for cut in range(1, len(events)):
        restored = Planner.restore(Planner.fold(events[:cut]).snapshot())
        assert restored is not None
        for event in events[cut:]:
            restored.apply(event)
        assert restored.state.tasks.items()  # all are decoded
        assert msgspec.json.encode(restored.state) == whole, cut
