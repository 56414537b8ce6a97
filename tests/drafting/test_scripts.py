"""State that ends with a task, and shells that are not installed: faults with their remedies."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.scripts import variables_set, variables_used
from planfold.errors import InvalidPlan
from planfold.tools.tool import Tool, Toolbox


def toolbox(*absent: str) -> Toolbox:
    tools = Toolbox([Tool(name="shell", literal=frozenset({"script"}))])
    tools.absent = frozenset(absent)
    return tools


def plan(*calls: str | dict[str, Any]) -> PlanDraft:
    tasks = []
    for place, call in enumerate(calls):
        arguments = {"script": call} if isinstance(call, str) else call
        after: list[int | str] = [place] if place else []
        tasks.append(
            TaskDraft(description="x", tool="shell", arguments=arguments, depends_on=after)
        )
    return PlanDraft(tasks=tasks)


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        (("cd sub", "touch a"), "'cd sub' holds only inside this task; task 2"),
        (("cd sub", {"argv": ["touch", "a"]}), "give task 2 a cwd"),
        (("mkdir a\ncd a", "ls"), "'cd a' holds only inside this task"),
        (("pushd a\nmake", "ls"), "'pushd a' holds only"),
        ((("export OUT=a"), "rm -rf $OUT/*"), "takes OUT from task 1"),
        (("OUT=a", "echo ${OUT}"), "takes OUT from task 1"),
        (("read -r NAME", "true", "echo $NAME"), "task 3, arguments: takes NAME from task 1"),
        (("source env.sh", "make"), "'source env.sh' holds only inside this task, not in task 2"),
        ((". .venv/bin/activate\npip list", "pytest"), "put both in one block"),
        (("conda activate x", "pytest"), "'conda activate x' holds only"),
        (("su - web", "make"), "'su - web' holds only"),
        (("set -e", "make"), "'set -e' holds only"),
        (({"argv": ["bash", "-ec", "cd a"]}, "ls"), "'cd a' holds only"),
    ],
)
def test_state_that_a_later_task_needs_is_a_fault(calls: Any, said: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        compile_plan(plan(*calls), toolbox())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "calls",
    [
        ("cd sub",),
        ("cd sub && make", "ls"),
        ("(cd sub; make)\nls", "ls"),
        ("cd sub\nmake\ncd ..", "ls"),
        ("cd sub\nmake", "cd sub\nls"),
        ("cd sub", {"script": "ls", "cwd": "sub"}),
        ("set -eu\nmake", "ls"),
        ("export OUT=a\nls $OUT", "make"),
        ("OUT=a", {"script": "ls $OUT", "env": {"OUT": "a"}}),
        ("OUT=a", "ls '$OUT' ${OUT:-b}"),
        ("for f in *; do echo $f; done", "for f in *; do echo $f; done"),
        ("cat <<E\ncd x\nE", "ls"),
    ],
)
def test_state_that_no_later_task_needs_is_none(calls: Any) -> None:
    assert compile_plan(plan(*calls), toolbox())


def test_a_shell_that_is_not_installed_is_a_fault() -> None:
    draft = plan({"argv": ["zsh", "-ec", "true"]})
    assert compile_plan(draft, toolbox())
    with pytest.raises(InvalidPlan, match="needs the shell zsh, which is not installed here"):
        compile_plan(draft, toolbox("zsh"))
    draft.tasks[0].route = "other-machine"
    assert compile_plan(draft, toolbox("zsh"))


@pytest.mark.parametrize(
    ("script", "used"),
    [
        ("echo $A ${B} '$C' \\$D $HOME $1 $? $$ # $E", ["A", "B"]),
        ("A=1; echo $A$B", ["B"]),
        ("source x; echo $A", []),
        ("while read -r line; do echo $line; done", []),
        ("declare -a LIST; echo ${LIST[0]}", []),
    ],
)
def test_variables_that_a_script_takes_from_outside(script: str, used: list[str]) -> None:
    assert variables_used(script) == used
    assert not variables_set(script) & set(used)


@pytest.mark.parametrize("argv", [[[], "", None], ["sh", "-c", 3], [{}, "-c", "ls"]])
def test_words_that_are_no_strings_are_no_script(argv: list[Any]) -> None:
    with suppress(InvalidPlan):
        compile_plan(plan({"argv": argv}), toolbox())
