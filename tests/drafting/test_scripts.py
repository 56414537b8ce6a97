"""State that ends with a task, and shells that are not installed: faults with their remedies."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.scripts import variables_set, variables_used
from planfold.drafting.text.drafter import parse_text
from planfold.errors import InvalidPlan
from planfold.planner.references import resolve
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


@pytest.mark.parametrize(
    ("command", "script", "env"),
    [
        (
            "echo $check.stdout | wc -l",
            "echo ${check_stdout} | wc -l",
            {"check_stdout": "$check.stdout"},
        ),
        ("echo $check | wc -l", "echo $check | wc -l", {"check": "$check"}),
        ("echo ${check} | wc -l", "echo ${check} | wc -l", {"check": "$check"}),
        (
            'test "$check.exit_code" = 0 && echo "$other-name"',
            'test "${check_exit_code}" = 0 && echo "${other_name}"',
            {"check_exit_code": "$check.exit_code", "other_name": "$other-name"},
        ),
        (
            "echo $check.lines[0] > $check:status",
            "echo ${check_lines_0} > ${check_status}",
            {"check_lines_0": "$check.lines[0]", "check_status": "$check:status"},
        ),
        ("echo '$check.stdout' | cat", "echo '$check.stdout' | cat", None),
        ("echo \\$check.stdout | cat", "echo \\$check.stdout | cat", None),
        ("check=3; echo $check.stdout", "check=3; echo $check.stdout", None),
        ("awk '{print $1}' f | sort $1", "awk '{print $1}' f | sort $1", None),
        ("cat <<'E'\n$check.stdout\nE", "cat <<'E'\n$check.stdout\nE", {"check": "$check"}),
    ],
)
def test_a_script_gets_the_results_that_it_names(
    command: str, script: str, env: dict[str, str] | None
) -> None:
    block = command.replace("\n", "\n   ")
    text = "1. @echo {} {#check}\n2. @echo {} {#other-name}\n3. Measure it:\n\n"
    text += f"   ```sh\n   {block}\n   ```\n"
    arguments = parse_text(text, known_tools=["echo"]).tasks[-1].arguments
    assert arguments == {"script": script} | ({"env": env} if env else {})


def test_a_result_never_becomes_syntax_of_a_script() -> None:
    arguments = {"script": "echo ${check_stdout} | cat", "env": {"check_stdout": "$1.stdout"}}
    hostile = {"stdout": "a; touch hacked $(touch hacked) `touch hacked` | 'x"}
    resolved = resolve(arguments, lambda _: hostile, literal=frozenset({"script"}))
    done = subprocess.run(
        ["/bin/sh", "-ec", resolved["script"]],
        env={"PATH": os.defpath, **resolved["env"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{hostile['stdout']}\n"


def test_what_a_script_only_uses_is_not_what_it_sets() -> None:
    assert variables_set("export OUT=$IN-${BASE}") == {"OUT"}
    assert variables_set('printf "%s" "$disk"') == set()
    assert variables_set('printf -v LINE "%s" "$disk"') >= {"LINE"}
    draft = parse_text('1. Run `df` {#disk}\n2. Run `printf %s "$disk.percent" | cat`\n')
    assert draft.tasks[1].arguments == {
        "script": 'printf %s "${disk_percent}" | cat',
        "env": {"disk_percent": "$disk.percent"},
    }
