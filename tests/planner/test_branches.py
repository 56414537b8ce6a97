"""Branches: what retries, changed answers, revisions and cancellations do with them."""

from __future__ import annotations

import msgspec
import pytest

from planfold.errors import CommandRejected
from planfold.planner.commands import CancelPlan, Command, OutcomeUnknown, RetryTask, RevisePlan
from planfold.planner.dispatch import summary_of
from planfold.planner.events import PlanningCompleted, TasksReset, TaskStatusUpdated
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, TaskStatus
from planfold.readmodels.reasons import reasons_of
from tests.planner.plan_builders import (
    answer,
    ask,
    change,
    done,
    failed,
    initialize,
    play,
    report,
    running,
    statuses,
    tool,
    work,
)


def test_a_join_runs_after_the_branch_that_was_taken() -> None:
    plan = running(
        ask(1, choices=("left", "right")),
        work(2, 1, when='$1 == "left"'),
        work(3, 1, when='$1 == "right"'),
        work(4, 2, 3),
    )
    play(plan, answer(1, "left"))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "skipped", 4: "planned"}
    play(plan, done(2))
    assert statuses(plan)[4] == "running"
    play(plan, done(4))
    assert plan.handler.state.outcome == "completed"
    assert summary_of(plan.handler.state).by_condition == (3,)


def test_a_changed_answer_takes_the_other_branch() -> None:
    plan = running(
        ask(1, choices=("left", "right")),
        work(2, 1, when='$1 == "left"'),
        work(3, 1, when='$1 == "right"'),
        work(4, 2, 3),
    )
    play(plan, answer(1, "left"), done(2), done(4), change(1, "right"))
    assert statuses(plan) == {1: "completed", 2: "skipped", 3: "running", 4: "planned"}


def test_a_plan_whose_handler_ran_has_failed() -> None:
    plan = running(work(1), work(2, 1), work(3, 2, run_if="failed"), work(4, 3, run_if="ended"))
    play(plan, failed(1))
    assert statuses(plan) == {1: "failed", 2: "skipped", 3: "running", 4: "planned"}
    play(plan, done(3), done(4))
    assert plan.handler.state.outcome == "failed"


def test_a_handler_of_a_tolerated_failure_runs_and_the_plan_completes() -> None:
    plan = running(work(1, on_failure="continue"), work(2, 1, run_if="failed"), work(3, 1))
    play(plan, failed(1), done(2), done(3))
    assert plan.handler.state.outcome == "completed"


def test_a_condition_is_evaluated_when_all_tasks_before_it_have_ended() -> None:
    plan = running(work(1), work(2), work(3, 1, 2, when="$1 == 1"))
    play(plan, done(1, 2))
    assert statuses(plan)[3] == "planned"
    play(plan, done(2))
    assert statuses(plan)[3] == "skipped"


def test_the_event_says_what_the_condition_found() -> None:
    plan = running(work(1), work(2, 1, when='$1.percent > 80 && $1.name == "a"'))
    play(plan, done(1, {"percent": 42, "name": "x" * 500}))
    error = plan.handler.state.tasks[2].error or ""
    assert error.startswith('its condition is false: $1.percent > 80 && $1.name == "a" ($1.per')
    assert "$1.percent is 42" in error
    assert len(error) < 300
    (reason,) = reasons_of(plan.handler.state, plan.handler.state.tasks[2], 0.0)
    assert reason.text == f"was not needed: {error}"


def test_a_condition_without_an_answer_fails_its_task_and_what_needs_it() -> None:
    plan = running(
        work(1), work(2, 1, when="$1.percent > 80"), work(3, 2), work(4, 2, run_if="failed")
    )
    play(plan, done(1, {}))
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped", 4: "running"}
    error = plan.handler.state.tasks[2].error
    assert (
        error == "when: $1.percent: task 1's result has no field 'percent'; it is an empty object"
    )
    play(plan, done(4))
    assert plan.handler.state.outcome == "failed"


def test_a_retry_decides_again_for_branches_and_handlers() -> None:
    plan = running(
        work(1),
        work(2, 1, when="$1 == 1"),
        work(3, 1, run_if="failed", effect=Effect.Keyed),
        work(4, 1, run_if="ended", when='$1:status == "completed"'),
    )
    play(plan, failed(1))
    assert statuses(plan) == {1: "failed", 2: "skipped", 3: "running", 4: "skipped"}
    play(plan, done(3))
    plan.when(RetryTask(1)).then(TasksReset((1, 2, 4), "retry"), TasksReset((3,), "handler"))
    play(plan.follow_up(), failed(1, attempt=2))
    assert statuses(plan) == {1: "failed", 2: "skipped", 3: "running", 4: "skipped"}
    assert plan.handler.state.tasks[3].run == 2, "it gets a new idempotency key"
    play(plan, done(3, attempt=2), RetryTask(1), done(1, 1, attempt=3))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "skipped", 4: "running"}


