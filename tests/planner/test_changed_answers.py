"""A changed answer, and an attempt that depends on the old one and is still running."""

from __future__ import annotations

import pytest
from plan_builders import (
    Plan,
    answer,
    ask,
    change,
    done,
    failed,
    plan_status,
    play,
    report,
    running,
    statuses,
    tool,
    work,
)

from planfold.planner.budget import Budget, Spend
from planfold.planner.commands import (
    AddBudget,
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    ExecutorEvent,
    NeedsClarification,
    OutcomeUnknown,
    RetryTask,
    RevisePlan,
    StepBegun,
    StepCompleted,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.events import (
    CancelRequested,
    ClarificationReceived,
    ClarificationRequested,
    RetryScheduled,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, RetryPolicy, TaskStatus

CHANGED = "the answer to task 1 was changed"
RETRIES = RetryPolicy(attempts=5)


def deploying(**fields: object) -> Plan:
    """1 asks, 2 deploys what was answered and is running, 3 depends on the deployment."""
    plan = running(ask(1), work(2, 1, retry=RETRIES, **fields), tool(3, 2, url="$2"))
    return play(plan, answer(1, "a"))


ENDINGS: dict[str, ExecutorEvent] = {
    "completed": TaskCompleted("old"),
    "failed": TaskFailed("boom"),
    "asked": NeedsClarification("why?"),
    "its process died": OutcomeUnknown("its process died", ended=True),
}


def test_the_running_attempt_is_asked_to_stop_and_no_other_one_starts() -> None:
    plan = play(deploying(), change(1, "b"))
    plan.then(ClarificationReceived(1, "b"), CancelRequested((2,), CHANGED, restart=True))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "planned"}
    assert plan_status(plan) == "running"


ONCE = "never repeated without a person's consent, and another answer would do so: 2 .deploy."


@pytest.mark.parametrize("running", [True, False])
def test_an_effect_once_happens_again_only_where_that_is_allowed(running: bool) -> None:
    plan = deploying(label="deploy", effect=Effect.Once)
    if not running:
        play(plan, done(2, "x"))
    plan.when(ChangeAnswer(1, "b")).then_rejected(ONCE + (";" if running else ", 3 "))
    plan.when(ChangeAnswer(1, "b", repeat=(3,))).then_rejected("deploy.; allow each of them")
    assert plan.handler.state.tasks[1].result == "a"
    play(plan, ChangeAnswer(1, "b", repeat=(2, 3)))
    assert plan.handler.state.tasks[1].result == "b"


def test_what_has_not_happened_needs_no_consent() -> None:
    reported = play(deploying(effect=Effect.Once), failed(2))
    play(reported, ChangeAnswer(1, "b"))
    assert reported.handler.state.tasks[1].result == "b"
    keyed = play(deploying(effect=Effect.Keyed), ChangeAnswer(1, "b"))
    assert keyed.handler.state.tasks[1].result == "b"


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_however_the_attempt_ends_the_next_one_follows_it(ending: ExecutorEvent) -> None:
    plan = play(deploying(), report(2, StepCompleted("key", 1)), change(1, "b"))
    plan.when(report(2, ending, attempt=1))
    plan.then(TaskStatusUpdated, TasksReset((2,), "answer_changed"))
    plan.follow_up().then(TaskStatusUpdated, TasksReset, TaskDispatched(2, 2))
    task = plan.handler.state.tasks[2]
    assert (task.run, task.failures, task.outdated, task.result) == (2, 0, False, None)
    assert plan.handler.state.steps(2) == {}
    assert plan.handler.state.questions == {}
    play(plan, done(2, "new", attempt=2))
    assert plan.handler.state.tasks[3].arguments == {"url": "new"}


def test_the_result_of_the_outdated_attempt_is_in_the_log() -> None:
    plan = play(deploying(), change(1, "b"), done(2, "old"))
    assert plan.events[0] == TaskStatusUpdated(2, TaskStatus.Completed, "old")
    assert plan.handler.state.uncompacted == []


def test_a_report_of_the_outdated_attempt_that_comes_again_changes_nothing() -> None:
    plan = play(deploying(), change(1, "b"), done(2, "old", attempt=1))
    plan.when(done(2, "old", attempt=1)).then_nothing()


def test_what_has_ended_is_reset_at_once_beside_what_is_running() -> None:
    plan = running(ask(1), work(2, 1), work(3, 1), work(4, 2))
    play(plan, answer(1, "a"), done(2), change(1, "b"))
    assert {e.task_ids for e in plan.events if isinstance(e, TasksReset)} == {(2,)}
    assert {e.task_ids for e in plan.events if isinstance(e, CancelRequested)} == {(3, 4)}
    assert statuses(plan) == {1: "completed", 2: "running", 3: "running", 4: "running"}
    play(plan, done(4), done(2))
    assert plan.handler.state.tasks[4].attempt == 2


def test_the_answer_changes_again_in_between() -> None:
    plan = play(deploying(), change(1, "b"), change(1, "c"))
    plan.then(ClarificationReceived(1, "c"))
    play(plan, done(2, "old"))
    plan.then(TaskStatusUpdated, TasksReset, TaskDispatched(2, 2))


def test_the_plan_is_cancelled_in_between() -> None:
    plan = play(deploying(), change(1, "b"), CancelPlan("enough"))
    assert plan_status(plan) == "cancelling"
    play(plan, done(2, "old"))
    assert statuses(plan) == {1: "completed", 2: "cancelled", 3: "cancelled"}
    assert plan_status(plan) == "cancelled"
    play(plan, RetryTask(2))
    task = plan.handler.state.tasks[2]
    assert (task.run, task.result, task.status.value) == (2, None, "running")


def test_an_answer_that_is_changed_after_the_cancellation_counts() -> None:
    plan = play(deploying(), CancelPlan("enough"), change(1, "b"), done(2, "old"))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "planned"}
    assert plan_status(plan) == "running"


