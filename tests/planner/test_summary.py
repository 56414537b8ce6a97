"""PlanningCompleted comes when everything has ended, and says truthfully how."""

from __future__ import annotations

from plan_builders import answer, ask, done, failed, play, report, running, work

from planfold.planner.commands import CancelPlan, CancelTask, OutcomeUnknown, RetryTask
from planfold.planner.events import PlanningCompleted, PlanSummary
from planfold.testing.scenario import Scenario


def ended(plan: Scenario) -> PlanningCompleted:  # type: ignore[type-arg]
    last = plan.history[-1]
    assert isinstance(last, PlanningCompleted)
    return last


def test_all_went_well() -> None:
    plan = play(running(work(1), ask(2)), done(1), answer(2, "x"))
    assert ended(plan) == PlanningCompleted("completed", PlanSummary(2, 2))


def test_a_failure_and_what_it_stopped() -> None:
    plan = play(running(work(1), work(2, 1), work(3)), failed(1), done(3))
    assert ended(plan) == PlanningCompleted("failed", PlanSummary(3, 1, (1,), (2,)))


def test_a_failure_that_was_let_pass_is_in_the_summary_but_fails_nothing() -> None:
    plan = play(running(work(1, on_failure="continue"), work(2, 1)), failed(1), done(2))
    assert ended(plan) == PlanningCompleted("completed", PlanSummary(2, 1, (1,)))


def test_a_cancelled_task_and_what_it_stopped() -> None:
    plan = play(running(work(1), work(2, 1)), CancelTask(2), done(1))
    assert ended(plan) == PlanningCompleted("cancelled", PlanSummary(2, 1, cancelled=(2,)))


def test_a_failure_weighs_more_than_a_cancelled_task() -> None:
    plan = play(running(work(1), work(2), work(3, 2)), CancelTask(2), failed(2), failed(1))
    assert ended(plan) == PlanningCompleted("failed", PlanSummary(3, 0, (1,), (3,), (2,)))


def test_a_cancelled_plan_is_cancelled_even_where_a_task_had_failed() -> None:
    plan = play(running(work(1), work(2)), failed(1), CancelPlan(), failed(2))
    assert ended(plan) == PlanningCompleted("cancelled", PlanSummary(2, 0, (1,), cancelled=(2,)))


def test_an_unknown_outcome_is_in_the_summary() -> None:
    plan = play(running(work(1)), CancelPlan(), report(1, OutcomeUnknown("cut")))
    summary = PlanSummary(1, 0, cancelled=(1,), unknown=(1,))
    assert ended(plan) == PlanningCompleted("cancelled", summary)


def test_a_plan_that_is_taken_up_again_ends_again() -> None:
    plan = play(running(work(1)), failed(1), RetryTask(1), done(1))
    assert ended(plan) == PlanningCompleted("completed", PlanSummary(1, 1))
    assert sum(isinstance(e, PlanningCompleted) for e in plan.history) == 2
    assert plan.handler.outlook((), 1e9).command is None
