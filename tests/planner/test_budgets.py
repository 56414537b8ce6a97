"""Paid steps: reserved before, settled after, shared by all tasks of a plan."""

from __future__ import annotations

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from plan_builders import Plan, answer, done, failed, play, report, running, statuses, work

from planfold.planner.budget import Budget, Spend
from planfold.planner.commands import (
    AddBudget,
    CancelTask,
    HandleExecutorEvent,
    NeedsClarification,
    RetryTask,
    StepAbandoned,
    StepBegun,
    StepCompleted,
)
from planfold.planner.events import (
    BudgetAdded,
    ClarificationReceived,
    ClarificationRequested,
    StepFailed,
    StepRecorded,
    StepStarted,
    TaskDispatched,
    TaskStatusUpdated,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import RetryPolicy

HALF = Spend(tokens=50, calls=1)


def spending(plan: Plan) -> tuple[Spend, Spend]:
    return plan.handler.state.spent, plan.handler.state.reserved


def test_what_a_step_reserves_is_settled_by_what_it_spent() -> None:
    plan = running(work(1), budget=Budget(tokens=100))
    plan.when(report(1, StepBegun("model/1", "m", "00ff", HALF))).then(
        StepStarted(1, "model/1", "m", "00ff", HALF)
    )
    assert spending(plan) == (Spend(), HALF)
    spent = Spend(tokens=30, cost=0.5, calls=1, seconds=2.0)
    plan.when(report(1, StepCompleted("model/1", "said", spent))).then(
        StepRecorded(1, "model/1", "said", spent)
    )
    assert spending(plan) == (spent, Spend())
    plan.when(report(1, StepBegun("model/1", "m", "00ff", HALF))).then_nothing()


def test_tasks_side_by_side_share_the_budget() -> None:
    plan = running(work(1), work(2), budget=Budget(tokens=99))
    plan.when(report(1, StepBegun("a", reserve=HALF))).then(StepStarted)
    plan.when(report(2, StepBegun("a", reserve=HALF, partial="so far"))).then(
        ClarificationRequested(
            2,
            "The plan's budget is used up: 50 tokens of 99 tokens used, and 50 tokens more wanted",
            ("go on", "stop"),
            then="budget",
            partial="so far",
        )
    )
    assert statuses(plan) == {1: "running", 2: "needs_clarification"}
    assert plan.handler.state.questions[2].partial == "so far"


def test_a_larger_budget_lets_continue_what_waits_for_it() -> None:
    plan = running(work(1), work(2), budget=Budget(tokens=10, cost=1.0))
    play(plan, report(1, StepBegun("a", reserve=HALF)), report(2, NeedsClarification("Which?")))
    plan.when(AddBudget(Budget(tokens=90), "ada")).then(
        BudgetAdded(Budget(tokens=90), "ada"),
        ClarificationReceived(1, "go on", "ada", "resume"),
    )
    plan.follow_up()
    assert statuses(plan) == {1: "running", 2: "needs_clarification"}
    assert plan.handler.state.budget == Budget(tokens=100, cost=1.0)
    plan.when(report(1, StepBegun("a", reserve=HALF), attempt=2)).then(StepStarted)


def test_going_on_without_more_budget_asks_again_and_stop_fails_the_task() -> None:
    plan = running(work(1), work(2, 1), budget=Budget(calls=0))
    play(plan, report(1, StepBegun("a", reserve=HALF)), answer(1, "go on"))
    assert statuses(plan)[1] == "running"
    play(plan, report(1, StepBegun("a", reserve=HALF)), answer(1, "stop"))
    assert statuses(plan) == {1: "failed", 2: "skipped"}
    assert "0 calls of 0 calls used" in (plan.handler.state.tasks[1].error or "")


def test_a_step_that_was_cut_off_counts_as_spent_and_is_marked_when_it_begins_again() -> None:
    plan = running(work(1), budget=Budget(tokens=100))
    play(plan, report(1, StepBegun("a", reserve=HALF)))
    plan.when(report(1, StepBegun("a", reserve=HALF))).then(
        StepStarted(1, "a", reserved=HALF, again=True)
    )
    assert spending(plan) == (HALF, HALF)
    plan.when(report(1, StepCompleted("a", 1, Spend(tokens=20, calls=1))))
    assert spending(plan) == (Spend(tokens=70, calls=2), Spend())


def test_a_begin_that_is_delivered_twice_is_charged_once() -> None:
    plan = running(work(1, retry=RetryPolicy(attempts=2, base=0.0)))
    begin = HandleExecutorEvent(1, StepBegun("a", reserve=HALF), 1, epoch=1)
    plan.when(begin).then(StepStarted(1, "a", reserved=HALF, epoch=1))
    plan.when(begin).then_nothing()
    assert spending(plan) == (Spend(), HALF)
    restored = Planner.restore(plan.handler.snapshot())
    assert restored is not None
    assert restored.process(begin) == []


def test_a_begin_under_another_lease_or_in_another_attempt_is_a_second_one() -> None:
    plan = running(work(1, retry=RetryPolicy(attempts=2, base=0.0)))
    step = StepBegun("a", reserve=HALF)
    plan.when(HandleExecutorEvent(1, step, 1, epoch=1))
    plan.when(HandleExecutorEvent(1, step, 1, epoch=2))
    plan.then(StepStarted(1, "a", reserved=HALF, again=True, epoch=2))
    play(plan, failed(1, jitter=0.0))
    plan.when(HandleExecutorEvent(1, step, 2, epoch=2))
    plan.then(StepStarted(1, "a", reserved=HALF, again=True, epoch=2))
    assert spending(plan) == (HALF + HALF, HALF)


def test_a_step_that_failed_may_begin_again_under_the_same_lease() -> None:
    plan = running(work(1))
    begin = HandleExecutorEvent(1, StepBegun("a", reserve=HALF), 1, epoch=1)
    play(plan, begin, report(1, StepAbandoned("a")), begin)
    plan.then(StepStarted(1, "a", reserved=HALF, epoch=1))


def test_a_step_that_failed_gives_back_what_it_did_not_spend() -> None:
    plan = running(work(1))
    play(plan, report(1, StepBegun("a", reserve=HALF)))
    plan.when(report(1, StepAbandoned("a", "overloaded", Spend(calls=1)))).then(
        StepFailed(1, "a", "overloaded", Spend(calls=1))
    )
    assert spending(plan) == (Spend(calls=1), Spend())
    plan.when(report(1, StepAbandoned("a", "overloaded", Spend(calls=1)))).then_nothing()


@pytest.mark.parametrize("end", [done(1), failed(1, retryable=False)], ids=["done", "failed"])
def test_what_is_still_reserved_when_a_task_ends_counts_as_spent(end: object) -> None:
    plan = running(work(1), work(2))
    play(plan, report(1, StepBegun("a", reserve=HALF)), end)  # type: ignore[arg-type] # a command
    assert spending(plan) == (HALF, Spend())


def test_a_retry_by_hand_keeps_the_steps_that_were_paid_for() -> None:
    plan = running(work(1))
    play(plan, report(1, StepBegun("a", reserve=HALF)), report(1, StepCompleted("a", 1, HALF)))
    play(plan, failed(1, retryable=False), RetryTask(1))
    assert plan.handler.state.steps(1) == {"a": 1}
    plan.when(report(1, StepBegun("a", reserve=HALF))).then_nothing()


def test_a_task_that_is_being_cancelled_does_not_ask_for_budget() -> None:
    plan = running(work(1), work(2, 1), budget=Budget(calls=0))
    play(plan, CancelTask(1))
    plan.when(report(1, StepBegun("a", reserve=HALF))).then(TaskStatusUpdated, TaskStatusUpdated)
    assert statuses(plan) == {1: "cancelled", 2: "skipped"}


def test_the_answer_to_a_keyed_question_is_a_step_of_the_task() -> None:
    plan = running(work(1))
    play(plan, report(1, NeedsClarification("May I?", ("yes", "no"), key="ask:rm")))
    plan.when(answer(1, "YES")).follow_up().then(
        ClarificationReceived(1, "yes", "ada", "resume"), TaskDispatched(1, 2)
    )
    assert plan.handler.state.steps(1) == {"ask:rm": "yes"}


def test_seconds_are_used_up_only_by_what_has_been() -> None:
    plan = running(work(1), budget=Budget(seconds=10.0))
    play(plan, report(1, StepBegun("a", reserve=HALF)))
    play(plan, report(1, StepCompleted("a", 1, Spend(seconds=12.0))))
    plan.when(report(1, StepBegun("b", reserve=HALF))).then(ClarificationRequested)
    assert "12.0 s of 10.0 s used" in plan.handler.state.questions[1].question


AMOUNTS = st.builds(
    Spend, tokens=st.integers(0, 30), cost=st.sampled_from([0.0, 0.25, 1.5]), calls=st.just(1)
)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "complete", "abandon"]),
        st.integers(1, 3),
        st.sampled_from("ab"),
        AMOUNTS,
    ),
    max_size=30,
)


