"""The undo of a task in all forms of a plan, and its faults."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from planfold import Parameter, PlanDraft, TaskDraft
from planfold.drafting.binding import bound
from planfold.drafting.compiler import compile_plan
from planfold.drafting.files import load_plan
from planfold.drafting.first_command import begin_plan
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.revision import check_tasks, draft_of
from planfold.drafting.text.drafter import load_text
from planfold.errors import InvalidPlan
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import Effect, FileRef, RetryPolicy, TaskSpec, ToolCall, Undo
from planfold.tools.tool import Tool, Toolbox
from planfold.types import UndoDraft

TEXTS = {"type": "object", "properties": {"id": {"type": "string"}, "n": {"type": "integer"}}}
SHELL = Tool(name="shell", literal=frozenset({"script"}))
DROP = Tool(
    name="drop",
    parameters={**TEXTS, "additionalProperties": False},
    effect=Effect.Keyed,
    retry=RetryPolicy(attempts=3),
)
TOOLS = Toolbox([Tool(name="make"), DROP, SHELL])
NAMES = ["make", "drop"]


def compiled(text: str, source: str = "plan.md") -> dict[int, TaskSpec]:
    specs = compile_plan(load_plan(text, source=source, tools=NAMES), TOOLS)
    check_tasks(specs, TOOLS, {})  # what was compiled compiles to the same
    return {spec.id: spec for spec in specs}


def faults(*tasks: TaskDraft, **plan: Any) -> list[str]:
    with pytest.raises(InvalidPlan) as refusal:
        compile_plan(PlanDraft(tasks=list(tasks), **plan), TOOLS)
    return [f"{fault.field}: {fault.message}; {fault.fix}" for fault in refusal.value.faults]


def task(undo: Any, **fields: Any) -> TaskDraft:
    return TaskDraft(**({"description": "d", "tool": "make", "undo": undo} | fields))


def drop(**arguments: Any) -> UndoDraft:
    return UndoDraft(tool="drop", arguments=arguments)


def test_an_undo_in_text() -> None:
    tasks = compiled(
        """# Deploy
