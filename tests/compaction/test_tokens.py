"""The token estimate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.compaction.tokens import CHARS_PER_TOKEN, estimate_tokens

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "tokens"), [(None, 0), ("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ({"a": 1}, 2)]
)
def test_four_characters_are_a_token(value: Any, tokens: int) -> None:
    assert estimate_tokens(value) == tokens


@given(json_values)
def test_it_is_never_negative_and_the_same_every_time(value: Any) -> None:
    assert estimate_tokens(value) == estimate_tokens(value) >= 0


@given(st.text(), st.text())
def test_text_costs_what_its_parts_cost(a: str, b: str) -> None:
    both = estimate_tokens(a + b)
    assert both <= estimate_tokens(a) + estimate_tokens(b) <= both + 1
    assert both * CHARS_PER_TOKEN >= len(a + b)
