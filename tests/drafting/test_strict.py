"""The schema that a model's plan is held to: no call that its tool does not take can be written."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planfold.drafting.model.answer import answer_form
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.model.strict import (
    REFERENCE,
    Inexpressible,
    over_limit,
    own_arguments,
    strict_parameters,
)
from planfold.executors.files.tools import EDIT_FILE, LIST_FILES, READ_FILE, WRITE_FILE
from planfold.executors.http import HTTP
from planfold.executors.shell import SHELL
from planfold.planner.tasks import Effect
from planfold.tools.tool import Tool, Toolbox

LETTERS = "abcXYZ019 .,:;/-_\n\"'{}[]ü"
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
INT = {"type": "integer"}


def instances(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a decoder that is held to a strict schema can write, references left aside."""
    if "anyOf" in schema:
        return st.one_of([instances(each) for each in schema["anyOf"] if each != REFERENCE])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"]
    if kind == "object":
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
        fields = {name: instances(inner) for name, inner in schema["properties"].items()}
        return st.fixed_dictionaries(fields)
    if kind == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        is_map = list(schema["items"].get("properties", {})) == ["name", "value"]
        once = (lambda pair: pair["name"]) if is_map else None  # which no schema can say
        items = instances(schema["items"])
        return st.lists(items, min_size=least, max_size=max(least, most), unique_by=once)
    if kind == "string" and "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    if kind == "string":
        least, most = schema.get("minLength", 0), min(schema.get("maxLength", 8), 8)
        return st.text(LETTERS, min_size=least, max_size=max(least, most))
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", -50), schema.get("maximum", 50)
        low = schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else low
        numbers = st.integers(int(low), int(high))
        return numbers if kind == "integer" else numbers | numbers.map(float)
    return st.booleans() if kind == "boolean" else st.none()


