"""What the compiler makes of single drafts, example by example.

The readable example of every kind of fault is in docs/reference/plan-files.md and is run by
test_plan_files_page.py; here is what does not fit on that page.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from planfold.drafting.compiler import Limits, compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.errors import InvalidPlan
from planfold.planner.tasks import (
    Effect,
    Link,
    NodeKind,
    Prompt,
    RetryPolicy,
    TaskSpec,
    ToolCall,
)
from planfold.tools.tool import Tool, Toolbox

SHELL = Tool(
    name="shell",
    parameters={
        "type": "object",
        "properties": {
            "argv": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "script": {"type": "string"},
        },
        "additionalProperties": False,
    },
    effect=Effect.Keyed,
    retry=RetryPolicy(attempts=2),
    literal=frozenset({"script"}),
)
SHAPES = Tool(
    name="shapes",
    parameters={
        "type": "object",
        "properties": {
            "count": {"type": "integer", "minimum": 1},
            "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "word": {"type": "string", "pattern": "^[a-z]+$"},
            "set": {"type": "array", "uniqueItems": True},
            "choice": {
                "oneOf": [
                    {"type": "object", "properties": {"k": {"const": 1}}, "required": ["k"]},
                    {"type": "object", "properties": {"z": {"const": 1}}, "required": ["z"]},
                ]
            },
            "mode": {"enum": ["fast", "slow"]},
            "speed": {"type": "number"},
        },
        "if": {"properties": {"mode": {"const": "fast"}}, "required": ["mode"]},
        "then": {"required": ["speed"]},
        "additionalProperties": False,
    },
)
TOOLS = Toolbox([SHELL, SHAPES])


def task(description: str = "do it", **fields: Any) -> TaskDraft:
    return TaskDraft(description=description, **fields)


def compiled(*tasks: TaskDraft, **options: Any) -> tuple[TaskSpec, ...]:
    return compile_plan(PlanDraft(tasks=list(tasks)), TOOLS, **options)


def faults(*tasks: Any, **options: Any) -> list[str]:
    with pytest.raises(InvalidPlan) as raised:
        compiled(*tasks, **options)
    return [str(fault) for fault in raised.value.faults]


# --- what a good draft becomes -----------------------------------------------------------------


def test_defaults_come_from_the_kind_and_the_tool() -> None:
    call, question, thought = compiled(
        task(tool="shell"), task(choices=["a", "b"], default="b", deadline=5), task()
    )
    assert call == TaskSpec(
        id=1,
        description="do it",
        kind=NodeKind.ToolCall,
        tool=ToolCall("shell", {}, ("script",)),
        effect=Effect.Keyed,
        retry=RetryPolicy(attempts=2),
    )
    assert question == TaskSpec(
        id=2,
        description="do it",
        kind=NodeKind.Clarification,
        effect=Effect.Safe,
        prompt=Prompt(("a", "b"), "b", 5.0),
    )
    assert thought == TaskSpec(id=3, description="do it", effect=Effect.Once)


def test_what_is_said_wins_over_what_the_tool_says() -> None:
    retry = RetryPolicy(attempts=5)
    (spec,) = compiled(
        task(
            tool="shell",
            effect=Effect.Safe,
            retry=retry,
            timeout=3,
            route="gpu",
            on_failure="continue",
            attachments=[Link("https://example.com")],
            label="it",
            id=7,
            done=True,
        )
    )
    assert (spec.id, spec.label, spec.effect, spec.retry) == (7, "it", Effect.Safe, retry)
    assert (spec.timeout, spec.route, spec.on_failure, spec.done) == (3.0, "gpu", "continue", True)
    assert spec.attachments == (Link("https://example.com"),)


def test_labels_become_ids_and_references_dependencies() -> None:
    specs = compiled(
        task(id=5, label="build", depends_on=["007", 9]),
        task(id=7),
        task(
            id=9,
            tool="shell",
            arguments={"argv": ["$7.x", "$$build", "$lint.y"], "script": "echo $build $1"},
            depends_on=["lint", 7, 7],
        ),
        task(id=2, label="lint"),
    )
    assert [spec.id for spec in specs] == [5, 7, 9, 2]
    assert [spec.depends_on for spec in specs] == [(7, 9), (), (2, 7), ()]
    assert specs[2].tool == ToolCall(
        "shell",
        {"argv": ["$7.x", "$$build", "$2.y"], "script": "echo $build $1"},
        ("script",),
    )


def test_the_draft_is_not_changed() -> None:
    arguments = {"argv": ["$a"]}
    compiled(task(label="a"), task(tool="shell", arguments=arguments))
    assert arguments == {"argv": ["$a"]}


def test_a_revision_continues_above_the_tasks_that_have_started() -> None:
    existing = {3: TaskSpec(id=3, description="x", label="old"), 8: TaskSpec(id=8, description="y")}
    specs = compiled(
        task(depends_on=["old", 8]),
        task(id=20),
        task(tool="shell", arguments={"argv": ["$old.x"]}),
        existing=existing,
    )
    assert [spec.id for spec in specs] == [21, 20, 22]
    assert [spec.depends_on for spec in specs] == [(3, 8), (), (3,)]
    assert faults(task(id=8), task(label="old"), existing=existing) == [
        "task 8, id: 8 is the id of a task that has already started"
        " (use another id, or leave it out)",
        "task old, label: 'old' is also the label of another task (id 3) (use another label)",
    ]


def test_integers_beyond_64_bits_are_fine() -> None:
    (spec,) = compiled(task(tool="shapes", arguments={"count": 10**30}))
    assert spec.tool is not None
    assert spec.tool.arguments == {"count": 10**30}


# --- references and the schema -----------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": "$1.n"},
        {"maybe": "$1"},
        {"word": "$1.WORD"},
        {"word": "abc$1"},
        {"mode": "$1"},
        {"mode": "fast", "speed": "$1"},
        {"set": ["$1", "$1"]},
        {"choice": "$1"},
        {"choice": {"k": "$1"}},
        {"word": "$1", "count": 2},
    ],
)
def test_a_reference_may_be_of_any_type(arguments: dict[str, Any]) -> None:
    compiled(task(), task(tool="shapes", arguments=arguments))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"count": "$$1"}, "arguments.count"),
        ({"count": "x$1"}, "arguments.count"),
        ({"count": 0, "maybe": "$1"}, "arguments.count"),
        ({"maybe": "x", "count": "$1"}, "arguments.maybe"),
        ({"set": [1, 1], "count": "$1"}, "arguments.set"),
        ({"choice": {"q": "$1"}}, "arguments.choice"),
        ({"choice": ["$1"]}, "arguments.choice"),
        ({"mode": "fast"}, "arguments.speed"),
        ({"nope": "$1"}, "arguments.nope"),
    ],
)
def test_a_reference_excuses_nothing_else(arguments: dict[str, Any], field: str) -> None:
    found = faults(task(), task(tool="shapes", arguments=arguments))
    assert [text.partition(":")[0] for text in found] == [f"task 2, {field}"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"stdin": "$1"}, 'no alternative fits: "argv" is a required property; "script" is'),
        ({"argv": ["$1"], "script": "x"}, "more than one alternative fits"),
    ],
)
def test_alternatives_that_ask_for_keys_do_not_depend_on_values(
    arguments: dict[str, Any], fault: str
) -> None:
    tool = Tool(
        name="run", parameters={"oneOf": [{"required": ["argv"]}, {"required": ["script"]}]}
    )
    draft = PlanDraft(tasks=[task(), task(tool="run", arguments=arguments)])
    with pytest.raises(InvalidPlan, match=fault):
        compile_plan(draft, Toolbox([tool]))


def test_dollars_are_checked_as_the_tool_will_see_them() -> None:
    tool = Tool(name="pay", parameters={"properties": {"sum": {"maxLength": 2}}})
    draft = PlanDraft(tasks=[task(tool="pay", arguments={"sum": "$$5"})])
    compile_plan(draft, Toolbox([tool]))


@pytest.mark.parametrize(
    "parameters", [{"type": "objekt"}, {"$ref": "https://example.com/s.json"}, {"$ref": "#/nope"}]
)
def test_a_tool_with_a_bad_schema_is_a_fault_of_the_tool(parameters: dict[str, Any]) -> None:
    toolbox = Toolbox([Tool(name="bad", parameters=parameters)])
    with pytest.raises(InvalidPlan, match="the tool's own schema is not valid"):
        compile_plan(PlanDraft(tasks=[task(tool="bad")]), toolbox)


# --- drafts that only a program can write ------------------------------------------------------


def endless() -> list[Any]:
    inner: list[Any] = []
    inner += [inner, inner]
    return inner


def doubling() -> list[Any]:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (endless(), "limit"),
        (doubling(), "limit"),
        ({1}, "a set is not JSON"),
        (b"x", "a bytes is not JSON"),
        (NodeKind.ToolCall, "a NodeKind is not JSON"),
        ({1: 2}, "the key 1 is not a text"),
        ({"\ud800": 2}, "not valid Unicode"),
        ("a\ud800", "not valid Unicode: half a surrogate pair at character 1"),
        (float("nan"), "nan is not a JSON number"),
        (10**5000, "more than 4,200 digits"),
        ("\0", "a NUL character"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isprintable() else "",
)
def test_arguments_that_are_not_json(value: Any, fault: str) -> None:
    (found,) = faults(task(tool="shell", arguments={"argv": ["x", value]}))[:1]
    assert found.startswith("task 1, arguments")
    assert fault in found


def test_fields_of_the_wrong_type() -> None:
    draft: Any = task(3, id="x", label=5, depends_on=None, retry=RetryPolicy(attempts="many"))  # type: ignore[arg-type]
    draft.attachments = [Link(url=7)]  # type: ignore[arg-type]
    fields = [text.partition(":")[0] for text in faults(draft, None)]
    assert fields == [
        "task 1, description",
        "task 1, id",
        "task 1, label",
        "task 1, depends_on",
        "task 1, attachments[0].url",
        "task 1, retry.attempts",
        "task 2",
    ]


@pytest.mark.parametrize("tasks", [None, "x", 5, {"a": 1}, []])
def test_a_plan_without_a_list_of_tasks(tasks: Any) -> None:
    with pytest.raises(InvalidPlan):
        compile_plan(PlanDraft(tasks=tasks), TOOLS)


def test_a_huge_id_is_only_out_of_range() -> None:
    assert len(faults(task(id=10**5000), task(depends_on=["9" * 5000]))) == 2


# --- size --------------------------------------------------------------------------------------


def test_each_limit_is_named() -> None:
    limits = Limits(
        tasks=2, dependencies_per_task=1, description_chars=5, name_chars=4, depth=3,
        arguments_bytes=40, plan_bytes=100,
    )  # fmt: skip
    found = faults(
        task("a" * 6, label="labels"),
        task("x", depends_on=["labels", 3]),
        task("x", tool="shell", arguments={"argv": ["a" * 50]}),
        task("x", tool="shapes", arguments={"set": [[[1]]]}),
        limits=limits,
    )
    for name in ("tasks", "dependencies_per_task", "description_chars", "name_chars"):
        assert any(f"the limit {name} is" in text for text in found), name
    for name in ("depth", "arguments_bytes", "plan_bytes"):
        assert any(f"the limit {name} is" in text for text in found), name


def test_a_plan_at_its_limits_passes() -> None:
    compiled(task("aaaaa"), task("x"), limits=Limits(tasks=2, description_chars=5))
    nested: Any = 1
    for _ in range(62):
        nested = [nested]
    compiled(task(tool="shapes", arguments={"set": nested}))
    assert (
        "the limit depth is 64"
        in faults(task(tool="shapes", arguments={"set": [nested, 1, [nested]]}))[0]
    )


@pytest.mark.parametrize("size", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_many_tasks_in_a_chain_or_a_ring(size: int) -> None:
    chain = [task(depends_on=[place - 1] if place > 1 else []) for place in range(1, size + 1)]
    limits = Limits(tasks=size)
    assert len(compiled(*chain, limits=limits)) == size
    chain[0] = task(depends_on=[size])
    (found,) = faults(*chain, limits=limits)
    assert "a cycle" in found
    assert len(found) < 2_000


def test_20_000_misspelt_labels_are_reported_in_a_few_seconds() -> None:
    start = time.monotonic()
    drafts = [task(label=f"task{n}", depends_on=[f"tsk{n}"]) for n in range(20_000)]
    found = faults(*drafts)
    assert found[0] == "task task0, depends_on: there is no task 'tsk0' (did you mean 'task0'?)"
    assert found[-1] == "plan: 10,000 more faults are not listed"
    assert time.monotonic() - start < 20
