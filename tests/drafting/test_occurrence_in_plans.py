"""``$occurrence`` in plans: texts, files and Python mean the same, and what is wrong is said."""

from __future__ import annotations

from typing import Any

import pytest

from planfold import Parameter, PlanDraft, TaskDraft
from planfold.drafting.compiler import compile_plan
from planfold.drafting.files import load_plan
from planfold.drafting.revision import check_tasks
from planfold.errors import InvalidPlan
from planfold.tools.tool import Tool, Toolbox
from planfold.types import UndoDraft

SHELL = Tool(
    name="shell",
    parameters={
        "type": "object",
        "properties": {
            "argv": {"type": "array", "items": {"type": "string"}},
            "script": {"type": "string"},
            "env": {"type": "object"},
            "n": {"type": "integer"},
        },
    },
    literal=frozenset({"script"}),
)
TOOLS = Toolbox([SHELL])


def compiled(text: str) -> Any:
    specs = compile_plan(load_plan(text, source="plan.md", tools=["shell"]), TOOLS)
    check_tasks(specs, TOOLS, {})  # what was compiled compiles to the same
    return specs


def test_a_command_and_a_script_of_a_text() -> None:
    command, script = compiled(
        "1. Run `backup --to $occurrence.date.tar.gz`\n"
        "2. Run `for x in a b; do echo $x $occurrence.date; done; echo $occurrence`\n"
    )
    assert command.tool.arguments["argv"] == ["backup", "--to", "$occurrence.date.tar.gz"]
    assert script.tool.arguments["env"] == {
        "occurrence_date": "$occurrence.date",
        "occurrence": "$occurrence",
    }
    assert "${occurrence_date}" in script.tool.arguments["script"]


def test_a_variable_that_the_script_sets_is_its_own() -> None:
    [task] = compiled("1. Run `for occurrence in a b; do echo $occurrence; done`")
    assert "env" not in task.tool.arguments


def test_conditions_undo_keys_and_sub_plans_refer_to_it() -> None:
    inner = PlanDraft(
        params={"day": Parameter()},
        tasks=[TaskDraft(description="in $occurrence", tool="shell", arguments={"argv": ["a"]})],
    )
    undo = UndoDraft(tool="shell", arguments={"argv": ["rm", "$occurrence.date"]})
    draft = PlanDraft(
        tasks=[
            TaskDraft(
                description="a", tool="shell", arguments={"argv": ["a"]}, undo=undo, label="a"
            ),
            TaskDraft(description="b", plan=inner, arguments={"day": "$occurrence.date"}),
            TaskDraft(description="c", wait_for="closed", key="$occurrence.date"),
            TaskDraft(description="d", when="$occurrence.date > '2026-12-24'"),
        ]
    )
    specs = compile_plan(draft, TOOLS)
    assert [spec.depends_on for spec in specs] == [()] * 4


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        ({"argv": ["$occurence.date"]}, "no task 'occurence' (did you mean 'occurrence'?"),
        ({"argv": ["$occurrence.dat"]}, "$occurrence.dat: a time has only a date"),
        ({"argv": ["$occurrence[0]"]}, "$occurrence[0]: a time has only a date"),
        ({"argv": ["${occurrence.date}"]}, "a reference has no braces"),
        ({"argv": ["$occurrence:status"]}, "a time has no status (write $occurrence)"),
        ({"n": "$occurrence"}, "n"),
    ],
)
def test_what_is_wrong_in_arguments(task: dict[str, Any], fault: str) -> None:
    draft = PlanDraft(tasks=[TaskDraft(description="a", tool="shell", arguments=task)])
    with pytest.raises(InvalidPlan) as found:
        compile_plan(draft, TOOLS)
    assert fault in str(found.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1. Run `ls` {#occurrence}", "'occurrence' is what the time of a plan is called"),
        ('1. Run `ls` {when="$occurrence:error == null"}', "a time has no error"),
        ('1. Run `ls` {when="$occurrence == 3"}', "the types do not fit"),
        ('1. Run `ls $item` {for_each="$occurrence"}', "is not a reference to a list"),
        ("1. Run `ls $occurence`", "did you mean 'occurrence'?"),
    ],
)
def test_what_is_wrong_in_a_text(text: str, fault: str) -> None:
    with pytest.raises(InvalidPlan) as found:
        compiled(text)
    assert fault in str(found.value)
