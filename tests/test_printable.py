"""Text from models, tools and plans must not steer a terminal."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größer 日本", "größer 日本"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("one\ntwo\r", r"one\ntwo\r"),
        ("txt\u202egpj", r"txt\u202egpj"),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_what_is_to_be_kept_is_kept() -> None:
    assert printable("a\u200db\n\t", keep="\u200d\n") == "a\u200db\n\\t"


def test_the_escape_can_be_chosen() -> None:
    assert printable("a\x1b", escape=lambda character: f"<{ord(character)}>") == "a<27>"


@given(st.text())
def test_nothing_is_lost(text: str) -> None:
    shown = printable(text.replace("\\", "/"))
    assert shown.isprintable()
    assert ast.literal_eval('"' + shown.replace('"', '\\"') + '"') == text.replace("\\", "/")
