"""Gold plans by others: NESTFUL's sequences of nested calls compile as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.errors import InvalidPlan
from planfold.tools.tool import Tool, Toolbox


def typed_tools(specs: list[Any]) -> list[Tool]:
    """A tool per name; where two specs share a name, an argument may have either's type."""
    types: dict[str, dict[str, set[str]]] = {}
    for spec in specs:
        arguments = types.setdefault(spec["name"], {})
        parameters = spec.get("query_parameters") or spec.get("parameters") or {}
        for name, parameter in parameters.items():
            arguments.setdefault(name, set()).add(parameter["type"])
    return [
        Tool(
            name=name,
            parameters={
                "type": "object",
                "properties": {key: {"type": sorted(kinds)} for key, kinds in arguments.items()},
                "additionalProperties": False,
            },
        )
        for name, arguments in types.items()
    ]


def converted(value: Any) -> Any:
    """``$var1.field$`` as ``$var1.field``; every other dollar stays one."""
    if isinstance(value, dict):
        return {key: converted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [converted(item) for item in value]
    if not isinstance(value, str):
        return value
    parts = re.split(r"\$(var\d+(?:\.\w+|\[\d+\])*)\$", value)
    return "".join(
        f"${part}" if number % 2 else part.replace("$", "$$") for number, part in enumerate(parts)
    )


def calls_of(request: Any) -> list[Any]:
    return [call for call in request["output"] if call["name"] != "var_result"]


def draft_of(request: Any) -> PlanDraft:
    tasks = [
        TaskDraft(
            description=call["name"],
            label=call["label"],
            tool=call["name"],
            arguments=converted(call["arguments"]),
        )
        for call in calls_of(request)
    ]
    return PlanDraft(tasks=tasks, goal=request["input"])


@pytest.fixture(scope="module")
def requests(data_sets: Path) -> list[Any]:
    found: list[Any] = json.loads((data_sets / "nestful_glaive.json").read_text())
    return found


@pytest.fixture(scope="module")
def specs(data_sets: Path) -> list[Any]:
    found: list[Any] = json.loads((data_sets / "nestful_glaive_tools.json").read_text())
    return found


def test_gold_sequences_compile_with_the_edges_of_their_references(
    requests: list[Any], specs: list[Any]
) -> None:
    # A few calls name tools that have no spec, or pass other types than the spec asks for.
    names = {spec["name"] for spec in specs} | {
        call["name"] for request in requests for call in calls_of(request)
    }
    tools = Toolbox(Tool(name=name) for name in names)
    edges = 0
    for request in requests:
        place = {call["label"]: n for n, call in enumerate(calls_of(request), start=1)}
        if len(place) < len(calls_of(request)):
            with pytest.raises(InvalidPlan, match="also the label of another task"):
                compile_plan(draft_of(request), tools)
            continue
        compiled = compile_plan(draft_of(request), tools)
        for spec, call in zip(compiled, calls_of(request), strict=True):
            named = re.findall(r"\$(var\d+)[.\[$]", json.dumps(call["arguments"]))
            assert spec.depends_on == tuple(sorted({place[label] for label in named}))
            edges += len(spec.depends_on)
    assert edges > len(requests) / 2, "is the data what it was?"


def test_with_typed_tools_only_the_slips_of_the_data_are_faults(
    requests: list[Any], specs: list[Any]
) -> None:
    tools = Toolbox(typed_tools(specs))
    passed, fields = 0, set()
    for request in requests:
        try:
            compile_plan(draft_of(request), tools)
            passed += 1
        except InvalidPlan as error:
            fields |= {str(fault.field).partition(".")[0] for fault in error.faults}
    least = 0.7 if len(requests) > 100 else 0.4  # the sample has one request for each kind of slip
    assert passed > len(requests) * least
    assert fields <= {"tool", "label", "arguments"}
