"""The marks around untrusted text."""

from __future__ import annotations

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from planfold.llm.untrusted_text import fenced

FENCED = re.compile(r"<data ([0-9a-f]{32})>\n(.*)\n</data \1>", re.DOTALL)


@given(st.text())
def test_the_text_is_between_two_marks_of_128_bits(text: str) -> None:
    found = FENCED.fullmatch(fenced(text))
    assert found is not None
    assert found[2] == text
    assert found[1] not in text
    assert fenced(text) == found[0]


def test_a_lone_surrogate_has_a_mark_too() -> None:
    assert FENCED.fullmatch(fenced("\ud800"))


def test_the_mark_depends_on_the_text_and_on_the_key() -> None:
    keys = (b"a", b"b")
    marks = {fenced(text, key=key).split("\n")[0] for text in ("x", "y") for key in keys}
    assert len(marks) == 4


def test_who_knows_the_program_does_not_know_the_marks_of_a_process() -> None:
    code = "from planfold.llm.untrusted_text import fenced; print(fenced('x'))"
    others = {subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2)}
    assert len({*others, fenced("x") + "\n"}) == 3