def test_what_completed_below_a_handler_runs_again_with_it() -> None:
    safe = {"effect": Effect.Safe}
    plan = running(work(1), work(2, 1, run_if="ended", **safe), work(3, 2, **safe), work(4, 2))
    play(plan, failed(1), done(2), done(3), done(4))
    plan.when(RetryTask(1)).then(TasksReset((1,), "retry"), TasksReset((2, 3), "handler"))


@pytest.mark.parametrize(
    ("end", "again"), [(done(2), False), (failed(2), True), (report(2, OutcomeUnknown("?")), False)]
)
def test_a_handler_of_effect_once_is_not_repeated(end: Command, again: bool) -> None:
    plan = running(work(1), work(2, 1, run_if="failed"))
    play(plan, failed(1), end, RetryTask(1))
    assert (plan.handler.state.tasks[2].status is TaskStatus.Planned) is again


def test_a_question_that_a_failure_asked_is_asked_again() -> None:
    question = msgspec.structs.replace(ask(2, 1), run_if="failed")
    plan = running(work(1), question)
    play(plan, failed(1), answer(2, "try again"), RetryTask(1), failed(1, attempt=2))
    assert statuses(plan) == {1: "failed", 2: "needs_clarification"}


def test_a_task_that_is_not_needed_cannot_be_retried_alone() -> None:
    plan = running(work(1), work(2, 1, when="$1 == 1"))
    play(plan, done(1, 2))
    with pytest.raises(CommandRejected, match="its condition is false"):
        plan.handler.process(RetryTask(2))


def test_cancelling_the_plan_cancels_its_handlers() -> None:
    plan = running(work(1), work(2, 1, run_if="failed"), work(3, 1, run_if="ended"))
    play(plan, CancelPlan("enough"), failed(1))
    assert statuses(plan) == {1: "cancelled", 2: "cancelled", 3: "cancelled"}


def test_a_revision_may_add_a_handler_of_what_failed() -> None:
    plan = running(work(1), work(2))
    play(plan, failed(1))
    with pytest.raises(CommandRejected, match="which has failed"):
        plan.handler.process(RevisePlan((work(3, 1),), "me"))
    play(plan, RevisePlan((work(3, 1, run_if="failed", when="$1:error == 'boom'"),), "me"))
    assert statuses(plan)[3] == "running"


def test_a_waiting_handler_names_what_it_waits_for() -> None:
    plan = running(work(1), work(2), work(3, 1, 2, run_if="ended"))
    play(plan, failed(1))
    (reason,) = reasons_of(plan.handler.state, plan.handler.state.tasks[3], 0.0)
    assert reason.by == (2,)


def test_a_summary_of_thirty_of_which_one_failed_is_one_task() -> None:
    parts = [work(i) for i in range(1, 31)]
    inputs = {
        "all": [f"${i}?" for i in range(1, 31)],
        "text": "part 7: $7:status",
        "n": "$7.n ?? 0",
    }
    plan = running(*parts, tool(31, *range(1, 31), **inputs))
    assert plan.handler.state.tasks[31].spec.run_if == "completed"
    plan = running(*parts, work(31, *range(1, 31), tool=tool(31, **inputs).tool, run_if="ended"))
    play(plan, *(done(i, i) if i != 7 else failed(i) for i in range(1, 31)))
    arguments = plan.handler.state.tasks[31].arguments
    assert arguments is not None
    assert arguments["all"] == [None if i == 7 else i for i in range(1, 31)]
    assert arguments["text"] == "part 7: failed"
    assert arguments["n"] == 0


def test_a_reference_without_a_question_mark_still_fails() -> None:
    plan = running(work(1, on_failure="continue"), tool(2, 1, text="$1.x"))
    play(plan, failed(1))
    assert plan.handler.state.tasks[2].error == "$1.x: task 1 is failed and has no result"


def test_an_old_log_reads_as_before() -> None:
    """Events of before have no reason: their tasks were skipped because of a failure."""
    planner = Planner()
    for event in planner.process(initialize(work(1), work(2, 1), work(3, 2, run_if="failed"))):
        planner.apply(event)
    for event in (
        TaskStatusUpdated(1, TaskStatus.Failed, error="boom"),
        TaskStatusUpdated(2, TaskStatus.Skipped, error="it needs task 1, which did not complete"),
    ):
        planner.apply(event)
    command = planner.outlook().command
    assert command is not None
    (dispatched,) = planner.process(command)
    assert not isinstance(dispatched, PlanningCompleted)
    assert planner.state.tasks[2].skip_reason is None


def test_a_snapshot_keeps_what_was_not_needed() -> None:
    plan = running(work(1), work(2, 1, when="$1 == 1"), work(3, 1, 2))
    play(plan, done(1, 2))
    restored = Planner.restore(plan.handler.snapshot())
    assert restored is not None
    assert restored.state.tasks[2].skip_reason == "condition"
    assert restored.state.schedule.unmet(3) == plan.handler.state.schedule.unmet(3) == 0
