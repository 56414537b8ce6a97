"""``planfold log`` and the page have words for every event."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import get_args

import pytest

from planfold.cli.event_text import run_words, words_for
from planfold.eventstore.envelope import Envelope
from planfold.handler import Metadata
from planfold.planner.events import ClarificationRequested, Event, TaskStatusUpdated
from planfold.planner.tasks import TaskStatus

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests/golden/record.py"
EVENTS = {type(event): event for event in runpy.run_path(str(RECORD))["tell_story"]().history}


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: type(event).__name__)
def test_an_event_has_words(event: object) -> None:
    assert words_for(event).verb != type(event).__name__, "add them to cli/event_text.py"


def test_the_page_has_words_for_every_event() -> None:
    words = (ROOT / "src/planfold/service/page/event_words.js").read_text(encoding="utf-8")
    names = [each.__name__ for each in get_args(Event)]
    assert [name for name in names if f"  {name}: (" not in words] == []


@pytest.mark.parametrize(
    ("event", "began"),
    [
        (TaskStatusUpdated(1, TaskStatus.Completed), True),
        (TaskStatusUpdated(1, TaskStatus.Cancelled, error="cancelled before it began"), False),
        (ClarificationRequested(1, "Which?", then="input"), True),
        (ClarificationRequested(1, "Done?", then="outcome", started_at=5.0), False),
        (ClarificationRequested(1, "Done?", then="outcome", started_at=5.0, ended=True), True),
    ],
)
def test_an_attempt_that_never_began_has_no_time(event: object, began: bool) -> None:
    name, said = type(event).__name__, Metadata(began_at=9.0)
    envelope = Envelope(1, "plan", "p", 1, name, 1, event, said, 9.5)
    assert run_words(envelope).startswith("began ") is began
