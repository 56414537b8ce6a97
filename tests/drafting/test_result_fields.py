"""Fields that references ask of results are checked at planning, as far as they are known."""

from __future__ import annotations

from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft, UndoDraft
from planfold.drafting.text.drafter import load_text
from planfold.errors import InvalidPlan
from planfold.executors.http import HTTP
from planfold.executors.shell import SHELL
from planfold.planner.tasks import TaskSpec
from planfold.tools.tool import Tool, Toolbox

TOOLS = Toolbox([SHELL, HTTP, Tool(name="any")])
STDOT = "the result of shell has no field 'stdot' (did you mean 'stdout'?)"
ASKED = "$q.name: the answer to a question is a text and has no fields (write $q)"
LIST = "the result of a map is a list (write $m, or $m[0].stdout for one item)"
MAP = '2. Run `rm $item` {#m for_each="[1]"}'


def compiled(draft: PlanDraft | str, **more: Any) -> tuple[TaskSpec, ...]:
    draft = load_text(draft) if isinstance(draft, str) else draft
    return compile_plan(draft, TOOLS, **more)


def refused(draft: PlanDraft | str, **more: Any) -> list[str]:
    with pytest.raises(InvalidPlan) as fault:
        compiled(draft, **more)
    return [str(each) for each in fault.value.faults]


def run(*argv: str, **more: Any) -> TaskDraft:
    return TaskDraft(description="x", tool="shell", arguments={"argv": ["x", *argv]}, **more)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2. Run `echo $a.stdot`", f"task 2, arguments.argv: $a.stdot: {STDOT}"),
        ("2. Run `echo $a.stdot | cat`", f"task 2, arguments.env: $a.stdot: {STDOT}"),
        ("2. Run `echo $1.stdot`", f"$1.stdot: {STDOT}"),
        ("2. Run `echo $a.stdout $a.stdot`", f"$a.stdot: {STDOT}"),
        ("2. Run `echo $a.zzz`", "has no field 'zzz' (it has: exit_code, seconds, stderr,"),
        ("2. Run `echo $a[0].x`", "the result of shell has no field 0 (it has:"),
        ('2. Go on {wait_for=go key="$a.stdot"}', f"task 2, key: $a.stdot: {STDOT}"),
        ("2. Which one? {#q}\n3. Run `echo $q.name`", ASKED),
        (f"{MAP}\n3. Run `x $m[0].stdot`", f"$m[0].stdot: {STDOT}"),
        (f"{MAP}\n3. Run `x $m[0] $m.stdout`", LIST),
        ('2. Run `x` {undo="rm $a.stdot"}', f"task 2, undo.arguments.argv: $a.stdot: {STDOT}"),
        (
            '2. Run `x` {undo="rm $self.stdout $self.stdot"}',
            f"task 2, undo.arguments: $self.stdot: {STDOT}",
        ),
        ('2. Run `x $item` {for_each="[1]" undo="rm $self.stdot"}', f"$self.stdot: {STDOT}"),
    ],
)
def test_a_misspelt_field_of_a_known_result_is_a_fault(text: str, said: str) -> None:
    [fault] = refused(f"1. Run `make` {{#a}}\n{text}\n")
    assert said in fault


def test_partial_references_are_checked_too() -> None:
    [fault] = refused(PlanDraft(tasks=[run(label="a"), run("$a.stdot ?? 0"), run("$a?.stdout")]))
    assert f"$a.stdot ?? 0: {STDOT}" in fault


def test_of_a_sub_plan_the_labels_are_known() -> None:
    inner = PlanDraft(tasks=[run(label="build"), run()])
    both = [TaskDraft(description="x", label="s", plan=inner), run("$s.bulid.stdout")]
    [fault] = refused(PlanDraft(tasks=both))
    assert "$s.bulid.stdout: the result of its plan has no field 'bulid' (did you mean" in fault
    both[0].plan = PlanDraft(tasks=[run()])
    [fault] = refused(PlanDraft(tasks=both))
    assert "(it has: nothing; only what a task with a label found is in it)" in fault


def test_a_revision_knows_the_results_of_tasks_that_started() -> None:
    [old] = compiled(PlanDraft(tasks=[run(label="a")]))
    [fault] = refused(PlanDraft(tasks=[run("$a.stdot")]), existing={1: old})
    assert STDOT in fault


def test_what_is_not_known_is_not_judged() -> None:
    work = TaskDraft(description="find out", label="w")
    other = TaskDraft(
        description="x",
        tool="any",
        label="o",
        undo=UndoDraft(tool="any", arguments={"x": "$self.anything"}),
    )
    used = run("$w.x[0]", "$o.y", "$o.z ?? 1", "$$o.q", "$a.stdout_file", label="u")
    literal = TaskDraft(description="x", tool="shell", arguments={"script": "echo $a.stdot"})
    assert compiled(PlanDraft(tasks=[run(label="a"), work, other, used, literal]))
