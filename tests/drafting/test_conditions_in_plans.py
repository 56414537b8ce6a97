"""Conditions, ``run_if`` and partial references in drafts of every kind."""

from __future__ import annotations

from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.files import load_plan
from planfold.drafting.model.answer import answer_form
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.revision import compile_revision
from planfold.drafting.text.drafter import parse_text
from planfold.errors import InvalidPlan
from planfold.executors.http import HTTP
from planfold.executors.shell import SHELL
from planfold.planner.commands import Initialize, RevisePlan
from planfold.planner.planner import Planner
from planfold.planner.tasks import TaskSpec
from planfold.tools.tool import Tool, Toolbox

ECHO = Tool(name="echo", parameters={"type": "object"})
TOOLS = Toolbox([SHELL, HTTP, ECHO])


def compiled(*tasks: TaskDraft, **rest: Any) -> tuple[TaskSpec, ...]:
    return compile_plan(PlanDraft(tasks=list(tasks)), TOOLS, **rest)


def faults(*tasks: TaskDraft) -> list[str]:
    with pytest.raises(InvalidPlan) as raised:
        compiled(*tasks)
    return [str(fault) for fault in raised.value.faults]


def run(label: str, **fields: Any) -> TaskDraft:
    fields = {"tool": "shell", "arguments": {"argv": ["true"]}} | fields
    return TaskDraft(label=label, description=label, **fields)


def test_a_condition_implies_dependencies_and_names_ids() -> None:
    *_, last = compiled(
        run("disk"),
        run("build"),
        run("clean", when='int($disk.stdout) > 80 && $build:status == "completed"'),
    )
    assert last.when == 'int($1.stdout) > 80 && $2:status == "completed"'
    assert last.depends_on == (1, 2)


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        ("$disk.stdot == ''", "the result of shell has no field 'stdot' (did you mean 'stdout'?)"),
        ("$page.body == ''", "the result of http has no field 'body' (it has: "),
        ("$page:status == 'failed'", "$page:status is never failed where this task runs"),
        ("$page:status == 200", "the types do not fit: == of (string, int)"),
        ("$clean.stdout == ''", "the task waits for itself"),
        ("$dsk.stdout == ''", "there is no task 'dsk' (did you mean 'disk'?)"),
        ("dsk.stdout == ''", "dsk is not a name here (did you mean 'disk'?)"),
        ("$disk.stdout > ", "the end comes too early"),
        ("x" * 10_000, "has 10,000 characters"),
        ("(" * 900, "nests too deeply"),
        ("$disk.a.b.c.d[0]" + "&& $disk.a" * 95, "has no field 'a'"),
        ("a\0", "holds a NUL character"),
        ("\ud800", "is not valid Unicode"),
    ],
)
def test_a_condition_is_checked_before_anything_runs(when: str, fault: str) -> None:
    page = run("page", tool="http", arguments={"url": "https://example.com"})
    found = faults(run("disk"), page, run("clean", when=when))
    assert any(fault in text and text.startswith("task clean, when:") for text in found), found


def test_fields_of_an_unknown_form_are_left_to_the_run() -> None:
    (_, last) = compiled(run("a", tool="echo", arguments={}), run("b", when="$a.any > 1"))
    assert last.when == "$1.any > 1"


def test_a_handler_needs_something_that_could_fail() -> None:
    assert faults(run("tell", run_if="failed")) == [
        "task tell, run_if: there is nothing before it that could fail "
        "(add what may fail to depends_on, or leave run_if out)"
    ]
    (_, tell) = compiled(run("a"), run("tell", run_if="failed", when="$a:error != null"))
    assert tell.run_if == "failed"


def test_what_was_done_before_has_a_status_and_no_result() -> None:
    done = TaskDraft(label="a", description="a", done=True)
    compiled(done, run("b", when='$a:status == "completed" && $a? == null'))
    assert "has no result" in faults(done, run("b", when="$a.x == 1"))[0]


@pytest.mark.parametrize(
    "text", ["$a?", "$a?.stdout", "$a.stdout ?? 0", "$a:status", "it ended: $a:status"]
)
def test_partial_references_are_dependencies_of_any_type(text: str) -> None:
    tool = Tool(
        name="count",
        parameters={
            "type": "object",
            "properties": {"n": {"type": "string" if " " in text else "integer"}},
        },
    )
    tasks = [run("a"), TaskDraft(description="b", tool="count", arguments={"n": text})]
    if "it ended" in text or "??" in text:
        tool = Tool(name="count")
    specs = compile_plan(PlanDraft(tasks=tasks), Toolbox([SHELL, tool]))
    assert specs[1].depends_on == (1,)
    assert specs[1].tool is not None
    assert specs[1].tool.arguments == {"n": text.replace("$a", "$1")}


@pytest.mark.parametrize("text", ["$a ?? nothing", "$a.x ??", "$a.x ?? [1]"])
def test_a_default_that_is_not_json_is_doubtful(text: str) -> None:
    found = faults(run("a"), run("b", tool="echo", arguments={"n": text}))
    assert "write the default as" in found[0]


def test_a_question_mark_behind_a_reference_in_a_sentence_stays_one() -> None:
    specs = compiled(run("a"), run("b", tool="echo", arguments={"n": "Is it $a? Or $a.stdout?"}))
    assert specs[1].depends_on == (1,)


