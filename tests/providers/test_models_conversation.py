"""What is done to schemas and to answers on their way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pydantic_ai", reason="needs the extra llm")

from planfold.providers.conversation import is_closed, json_in, opened

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
WORDS = st.text(alphabet="abc .:`\n", max_size=20)
NAMES = st.sampled_from(["a", "title", "default", "type", "properties", "items", "required"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "additionalProperties": st.booleans(),
            "$defs": st.dictionaries(NAMES, inner, max_size=2),
        },
    )


SCHEMAS = st.recursive(
    st.sampled_from([{}, {"type": "string"}, {"enum": ["x"]}, {"type": ["object", "null"]}]),
    lambda inner: (
        objects(inner)
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), VALUES) | st.lists(VALUES), WORDS, WORDS)
def test_json_is_found_between_words(value: Any, before: str, after: str) -> None:
    assert json.loads(json_in(before + json.dumps(value) + after)) == value


@pytest.mark.parametrize("text", ["", "no json", "{broken", "}{", '{"a": 1', "```json\n{\n```"])
def test_what_is_no_json_stays(text: str) -> None:
    assert json_in(text) == text


@given(SCHEMAS)
def test_opening_a_schema_says_what_it_says_already(schema: Any) -> None:
    before = json.dumps(schema)
    now = opened(schema)
    assert json.dumps(schema) == before, "it is a copy"
    assert opened(now) == now
    assert is_closed(now) == is_closed(schema)


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        ({"type": "string"}, True),
        ({}, False),
        ({"type": "object"}, False),
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [{"type": "null"}, {"type": "object"}]}, False),
        ({"type": ["object", "null"]}, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}, False),
    ],
)
def test_closed_schemas(schema: Any, closed: bool) -> None:
    assert is_closed(schema) is closed


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = {"type": "object", "properties": {"default": {"type": "object"}}}
    assert opened(schema)["properties"]["default"]["additionalProperties"] is True
