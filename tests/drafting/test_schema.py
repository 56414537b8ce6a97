"""The published schema accepts what the compiler accepts, and says what every field means."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.files import parse_json
from planfold.drafting.schema import DESCRIPTIONS, plan_schema
from planfold.tools.tool import Tool, Toolbox

SAMPLE: dict[str, Any] = {
    "title": "...",
    "tasks": [
        {
            "id": 1,
            "label": "build",
            "description": "...",
            "kind": "tool_call",
            "tool": "shell",
            "arguments": {"argv": ["sleep", "0.1"]},
            "depends_on": [],
            "effect": "safe",
            "retry": {"attempts": 3},
            "timeout": 30,
            "route": None,
        }
    ],
}


def test_descriptions_hold_no_python() -> None:
    assert "Example:" not in json.dumps(plan_schema())


def test_the_schema_is_valid_and_takes_the_sample() -> None:
    assert jsonschema_rs.meta.is_valid(plan_schema())
    validator = jsonschema_rs.Draft202012Validator(plan_schema())
    assert list(validator.iter_errors(SAMPLE)) == []


def test_the_compiler_takes_the_sample() -> None:
    (spec,) = compile_plan(parse_json(json.dumps(SAMPLE)), Toolbox([Tool(name="shell")]))
    assert (spec.id, spec.label, spec.timeout, spec.retry.attempts) == (1, "build", 30.0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"id": 0},
        {"id": 2**31},
        {"label": "1"},
        {"description": ""},
        {"kind": "tool"},
        {"timeout": 0},
        {"retry": {"attempts": 101}},
        {"retry": {"tries": 1}},
        {"effect": "unsafe"},
        {"depends_on": [1.5]},
        {"attachments": [{"type": "movie"}]},
        {"nope": 1},
    ],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    plan = SAMPLE | {"tasks": [SAMPLE["tasks"][0] | change]}
    assert not jsonschema_rs.Draft202012Validator(plan_schema()).is_valid(plan)


def test_every_field_has_a_description() -> None:
    definitions = plan_schema()["$defs"]
    assert DESCRIPTIONS.keys() <= definitions.keys()
    for name, definition in definitions.items():
        for field, schema in definition.get("properties", {}).items():
            assert field == "type" or schema["description"], (name, field)
