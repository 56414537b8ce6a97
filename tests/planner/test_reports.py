"""What executors report, in any order and as often as they like."""

from __future__ import annotations

import pytest
from plan_builders import answer, ask, change, done, failed, play, report, running, statuses, work

from planfold.errors import NotFound
from planfold.planner.commands import (
    CancelPlan,
    ClarificationProvided,
    ExecutorEvent,
    NeedsClarification,
    OutcomeUnknown,
    RetryTask,
    StepCompleted,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
)
from planfold.planner.events import StepRecorded, TaskStatusUpdated
from planfold.planner.tasks import RetryPolicy, TaskStatus

REPORTS: list[ExecutorEvent] = [
    TaskCompleted(1),
    TaskFailed("boom"),
    NeedsClarification("why?"),
    TaskProgressed("half"),
    StepCompleted("key", 1),
    OutcomeUnknown("cut off"),
]


@pytest.mark.parametrize("event", [*REPORTS, ClarificationProvided("so")], ids=str)
def test_a_report_on_an_unknown_task_is_rejected(event: ExecutorEvent) -> None:
    plan = running(work(1))
    plan.when(report(9, event)).then_rejected("no task 9; its tasks are 1", NotFound)


@pytest.mark.parametrize("event", REPORTS, ids=str)
def test_a_report_of_an_attempt_that_was_never_made_is_rejected(event: ExecutorEvent) -> None:
    running(work(1)).when(report(1, event, attempt=2)).then_rejected("2 was never dispatched")


@pytest.mark.parametrize("event", [*REPORTS, ClarificationProvided("so")], ids=str)
def test_a_report_of_an_earlier_attempt_changes_nothing(event: ExecutorEvent) -> None:
    plan = play(running(work(1, retry=RetryPolicy(attempts=2))), failed(1), now=9.0)
    assert plan.handler.state.tasks[1].attempt == 2
    plan.when(report(1, event, attempt=1)).then_nothing()


@pytest.mark.parametrize("event", REPORTS, ids=str)
@pytest.mark.parametrize("first", [done(1), failed(1)], ids=["completed", "failed"])
def test_a_report_after_the_end_changes_nothing(event: ExecutorEvent, first: object) -> None:
    plan = running(work(1), work(2)).when(first)
    plan.when(report(1, event, attempt=1)).then_nothing()


def test_a_report_of_an_attempt_that_was_reset_changes_nothing() -> None:
    plan = play(running(ask(1), work(2, 1), max_parallel=1), answer(1, "a"), done(2))
    plan.when(change(1, "b"))  # planned again, not dispatched yet
    plan.when(report(2, TaskCompleted(1), attempt=1)).then_nothing()
    plan.follow_up()
    plan.when(report(2, TaskCompleted(1), attempt=1)).then_nothing()
    plan.when(report(2, TaskCompleted(2), attempt=2)).then(TaskStatusUpdated)


def test_a_report_without_an_attempt_is_about_the_present_one() -> None:
    plan = play(running(work(1)), failed(1), RetryTask(1))
    plan.when(report(1, TaskCompleted("ok"))).then(
        TaskStatusUpdated(1, TaskStatus.Completed, result="ok")
    )


def test_progress_is_noted_and_gone_with_the_attempt() -> None:
    plan = running(work(1)).when(report(1, TaskProgressed("half")))
    plan.then(TaskStatusUpdated(1, TaskStatus.Running, note="half"))
    assert plan.handler.state.tasks[1].note == "half"
    play(plan, failed(1), RetryTask(1))
    assert plan.handler.state.tasks[1].note is None


def test_a_step_is_recorded_once() -> None:
    plan = running(work(1))
    plan.when(report(1, StepCompleted("pay", 1))).then(StepRecorded(1, "pay", 1))
    plan.when(report(1, StepCompleted("pay", 2))).then_nothing()
    plan.when(report(1, StepCompleted("ship", None))).then(StepRecorded(1, "ship"))
    plan.when(report(1, StepCompleted("ship", None))).then_nothing()
    assert plan.handler.state.steps(1) == {"pay": 1, "ship": None}


def test_reports_on_a_cancelled_plan_tell_what_became_of_each_task() -> None:
    plan = running(*(work(i) for i in range(1, 6)), work(6, 1))
    plan.when(CancelPlan())
    play(plan, done(1, "made it"), failed(2, "killed", retryable=True))
    play(plan, report(3, OutcomeUnknown("cut off")), report(4, NeedsClarification("why?")))
    play(plan, report(5, TaskProgressed("stopping")), failed(5, ""))
    assert statuses(plan) == {1: "completed"} | dict.fromkeys(range(2, 7), "cancelled")
    tasks = plan.handler.state.tasks
    assert tasks[3].outcome_unknown
    assert not tasks[2].outcome_unknown
    assert tasks[2].error == "killed"
    assert tasks[5].error is None
    assert plan.handler.state.outcome == "cancelled"
    assert plan.handler.state.questions == {}
