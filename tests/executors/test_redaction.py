"""Redaction: every form a value comes back in, in whatever pieces."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.executors.guard.redaction import Redactor

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


@given(
    st.lists(st.sampled_from([b"canary-one", b"canary", b"-", b"o", b"can", b"x" * 40])), st.data()
)
def test_pieces_do_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    redactor = Redactor([("A", "canary-one"), ("B", "o-canary-")])
    stream, out, rest = redactor.stream(), b"", whole
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        out += stream.feed(rest[:size])
        rest = rest[size:]
    out += stream.end()
    assert b"canary-one" not in out
    assert b"o-canary-" not in out
    assert out.count(b"x" * 40) == whole.count(b"x" * 40)
    if b"canary-one" not in whole and b"o-canary-" not in whole:
        assert out == whole
