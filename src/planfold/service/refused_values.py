"""What is wrong with a value of a request, in words: msgspec shows a pattern, and of a word that is
not one of a few it does not say which those are."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from planfold.choices import fault_and_place
from planfold.planner.tasks import PlanStatus
from planfold.projects import PATTERN as PROJECT
from planfold.service.messages import PLAN_ID, STATUSES, TAGS
from planfold.service.schedule_messages import NAME
from planfold.tags import PATTERN as TAG

_PATTERN: Final = re.compile(
    r"Expected `str` matching regex '(.*)'(?: - at `\$\.?(.*)`)?", re.DOTALL
)
_TAG_WORDS: Final = "up to 50 letters, digits and . _ : / = -"
_WORDS: Final = {
    STATUSES: f"one or more, with commas between, of {', '.join(s.value for s in PlanStatus)}",
    TAGS: f"tags with commas between, each of {_TAG_WORDS}",
    TAG: f"a tag of {_TAG_WORDS}",
    PROJECT: "a project: up to 100 letters, digits and . _ -",
    PLAN_ID: "an id: up to 100 letters, digits and . _ : - (first a letter or a digit)",
    NAME: "a name: up to 40 letters, digits and . _ - (first a letter or a digit)",
}


def refused_value(fault: msgspec.ValidationError, kind: type[msgspec.Struct]) -> str:
    """What is wrong with a value that is not of this ``kind``, and where."""
    if (found := _PATTERN.fullmatch(str(fault))) and (words := _WORDS.get(found[1])):
        return f"{found[2] or 'the value'} must be {words}"
    said, place = fault_and_place(fault, kind)
    return f"{said} - at `$.{place}`" if place else said