1. @make {} {#bucket undo="@drop id=$self.id"}
2. Run `mkdir build` {undo="rm -r build"}
3. Run `make all` {undo="rm -r $bucket.path $self.stdout"}
4. @make {} {undo="@drop id='a b' n=$bucket.n"}
"""
    )
    undos = {i: spec.undo.tool for i, spec in tasks.items() if spec.undo is not None}
    assert undos == {
        1: ToolCall("drop", {"id": "$self.id"}),
        2: ToolCall("shell", {"argv": ["rm", "-r", "build"]}, ("script",)),
        3: ToolCall("shell", {"argv": ["rm", "-r", "$1.path", "$self.stdout"]}, ("script",)),
        4: ToolCall("drop", {"id": "a b", "n": "$1.n"}),
    }
    assert [tasks[i].depends_on for i in (3, 4)] == [(1, 2), (1, 3)]
    assert tasks[1].undo == Undo(tool=undos[1], effect=Effect.Keyed, retry=RetryPolicy(attempts=3))


def test_an_undo_that_needs_a_shell_gets_its_values_from_variables() -> None:
    undo = compiled('1. Run `make` {undo="cat $self.stdout | xargs rm"}')[1].undo
    assert undo is not None
    assert undo.tool.arguments == {
        "script": "cat ${self_stdout} | xargs rm",
        "env": {"self_stdout": "$self.stdout"},
    }


def test_the_policy_of_a_plan_in_text_and_data() -> None:
    assert load_plan("---\nundo: always\n---\n1. Run `make`", source="p.md").undo == "always"
    assert load_plan("---\nundo it: no\n---\n1. Run `make`", source="p.md").undo is None
    draft = load_plan('{"undo": "never", "tasks": [{"description": "d"}]}', source="p.json")
    begin = begin_plan(draft, compile_plan(draft, TOOLS), PlannerConfig())
    assert (draft.undo, begin.config.undo) == ("never", "never")
    with pytest.raises(InvalidPlan, match="plan, undo: is 'sometimes'"):
        load_plan('{"undo": "sometimes", "tasks": [{"description": "d"}]}', source="p.json")


def test_an_undo_in_yaml_has_fields_of_its_own() -> None:
    tasks = compiled(
        """
tasks:
  - {label: a, description: d, tool: make}
  - description: d
    tool: make
    arguments: {n: 7}
    undo: {tool: drop, arguments: {id: $a.id, n: $arguments.n}, effect: once, timeout: 5,
           retry: {attempts: 2}}
""",
        "plan.yaml",
    )
    call = ToolCall("drop", {"id": "$1.id", "n": "$arguments.n"})
    undo = Undo(tool=call, effect=Effect.Once, retry=RetryPolicy(attempts=2), timeout=5.0)
    assert tasks[2].undo == undo
    assert draft_of(tasks[2]).undo == UndoDraft(
        tool="drop", arguments=call.arguments, effect=Effect.Once, retry=undo.retry, timeout=5.0
    )


@pytest.mark.parametrize(
    ("drafts", "said"),
    [
        ([task(UndoDraft(tool="dorp"))], "undo.tool: there is no tool 'dorp'; did you mean 'drop'"),
        ([task(drop(di="x"))], "undo.arguments.di: tool drop does not take this; drop takes: id"),
        ([task(drop(id="$9.x"))], "undo.arguments.id: $9.x: there is no task 9"),
        ([task(drop(id="$self:status"))], "undo.arguments: $self:status: what is undone has comp"),
        ([task(drop(id="$item"))], "undo.arguments.id: $item: there is no task 'item'"),
        (
            [task(drop(id="$me.x"), label="me")],
            "$me.x is the result of the task itself; write",
        ),
        ([task(drop(id="$self"), label="self")], "a task is called 'self'; give that task another"),
        (
            [task(drop(id="$arguments.x"), tool=None, kind="processing")],
            "$arguments.x: the task calls no tool",
        ),
        (
            [task(drop(id="$arguments.nmae"), arguments={"name": "x", "n": 1})],
            "$arguments.nmae: the task is called without 'nmae'; did you mean 'name'? its argum",
        ),
        ([task(drop(id="$arguments[0]"))], "the task is called without '0'; its arguments: none"),
        ([task(drop(), tool=None, choices=["a"])], "undo: a question changes nothing"),
        ([task(drop(), tool=None, wait=5.0)], "undo: this task changes nothing"),
        ([task(drop(), done=True)], "undo: this task changes nothing"),
        ([task(UndoDraft(tool="drop", timeout=-1))], "undo.timeout: -1.0 is out of range"),
        (
            [task(UndoDraft(tool="drop", retry=RetryPolicy(attempts=0)))],
            "undo.retry.attempts: 0 is out of range",
        ),
        ([task({"tool": "drop", "id": 3})], "undo: object contains unknown field"),
        ([task("rm -r x")], "undo: expected `object | null`, got `str`"),
    ],
)
def test_a_fault_of_an_undo_says_where_it_is(drafts: list[TaskDraft], said: str) -> None:
    found = faults(*drafts)
    assert any(said in fault for fault in found), found


def test_an_argument_that_may_be_missing_has_a_default() -> None:
    [spec] = compile_plan(PlanDraft(tasks=[task(drop(id="$arguments.id ?? 'x'"))]), TOOLS)
    assert spec.undo is not None


def test_a_parameter_is_not_the_command_of_an_undo() -> None:
    argv = UndoDraft(tool="shell", arguments={"argv": ["$params.x"]})
    found = faults(task(argv), params={"x": Parameter(default="rm")})
    assert found[0].startswith("undo.arguments.argv: a parameter is the command")
    script = UndoDraft(tool="shell", arguments={"script": "rm $params.x"})
    found = faults(task(script), params={"x": Parameter(default="y")})
    assert found[0].startswith("undo.arguments.script: a script does not hold parameters")


def test_a_parameter_is_put_into_an_undo() -> None:
    draft = PlanDraft(tasks=[task(drop(id="a-$params.x"))], params={"x": Parameter()})
    [spec] = compile_plan(bound(draft, {"x": "$1"}, TOOLS).draft, TOOLS)
    assert spec.undo is not None
    assert spec.undo.tool.arguments == {"id": "a-$$1"}


def test_a_model_plans_an_undo_as_a_text_and_with_no_milder_effect() -> None:
    candidates = Candidates(TOOLS, tainted=True)
    undo = json.dumps({"tool": "drop", "arguments": {"id": "$self.id"}, "effect": "safe"})
    fields = {"kind": "tool_call", "tool": "make", "label": "a", "description": "d"}
    [spec] = candidates.offer(fields | {"undo": undo})
    assert spec.undo is not None
    assert (spec.undo.tool.arguments, spec.undo.effect) == ({"id": "$self.id"}, Effect.Keyed)
    [other] = candidates.offer(fields | {"label": "b", "undo": ""})
    assert other.undo is None
    candidates.offer(fields | {"label": "c", "undo": "rm -r x"})
    _, found = candidates.end_round()
    assert [(fault.task, fault.field) for fault in found] == [("c", "undo")]


def test_an_undo_that_cannot_be_read_in_a_text_is_a_fault() -> None:
    with pytest.raises(InvalidPlan, match="with quotes"):
        load_plan('1. Run `make` {undo="@drop id"}', source="p.md", tools=NAMES)


def test_a_misspelt_policy_in_front_matter_is_refused() -> None:
    with pytest.raises(InvalidPlan, match=r"undo.*always"):
        load_text('---\nundo: allways\n---\n1. Run `mkdir d` {undo="rmdir d"}\n')


def test_a_dict_of_python_is_an_undo_with_parameters_too() -> None:
    task: Any = TaskDraft(
        description="Make it",
        tool="shell",
        arguments={"argv": ["touch", "$params.name"]},
        undo=cast("Any", {"tool": "shell", "arguments": {"argv": ["rm", "$params.name"]}}),
        attachments=[cast("Any", {"type": "file", "path": "$params.name"})],
    )
    params = {"name": Parameter(default="a.txt")}
    [spec] = compile_plan(PlanDraft(tasks=[task], params=params), Toolbox([SHELL]))
    assert spec.undo is not None
    assert spec.undo.tool.arguments == {"argv": ["rm", "a.txt"]}
    assert spec.attachments == (FileRef("a.txt"),)
    task.undo = cast("Any", {"tool": "shell", "argumnts": {}})
    with pytest.raises(InvalidPlan, match=r"task 1, undo: .*`argumnts`"):
        compile_plan(PlanDraft(tasks=[task], params=params), Toolbox([SHELL]))
