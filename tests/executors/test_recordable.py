from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from typing import Any

import msgspec
import pytest

from planfold.errors import Permanent
from planfold.executors.recordable import as_text, recordable


@dataclasses.dataclass
class Point:
    x: int
    note: str | None = None


class Shape(msgspec.Struct):
    points: list[Point]


class Colour(enum.Enum):
    Red = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (False, False),
        (0, 0),
        (2**70, 2**70),
        ("nul\0", "nul\0"),
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        (Shape([Point(1)]), {"points": [{"x": 1, "note": None}]}),
        ([Colour.Red], ["red"]),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"null": "null", "f": 1.5}, {"null": "null", "f": 1.5}),
    ],
)
def test_becomes_plain_json(value: Any, expected: Any) -> None:
    assert recordable(value, "it") == expected


def holds_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "NaN or infinity"),
        ({"a": [1, float("-inf")]}, "NaN or infinity"),
        (Point(float("nan")), "NaN or infinity"),  # type: ignore[arg-type]
        ("a\ud800", r"lone surrogate \(U\+D800\)"),
        ({"\udfff": 1}, "lone surrogate"),
        (object(), "type object is unsupported"),
        ({(1, 2): 3}, "is not JSON"),
        (holds_itself(), "too deeply or contains itself"),
        ("x" * 101, "too large: 103 bytes of JSON, limit 100"),
    ],
)
def test_what_is_not_json_is_named(value: Any, message: str) -> None:
    with pytest.raises(Permanent, match=f"the result.*{message}"):
        recordable(value, "the result", 100)


def test_as_text_survives_anything() -> None:
    class Bad(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert as_text("a\ud800") == "a\\ud800"
    assert as_text(Bad()) == "<Bad that cannot be printed>"
