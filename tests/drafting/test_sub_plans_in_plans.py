"""Sub-plans in all forms of a plan, and their faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import Limits, Parameter, PlanDraft, TaskDraft
from planfold.drafting.files import load_plan
from planfold.drafting.first_command import begin_sub_plan
from planfold.drafting.revision import check_tasks
from planfold.drafting.schema import plan_schema
from planfold.drafting.sub_plans import sketch_of
from planfold.drafting.templates import Template, drafted, template
from planfold.errors import InvalidPlan
from planfold.planner.commands import Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import Effect, NodeKind, TaskSpec, ToolCall, Wait
from planfold.tools.tool import Tool, Toolbox

ECHO = Tool(
    name="echo",
    parameters={
        "type": "object",
        "properties": {"text": {"type": "string"}, "n": {"type": "integer", "minimum": 5}},
        "additionalProperties": False,
    },
    effect=Effect.Safe,
)
TOOLS = Toolbox([ECHO, Tool(name="post", parameters={"type": "object"}, effect=Effect.Keyed)])
DEPLOY = """---
params:
  target: {description: where}
---
1. @echo {"text": "$params.target"} {#done}
"""
FILES = {
    "deploy.md": DEPLOY,
    "more/outer.yaml": "tasks: [{description: inner, plan: inner.json}]",
    "more/inner.json": '{"title": "I", "tasks": [{"description": "x", "tool": "post"}]}',
    "a.md": "1. B {plan=b.md}",
    "b.md": "1. A {plan=a.md}",
    "broken.json": '{"tasks": [{"description": "x", "tool": "ecko"}, {"descripton": "y"}]}',
}


@template
def release(version: str, checked: bool = True) -> PlanDraft:
    task = TaskDraft(description="d", tool="echo", arguments={"text": "$params.version"})
    return PlanDraft(title="R", tasks=[task] * (2 if checked else 1))


TEMPLATES: Mapping[str, Template] = {"release": release}


def read(name: str, source: str) -> tuple[str, str] | None:
    folder = source.rpartition("/")[0]
    path = f"{folder}/{name}" if folder else name
    return (FILES[path], path) if path in FILES else None


def compiled(plan: PlanDraft | str, source: str = "", **params: Any) -> dict[int, TaskSpec]:
    source = source or ("plan.json" if str(plan).startswith("{") else "plan.md")
    made = drafted(plan, params, TOOLS, TEMPLATES, source=source, read=read).draft
    specs = compile_plan(made, TOOLS)
    check_tasks(specs, TOOLS, {})  # what was compiled compiles to the same
    return {spec.id: spec for spec in specs}


def faults(plan: PlanDraft | str, source: str = "") -> list[str]:
    with pytest.raises(InvalidPlan) as refusal:
        compiled(plan, source)
    return [str(fault) for fault in refusal.value.faults]


def begun(spec: TaskSpec, **values: Any) -> Initialize:
    assert spec.wait is not None
    return begin_sub_plan(spec.wait.plan or {}, values, spec, PlannerConfig(), TOOLS)


def test_in_text() -> None:
    tasks = compiled(
        """# All
1. @echo {"text": "x"} {#build}
2. Deploy it {#deploy plan=deploy.md set="target='to $build.text'"}
3. @post {"found": "$deploy.done"}
4. Each {plan=deploy.md set="target=$item" for_each='["a","b"]'}
"""
    )
    spec = tasks[2]
    assert spec.tool == ToolCall("plan", {"target": "to $1.text"})
    assert (spec.kind, spec.depends_on, spec.effect) == (NodeKind.ToolCall, (1,), Effect.Safe)
    assert spec.wait is not None
    assert (spec.wait.plan or {})["params"]["target"]["description"] == "where"
    assert tasks[3].depends_on == (2,)
    assert tasks[4].for_each is not None
    begin = begun(spec, target="to $x")
    assert begin.tasks[0].tool == ToolCall("echo", {"text": "to $$x"})


def test_numbers_of_a_text_are_ids() -> None:
    tasks = compiled(
        "1. @echo {}\n   - [x] done before\n2. D {plan=deploy.md set='target=$1.text'}"
    )
    found = [spec for spec in tasks.values() if spec.wait is not None]
    first = next(spec.id for spec in tasks.values() if spec.tool and spec.tool.name == "echo")
    assert found[0].tool == ToolCall("plan", {"target": f"${first}.text"})


@pytest.mark.parametrize("form", ["yaml", "json", "python"])
def test_a_plan_is_named_or_written_out(form: str) -> None:
    inner = {
        "title": "Inner",
        "params": {"n": {"type": "integer"}},
        "tasks": [{"description": "d", "tool": "echo", "arguments": {"n": "$params.n"}}],
    }
    tasks = [
        {"description": "named", "plan": "deploy.md", "arguments": {"target": "t"}},
        {"description": "here", "plan": inner, "arguments": {"n": 7}, "retry": {"attempts": 2}},
    ]
    plan: PlanDraft | str = json.dumps({"tasks": tasks})
    if form == "python":
        step = TaskDraft(description="d", tool="echo", arguments={"n": "$params.n"})
        own = PlanDraft(title="Inner", params={"n": Parameter(type="integer")}, tasks=[step])
        here = TaskDraft(description="here", plan=own, arguments={"n": 7})
        named = TaskDraft(description="named", plan="deploy.md", arguments={"target": "t"})
        plan = PlanDraft(tasks=[named, here])
    source = "-" if form == "python" else f"plan.{form}"
    specs = compiled(plan, source)
    assert begun(specs[1], target="t").tasks[0].tool == ToolCall("echo", {"text": "t"})
    assert begun(specs[2], n=7).tasks[0].tool == ToolCall("echo", {"n": 7})
    assert specs[2].wait is not None
    assert [task.description for task in sketch_of(specs[2].wait.plan or {})] == ["d"]


def test_a_template_is_a_plan_too() -> None:
    draft = PlanDraft(
        params={"v": Parameter()},
        tasks=[
            TaskDraft(
                description="d",
                plan="release",
                arguments={"version": "$params.v $$5", "checked": False},
            )
        ],
    )
    begin = begun(compiled(draft, "-", v="1 $2")[1], version="1 $2 $5", checked=False)
    assert [spec.tool for spec in begin.tasks] == [ToolCall("echo", {"text": "1 $$2 $$5"})]


def test_files_name_files_beside_them() -> None:
    specs = compiled('{"tasks": [{"description": "d", "plan": "more/outer.yaml"}]}', "p.json")
    assert specs[1].effect is Effect.Keyed  # that of the innermost task
    inner = begun(specs[1]).tasks[0]
    assert inner.wait is not None
    assert (inner.wait.plan or {})["title"] == "I"


def test_what_a_sub_plan_does_is_part_of_what_is_approved() -> None:
    one = compiled('{"tasks": [{"description": "d", "plan": {"tasks": [{"description": "a"}]}}]}')
    two = compiled('{"tasks": [{"description": "d", "plan": {"tasks": [{"description": "b"}]}}]}')
    assert one != two


def test_what_a_model_proposed_stays_proposed() -> None:
    spec = compiled('{"tasks": [{"description": "d", "plan": {"tasks": [{"description": "a"}]}}]}')
    for marks in ({"proposed": True}, {"tainted": True}, {}):
        marked = TaskSpec(**{f: getattr(spec[1], f) for f in TaskSpec.__struct_fields__} | marks)
        task = begun(marked).tasks[0]
        assert (task.proposed, task.tainted) == (
            marks.get("proposed", False),
            marks.get("tainted", False),
        )


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        ({"plan": "no.md"}, "plan: there is no plan file or template 'no.md'"),
        ({"plan": "releas"}, "did you mean 'release'?"),
        ({"plan": ""}, "plan: there is no plan file"),
        ({"plan": 5}, "plan: expected `str | object | null`, got `int`"),
        ({"plan": "a.md"}, "plan: the plan contains itself: a.md -> b.md -> a.md"),
        ({"plan": "broken.json"}, "broken.json: task 2, descripton: there is no such field"),
        ({"plan": {"tasks": []}}, "plan: tasks: has no tasks"),
        ({"plan": {"tasks": [{"description": "x", "tool": "ecko"}]}}, "task 1, tool: there is no"),
        ({"plan": {"tasks": [{"a": 1}]}}, "plan.a: task 1: there is no such field"),
        ({"plan": "deploy.md"}, "params.target: is missing"),
        ({"plan": "deploy.md", "arguments": {"x": 1, "target": "t"}}, "no parameter 'x'"),
        ({"plan": "deploy.md", "arguments": {"target": 1}}, "is a number"),
        ({"plan": "deploy.md", "arguments": {"target": "$9.x"}}, "there is no task 9"),
        ({"plan": "release", "arguments": {"version": "$1.x"}}, "gets its values before the plan"),
        ({"plan": "deploy.md", "arguments": {"target": "t"}, "tool": "echo"}, "tool: is not used"),
        ({"plan": "deploy.md", "arguments": {"target": "t"}, "timeout": 5}, "timeout: is not used"),
        ({"plan": "deploy.md", "arguments": {"target": "t"}, "wait": 5}, "wait: is not used"),
        ({"plan": "deploy.md", "arguments": {"target": "t"}, "done": True}, "a task that is done"),
        ({"plan": "deploy.md", "kind": "processing"}, "arguments"),
    ],
    ids=str,
)
def test_faults(task: dict[str, Any], fault: str) -> None:
    if "kind" in task:
        task["arguments"] = {"target": "t"}
    tasks = [{"description": "first"}, {"description": "d", "id": 2, **task}]
    found = faults(json.dumps({"tasks": tasks}), "plan.json")
    assert any(fault in each for each in found), found


def test_what_depends_on_a_value_is_checked_when_it_is_known() -> None:
    plan = """{"tasks": [{"description": "d", "label": "a"}, {"description": "s", "plan":
        {"params": {"n": {"type": "integer"}, "c": {}}, "tasks": [
            {"description": "x", "tool": "echo", "arguments": {"n": "$params.n"}},
            {"description": "q", "choices": ["value", "$params.c"]}]},
        "arguments": {"n": "$a.n", "c": "$a.c"}}]}"""
    spec = compiled(plan)[2]
    assert begun(spec, n=5, c="b").tasks[0].tool == ToolCall("echo", {"n": 5})
    for values in ({"n": 4, "c": "b"}, {"n": "x", "c": "b"}, {"n": 5}):
        with pytest.raises(InvalidPlan):
            begun(spec, **values)
    wrong = plan.replace('"tool": "echo"', '"tool": "ecko"')
    assert "there is no tool 'ecko'" in faults(wrong)[0]  # what does not depend on it is, at once


def test_plans_in_plans_have_a_limit() -> None:
    draft = PlanDraft(tasks=[TaskDraft(description="d")])
    for _ in range(Limits().sub_plans):
        draft = PlanDraft(tasks=[TaskDraft(description="d", plan=draft)])
    compiled(draft, "-")
    deeper = PlanDraft(tasks=[TaskDraft(description="d", plan=draft)])
    assert "more than 8 deep" in faults(deeper, "-")[0]
    with pytest.raises(InvalidPlan, match="more than 8 deep"):
        compile_plan(deeper, TOOLS)
    endless = TaskDraft(description="d")
    endless.plan = PlanDraft(tasks=[endless])
    with pytest.raises(InvalidPlan, match="more than 8 deep"):
        compile_plan(PlanDraft(tasks=[endless]), TOOLS)
    assert "more than 8 deep" in faults(PlanDraft(tasks=[endless]), "-")[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('1. D {set="a"}', "it cannot be read"),
        ('1. D {set="a=\'b"}', "it cannot be read"),
        ("1. D {paln=deploy.md}", "there is no directive 'paln'"),
    ],
)
def test_misspelt_in_text(text: str, fault: str) -> None:
    assert fault in faults(text)[0]


def test_braces_of_a_text_are_no_directives() -> None:
    specs = compiled("1. Write {plan} and {set} here")
    assert specs[1].wait is None


def test_the_schema_has_it() -> None:
    field = plan_schema()["$defs"]["TaskDraft"]["properties"]["plan"]
    assert {"$ref": "#/$defs/PlanDraft"} in field["anyOf"]


def test_a_wait_of_a_plan_says_nothing_else() -> None:
    spec = compiled('{"tasks": [{"description": "d", "plan": {"tasks": [{"description": "a"}]}}]}')
    assert spec[1].wait == Wait(plan={"tasks": [{"description": "a"}]})


def test_load_plan_reads_it() -> None:
    draft = load_plan("1. D {plan=deploy.md set='target=1'}", source="p.md")
    assert (draft.tasks[0].plan, draft.tasks[0].arguments) == ("deploy.md", {"target": "1"})


def test_a_field_of_a_sub_plan_that_is_no_text_is_a_fault() -> None:
    task = TaskDraft(description="b", plan={0: None})  # type: ignore[arg-type]
    with pytest.raises(InvalidPlan, match=r"plan\.0: there is no such field"):
        compile_plan(PlanDraft(tasks=[task]), TOOLS)