def takes(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


# As servers describe their tools.
EXPRESSIBLE: dict[str, dict[str, Any]] = {
    "no arguments": takes(),
    "open": takes(path=TEXT) | {"required": ["path"]},
    "optional": takes(path=TEXT, limit={"type": "integer", "minimum": 1}, deep={"type": "boolean"}),
    "nullable": takes(a={"type": ["string", "null"]}, b={"anyOf": [TEXT, {"type": "null"}]}),
    "needed and nullable": takes(a={"type": ["integer", "null"]}) | {"required": ["a"]},
    "constants": takes(mode={"enum": ["r", "w"], "default": "r"}, v={"const": 2}, n={"enum": [1]}),
    "list": takes(ids={"type": "array", "items": {"type": "integer"}, "minItems": 1}),
    "map": takes(headers={"type": "object", "additionalProperties": TEXT}),
    "map of lists": takes(m={"type": "object", "additionalProperties": TEXTS}),
    "nested": takes(filter=takes(after=TEXT, tags={"type": "array", "items": takes(name=TEXT)})),
    "definition": takes(who={"$ref": "#/$defs/Who"}) | {"$defs": {"Who": takes(n=TEXT, age=INT)}},
    "map of objects": takes(m={"type": "object", "additionalProperties": takes(n=TEXT, age=INT)}),
    "union": takes(v={"oneOf": [TEXT, {"type": "integer"}, {"type": "array", "items": TEXT}]}),
    "either": {
        **takes(a=TEXT, b={"type": "integer"}, c=TEXT),
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "additionalProperties": False,
    },
    "any of": {**takes(a=TEXT, b=TEXT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "format": takes(when={"type": "string", "format": "date"}) | {"required": ["when"]},
}  # fmt: skip
INEXPRESSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "anything": ({"type": "object"}, "the arguments have no fixed names"),
    "empty": ({}, "the arguments have no fixed names"),
    "any value": (takes(body={}), "arguments.body may be anything"),
    "true": (takes(body=True), "arguments.body may be anything"),
    "bare list": (takes(rows={"type": "array"}), "arguments.rows may hold anything"),
    "open object": (takes(o={"type": "object"}), "arguments.o.* may be anything"),
    "all of": (takes(o={"allOf": [TEXT]}), "arguments.o has allOf"),
    "if": (takes(a=TEXT) | {"if": {}}, "arguments has if"),
    "unknown name": (takes() | {"required": ["x"]}, "arguments.x is required, but has no form"),
    "recursive": (
        takes(t={"$ref": "#/$defs/T"}) | {"$defs": {"T": takes(of={"$ref": "#/$defs/T"})}},
        "arguments.t" + ".of" * 12 + " holds itself",
    ),
    "foreign": (takes(t={"$ref": "https://e.org/x"}), "arguments.t may be anything"),
    "two objects": (
        takes(v={"anyOf": [takes(a=TEXT), takes(b=TEXT)]}),
        "arguments.v is one of several objects or lists",
    ),
}


WRITTEN = {name: instances(strict_parameters(each)) for name, each in EXPRESSIBLE.items()}


@pytest.mark.parametrize("name", EXPRESSIBLE)
@settings(max_examples=settings().max_examples // 5)
@given(data=st.data())
def test_what_the_strict_form_allows_the_tool_takes(name: str, data: st.DataObject) -> None:
    parameters = EXPRESSIBLE[name]
    strict = strict_parameters(parameters)
    jsonschema_rs.meta.validate(strict)
    written = data.draw(WRITTEN[name])
    assert jsonschema_rs.Draft202012Validator(strict).is_valid(written)
    own = own_arguments(written, parameters)
    if name != "format":  # what the generator writes is not a date
        jsonschema_rs.Draft202012Validator(parameters).validate(own)
    assert own_arguments(own, parameters) == own


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_has_no_fixed_form_is_said(name: str) -> None:
    parameters, why = INEXPRESSIBLE[name]
    with pytest.raises(Inexpressible) as fault:
        strict_parameters(parameters)
    assert str(fault.value) == why
    tool = Tool(name="odd", parameters=parameters)
    form = answer_form(Toolbox([tool, READ_FILE]))
    assert form.notes == (f"The arguments of odd are not held to its schema: {why}",)
    arguments = call_of(form.schema, "odd")["properties"]["arguments"]
    assert arguments["type"] == "string"


def call_of(schema: dict[str, Any], tool: str) -> dict[str, Any]:
    alternatives = schema["properties"]["tasks"]["items"]["anyOf"]
    return next(a for a in alternatives if a["properties"].get("tool", {}).get("const") == tool)


@pytest.mark.parametrize(
    ("parameters", "written", "own"),
    [
        (takes(a=TEXT, b=TEXT), {"a": "x", "b": None}, {"a": "x"}),
        (takes(a={"type": ["string", "null"]}), {"a": None}, {}),
        (takes(a={"type": ["string", "null"]}) | {"required": ["a"]}, {"a": None}, {"a": None}),
        (takes(a=TEXT), {"b": None}, {"b": None}),  # the compiler says that there is no b
        (EXPRESSIBLE["map"], {"headers": [{"name": "A", "value": "1"}]}, {"headers": {"A": "1"}}),
        (EXPRESSIBLE["map"], {"headers": {"A": "1"}}, {"headers": {"A": "1"}}),
        (EXPRESSIBLE["map"], {"headers": []}, {"headers": {}}),
        (takes(a=TEXT), '{"a": "x", "b": null}', {"a": "x", "b": None}),
        (takes(a=TEXT), "a: x", "a: x"),
        (EXPRESSIBLE["nested"], {"filter": {"tags": [{"name": None}]}}, {"filter": {"tags": [{}]}}),
        (EXPRESSIBLE["definition"], {"who": {"n": "A", "age": None}}, {"who": {"n": "A"}}),
        ({"type": "object"}, {"a": None}, {"a": None}),
    ],
)
def test_arguments_are_read_back(parameters: dict[str, Any], written: Any, own: Any) -> None:
    assert own_arguments(written, parameters) == own


def test_a_name_twice_in_a_map_stays_a_fault() -> None:
    pairs = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    assert own_arguments({"headers": pairs}, EXPRESSIBLE["map"]) == {"headers": pairs}


def test_references_may_stand_for_what_is_needed_or_a_list() -> None:
    parameters = takes(n=INT, m=INT, s=TEXT, l=TEXTS, own=TEXTS) | {"required": ["n"]}
    valid = jsonschema_rs.Draft202012Validator(strict_parameters(parameters, literal=["own"]))
    rest = {"m": None, "s": None, "l": None, "own": None}
    for reference in ("$page", "$3.json.items[0]", "$a-b[12]"):
        assert valid.is_valid(rest | {"n": reference, "s": reference, "l": reference})
        assert not valid.is_valid(rest | {"n": 1, "m": reference})
        assert not valid.is_valid(rest | {"n": 1, "own": reference})
    assert not valid.is_valid(rest | {"n": "5"})
    assert not valid.is_valid(rest | {"n": None})


TOOLS = Toolbox(
    [
        SHELL, HTTP, READ_FILE, LIST_FILES, WRITE_FILE, EDIT_FILE,
        Tool(name="get_time", effect=Effect.Safe, parameters=takes()),
        Tool(name="anything"),
        *(Tool(name=f"server__{n}", parameters=p) for n, p in enumerate(EXPRESSIBLE.values())),
    ]
)  # fmt: skip


TASK = instances(answer_form(TOOLS).schema["properties"]["tasks"]["items"])


@given(task=TASK)
def test_a_decoder_that_is_held_to_the_schema_writes_no_invalid_call(task: dict[str, Any]) -> None:
    if task.get("tool") == "anything":
        task["arguments"] = '{"any": ["thing"]}'
    task |= {"label": "a", "depends_on": []}
    if not task["description"].strip() or task.get("choices"):
        task |= {"description": "x"} | (
            {"choices": [], "default": None} if "choices" in task else {}
        )
    if "at" in task:
        task["at"] = "2026-12-01T09:00Z"
    task |= {
        "when": None,
        "run_if": "completed",
        "for_each": None,
    }  # no schema can say what they go with
    if "undo" in task:
        task["undo"] = ""
    if task.get("tool") == "shell":  # what no schema can say: a NUL, or a dollar that is none
        assert "argv" in task["arguments"] or "script" in task["arguments"]
    candidates = Candidates(TOOLS)
    accepted = candidates.offer(task)
    _, faults = candidates.end_round()
    assert not faults
    assert len(accepted) == 1


def test_alternatives_differ_in_their_first_field_or_its_value() -> None:
    schema = answer_form(TOOLS).schema
    alternatives = schema["properties"]["tasks"]["items"]["anyOf"]
    firsts = [next(iter(a["properties"].items())) for a in alternatives]
    assert len({(name, first.get("const")) for name, first in firsts}) == len(TOOLS) + 5
    jsonschema_rs.meta.validate(schema)
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        (
            [Tool(name=f"t{i}", parameters=takes(a=TEXT)) for i in range(990)],
            "it would have 6,9",
        ),
        ([Tool(name=f"{i:_>180}", parameters=takes(a=TEXT)) for i in range(400)], "characters"),
    ],
)
def test_beyond_the_limits_the_schema_is_plain(tools: list[Tool], why: str) -> None:
    form = answer_form(Toolbox(tools))
    assert "anyOf" not in form.schema["properties"]["tasks"]["items"]
    assert len(form.notes) == 1
    assert form.notes[0].startswith("The schema of the plan is not strict: ")


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        (takes(a={"enum": [f"v{i}" for i in range(1_001)]}), "1,001 constants"),
        (takes(a={"enum": [f"{i:0>99}" for i in range(251)]}), "an enum of 251 values"),
        (takes(**{f"a{i}": TEXT for i in range(5_001)}), "5,001 properties"),
    ],
)
def test_a_tool_beyond_the_limits_takes_its_arguments_as_text(
    parameters: dict[str, Any], why: str
) -> None:
    assert why in over_limit(strict_parameters(parameters))
    form = answer_form(Toolbox([Tool(name="huge", parameters=parameters), READ_FILE]))
    assert len(form.notes) == 1
    assert why in form.notes[0]
    assert call_of(form.schema, "huge")["properties"]["arguments"]["type"] == "string"
    assert call_of(form.schema, "read_file")["properties"]["arguments"]["type"] == "object"


def test_too_many_levels_are_noticed() -> None:
    deep: dict[str, Any] = TEXT
    for _ in range(9):
        deep = takes(a=deep)
    assert not over_limit(strict_parameters(deep))
    form = answer_form(Toolbox([Tool(name="deep", parameters=deep)]))
    assert "levels of objects" in form.notes[0]
