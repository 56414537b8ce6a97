"""Revisions: a draft of what is to come, compiled against the plan in its present state."""

from __future__ import annotations

from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.revision import (
    check_revision,
    check_tasks,
    compile_revision,
    revision_diff,
)
from planfold.errors import InvalidPlan
from planfold.planner.commands import (
    CancelTask,
    HandleExecutorEvent,
    Initialize,
    RevisePlan,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, TaskSpec, TaskStatus, ToolCall
from planfold.testing.scenario import Scenario, given
from planfold.tools.tool import Tool, Toolbox

ECHO = Tool(
    name="echo",
    parameters={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)
TOOLS = Toolbox([ECHO])


def echo(description: str, text: str = "x", **fields: Any) -> TaskDraft:
    return TaskDraft(description=description, tool="echo", arguments={"text": text}, **fields)


def begun(*tasks: TaskDraft) -> Scenario[Planner]:
    """The plan as drafted, with everything running that can."""
    specs = compile_plan(PlanDraft(tasks=list(tasks)), TOOLS)
    return given(Planner, Initialize("t", specs, approved_by="me")).follow_up()


def revised(plan: Scenario[Planner], *tasks: TaskDraft) -> dict[int, TaskSpec]:
    """The plan's tasks after a revision, which the planner takes."""
    draft = PlanDraft(tasks=list(tasks))
    plan.when(compile_revision(draft, TOOLS, plan.handler.state, approved_by="me")).follow_up()
    return {i: task.spec for i, task in plan.handler.state.tasks.items()}


def faults_of(plan: Scenario[Planner], *tasks: TaskDraft) -> list[str]:
    with pytest.raises(InvalidPlan) as caught:
        compile_revision(PlanDraft(tasks=list(tasks)), TOOLS, plan.handler.state)
    return [str(fault) for fault in caught.value.faults]


FETCH = echo("fetch", id=1)
PACK = echo("pack", "$1", id=2)
SHIP = echo("ship", "$2", id=3)


def test_the_whole_plan_edited() -> None:
    plan = begun(FETCH, PACK, SHIP)
    specs = revised(plan, FETCH, echo("pack twice", "$1 $1", id=2), echo("ship", "$2", id=3))
    assert {i: s.description for i, s in specs.items()} == {1: "fetch", 2: "pack twice", 3: "ship"}
    assert specs[3].depends_on == (2,)
    assert plan.handler.state.tasks[1].attempt == 1


def test_only_what_is_still_to_come() -> None:
    plan = begun(FETCH, PACK, SHIP)
    specs = revised(plan, TaskDraft(description="unpack", depends_on=[1]))
    assert {i: s.description for i, s in specs.items()} == {1: "fetch", 4: "unpack"}
    assert specs[4].depends_on == (1,)


def test_a_step_put_in_front_moves_the_numbers_and_starts_nothing_twice() -> None:
    plan = begun(FETCH, PACK, SHIP)
    moved = [
        echo("check", "y", id=1),
        echo("fetch", id=2),
        echo("pack", "$2", id=3),
        echo("ship", "$3 $1", id=4),
    ]
    specs = revised(plan, *moved)
    named = {spec.description: i for i, spec in specs.items()}
    assert named == {"fetch": 1, "pack": 2, "ship": 3, "check": 5}
    assert specs[3].depends_on == (2, 5)
    assert specs[3].tool == ToolCall("echo", {"text": "$2 $5"})


def test_a_label_says_which_task_it_is() -> None:
    plan = begun(echo("fetch", label="a"), echo("pack", "$a", label="b"))
    specs = revised(plan, echo("pack well", "$a", label="b"))
    assert (specs[2].description, specs[2].depends_on) == ("pack well", (1,))


def test_what_has_started_cannot_be_changed() -> None:
    plan = begun(echo("fetch", label="a"), echo("pack", "$a", label="b"))
    assert faults_of(plan, echo("fetch it", label="a")) == [
        "task 1: it has started, or is needed by one that has, so it stays as it is (leave it "
        "out of the revision, or undo the change of description)"
    ]
    assert "give the new task another id" in faults_of(plan, echo("wash", id=1))[0]


def test_faults_are_those_of_the_compiler() -> None:
    plan = begun(FETCH, PACK)
    assert "there is no tool 'eco'" in faults_of(plan, TaskDraft(description="d", tool="eco"))[0]
    assert "there is no task 9" in faults_of(plan, echo("d", "$9"))[0]
    wrong = TaskDraft(description="d", tool="echo", arguments={"word": "x"})
    assert len(faults_of(plan, wrong)) == 2
    broken = TaskDraft(description=3)  # type: ignore[arg-type]
    assert "description" in faults_of(plan, broken)[0]
    assert "not a TaskDraft" in faults_of(plan, "pack")[0]  # type: ignore[arg-type]
    assert faults_of(plan) == ["plan, tasks: has no tasks (add at least one task)"]


def test_what_a_started_task_waits_for_stays_in_the_revision() -> None:
    plan = begun(
        TaskDraft(description="which?", kind=NodeKind.Clarification, label="q"),
        TaskDraft(description="a", depends_on=["q"]),
        TaskDraft(description="b", depends_on=[2]),
    )
    from planfold.planner.commands import ChangeAnswer, ClarificationProvided

    plan.when(HandleExecutorEvent(1, ClarificationProvided("x"))).follow_up()
    plan.when(HandleExecutorEvent(2, TaskCompleted(1))).follow_up()
    again = ChangeAnswer(1, "y", repeat=(2, 3))
    plan.when(again).follow_up()  # b is running still, and a runs again
    specs = revised(plan, TaskDraft(description="c"))
    assert {i: s.description for i, s in specs.items()} == {1: "which?", 2: "a", 3: "b", 4: "c"}


# --- tasks that failed, were skipped or cancelled ----------------------------------------------


def ended(*more: TaskDraft) -> Scenario[Planner]:
    """fetch completed, pack failed, ship was skipped."""
    plan = begun(FETCH, PACK, SHIP, *more)
    plan.when(HandleExecutorEvent(1, TaskCompleted("data"))).follow_up()
    return plan.when(HandleExecutorEvent(2, TaskFailed("no space"))).follow_up()


def stand(plan: Scenario[Planner]) -> dict[str, str]:
    """The status of each task that counts, by its description."""
    tasks = plan.handler.state.tasks.values()
    return {t.description: t.status.value for t in tasks if not t.superseded}


def test_what_failed_is_replaced_and_its_dependents_run_after_that() -> None:
    plan = ended()
    specs = revised(plan, FETCH, echo("pack less", "$1", id=2), SHIP)
    assert specs[4] == TaskSpec(
        id=4,
        description="pack less",
        kind=NodeKind.ToolCall,
        tool=ToolCall("echo", {"text": "$1"}),
        depends_on=(1,),
    )
    assert (specs[3].depends_on, specs[3].tool) == ((4,), ToolCall("echo", {"text": "$4"}))
    assert stand(plan) == {"fetch": "completed", "pack less": "running", "ship": "planned"}
    assert plan.handler.state.tasks[2].superseded
    plan.when(HandleExecutorEvent(4, TaskCompleted("box"))).follow_up()
    assert plan.handler.state.tasks[3].arguments == {"text": "box"}


def test_what_failed_and_stays_in_the_plan_runs_again_as_another_task() -> None:
    plan = ended()
    specs = revised(plan, FETCH, PACK, SHIP)
    assert {i: s.description for i, s in specs.items()} == {
        1: "fetch",
        2: "pack",
        3: "ship",
        4: "pack",
    }
    assert plan.handler.state.tasks[4].status is TaskStatus.Running


def test_what_failed_is_dropped_with_what_was_skipped() -> None:
    plan = ended()
    revised(plan, FETCH, echo("send as it is", "$1"))
    assert stand(plan) == {"fetch": "completed", "send as it is": "running"}


def test_the_label_goes_to_the_replacement() -> None:
    plan = begun(echo("fetch", label="a"), echo("pack", "$a", label="b"), echo("ship", "$b"))
    plan.when(HandleExecutorEvent(1, TaskCompleted("data"))).follow_up()
    plan.when(HandleExecutorEvent(2, TaskFailed("no space"))).follow_up()
    specs = revised(plan, echo("pack less", "$a", label="b"), echo("ship", "$b"))
    assert (specs[4].label, specs[3].depends_on) == ("b", (4,))
    plan.when(HandleExecutorEvent(4, TaskFailed("still no space"))).follow_up()
    specs = revised(plan, echo("pack nothing", "x", label="b"), echo("ship", "$b"))
    assert (specs[5].label, specs[3].depends_on) == ("b", (5,))


def test_a_failed_task_is_nothing_to_build_on() -> None:
    found = faults_of(ended(), echo("send", "$2"))
    assert found == [
        "task 4, depends_on: depends on task 2, which has failed (add its replacement to "
        "the revision, or remove the dependency)"
    ]
    found = faults_of(ended(), TaskDraft(description="send", depends_on=[3]))
    assert "depends on task 3, which was skipped" in found[0]


def test_a_failure_that_holds_nothing_back_stays_unless_it_is_replaced() -> None:
    lint = echo("lint", id=9, on_failure="continue")
    plan = ended(lint).when(HandleExecutorEvent(9, TaskFailed("style"))).follow_up()
    revised(plan, echo("send", depends_on=[9]))
    assert stand(plan) == {"fetch": "completed", "lint": "failed", "send": "running"}
    plan = ended(lint).when(HandleExecutorEvent(9, TaskFailed("style"))).follow_up()
    specs = revised(plan, echo("lint more", id=9), echo("send", depends_on=[9]))
    assert stand(plan) == {"fetch": "completed", "lint more": "running", "send": "planned"}
    assert {i: s.depends_on for i, s in specs.items() if i > 9} == {10: (11,), 11: ()}


def test_what_was_cancelled_is_replaced() -> None:
    plan = begun(FETCH, PACK, SHIP).when(CancelTask(1)).follow_up()
    plan.when(HandleExecutorEvent(1, TaskFailed("stopped"))).follow_up()
    revised(plan, echo("copy", id=1), PACK, SHIP)
    assert stand(plan) == {"copy": "running", "pack": "planned", "ship": "planned"}


def test_what_is_shown_before_a_revision_is_approved() -> None:
    plan = ended()
    draft = PlanDraft(tasks=[FETCH, echo("pack less", "$1", id=2), SHIP])
    state = plan.handler.state
    diff = revision_diff(state, compile_revision(draft, TOOLS, state))
    assert str(diff) == "- 2 pack\n~ 3 ship (tool, depends_on)\n+ 4 pack less"
    plan = begun(FETCH, PACK).when(CancelTask(2)).follow_up()
    again = compile_revision(PlanDraft(tasks=[FETCH, PACK]), TOOLS, plan.handler.state)
    assert str(revision_diff(plan.handler.state, again)) == "+ 2 pack"


def test_tasks_made_by_hand_may_take_the_place_of_what_failed() -> None:
    plan = ended()
    state = plan.handler.state
    less = call(id=4, text="$1", depends_on=(1,), label="pack")
    ship = call(id=3, text="$4", depends_on=(4,))
    check_revision(RevisePlan((less, ship), superseded=(2,)), TOOLS, state)
    with pytest.raises(InvalidPlan, match="already started"):
        check_revision(RevisePlan((call(id=2),)), TOOLS, state)


# --- tasks made by hand ------------------------------------------------------------------------


def by_hand(*tasks: Any) -> list[str]:
    with pytest.raises(InvalidPlan) as caught:
        check_tasks(tasks, TOOLS, {7: TaskSpec(id=7, description="started")})
    return [str(fault) for fault in caught.value.faults]


def call(name: str = "echo", text: str = "x", **fields: Any) -> TaskSpec:
    fields = {"id": 1, "description": "d", "kind": NodeKind.ToolCall, **fields}
    return TaskSpec(tool=ToolCall(name, {"text": text}), **fields)


def test_tasks_made_by_hand_pass_the_same_checks() -> None:
    check_tasks([call(), call(text="$1 $7", id=2, depends_on=(1, 7))], TOOLS, {7: call(id=7)})
    assert "there is no tool 'eco'" in by_hand(call("eco"))[0]
    assert "there is no task 9" in by_hand(call(text="$9"))[0]
    assert "refer to task 7, on which it does not depend (add 7)" in by_hand(call(text="$7"))[0]
    assert "by label" in by_hand(call(label="a"), call(id=2, text="$a", depends_on=(1,)))[0]
    assert by_hand(TaskDraft(description="d"))[0].startswith("task 1: is a TaskDraft, not a")
    assert "there is no task 3" in by_hand(call(depends_on=(3,)))[0]
