"""Failures: retries with backoff, the last attempt, and a retry by hand."""

from __future__ import annotations

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from plan_builders import done, failed, play, report, running, statuses, work

from planfold.errors import NotFound
from planfold.planner.commands import (
    ApprovePlan,
    CancelPlan,
    CancelTask,
    Continue,
    RetryTask,
    RevisePlan,
    StepCompleted,
)
from planfold.planner.events import (
    RetryScheduled,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.tasks import RetryPolicy, TaskStatus
from planfold.retries import retry_delay

POLICY = RetryPolicy(attempts=3, base=2.0, factor=3.0, cap=5.0)

# --- the delay ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("failures", "bound"), [(1, 2.0), (2, 5.0), (3, 5.0), (10_000, 5.0)])
def test_the_delay_is_exponential_jittered_and_capped(failures: int, bound: float) -> None:
    assert retry_delay(POLICY, failures, 0.0) == 0.0
    assert retry_delay(POLICY, failures, 0.5) == bound / 2


@for_all(
    st.builds(
        RetryPolicy,
        attempts=st.integers(1, 100),
        base=st.floats(0, 1e300),
        factor=st.floats(1, 1e300),
        cap=st.floats(0, 1e6),
    ),
    st.integers(1, 10**6),
    st.floats(0, 1, exclude_max=True),
)
def test_the_delay_is_never_longer_than_the_cap(
    policy: RetryPolicy, failures: int, jitter: float
) -> None:
    assert 0 <= retry_delay(policy, failures, jitter) <= policy.cap


# --- automatic retries -------------------------------------------------------------------------


def test_a_failure_schedules_the_next_attempt() -> None:
    plan = running(work(1, retry=POLICY))
    plan.when(failed(1, "boom", now=100.0, jitter=0.25))
    plan.then(RetryScheduled(1, 0.5, 100.5, "boom"))
    assert plan.handler.outlook().due_at == 100.5


def test_a_retry_does_not_start_before_it_is_due() -> None:
    plan = running(work(1, retry=POLICY)).when(failed(1, now=100.0))
    plan.when(Continue(100.999)).then_nothing()
    plan.when(Continue(101.0)).then(TaskDispatched(1, 2))
    assert plan.handler.outlook().due_at is None


def test_the_attempts_are_exhausted_after_the_last() -> None:
    plan = running(work(1, retry=POLICY), work(2, 1))
    play(plan, failed(1, now=0.0), now=10.0)
    play(plan, failed(1, now=10.0), now=20.0)
    assert plan.handler.state.tasks[1].attempt == 3
    plan.when(failed(1, "the last"))
    plan.then(TaskStatusUpdated(1, TaskStatus.Failed, error="the last"), TaskStatusUpdated)
    assert statuses(plan) == {1: "failed", 2: "skipped"}


def test_a_failure_that_no_retry_fixes_is_the_last() -> None:
    plan = running(work(1, retry=POLICY)).when(failed(1, retryable=False))
    plan.then(TaskStatusUpdated(1, TaskStatus.Failed, error="boom"))


def test_without_a_policy_the_first_failure_is_the_last() -> None:
    running(work(1)).when(failed(1)).then(TaskStatusUpdated)


def test_a_long_error_is_shortened() -> None:
    plan = running(work(1), error_char_limit=100).when(failed(1, "noise\n" * 1000 + "KeyError: x"))
    error = plan.events[0].error
    assert len(error) <= 100
    assert error.endswith("KeyError: x")


def test_the_earliest_retry_that_has_a_slot_is_due() -> None:
    policy = RetryPolicy(attempts=2, base=10.0)
    specs = [work(i, retry=policy, route=r) for i, r in ((1, "a"), (2, "b"), (3, "b"))]
    plan = running(*specs, route_limits={"b": 2})
    plan.when(failed(1, now=0.0, jitter=0.9)).when(failed(2, now=0.0, jitter=0.1))
    assert plan.handler.outlook().due_at == 1.0
    assert play(plan, Continue(1.0), now=1.0).handler.outlook().due_at == 9.0


def test_a_retry_without_a_slot_waits_for_a_task_not_for_the_time() -> None:
    policy = RetryPolicy(attempts=2, base=10.0)
    plan = running(work(1, retry=policy), work(2), max_parallel=1)
    play(plan, failed(1, now=0.0))
    assert statuses(plan) == {1: "planned", 2: "running"}
    assert plan.handler.outlook().due_at is None
    play(plan, done(2), now=3.0)
    assert plan.handler.outlook().due_at == 5.0


def test_a_retry_waits_for_the_approval_of_a_revision() -> None:
    plan = running(work(1, retry=POLICY), work(2, 1)).when(failed(1, now=0.0))
    plan.when(RevisePlan((work(3),)))
    assert plan.handler.outlook().due_at is None
    plan.when(Continue(50.0)).then_nothing()
    play(plan, ApprovePlan(plan.handler.state.revision_hash), now=50.0)
    assert statuses(plan) == {1: "running", 3: "running"}


def test_many_due_retries_start_in_the_order_of_their_times() -> None:
    policy = RetryPolicy(attempts=2, base=1.0)
    plan = running(*(work(i, retry=policy, route=f"r{i % 3}") for i in range(1, 10)))
    for i in range(1, 10):
        plan.when(failed(i, now=0.0, jitter=(i * 7 % 10) / 10))
    order = sorted(range(1, 10), key=lambda i: i * 7 % 10)
    plan.when(Continue(1.0)).then(*(TaskDispatched(i, 2) for i in order))


# --- RetryTask ---------------------------------------------------------------------------------


def test_a_failed_task_runs_again_with_all_that_was_skipped_for_it() -> None:
    plan = play(running(work(1), work(2, 1), work(3, 2)), failed(1))
    assert plan.handler.state.outcome == "failed"
    plan.when(RetryTask(1)).then(TasksReset((1, 2, 3), "retry"))
    plan.follow_up()
    task = plan.handler.state.tasks[1]
    assert (task.attempt, task.failures, task.run, task.error) == (2, 0, 1, None)
    play(plan, done(1), done(2), done(3))
    assert plan.handler.state.outcome == "completed"


def test_steps_survive_a_retry() -> None:
    plan = running(work(1)).when(report(1, StepCompleted("paid", 7)))
    play(plan, failed(1), RetryTask(1))
    assert plan.handler.state.steps(1) == {"paid": 7}


def test_what_another_failure_blocks_stays_skipped() -> None:
    plan = play(running(work(1), work(2), work(3, 1, 2), work(4, 3)), failed(1), failed(2))
    plan.when(RetryTask(1)).then(TasksReset((1,), "retry"))
    play(plan.follow_up(), done(1))
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped", 4: "skipped"}
    assert plan.handler.state.outcome == "failed"
    play(plan, RetryTask(2), done(2), done(3), done(4))
    assert plan.handler.state.outcome == "completed"


def test_a_skipped_task_names_the_task_to_retry() -> None:
    plan = play(running(work(1), work(2, 1), work(3, 2)), failed(1))
    plan.when(RetryTask(3)).then_rejected("needs task 1, which has failed; retry that one")


@pytest.mark.parametrize(
    ("task_id", "why"),
    [(1, "is completed"), (2, "is queued or running"), (3, "waits for an answer")],
)
def test_only_what_ended_without_success_can_be_retried(task_id: int, why: str) -> None:
    from plan_builders import ask

    plan = play(running(work(1), work(2), ask(3)), done(1))
    plan.when(RetryTask(task_id)).then_rejected(why)


def test_retrying_what_is_planned_anyway_changes_nothing() -> None:
    running(work(1), work(2, 1)).when(RetryTask(2)).then_nothing()


def test_retrying_an_unknown_task_names_those_there_are() -> None:
    plan = running(*(work(i) for i in range(1, 15)))
    plan.when(RetryTask(99)).then_rejected(r"no task 99; its tasks are 1, .*\.\.\. 14", NotFound)


def test_a_retry_takes_a_cancelled_plan_up_again() -> None:
    plan = play(running(work(1), work(2, 1, 3), work(3)), done(1), CancelPlan())
    assert statuses(plan) == {1: "completed", 2: "cancelled", 3: "running"}
    play(plan, failed(3))
    assert plan.handler.state.outcome == "cancelled"
    plan.when(RetryTask(2)).then_rejected("needs task 3, which was cancelled")
    play(plan, RetryTask(3), done(3))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "completed"}
    play(plan, done(2))
    assert plan.handler.state.outcome == "completed"


