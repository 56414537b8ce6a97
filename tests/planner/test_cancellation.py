"""Cancelling a task, its subtree, or the plan."""

from __future__ import annotations

from plan_builders import (
    ask,
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

from planfold.handler import Enqueue, Settle, Signal
from planfold.planner.commands import (
    CancelPlan,
    CancelTask,
    NeedsClarification,
    OutcomeUnknown,
    RetryTask,
)
from planfold.planner.events import CancelRequested, PlanCancelled, TaskStatusUpdated
from planfold.planner.planner import Planner
from planfold.planner.tasks import RetryPolicy, TaskStatus
from planfold.testing.scenario import given

CANCELLED = TaskStatus.Cancelled


def test_a_planned_task_is_cancelled_at_once_and_its_dependents_are_skipped() -> None:
    plan = running(work(1), work(2, 1), work(3, 2)).when(CancelTask(2, reason="not needed"))
    plan.then(TaskStatusUpdated(2, CANCELLED, error="not needed"), TaskStatusUpdated)
    assert statuses(plan) == {1: "running", 2: "cancelled", 3: "skipped"}


def test_a_running_task_is_asked_to_stop() -> None:
    plan = running(work(1), work(2, 1)).when(CancelTask(1))
    plan.then(CancelRequested((1,)))
    plan.when(CancelTask(1)).then_nothing()
    assert statuses(plan) == {1: "running", 2: "planned"}
    play(plan, failed(1, "stopped", retryable=True))
    assert statuses(plan) == {1: "cancelled", 2: "skipped"}
    assert plan.handler.state.outcome == "cancelled"


def test_a_running_task_that_completes_all_the_same_is_completed() -> None:
    plan = play(running(work(1), work(2, 1)), CancelTask(1), done(1))
    assert statuses(plan) == {1: "completed", 2: "running"}
    assert not plan.handler.state.tasks[1].cancel_requested


def test_a_task_that_is_to_stop_is_not_retried_and_asks_nothing() -> None:
    policy = RetryPolicy(attempts=5)
    plan = running(work(1, retry=policy), work(2), work(3))
    play(plan, CancelTask(1), CancelTask(2), CancelTask(3))
    play(plan, failed(1), report(2, NeedsClarification("why?")), report(3, OutcomeUnknown("cut")))
    assert set(statuses(plan).values()) == {"cancelled"}
    assert plan.handler.state.tasks[2].error == "stopped when it asked: why?"
    assert plan.handler.state.tasks[3].error == "outcome unknown: cut"
    assert plan.events[-1].summary.unknown == (3,)


def test_a_waiting_task_is_cancelled_with_its_question() -> None:
    plan = running(ask(1), work(2, 1)).when(CancelTask(1))
    assert statuses(plan) == {1: "cancelled", 2: "skipped"}
    assert plan.handler.state.questions == {}


def test_a_task_that_waits_for_a_retry_is_cancelled() -> None:
    plan = running(work(1, retry=RetryPolicy(attempts=2))).when(failed(1, now=0.0))
    play(plan, CancelTask(1))
    assert plan.handler.outlook().due_at is None
    assert plan.handler.state.outcome == "cancelled"


def test_a_subtree_is_cancelled_with_its_root() -> None:
    plan = running(work(1), work(2, 1), work(3, 2), work(4), work(5, 4, 3))
    plan.when(CancelTask(1, subtree=True))
    assert statuses(plan) == {
        1: "running",
        2: "cancelled",
        3: "cancelled",
        4: "running",
        5: "cancelled",
    }
    plan.when(CancelTask(1, subtree=True)).then_nothing()
    play(plan, done(1), done(4))
    assert plan.handler.state.outcome == "cancelled"


def test_the_subtree_of_a_finished_task_can_be_cancelled() -> None:
    plan = play(running(work(1), work(2, 1), work(3, 1), work(4, 2)), done(1))
    plan.when(CancelTask(1, subtree=True))
    plan.then(TaskStatusUpdated(4, CANCELLED), CancelRequested((2, 3)))


def test_what_has_ended_cannot_be_cancelled() -> None:
    plan = play(running(work(1), work(2), work(3)), done(1), CancelTask(2), failed(2))
    plan.when(CancelTask(1)).then_rejected("task 1 is completed; there is nothing to cancel")
    plan.when(CancelTask(2)).then_nothing()


def test_cancelling_the_plan_keeps_what_is_finished() -> None:
    plan = play(running(work(1), work(2), ask(3), work(4, 2)), done(1))
    plan.when(CancelPlan("enough"))
    plan.then(
        PlanCancelled("enough"),
        TaskStatusUpdated(3, CANCELLED, error="enough"),
        TaskStatusUpdated(4, CANCELLED, error="enough"),
        CancelRequested((2,), "enough"),
    )
    assert plan_status(plan) == "cancelling"
    plan.when(CancelPlan()).then_nothing()
    play(plan, failed(2))
    assert plan_status(plan) == "cancelled"
    plan.when(CancelPlan()).then_nothing()


def test_work_that_finishes_after_the_plan_was_cancelled_is_completed() -> None:
    plan = play(running(work(1), work(2)), CancelPlan(), done(1, "made it"), failed(2))
    assert statuses(plan) == {1: "completed", 2: "cancelled"}
    summary = plan.events[-1].summary
    assert (summary.completed, summary.cancelled) == (1, (2,))


def test_a_plan_that_was_never_approved_can_be_cancelled() -> None:
    plan = given(Planner, initialize(work(1), work(2, 1), approved_by=None))
    play(plan, CancelPlan())
    assert plan_status(plan) == "cancelled"
    assert set(statuses(plan).values()) == {"cancelled"}


def test_a_plan_that_has_ended_cannot_be_cancelled() -> None:
    plan = play(running(work(1)), done(1))
    plan.when(CancelPlan()).then_rejected("the plan is completed; there is nothing to cancel")


def test_the_queue_follows_the_tasks() -> None:
    """What each event means for the task queue."""
    policy = RetryPolicy(attempts=2)
    first = work(1, route="gpu")
    plan = running(first, work(2, retry=policy), ask(3), work(4), work(5), priority=7)

    def changes() -> list[object]:
        return [change for _, change in plan.handler.outlook(plan.events).queue]

    kind = ("processing", "processing")
    expected = [Enqueue(1, 1, "gpu", "gpu", 7), *(Enqueue(i, 1, *kind, 7) for i in (2, 4, 5))]
    assert sorted(changes(), key=str) == sorted(expected, key=str)
    plan.when(done(1))
    assert changes() == [Settle(1)]
    plan.when(failed(2))
    assert changes() == [Settle(2)]
    plan.when(report(4, NeedsClarification("why?")))
    assert changes() == [Settle(4)]
    plan.when(CancelTask(3))
    assert changes() == []
    plan.when(CancelTask(5))
    assert changes() == [Signal(5)]
    plan.when(failed(5))
    assert changes() == [Settle(5)]
    plan.when(RetryTask(5))
    assert changes() == [Settle(5)]