def test_the_task_is_cancelled_in_between() -> None:
    plan = play(deploying(), change(1, "b"), CancelTask(2, reason="enough"), done(2, "old"))
    assert statuses(plan) == {1: "completed", 2: "cancelled", 3: "skipped"}
    assert plan.events[0].result == "old"
    play(plan, change(1, "c"))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "planned"}


def test_an_outdated_task_cannot_be_retried_while_it_is_running() -> None:
    plan = play(deploying(), change(1, "b"))
    plan.when(RetryTask(2)).then_rejected("task 2 is queued or running")


def test_a_revision_keeps_the_outdated_task() -> None:
    plan = play(deploying(), change(1, "b"), RevisePlan((work(4, 2),), "me"))
    play(plan, done(2, "old"))
    assert statuses(plan) == {1: "completed", 2: "running", 4: "planned"}
    assert plan.handler.state.tasks[2].attempt == 2


def test_a_parent_that_failed_since_keeps_it_from_running_again() -> None:
    plan = running(ask(1), work(2, 1), work(3, 1), work(4, 2, 3), work(5, 4))
    play(plan, answer(1, "a"), done(2), done(3), change(1, "b"), failed(2))
    play(plan, done(4), done(3))
    assert statuses(plan) == {
        1: "completed",
        2: "failed",
        3: "completed",
        4: "skipped",
        5: "skipped",
    }
    assert plan.handler.state.tasks[4].result is None


def test_what_the_outdated_attempt_had_reserved_is_settled() -> None:
    plan = running(ask(1), work(2, 1), budget=Budget(tokens=50))
    play(plan, answer(1, "a"), report(2, StepBegun("k", reserve=Spend(tokens=30))))
    play(plan, change(1, "b"), failed(2))
    state = plan.handler.state
    assert (state.spent.tokens, state.reserved.tokens) == (30, 0)
    play(plan, report(2, StepBegun("k", reserve=Spend(tokens=30)), attempt=2))
    assert plan.handler.state.questions[2].then == "budget"
    play(plan, AddBudget(Budget(tokens=50)))
    assert statuses(plan)[2] == "running"