def test_a_retry_of_a_cancelled_subtree_brings_all_of_it_back() -> None:
    plan = running(work(1), work(2, 1), work(3, 2), max_parallel=1)
    play(plan, CancelTask(2, subtree=True), RetryTask(2))
    assert statuses(plan) == {1: "running", 2: "planned", 3: "planned"}


def test_dependents_that_wait_for_a_retry_are_skipped_when_it_is_given_up() -> None:
    """A parent whose failure was let pass is retried while its dependent runs, and cancelled:
    the dependent may finish, but it cannot start again."""
    lenient = work(1, on_failure="continue")
    plan = play(running(lenient, work(2, 1, retry=POLICY)), failed(1), RetryTask(1))
    assert statuses(plan) == {1: "running", 2: "running"}
    play(plan, CancelTask(1), failed(1))
    play(plan, failed(2, "boom"))
    assert statuses(plan) == {1: "cancelled", 2: "failed"}
    assert plan.handler.state.outcome == "failed"


def test_a_dependent_that_was_free_waits_again_when_its_parent_is_retried() -> None:
    lenient = work(1, on_failure="continue")
    plan = running(lenient, work(2), work(3, 1), max_parallel=2, route_limits={"processing": 2})
    plan.when(failed(1)).when(RetryTask(1)).follow_up()
    assert statuses(plan) == {1: "running", 2: "running", 3: "planned"}
    play(plan, done(2))
    assert statuses(plan)[3] == "planned"
    play(plan, done(1))
    assert statuses(plan)[3] == "running"
