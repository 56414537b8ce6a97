"""The given / when / then harness, on a handler of its own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from planfold.errors import CommandRejected, NotFound
from planfold.handler import Handler, Outlook
from planfold.testing.scenario import given


class Add(msgspec.Struct, frozen=True):
    number: int


class Added(msgspec.Struct, frozen=True):
    number: int


class Halved(msgspec.Struct, frozen=True):
    pass


class Sum(Handler[Add, Added | Halved]):
    """Adds numbers and halves itself when it passes ten."""

    def __init__(self) -> None:
        self.total = 0
        self.asked = 0

    def process(self, command: Add) -> list[Added | Halved]:
        if command.number < 0:
            raise CommandRejected("numbers are positive")
        if command.number == 13:
            self.asked += 1
            return [Added(self.asked)]
        if command.number == 99:
            return [Halved()]
        return [Added(command.number)] if command.number else []

    def apply(self, event: Added | Halved) -> None:
        self.total = self.total // 2 if isinstance(event, Halved) else self.total + event.number

    def outlook(self, events: Sequence[Added | Halved] = (), now: float = 0.0) -> Outlook[Add]:
        if self.total == 77:
            return Outlook(Add(0))
        return Outlook(Add(99) if self.total > 10 or self.total == -1 else None)


def failure(scenario: object, *expected: object) -> str:
    with pytest.raises(AssertionError) as caught:
        scenario.then(*expected)  # type: ignore[attr-defined]
    return str(caught.value)


def test_events_and_commands_make_the_history() -> None:
    scenario = given(Sum, Added(1), Add(2)).when(Add(3)).then(Added(3))
    assert scenario.handler.total == 6
    assert scenario.history == [Added(1), Added(2), Added(3)]


def test_it_begins_from_a_handler_too() -> None:
    handler = Sum()
    assert given(handler, Added(5)).handler is handler


def test_a_class_stands_for_any_event_of_it() -> None:
    given(Sum).when(Add(3)).then(Added)


def test_nothing_happens() -> None:
    given(Sum).when(Add(0)).then_nothing()


def test_a_command_is_rejected() -> None:
    given(Sum).when(Add(-1)).then_rejected("posi.ive").when(Add(1)).then(Added(1))


def test_what_follows_is_added() -> None:
    given(Sum, Added(9)).when(Add(40)).follow_up().then(Added(40), Halved(), Halved(), Halved())


def test_other_events_are_shown_side_by_side() -> None:
    text = failure(given(Sum).when(Add(3)), Added(3), Added, Halved())
    assert text.splitlines() == [
        "other events than expected",
        "    Added(number=3)",
        "  - any Added",
        "  - Halved()",
    ]
    assert "  - Added(number=4)\n  + Added(number=3)" in failure(given(Sum).when(Add(3)), Added(4))


def test_an_unexpected_rejection_fails() -> None:
    assert "rejected: CommandRejected: numbers" in failure(given(Sum).when(Add(-1)), Added(1))
    with pytest.raises(AssertionError, match="rejected"):
        given(Sum).when(Add(-1)).when(Add(1))
    with pytest.raises(AssertionError, match="rejected"):
        given(Sum, Add(-1))


def test_a_missing_or_another_rejection_fails() -> None:
    with pytest.raises(AssertionError, match=r"not rejected; it gave\n    Added\(number=1\)"):
        given(Sum).when(Add(1)).then_rejected()
    with pytest.raises(AssertionError, match="expected CommandRejected with 'zero'"):
        given(Sum).when(Add(-1)).then_rejected("zero")
    with pytest.raises(AssertionError, match="expected NotFound"):
        given(Sum).when(Add(-1)).then_rejected("", NotFound)


def test_a_decision_that_changes_the_handler_fails() -> None:
    with pytest.raises(AssertionError, match="not pure"):
        given(Sum).when(Add(13))


def test_a_handler_that_never_comes_to_rest_fails() -> None:
    with pytest.raises(AssertionError, match="produced no events"):
        given(Sum, Added(77)).follow_up()
    with pytest.raises(AssertionError, match="not at rest"):
        given(Sum, Added(-1)).follow_up()