@for_all(ACTIONS)
def test_no_order_of_steps_spends_more_than_was_set_aside_within_the_budget(
    actions: list[tuple[str, int, str, Spend]],
) -> None:
    """Calls that cost at most what they reserved never take the plan past its budget."""
    plan = running(*(work(i) for i in (1, 2, 3)), budget=Budget(tokens=60, cost=2.0))
    reserved: dict[tuple[int, str], Spend] = {}
    for action, task_id, key, amount in actions:
        if statuses(plan)[task_id] != "running":
            continue
        if action == "begin":
            plan.when(report(task_id, StepBegun(key, reserve=amount)))
            if any(isinstance(event, StepStarted) for event in plan.events):
                reserved[task_id, key] = amount
        elif (task_id, key) in reserved:
            most = reserved.pop((task_id, key))
            spent = Spend(tokens=most.tokens // 2, cost=most.cost / 2, calls=1)
            ended = StepCompleted(key, 1, spent) if action == "complete" else None
            plan.when(report(task_id, ended or StepAbandoned(key, "no", spent)))
        state = plan.handler.state
        assert state.spent.tokens + state.reserved.tokens <= 60
        assert state.spent.cost + state.reserved.cost <= 2.0
    again = Planner.fold(plan.history).state
    assert (again.spent, again.reserved) == spending(plan)