def test_an_outdated_attempt_asks_for_no_budget() -> None:
    plan = play(running(ask(1), work(2, 1), budget=Budget(tokens=5)), answer(1, "a"))
    play(plan, change(1, "b"), report(2, StepBegun("k", reserve=Spend(tokens=30))))
    plan.then(TaskStatusUpdated, TasksReset, TaskDispatched(2, 2))


def test_a_snapshot_between_keeps_it() -> None:
    plan = play(deploying(), change(1, "b"))
    restored = Planner.restore(plan.handler.snapshot())
    assert restored is not None
    assert restored.process(done(2, "old")) == plan.handler.process(done(2, "old"))


# --- an attempt that may still be running ------------------------------------------------------


@pytest.mark.parametrize("effect", [Effect.Once, Effect.Keyed])
def test_while_it_may_still_be_running_a_person_is_asked_first(effect: Effect) -> None:
    plan = play(deploying(effect=effect), change(1, "b"))
    play(plan, report(2, OutcomeUnknown("it does not stop", 1.5), attempt=1))
    (asked,) = plan.events
    assert isinstance(asked, ClarificationRequested)
    assert asked.question.startswith("Has this ended? work 2 (it does not stop; an answer on")
    assert (asked.choices, asked.then, asked.started_at) == (("run it again",), "outcome", 1.5)
    assert plan_status(plan) == "awaiting_answer"
    play(plan, answer(2, "1"))
    plan.then(ClarificationReceived, TasksReset((2,), "answer_changed"), TaskDispatched(2, 2))
    assert plan.handler.state.tasks[2].run == 2


def test_what_has_no_effect_may_run_beside_itself() -> None:
    plan = play(deploying(effect=Effect.Safe), change(1, "b"))
    play(plan, report(2, OutcomeUnknown("it does not stop"), attempt=1))
    plan.then(TaskStatusUpdated, TasksReset, TaskDispatched(2, 2))


@pytest.mark.parametrize("text", ["done", "run it again", "failed"])
def test_an_open_question_about_what_may_still_be_running_is_answered_first(text: str) -> None:
    plan = play(deploying(), report(2, OutcomeUnknown("it does not stop"), attempt=1))
    play(plan, change(1, "b"))
    plan.then(ClarificationReceived, CancelRequested((2,), CHANGED, restart=True))
    play(plan, answer(2, text))
    plan.then(ClarificationReceived, TasksReset((2,), "answer_changed"), TaskDispatched(2, 2))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "planned"}


def test_an_open_question_about_what_has_ended_is_withdrawn() -> None:
    plan = play(deploying(), report(2, OutcomeUnknown("its process died", ended=True), attempt=1))
    play(plan, change(1, "b"))
    plan.then(ClarificationReceived, TasksReset((2,), "answer_changed"), TaskDispatched(2, 2))


def test_a_retry_that_waits_is_over_and_so_it_is_reset_at_once() -> None:
    plan = play(deploying(), failed(2, jitter=0.9))
    plan.then(RetryScheduled)
    play(plan, change(1, "b"))
    plan.then(ClarificationReceived, TasksReset((2,), "answer_changed"), TaskDispatched(2, 2))


def test_what_waits_for_a_task_that_cannot_run_again_is_skipped_too() -> None:
    plan = running(ask(1), work(2), work(3, 1, 2, done=True), work(4), work(5, 3, 4))
    play(plan, answer(1, "a"), failed(2, retryable=False), change(1, "b"))
    assert statuses(plan) == {
        1: "completed", 2: "failed", 3: "skipped", 4: "running", 5: "skipped"
    }  # fmt: skip
    play(plan, done(4))
    assert plan_status(plan) == "failed"
