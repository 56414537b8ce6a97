"""Sub-plans in the planner: what a task that runs a plan does, and what that plan reports to it."""

from __future__ import annotations

from typing import Any

import pytest

from planfold.planner.commands import (
    CancelPlan,
    CancelTask,
    CompleteTask,
    ConfirmEnd,
    ContinueSubPlan,
    ForkPlan,
    OutcomeUnknown,
    RegisterWait,
    RetryTask,
    SkipTask,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.events import (
    CancelRequested,
    EndReported,
    PlanApproved,
    PlanningCompleted,
    SubPlanContinued,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
    WaitRegistered,
    WaitStarted,
)
from planfold.planner.items import item_id
from planfold.planner.planner import Planner
from planfold.planner.sub_plans import draft_of_sub_plan, end_of, owes_end, sub_plan_id
from planfold.planner.tasks import (
    Effect,
    ForEach,
    NodeKind,
    ParentTask,
    RetryPolicy,
    TaskSpec,
    TaskStatus,
    ToolCall,
    Wait,
)
from planfold.planner.waits import to_register
from planfold.testing import given
from tests.planner.plan_builders import (
    Plan,
    answer,
    ask,
    change,
    done,
    failed,
    initialize,
    plan_status,
    play,
    running,
    statuses,
    work,
)

S = TaskStatus
DRAFT = {"title": "Inner", "tasks": [{"description": "work"}]}
PARENT = ParentTask("p", 2, 1)


def sub_plan(task_id: int, *after: int, **fields: Any) -> TaskSpec:
    arguments = fields.pop("arguments", {})
    return TaskSpec(
        id=task_id,
        description="run a plan",
        kind=NodeKind.ToolCall,
        tool=ToolCall("plan", arguments),
        depends_on=after,
        wait=Wait(plan=DRAFT),
        effect=fields.pop("effect", Effect.Keyed),
        **fields,
    )


def child(*specs: TaskSpec, parent: ParentTask | None = PARENT, **config: Any) -> Plan:
    begin = initialize(*specs, **config)
    command = type(begin)(
        begin.title, begin.tasks, config=begin.config, approved_by="me", parent=parent
    )
    return given(Planner, command).follow_up()


def due(plan: Plan) -> float | None:
    return plan.handler.outlook().due_at


def carried(plan: Plan) -> list[int]:
    return [task.id for task in to_register(plan.handler.state)]


# --- the parent ---


def test_it_waits_for_its_plan_with_the_values_of_its_arguments() -> None:
    plan = running(work(1), sub_plan(2, 1, arguments={"v": "$1.n", "w": "$$5"}), work(3, 2))
    plan.when(done(1, {"n": 7})).follow_up().then(
        TaskStatusUpdated(1, S.Completed, {"n": 7}),
        WaitStarted(2, 1, arguments={"v": 7, "w": "$5"}),
    )
    assert (due(plan), carried(plan)) == (0.0, [2])
    assert not plan.handler.outlook(plan.history[-1:]).queue
    plan.when(RegisterWait(2, 1, "p.2")).then(WaitRegistered(2, 1, "p.2"))
    assert (due(plan), carried(plan)) == (None, [])
    assert plan.handler.state.tasks[2].plan_id == "p.2"
    plan.when(RegisterWait(2, 1, "p.2")).then()
    plan.when(done(2, {"x": 1}, attempt=1)).follow_up().then(
        TaskStatusUpdated(2, S.Completed, {"x": 1}), TaskDispatched(3, 1)
    )
    plan.when(done(2, {"x": 2}, attempt=1)).then()


def test_an_argument_without_a_value_fails_the_task() -> None:
    plan = play(running(work(1), sub_plan(2, 1, arguments={"v": "$1.n"})), done(1, {}))
    assert statuses(plan)[2] == "failed"


def test_it_takes_a_slot() -> None:
    plan = running(sub_plan(1), work(2), sub_plan(3), max_parallel=2)
    assert statuses(plan) == {1: "running", 2: "running", 3: "planned"}
    plan = running(sub_plan(1), sub_plan(2), route_limits={"plan": 1})
    assert statuses(plan) == {1: "running", 2: "planned"}


def test_a_map_runs_a_plan_for_each_element() -> None:
    spec = sub_plan(1, arguments={"v": "$item"}, for_each=ForEach(items='["a","b","c"]'))
    plan = running(spec)
    items = [item_id(1, place) for place in range(3)]
    state = plan.handler.state
    assert carried(plan) == items
    assert [state.tasks[i].arguments for i in items] == [{"v": "a"}, {"v": "b"}, {"v": "c"}]
    assert state.tasks[items[0]].spec.wait == Wait(plan={})  # not repeated for each item
    assert draft_of_sub_plan(state, state.tasks[items[0]]) == DRAFT
    assert sub_plan_id("p", state.tasks[items[1]]) == "p.1-1"
    play(plan, *(done(i, place, attempt=1) for place, i in enumerate(items)))
    assert state.tasks[1].result == [0, 1, 2]
    assert plan_status(plan) == "completed"


def test_the_concurrency_of_a_map_bounds_its_plans() -> None:
    plan = running(sub_plan(1, for_each=ForEach(items="[1,2,3]", concurrency=2)))
    assert len(carried(plan)) == 2


def test_a_task_is_cancelled_once_its_plan_has_stopped() -> None:
    plan = running(sub_plan(1), work(2, 1))
    plan.when(RegisterWait(1, 1, "p.1"))
    play(plan, CancelTask(1))
    assert plan.events == [CancelRequested((1,))]
    assert statuses(plan) == {1: "running", 2: "planned"}
    assert carried(plan) == [1]
    plan.when(RegisterWait(1, 1, "p.1")).then()  # of a worker that has not heard of it
    plan.when(RegisterWait(1, 1, "p.1", stop=True)).then(WaitRegistered(1, 1, "p.1", stop=True))
    assert not carried(plan)
    play(plan, failed(1, "its plan was cancelled", attempt=1))
    assert statuses(plan) == {1: "cancelled", 2: "skipped"}


def test_a_cancelled_plan_waits_for_its_sub_plans() -> None:
    plan = play(running(sub_plan(1), sub_plan(2, 1)), CancelPlan("enough"))
    assert (plan_status(plan), carried(plan)) == ("cancelling", [1])
    play(plan, failed(1, "its plan was cancelled", attempt=1))
    assert (plan_status(plan), statuses(plan)) == ("cancelled", {1: "cancelled", 2: "cancelled"})


def test_a_task_that_stops_before_its_plan_has_begun_is_carried_over_once() -> None:
    plan = play(running(sub_plan(1)), CancelTask(1))
    assert carried(plan) == [1]
    plan.when(RegisterWait(1, 1, "p.1", stop=True))
    assert not carried(plan)


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_failure_is_handed_up_and_retried(attempts: int) -> None:
    retry = RetryPolicy(attempts=attempts, base=0.0)
    plan = play(
        running(sub_plan(1, retry=retry)), failed(1, "its plan failed: task 1: x", attempt=1)
    )
    if attempts == 1:
        assert plan.handler.state.tasks[1].error == "its plan failed: task 1: x"
        plan.when(RetryTask(1)).follow_up()
    plan.follow_up()
    task = plan.handler.state.tasks[1]
    assert (task.attempt, task.run) == (2, 1)
    assert sub_plan_id("p", task) == "p.1"  # the same plan


def test_a_changed_answer_stops_the_plan_then_begins_another() -> None:
    plan = play(running(ask(1), sub_plan(2, 1)), answer(1, "a"))
    plan.when(RegisterWait(2, 1, "p.2"))
    play(plan, change(1, "b"))
    assert (statuses(plan)[2], carried(plan)) == ("running", [2])
    play(plan, failed(2, "its plan was cancelled", attempt=1))
    task = plan.handler.state.tasks[2]
    assert (task.status, task.attempt, task.plan_id) == (S.Running, 2, None)
    assert sub_plan_id("p", task) == "p.2~2"


def test_by_hand_its_plan_is_stopped_first() -> None:
    for command in (SkipTask(1), CompleteTask(1, {"a": 1})):
        plan = play(running(sub_plan(1)), command)
        assert (statuses(plan)[1], carried(plan)) == ("running", [1])
        play(plan, failed(1, "its plan was cancelled", attempt=1))
        assert statuses(plan)[1] in ("skipped", "completed")


def test_a_plan_with_an_effect_once_is_not_stopped_by_hand() -> None:
    running(sub_plan(1, effect=Effect.Once)).when(SkipTask(1)).then_rejected("may happen in part")


def test_a_fork_begins_a_plan_of_its_own() -> None:
    plan = running(sub_plan(1))
    plan.when(RegisterWait(1, 1, "p.1"))
    state = plan.handler.state
    state.version = 0  # as a fork is loaded
    play(plan, ForkPlan(origin="p", version=5, approved_by="me"))
    task = state.tasks[1]
    assert (task.status, task.plan_id, task.attempt) == (S.Running, None, 2)
    assert carried(plan) == [1]


# --- the sub-plan ---


def test_it_owes_its_parent_its_end_once() -> None:
    plan = child(work(1, label="a"), work(2))
    assert not owes_end(plan.handler.state)
    play(plan, done(1, 1), done(2, 2))
    assert due(plan) == 0.0
    assert end_of(plan.handler.state) == TaskCompleted({"a": 1})
    plan.when(ConfirmEnd(1)).then(EndReported(1))
    assert due(plan) is None
    plan.when(ConfirmEnd(1)).then()


def test_a_plan_without_a_parent_owes_nothing() -> None:
    plan = play(running(work(1)), done(1))
    assert due(plan) is None
    plan.when(ConfirmEnd(1)).then_rejected("is not a sub-plan")
    plan.when(ContinueSubPlan(2)).then_rejected("is not a sub-plan")


def test_its_failure_names_the_tasks_that_failed() -> None:
    plan = child(
        work(1, label="a"), *(work(i) for i in range(2, 6)), work(6, on_failure="continue")
    )
    play(plan, *(failed(i, f"no {i}") for i in range(1, 7)))
    end = end_of(plan.handler.state)
    assert end == TaskFailed(
        "its plan failed: task a: no 1; task 2: no 2; task 3: no 3; and 2 more"
    )


def test_a_cancellation_is_no_reason_for_another_attempt() -> None:
    plan = play(child(work(1, effect=Effect.Safe)), CancelPlan("enough"), failed(1, "stopped"))
    assert end_of(plan.handler.state) == TaskFailed("its plan was cancelled: enough", False)


def test_an_unknown_outcome_is_handed_up() -> None:
    plan = child(work(1))
    play(plan, CancelPlan(), type(done(1))(1, OutcomeUnknown("killed")))
    assert end_of(plan.handler.state) == OutcomeUnknown("its plan was cancelled", ended=True)


def test_another_attempt_runs_again_what_did_not_complete() -> None:
    plan = child(work(1), work(2), work(3, 2), work(4, on_failure="continue"))
    play(plan, done(1), failed(2, "x"), failed(4, "y"))
    plan.when(ConfirmEnd(1))
    plan.when(ContinueSubPlan(2)).follow_up().then(
        SubPlanContinued(2), TasksReset((2, 3), "retry"), TaskDispatched(2, 2)
    )
    plan.when(ContinueSubPlan(2)).then()
    plan.when(ContinueSubPlan(1)).then()
    play(plan, done(2), done(3))
    assert owes_end(plan.handler.state)
    assert plan.handler.state.parent == ParentTask("p", 2, 2)
    plan.when(ConfirmEnd(1)).then()  # of a worker that was slow
    plan.when(ConfirmEnd(2)).then(EndReported(2))


def test_a_cancelled_plan_runs_again_too() -> None:
    plan = play(child(work(1), work(2, 1)), CancelPlan(), failed(1, "stopped"))
    assert plan_status(plan) == "cancelled"
    plan.when(ContinueSubPlan(2)).follow_up()
    assert statuses(plan) == {1: "running", 2: "planned"}


def test_a_completed_plan_only_reports_again() -> None:
    plan = play(child(work(1)), done(1))
    plan.when(ConfirmEnd(1))
    plan.when(ContinueSubPlan(1)).then(SubPlanContinued(1))
    assert owes_end(plan.handler.state)
    plan.when(ContinueSubPlan(2)).then(SubPlanContinued(2))
    assert plan_status(plan) == "completed"


def test_a_running_plan_is_continued_without_a_change() -> None:
    plan = child(work(1))
    plan.when(ContinueSubPlan(1)).then()
    plan.when(ContinueSubPlan(2)).follow_up().then(SubPlanContinued(2))


def test_a_plan_begins_for_one_parent() -> None:
    plan = child(work(1))
    begin = initialize(work(1))
    plan.when(begin).then_rejected("not the sub-plan of that task")
    other = type(begin)(begin.title, begin.tasks, parent=ParentTask("p", 3, 1))
    child(work(1)).when(other).then_rejected("not the sub-plan of that task")
    same = type(begin)(begin.title, begin.tasks, approved_by="me", parent=ParentTask("p", 2, 2))
    child(work(1)).when(same).then()


def test_a_fork_of_a_sub_plan_is_no_sub_plan() -> None:
    plan = play(child(work(1)), done(1))
    plan.handler.state.version = 0
    play(plan, ForkPlan(origin="p.2", version=4))
    assert plan.handler.state.parent is None
    assert not owes_end(plan.handler.state)


def test_its_head_names_its_parent() -> None:
    assert child(work(1)).handler.outlook().head["parent"] == "p"
    assert "parent" not in running(work(1)).handler.outlook().head


def test_a_snapshot_keeps_it() -> None:
    plan = play(child(work(1)), done(1))
    kept = Planner.restore(plan.handler.snapshot())
    assert kept is not None
    assert kept.state == plan.handler.state
    assert owes_end(kept.state)
    plan = running(sub_plan(1))
    kept = Planner.restore(plan.handler.snapshot())
    assert kept is not None
    assert kept.state.schedule.slots == plan.handler.state.schedule.slots == 1


def test_the_end_of_a_plan_that_begins_is_not_approved_until_it_is() -> None:
    begin = initialize(work(1), approved_by=None)
    plan = given(Planner, type(begin)(begin.title, begin.tasks, parent=PARENT))
    approve = type(begin)(begin.title, begin.tasks, approved_by="p", parent=PARENT)
    plan.when(CancelPlan("enough")).follow_up()
    assert isinstance(plan.events[-1], PlanningCompleted)
    plan.when(approve).then()  # a worker that has not heard of the stop begins nothing
    assert not any(isinstance(event, PlanApproved) for event in plan.history)
