"""What looks like a reference and would be read as another one is a fault at planning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.reference_lint import doubtful_references
from planfold.errors import InvalidPlan
from planfold.tools.tool import Tool, Toolbox

TASKS = {"1", "build", "a-b"}


def slips(text: str) -> list[tuple[str, str]]:
    return [
        (slip.text, slip.fix) for slip in doubtful_references({"x": [text]}, TASKS.__contains__)
    ]


@pytest.mark.parametrize(
    ("text", "slip", "fix"),
    [
        (
            "get $1.field-name now",
            "$1.field-name",
            'write $1["field-name"], or $1["field"]-name if -name is text',
        ),
        (
            "$build.a.b-c-d",
            "$build.a.b-c-d",
            'write $build.a["b-c-d"], or $build.a["b"]-c-d if -c-d is text',
        ),
        ("$1.", "$1.", "add it, or remove the full stop"),
        ("$1[0", "$1[0", "write $1[0]"),
        ("$1.items[-1 x", "$1.items[-1 x", 'write $1.items["-1 x"]'),
        ("$1[name]", "$1[name]", 'write $1["name"]'),
        ("$1['field name'].x", "$1['field name']", 'write $1["field name"]'),
        ('$1["field name].x', '$1["field name]', 'write $1["field name"]'),
        ("$1[]", "$1[]", 'write [0] for an item, .name or ["field name"] for a field'),
        ("$1.[0]", "$1.[", 'write [0] for an item, .name or ["field name"] for a field'),
        ('$1."x"', '$1."', 'write [0] for an item, .name or ["field name"] for a field'),
        ("$1.größe", "$1.größe", 'write $1["größe"], or $1["gr"]öße if öße is text'),
        ("$1.x.", "$1.x.", "add it, or remove the full stop"),
        ("$1.über", "$1.über", 'write $1["über"]'),
        ("x ${build.out[0]}", "${build.out[0]}", "write $build.out[0], or $$ for a dollar sign"),
    ],
)
def test_a_slip_is_named_with_what_to_write(text: str, slip: str, fix: str) -> None:
    assert (slip, fix) in slips(text)


@pytest.mark.parametrize(
    "text",
    [
        "see $1.", "see $1. Then", "$1...", "$1.x-$1.y", "$1.x - y", "$a-b", "$1-x", "$a-b.c",
        '$1["field-name"]', '$1["field"]-name', "$1.x, $1.y; $1[0]: $build", "($1)", "[$1](x)",
        "$$1.field-name", "$${build}", "${HOME}", "$HOME[x]", "$2.a-b", "$1.items[0]-x",
    ],
)  # fmt: skip
def test_what_is_clear_passes(text: str) -> None:
    assert slips(text) == []


@given(st.text("$1build.[]{}\"'-ax é\n", max_size=30))
def test_looking_for_slips_never_fails(text: str) -> None:
    for slip in doubtful_references(text, TASKS.__contains__):
        assert slip.text in text
        assert slip.fix


def test_the_compiler_names_the_place() -> None:
    tools = Toolbox([Tool(name="say", literal=frozenset({"script"}))])
    first = TaskDraft(description="x", label="build", tool="say", arguments={})
    second = TaskDraft(
        description="y",
        tool="say",
        arguments={"to": {"deep": ["$build.file-name"]}, "script": "$build.file-name"},
    )
    with pytest.raises(InvalidPlan) as raised:
        compile_plan(PlanDraft(tasks=[first, second]), tools)
    (fault,) = raised.value.faults
    assert (fault.task, fault.field) == ("2", "arguments.to")
    assert 'write $build["file-name"]' in fault.fix
    second.arguments = {"to": '$build["file-name"] and $build["file"]-name'}
    assert compile_plan(PlanDraft(tasks=[first, second]), tools)[1].depends_on == (1,)
