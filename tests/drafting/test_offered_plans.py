"""Plans that a model may let tasks run: what it learns of them, and what it may write."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from planfold.drafting.draft import Fault, PlanDraft, TaskDraft
from planfold.drafting.model.answer import answer_form
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.model.current_plan import current_plan
from planfold.drafting.model.drafter import Wish, opening
from planfold.drafting.model.offered_plans import offered_plans, plan_parameters
from planfold.drafting.templates import Template
from planfold.errors import InvalidPlan
from planfold.executors.shell import SHELL
from planfold.planner.commands import Initialize
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, TaskSpec
from planfold.shared_limits import SharedLimit
from planfold.tools.tool import Toolbox

DEPLOY = """---
params:
  region: {description: where to deploy}
  count: {type: integer, default: 1}
---
# Deploy to $params.region

1. Run `echo $params.region` {#check effect=safe}
"""
FILES = {
    "deploy.md": DEPLOY,
    "all.yaml": "tasks: [{description: Both, plan: deploy.md, arguments: {region: eu}}]",
    "bad.yaml": "tasks: [{description: x, depends_on: [nowhere]}]",
    "loop.yaml": "tasks: [{description: x, plan: loop.yaml}]",
    "sub/out.yaml": "tasks: [{description: x, plan: ../deploy.md}]",
}


def roll_out(regions: list[str], version: str = "1") -> PlanDraft:
    """Roll a version out."""
    said = [{"argv": ["echo", "$params.version", f"$params.regions[{i}]"]} for i in (0, 1)]
    steps = [TaskDraft(description="x", tool="shell", arguments=each) for each in said]
    return PlanDraft(tasks=steps[: len(regions)])


def read(name: str, source: str) -> tuple[str, str] | None:
    if ".." in name:
        raise InvalidPlan([Fault("leads out of the workspace")])
    return (FILES[name], name) if name in FILES else None


TOOLS = Toolbox([SHELL])
PLANS, LEFT_OUT = offered_plans(
    [*FILES, "missing.md"], {"roll_out": Template(roll_out)}, TOOLS, read
)


def task(label: str, plan: Any, arguments: Any, **fields: Any) -> dict[str, Any]:
    said = {"label": label, "kind": "tool_call", "description": label, "plan": plan}
    return {**said, "arguments": arguments, **fields}


def planned(*tasks: dict[str, Any]) -> tuple[list[TaskSpec], list[str]]:
    """The tasks that are accepted, and the faults of the others."""
    candidates = Candidates(TOOLS, plans=PLANS)
    accepted = [spec for each in tasks for spec in candidates.offer(each)]
    more, faults = candidates.end_round()
    return [*accepted, *more], [str(fault) for fault in faults]


def test_a_plan_file_with_faults_is_not_offered() -> None:
    assert sorted(PLANS) == ["all.yaml", "deploy.md", "roll_out"]
    assert [text.partition(" (")[0] for text in LEFT_OUT] == [
        "The plan bad.yaml is not offered: task bad.yaml, plan: task 1, depends_on: there is no "
        "task 'nowhere'",
        "The plan loop.yaml is not offered: task 1, plan: the plan contains itself: loop.yaml -> "
        "loop.yaml",
        "The plan sub/out.yaml is not offered: task 1, plan: ../deploy.md: leads out of the "
        "workspace",
        "The plan missing.md is not offered: plan: there is no such file",
    ]


def test_what_is_not_offered_is_neither_in_the_schema_nor_in_the_instructions() -> None:
    form, (system, _) = answer_form(TOOLS), opening(Wish(text="x"), TOOLS)
    for schema in (form.schema, form.plain):
        assert '"plan"' not in json.dumps(schema)
        assert '"limits"' not in json.dumps(schema)
    assert "- plan:" not in system.text
    assert "Plans\n" not in system.text
    assert "- limits:" not in system.text


def test_plans_and_limits_are_listed_as_tools_are() -> None:
    tools = Toolbox([SHELL])
    tools.limits = {"openai": SharedLimit(rate="60/min"), "door": SharedLimit(concurrency=1)}
    system = opening(Wish(text="x"), tools, PLANS)[0].text
    assert "name says so: door (1 at once), openai (60/min)." in system
    listed = [json.loads(line) for line in system.partition("\nPlans\n")[2].splitlines()]
    assert [(each["name"], each["description"]) for each in listed] == [
        ("all.yaml", ""),
        ("deploy.md", "Deploy to $params.region"),
        ("roll_out", "Roll a version out."),
    ]
    assert listed[1]["parameters"]["required"] == ["region"]
    assert listed[2]["no_references_in"] == ["regions", "version"]
    form = answer_form(tools, PLANS)
    assert form.notes == ()
    properties = form.plain["properties"]["tasks"]["items"]["properties"]
    assert properties["plan"] == {"enum": ["all.yaml", "deploy.md", "roll_out"]}


@pytest.mark.parametrize(
    ("plan", "arguments", "takes"),
    [
        ("deploy.md", {"region": "eu", "count": None}, True),
        ("deploy.md", {"region": "$find.region", "count": 2}, True),
        ("deploy.md", {"count": 2}, False),
        ("deploy.md", {"region": "eu", "count": None, "more": 1}, False),
        ("roll_out", {"regions": ["eu"], "version": None}, True),
        ("roll_out", {"regions": "$find", "version": None}, False),
        ("bad.yaml", {}, False),
        ("../deploy.md", {"region": "eu", "count": None}, False),
    ],
)
def test_a_decoder_can_name_no_other_plan(plan: str, arguments: Any, takes: bool) -> None:
    form = answer_form(TOOLS, PLANS)
    jsonschema_rs.meta.validate(form.schema)
    usual = {"depends_on": [], "on_failure": "stop", "when": "", "run_if": "completed"}
    usual |= {"for_each": "", "on_item_failure": "stop", "concurrency": 0}
    usual |= {"item_by_item": False, "undo": ""}
    answer = {"tasks": [task("a", plan, arguments, **usual)]}
    assert jsonschema_rs.Draft202012Validator(form.schema).is_valid(answer) is takes


def test_the_plan_of_a_task_is_written_out() -> None:
    each = task("each", "deploy.md", {"region": "$item", "count": None}, for_each=["eu", "us"])
    roll = task("roll", " roll_out ", {"regions": ["eu", "us"]})
    last = {"label": "last", "kind": "tool_call", "tool": "shell", "description": "last"}
    last |= {"arguments": {"argv": ["echo", "$each[0].check.stdout"]}}
    (first, second, third), faults = planned(each, roll, last)
    assert not faults
    assert first.for_each is not None
    assert first.for_each.items == '["eu","us"]'
    assert first.wait is not None
    assert first.wait.plan is not None
    assert first.wait.plan["title"] == "Deploy to $params.region"
    assert (first.effect, second.effect) == (Effect.Safe, Effect.Once)  # those of their tasks
    assert second.wait is not None
    assert second.wait.plan is not None
    assert len(second.wait.plan["tasks"]) == 2
    assert third.depends_on == (1,)
    assert all(spec.proposed for spec in (first, second, third))


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (
            task("a", "deploy", {"region": "eu"}),
            "task a, plan: 'deploy' is not one of the plans (did you mean 'deploy.md'?)",
        ),
        (
            task("a", "../../etc/passwd", {}),
            "task a, plan: '../../etc/passwd' is not one of the plans "
            "(plans: all.yaml, deploy.md, roll_out)",
        ),
        (
            task("a", {"tasks": [{"description": "x"}]}, {}),
            "task a, plan: a plan written out is not one of the plans "
            "(plans: all.yaml, deploy.md, roll_out)",
        ),
        (
            task("a", "deploy.md", {"regoin": "eu"}),
            "task a, plan: params: there is no parameter 'regoin' (did you mean 'region'?)",
        ),
        (
            task("a", "deploy.md", {"region": "eu", "count": "many"}),
            "task a, plan: params.count: is a string; it must be an integer, default 1",
        ),
        (
            task("a", "roll_out", {"regions": "$b.regions"}),
            "task a, arguments: the template roll_out gets its values before the plan runs "
            "(write values instead of references, or a plan file instead of the template)",
        ),
        (
            task("a", "deploy.md", {"region": "eu"}, timeout=5),
            "task a, timeout: is not used by a task with a plan "
            "(leave it out, or write it in the plan)",
        ),
        (
            task("a", "deploy.md", {"region": "eu"}, tool="shell"),
            "task a, tool: is not used by a task with a plan "
            "(leave it out, or write it in the plan)",
        ),
    ],
)
def test_a_wrong_plan_is_said_with_its_place_and_remedy(wrong: Any, fault: str) -> None:
    accepted, faults = planned(wrong)
    assert not accepted
    assert fault in faults


def test_without_plans_a_task_names_none() -> None:
    candidates = Candidates(TOOLS)
    candidates.offer(task("a", "deploy.md", {}))
    _, faults = candidates.end_round()
    said = "task a, plan: 'deploy.md' is not one of the plans (use a tool, or processing)"
    assert said in map(str, faults)


def test_a_task_that_was_accepted_before_a_crash_is_known_again() -> None:
    (spec,), _ = planned(task("a", "deploy.md", {"region": "eu"}))
    candidates = Candidates(TOOLS, plans=PLANS)
    candidates.recover([spec])
    assert candidates.offer(task("a", "deploy.md", {"region": "eu"})) == []
    assert candidates.end_round() == ([], [])


def test_parameters_have_the_form_of_a_tools() -> None:
    schema = plan_parameters(PLANS["roll_out"])
    jsonschema_rs.meta.validate(schema)
    assert schema["properties"]["regions"]["type"] == "array"
    assert schema["required"] == ["regions"]


def test_a_model_that_replans_sees_what_decides_about_a_task() -> None:
    tasks, faults = planned(
        {"label": "ask", "kind": "processing", "description": "?"},
        task("a", "deploy.md", {"region": "$ask"}, when="$ask != 'none'", run_if="ended"),
        task("b", "deploy.md", {"region": "$item"}, for_each="$ask"),
    )
    assert not faults
    planner = Planner()
    for event in planner.process(Initialize("p", tuple(tasks), approved_by="me")):
        planner.apply(event)
    lines = [json.loads(line) for line in current_plan(planner.state, 9).text.splitlines()]
    assert lines[1]["when"] == "$1 != 'none'"
    assert (lines[1]["run_if"], lines[1]["plan"]) == ("ended", "Deploy to $params.region")
    assert lines[2]["for_each"] == "$1"
    assert "when" not in lines[0]
