"""Regular expressions that are compiled when they are first used."""

from __future__ import annotations

import re

import pytest

from planfold.patterns import pattern


def test_a_pattern_matches_as_a_compiled_one_does() -> None:
    found = pattern(r"(\w+)-(?P<number>\d+)", re.ASCII)
    assert found.pattern == r"(\w+)-(?P<number>\d+)"
    assert found.flags == re.compile(found.pattern, re.ASCII).flags
    for _ in range(2):
        match = found.fullmatch("plan-17")
        assert match is not None
        assert match["number"] == "17"
        assert found.sub("x", "a-1 b-2") == "x x"
        assert found.search("näh-3") is not None
        assert found.fullmatch("näh-3") is None


def test_it_is_compiled_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = re.compile

    def compile_it(text: str, flags: int = 0) -> re.Pattern[str]:
        compiled.append(text)
        return real(text, flags)

    monkeypatch.setattr(re, "compile", compile_it)
    found = pattern("a+")
    assert compiled == []
    assert found.match("aa")
    assert found.match("aaa")
    assert compiled == ["a+"]


def test_a_wrong_pattern_says_so_when_it_is_used() -> None:
    wrong = pattern("(")
    with pytest.raises(re.error):
        wrong.match("")
    with pytest.raises(AttributeError):
        _ = pattern("a").unknown  # type: ignore[attr-defined]