def test_yaml_json_and_python_say_the_same() -> None:
    in_yaml = load_plan(
        "tasks:\n"
        "  - {label: a, description: a, tool: echo}\n"
        "  - label: b\n    description: b\n    tool: echo\n    when: $a.n > 1\n    run_if: ended\n",
        source="plan.yaml",
    )
    in_json = load_plan(
        '{"tasks": [{"label": "a", "description": "a", "tool": "echo"}, {"label": "b", '
        '"description": "b", "tool": "echo", "when": "$a.n > 1", "run_if": "ended"}]}',
        source="plan.json",
    )
    in_python = [
        TaskDraft(label="a", description="a", tool="echo"),
        TaskDraft(label="b", description="b", tool="echo", when="$a.n > 1", run_if="ended"),
    ]
    assert compile_plan(in_yaml, TOOLS) == compile_plan(in_json, TOOLS) == compiled(*in_python)


def test_a_revision_keeps_conditions() -> None:
    first = [run("a"), run("b", when="$a.stdout == ''"), run("tell", depends_on=["b"])]
    planner = Planner()
    for event in planner.process(Initialize("x", compiled(*first), approved_by="me")):
        planner.apply(event)
    again = [*first[:2], run("new", run_if="failed", depends_on=["b"], when="$b:error != null")]
    revision = compile_revision(PlanDraft(tasks=again), TOOLS, planner.state)
    assert isinstance(revision, RevisePlan)
    by_label = {spec.label: spec for spec in revision.tasks}
    assert by_label["b"].when == "$1.stdout == ''"
    assert by_label["new"].when == "$2:error != null"
    assert planner.process(revision)


def test_a_model_writes_conditions_in_its_schema() -> None:
    form = answer_form(TOOLS)
    for task in form.schema["properties"]["tasks"]["items"]["anyOf"]:
        assert {"when", "run_if", "depends_on"} <= set(task["required"])
    candidates = Candidates(TOOLS)
    tasks = [
        {"label": "b", "kind": "tool_call", "description": "b", "tool": "echo", "arguments": {}}
        | {"when": "$a.n > 1", "run_if": "completed"},
        {"label": "c", "kind": "processing", "description": "c", "depends_on": ["b"]}
        | {"when": None, "run_if": "ended"},
        {"label": "a", "kind": "tool_call", "description": "a", "tool": "echo", "arguments": {}},
    ]
    accepted = [spec for task in tasks for spec in candidates.offer(task)]
    by_label = {spec.label: spec for spec in accepted}  # b waited for a, c for b
    assert by_label["b"].depends_on == (by_label["a"].id,)
    assert by_label["b"].when == f"${by_label['a'].id}.n > 1"
    assert by_label["c"].run_if == "ended"
    assert candidates.end_round() == ([], [])


@pytest.mark.parametrize("when", ["(" * 10_000, "x" * 10_000, "$a.n > ", "true" * 200, "\0", "1"])
def test_a_bad_condition_of_a_model_is_a_fault_of_its_task(when: str) -> None:
    candidates = Candidates(TOOLS)
    task = {"label": "b", "kind": "processing", "description": "b", "when": when}
    assert not candidates.offer(task)
    accepted, found = candidates.end_round()
    assert not accepted
    assert {(fault.task, fault.field) for fault in found} == {("b", "when")}


ALONE = "1. Run `a` {#a effect=safe}\n"


@pytest.mark.parametrize(
    ("item", "tool", "fields"),
    [
        (
            "If it is full, run `b` {when=\"$a.stdout == 'x'\"}",
            "shell",
            {"when": "$a.stdout == 'x'"},
        ),
        (
            "Run `b` if it is full {when='$a.stdout == \"x\"'}",
            "shell",
            {"when": '$a.stdout == "x"'},
        ),
        ("Unless it is full, run `b` {run_if=ended}", "shell", {"run_if": "ended"}),
        ("Run `b` {run_if=failed on_failure=continue}", "shell", {"on_failure": "continue"}),
        ("Run `b` {on_failure=stop}", "shell", {"on_failure": "stop"}),
        ("Run `b` {continue}", "shell", {"on_failure": "continue"}),
        ("If it is full, run `b`", None, {}),
        ("Only if it is full, run `b`", None, {}),
        ("Run `b` {run_if=sometimes}", None, {"run_if": "completed"}),
        ('Run `b` {when=""}', None, {"when": None}),
        ("If it is full, run `b` unless it rains {when='$a.stdout == \"x\"'}", None, {}),
    ],
)
def test_an_item_runs_its_command_where_its_author_wrote_the_condition(
    item: str, tool: str | None, fields: dict[str, Any]
) -> None:
    draft = parse_text(f"{ALONE}2. {item}\n")
    assert draft.tasks[1].tool == tool
    for name, value in fields.items():
        assert getattr(draft.tasks[1], name) == value


def test_what_follows_a_handler_does_not_run_after_a_failure() -> None:
    text = "1. Run `a`\n2. Run `b` {run_if=failed}\n3. Run `c` {run_if=ended}\n4. Run `d`\n"
    draft = parse_text(text)
    assert [task.depends_on for task in draft.tasks] == [[], [1], [1, 2], [1, 2, 3]]


def test_an_item_that_is_done_needs_no_condition() -> None:
    draft = parse_text("- [x] Run `a` {#a}\n- [x] Run `b` {when='$a.stdout == 1'}\n- [ ] Run `c`\n")
    assert [task.when for task in draft.tasks] == [None, None, None]
    assert compile_plan(draft, TOOLS)


def test_a_section_has_a_condition() -> None:
    text = (
        "# X\n\n1. Run `a`\n\n## On failure {run_if=failed}\n\n1. Run `b`\n2. Run `c`\n\n"
        "## Afterwards\n\n1. Run `d`\n"
    )
    draft = parse_text(text)
    assert [task.run_if for task in draft.tasks] == [
        "completed",
        "failed",
        "completed",
        "completed",
    ]
    assert [task.depends_on for task in draft.tasks] == [[], [1], [2], [1, 2, 3]]
    assert [task.tool for task in draft.tasks] == ["shell"] * 4
