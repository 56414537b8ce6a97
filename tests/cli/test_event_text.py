"""``planfold log`` has words for every event."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from planfold.cli.event_text import words_for

RECORD = Path(__file__).resolve().parents[1] / "golden" / "record.py"
EVENTS = {type(event): event for event in runpy.run_path(str(RECORD))["tell_story"]().history}


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: type(event).__name__)
def test_an_event_has_words(event: object) -> None:
    assert words_for(event).verb != type(event).__name__, "add them to cli/event_text.py"
