"""Plans in which a model plans: drafting tasks, what they propose, and planning again."""

from __future__ import annotations

from plan_builders import (
    Plan,
    answer,
    done,
    failed,
    initialize,
    plan_status,
    play,
    report,
    running,
    statuses,
    work,
)

from planfold.planner.budget import Budget, Spend
from planfold.planner.commands import (
    ApprovePlan,
    CancelPlan,
    NeedsClarification,
    Replan,
    RetryTask,
    StepBegun,
    TasksProposed,
)
from planfold.planner.events import (
    ClarificationRequested,
    PlanApproved,
    PlanRevised,
    TaskDispatched,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import planning_task
from planfold.testing.scenario import given

PLANNING = planning_task(1, "Plan: release it")


def drafting(*, approve_as: str | None = None, **config: object) -> Plan:
    begin = initialize(
        PLANNING,
        approved_by=approve_as,
        model="scripted:x",
        approve_as=approve_as,
        **config,  # type: ignore[arg-type] # settings of any type
    )
    return given(Planner, begin).follow_up()


def proposed(*tasks: object, replace: bool = False) -> object:
    return report(1, TasksProposed(tasks, replace))  # type: ignore[arg-type] # task specs


def test_a_plan_is_drafted_before_anybody_approves_it_and_then_waits() -> None:
    plan = drafting()
    assert plan_status(plan) == "running"
    assert statuses(plan) == {1: "running"}
    plan.when(proposed(work(2, proposed=True))).follow_up().then(PlanRevised)
    play(plan, proposed(work(3, 2, proposed=True)), done(1, {"tasks": 2}))
    assert statuses(plan) == {1: "completed", 2: "planned", 3: "planned"}
    assert plan_status(plan) == "awaiting_approval"
    play(plan, ApprovePlan(plan.handler.state.revision_hash, "ada"))
    assert statuses(plan)[2] == "running"


def test_approved_beforehand_a_task_starts_while_later_ones_are_being_written() -> None:
    plan = drafting(approve_as="ada")
    plan.when(proposed(work(2, proposed=True))).follow_up().then(
        PlanRevised, PlanApproved, TaskDispatched(2, 1)
    )
    assert statuses(plan) == {1: "running", 2: "running"}
    play(plan, done(2), proposed(work(3, 2, proposed=True)))
    assert statuses(plan) == {1: "running", 2: "completed", 3: "running"}


def test_what_was_proposed_before_changes_nothing() -> None:
    plan = drafting(approve_as="ada")
    play(plan, proposed(work(2, proposed=True)))
    plan.when(proposed(work(2, proposed=True))).then_nothing()
    plan.when(proposed(work(2, proposed=True), work(3))).then(PlanRevised, PlanApproved)


def test_a_proposal_that_is_no_graph_is_refused() -> None:
    plan = drafting()
    plan.when(proposed(work(2, 9))).then_rejected("depends on task 9")
    plan.when(proposed(work(1))).then_rejected("already started")


def test_a_drafting_task_may_ask_before_the_approval() -> None:
    plan = drafting()
    play(plan, report(1, NeedsClarification("Which branch?", key="ask:branch")))
    assert plan_status(plan) == "awaiting_answer"
    play(plan, answer(1, "main"))
    assert statuses(plan) == {1: "running"}
    assert plan_status(plan) == "running"


def test_a_cancelled_plan_does_not_draft() -> None:
    plan = drafting()
    play(plan, CancelPlan())
    plan.when(failed(1, "stopped")).follow_up()
    assert statuses(plan) == {1: "cancelled"}
    assert plan_status(plan) == "cancelled"


def test_the_budget_bounds_the_tasks_that_a_model_proposes() -> None:
    plan = drafting(approve_as="ada", budget=Budget(tasks=2))
    play(plan, proposed(work(2, proposed=True), work(3, proposed=True)))
    assert plan.handler.state.spent == Spend(tasks=2)
    plan.when(proposed(work(4, proposed=True))).then(ClarificationRequested)
    assert "2 tasks of 2 tasks used" in plan.handler.state.questions[1].question


def test_planning_again_keeps_what_has_started_and_waits_for_approval() -> None:
    plan = running(work(1), work(2, 1), work(3, 2), model="scripted:x")
    play(plan, done(1), failed(2, retryable=False))
    assert plan_status(plan) == "failed"
    plan.when(Replan("task 2 cannot work")).follow_up().then(PlanRevised, TaskDispatched(4, 1))
    assert plan.handler.state.tasks[4].spec.drafts
    plan.when(Replan("again")).then_rejected("being planned already")
    plan.when(report(4, TasksProposed((work(5, 1, proposed=True),), replace=True)))
    play(plan, done(4))
    assert plan_status(plan) == "awaiting_approval"
    play(plan, ApprovePlan(plan.handler.state.revision_hash), done(5))
    assert statuses(plan)[1] == statuses(plan)[5] == "completed"


def test_planning_again_replaces_what_has_not_started() -> None:
    plan = running(work(1), work(2, 1), work(3, 2), model="scripted:x")
    play(plan, Replan("better"))
    plan.when(report(4, TasksProposed((work(5, 1, proposed=True),), replace=True))).then(
        PlanRevised
    )
    play(plan, done(4), done(1))
    assert set(statuses(plan)) == {1, 4, 5}
    assert statuses(plan)[5] == "planned"


def test_planning_again_needs_a_model() -> None:
    plan = running(work(1))
    plan.when(Replan()).then_rejected("no model")


def test_a_drafting_task_has_paid_steps_before_the_approval() -> None:
    plan = drafting(budget=Budget(calls=1))
    play(plan, report(1, StepBegun("model/1", reserve=Spend(calls=1))))
    plan.when(report(1, StepBegun("model/2", reserve=Spend(calls=1)))).then(ClarificationRequested)
    assert plan_status(plan) == "awaiting_answer"


def test_what_is_planned_again_does_not_make_the_plan_fail_any_more() -> None:
    plan = running(work(1), work(2, 1), work(3, 2), model="scripted:x")
    play(plan, done(1), failed(2, retryable=False), Replan("another way"))
    plan.when(report(4, TasksProposed((work(5, 1, proposed=True),), replace=True)))
    plan.then(
        PlanRevised(
            (), (work(5, 1, proposed=True),), plan.handler.state.revision_hash, superseded=(2, 3)
        )
    )
    play(plan, done(4), ApprovePlan(plan.handler.state.revision_hash), done(5))
    assert plan_status(plan) == "completed"
    assert statuses(plan)[2] == "failed"
    play(plan, RetryTask(2), failed(2, retryable=False))
    assert plan_status(plan) == "failed"  # asked for again, it counts again


def test_only_the_first_planning_is_approved_beforehand() -> None:
    plan = drafting(approve_as="ada")
    play(plan, proposed(work(2, proposed=True)), done(1), failed(2, retryable=False))
    play(plan, Replan("another way"), report(3, TasksProposed((work(4),), replace=True)), done(3))
    assert plan_status(plan) == "awaiting_approval"
