"""Redaction: every form a value comes back in, in any pieces."""

from __future__ import annotations

import base64
import itertools
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.tools.redaction import Redactor

VALUE = 'pa"ss/w&rd+ü \\=%'
FORMS: list[Callable[[str], str]] = [
    lambda v: v,
    lambda v: json.dumps(v),
    lambda v: json.dumps(v, ensure_ascii=False),
    lambda v: json.dumps(json.dumps({"a": v})),
    lambda v: json.dumps(v).replace("/", "\\/"),
    repr,
    lambda v: urllib.parse.quote(v),
    lambda v: urllib.parse.quote(v, safe=""),
    lambda v: urllib.parse.quote_plus(v),
    lambda v: urllib.parse.quote(v, safe="").lower() if v.islower() else v,
    lambda v: v.encode().hex(),
    lambda v: v.encode().hex().upper(),
    lambda v: base64.b64encode(v.encode()).decode(),
    lambda v: base64.b64encode(b"u:" + v.encode()).decode(),
    lambda v: base64.b64encode(b"user:" + v.encode() + b"!").decode(),
    lambda v: base64.b64encode(b"usr:" + v.encode() + b"??").decode(),
    lambda v: base64.urlsafe_b64encode(b"a" + v.encode()).decode(),
]


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: Callable[[str], str]) -> None:
    for value in (VALUE, "plainsecret123", "zürich-geheim"):
        text = f"before {form(value)} after"
        clean = Redactor([("TOKEN", value)]).text(text)
        assert "[secret TOKEN]" in clean
        assert form(value) not in clean
        assert clean.startswith("before ")
        assert clean.endswith(" after")


def test_a_value_of_several_lines() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nshort\nQIBADANBgkqhkiG9w0BAQEFA\n"
    redactor = Redactor([("KEY", key)])
    for line in key.splitlines():
        assert line not in redactor.text(f"> {line} <") or line == "short"
    assert "MIIE" not in redactor.text(json.dumps({"key": key}))


def test_a_value_within_another_one() -> None:
    redactor = Redactor([("A", "abcdef"), ("B", "xxabcdefyy")])
    assert redactor.text("1 xxabcdefyy 2 abcdef") == "1 [secret B] 2 [secret A]"


def test_trees() -> None:
    redactor = Redactor([("PIN", "12345678"), ("T", "token-value")])
    tree = {"token-value": ["token-value", 12345678, 12345679, 1.5, True, None], "n": 1}
    assert redactor.tree(tree) == {
        "[secret T]": ["[secret T]", "[secret PIN]", 12345679, 1.5, True, None],
        "n": 1,
    }


def test_nothing_to_redact() -> None:
    redactor = Redactor([])
    assert not redactor
    assert redactor.text("a") == "a"
    stream = redactor.stream()
    assert stream.feed(b"abc") + stream.end() == b"abc"


OVERLAPPING = [
    ("A", "abcabcab"),  # overlaps itself
    ("B", "bcabca"),  # within A
    ("C", "cabxyz"),  # overlaps the end of A
    ("D", "abcabcabcd"),  # begins as A does
    ("E", "xüöxüö"),  # characters of two bytes
]
REDACTOR = Redactor(OVERLAPPING)
TEXTS = st.text(st.sampled_from("abcdxyzüö€")) | st.lists(
    st.sampled_from([*(value for _, value in OVERLAPPING), "ab", "abc", "cab", "x", "ü", "-"])
).map("".join)


def streamed(redactor: Redactor, whole: bytes, cuts: list[int]) -> bytes:
    places = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    stream = redactor.stream()
    pieces = [stream.feed(whole[a:b]) for a, b in itertools.pairwise(places)]
    return b"".join([*pieces, stream.end()])


@given(TEXTS, st.lists(st.integers(0, 1_000)))
def test_a_stream_says_what_the_whole_text_says_wherever_it_is_cut(
    text: str, cuts: list[int]
) -> None:
    assert streamed(REDACTOR, text.encode(), cuts).decode() == REDACTOR.text(text)


@given(TEXTS)
def test_byte_by_byte(text: str) -> None:
    whole = text.encode()
    assert streamed(REDACTOR, whole, list(range(len(whole)))) == REDACTOR.data(whole)


@given(st.binary() | TEXTS.map(lambda text: text.encode("utf-16-le")), st.lists(st.integers(0)))
def test_a_stream_of_any_bytes(whole: bytes, cuts: list[int]) -> None:
    assert streamed(REDACTOR, whole, cuts) == REDACTOR.data(whole)


@given(TEXTS)
def test_no_character_of_a_secret_is_left(text: str) -> None:
    covered: set[int] = set()
    for _, value in OVERLAPPING:
        for start in range(len(text)):
            if text.startswith(value, start):
                covered |= set(range(start, start + len(value)))
    left = "".join(c for i, c in enumerate(text) if i not in covered)
    assert re.sub(r"\[secret [A-E]\]", "", REDACTOR.text(text)) == left


def test_occurrences_that_overlap_get_one_mark() -> None:
    assert REDACTOR.text("-abcabcabxyz-") == "-[secret A]-"
    assert REDACTOR.text("-abcabcabcd-") == "-[secret D]-"
    assert REDACTOR.text("abcabcabcabcab!") == "[secret A]!"
    assert REDACTOR.text("xüöxüö" * 2) == "[secret E]"
    assert REDACTOR.text("cabxyz" * 2) == "[secret C][secret C]"


def test_the_end_of_a_stream_that_may_be_the_beginning_of_a_secret() -> None:
    stream = REDACTOR.stream()
    assert stream.feed(b"1 cabxy") + stream.end() == b"1 cabxy"
