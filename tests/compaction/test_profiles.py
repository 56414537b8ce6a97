"""Profiles: what is worth keeping, and own ones from files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.compaction.extracts import pick_lines, shorten
from planfold.compaction.profiles import (
    ANALYSIS,
    CODING,
    PROFILES,
    Profile,
    find_profile,
    load_profile,
)
from planfold.compaction.truncation import GAP
from planfold.errors import ConfigurationError

OWN = """
name = "billing"
keep = ["numbers", "decisions"]
words = ["INV-"]
instructions = "Keep every amount."
"""


@pytest.mark.parametrize(
    ("profile", "more", "less"),
    [
        (CODING, "KeyError: 'price'", "we decided to use tar"),
        (CODING, "we decided to use tar", "src/shop/orders.py:17"),
        (CODING, "src/shop/orders.py:17", "$ make test"),
        (CODING, "$ make test", "see load_orders"),
        (CODING, "see load_orders", "https://example.com"),
        (CODING, "https://example.com", "good morning"),
        (ANALYSIS, "they concluded that it fell", "it fell by 7 %"),
        (ANALYSIS, "it fell by 7 %", '"we will never sell the house"'),
        (ANALYSIS, '"we will never sell the house"', "https://example.com"),
        (ANALYSIS, "https://example.com", "good morning"),
    ],
)
def test_what_weighs_more(profile: Profile, more: str, less: str) -> None:
    assert profile.weight(more) > profile.weight(less)


def test_an_own_profile_is_loaded_and_found() -> None:
    own = load_profile(OWN, "billing.toml")
    assert own == Profile("billing", ("numbers", "decisions"), ("INV-",), "Keep every amount.")
    assert own.weight("INV- is open") > own.weight("7") > own.weight("it was agreed") > 0
    assert own.weight("good morning") == 0
    assert find_profile("billing", own) is own
    assert find_profile("analysis", own) is ANALYSIS
    with pytest.raises(ConfigurationError, match=r"'billings'.*coding, analysis.*\.toml"):
        find_profile("billings", own)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name = ", "p.toml: "),
        ('name = "a"\nkeep = ["prices"]', "p.toml: .*'prices'.*kinds of facts"),
        ('name = "a"\nkepp = []', "p.toml: .*kepp"),
        ("keep = []", "p.toml: .*name"),
        ('name = "coding"', "p.toml: name must be a name of its own"),
        ('name = " "', "p.toml: name must be"),
        ('name = "a"\nwords = ["", "b"]', "p.toml: words must not be empty"),
        (f'name = "a"\ninstructions = "{"x" * 5_000}"', "p.toml: instructions is 5000 long"),
        (f'name = "a"\nwords = {["w"] * 101}', "p.toml: words is 101 long"),
        ("a = " + "[" * 5_000, "p.toml: "),
    ],
)
def test_a_wrong_profile_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){complaint}"):
        load_profile(text, "p.toml")


@given(st.lists(st.text(max_size=400), max_size=30), st.integers(-5, 900))
def test_picked_lines_fit_and_stand_in_their_order(lines: list[str], room: int) -> None:
    picked = pick_lines(lines, room, CODING.weight)
    assert sum(len(line) + 1 for line in picked) <= max(room, 0)
    assert len(set(picked)) == len(picked)


@given(st.text(max_size=3_000), st.integers(-5, 900), st.sampled_from(list(PROFILES.values())))
def test_shortened_text_fits(text: str, limit: int, profile: Profile) -> None:
    short = shorten(text, limit, profile)
    assert len(short) <= max(limit, 0) or short == text
    assert short == shorten(short, limit, profile)


def test_text_keeps_its_ends_and_what_matters() -> None:
    text = "the head\n" + "hum\n" * 900 + "src/a.py:17 is it\n" + "hum\n" * 900 + "the tail"
    short = shorten(text, 200, CODING)
    assert short.split("\n")[0] == "the head"
    assert "src/a.py:17 is it" in short
    assert short.split("\n")[-1] == "the tail"
    assert GAP in short
