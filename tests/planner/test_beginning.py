"""Initialize and approval: nothing runs before its exact revision is approved."""

from __future__ import annotations

import pytest
from plan_builders import ask, done, initialize, plan_status, play, running, statuses, work

from planfold.errors import NotFound
from planfold.planner.commands import ApprovePlan, CancelPlan, Continue, RevisePlan
from planfold.planner.events import PlanApproved, PlanningCompleted, TaskDispatched, TasksPlanned
from planfold.planner.planner import Planner
from planfold.planner.revisions import hash_revision
from planfold.planner.tasks import RetryPolicy
from planfold.testing.scenario import given


def test_a_plan_begins_and_waits_for_approval() -> None:
    plan = given(Planner).when(initialize(work(1), approved_by=None)).then(TasksPlanned)
    plan.when(Continue()).then_nothing()
    assert plan_status(plan) == "awaiting_approval"
    assert plan.handler.outlook().command is None


def test_a_plan_may_begin_approved() -> None:
    plan = given(Planner).when(initialize(work(1))).then(TasksPlanned, PlanApproved)
    plan.when(Continue()).then(TaskDispatched(1, 1))


@pytest.mark.parametrize("command", [Continue(), CancelPlan(), ApprovePlan("x")])
def test_a_plan_that_has_not_begun_has_no_other_command(command: Continue) -> None:
    given(Planner).when(command).then_rejected("begins with Initialize", NotFound)


def test_beginning_twice_with_the_same_tasks_changes_nothing() -> None:
    command = initialize(work(1), work(2, 1))
    given(Planner, command).when(command).then_nothing()


def test_beginning_again_with_approval_approves() -> None:
    plan = given(Planner, initialize(work(1), approved_by=None))
    plan.when(initialize(work(1), approved_by="me")).then(PlanApproved)
    plan.when(initialize(work(1), approved_by="me")).then_nothing()


def test_beginning_again_does_not_revive_a_cancelled_plan() -> None:
    plan = given(Planner, initialize(work(1), approved_by=None), CancelPlan()).follow_up()
    plan.when(initialize(work(1), approved_by="me")).then_nothing()


def test_beginning_twice_with_other_tasks_is_rejected() -> None:
    plan = given(Planner, initialize(work(1)))
    plan.when(initialize(work(1), work(2))).then_rejected("other tasks; revise it")


def test_beginning_again_after_a_revision_neither_fails_nor_approves_it() -> None:
    command = initialize(work(1))
    plan = given(Planner, command, RevisePlan((work(2),)))
    plan.when(command).then_nothing()
    assert plan_status(plan) == "awaiting_approval"


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ((), "at least one task"),
        ((work(1), work(1)), "is used twice"),
        ((work(1, 2),), "depends on task 2, which does not exist"),
        ((work(1, 2), work(2, 1)), "wait for each other: 1 -> 2"),
        ((work(1, 1),), "wait for each other"),
        ((work(1, label="\ud800"),), "cannot be written as JSON"),
    ],
)
def test_tasks_that_are_no_graph_are_rejected(tasks: tuple, why: str) -> None:  # type: ignore[type-arg]
    given(Planner).when(initialize(*tasks)).then_rejected(why)


@pytest.mark.parametrize(
    "config",
    [
        {"max_parallel": 0},
        {"route_limits": {"x": 0}},
        {"token_budget": 0},
        {"error_char_limit": 0},
        {"error_char_limit": -5},
    ],
)
def test_limits_under_which_nothing_could_run_are_rejected(config: dict) -> None:  # type: ignore[type-arg]
    given(Planner).when(initialize(work(1), **config)).then_rejected("must be at least 1")


@pytest.mark.parametrize("project", ["", "a b", "-a", "a\n", "é", "a" * 101, "a/b", None, 1])
def test_a_project_has_a_name(project: object) -> None:
    expected = "a project has up to 100 letters, digits"
    given(Planner).when(initialize(work(1), project=project)).then_rejected(expected)


@pytest.mark.parametrize("priority", [1_001, -1_001, True, 0.5, "high", None])
def test_a_priority_out_of_range_is_rejected(priority: object) -> None:
    """Also one that could not be read back."""
    expected = "priority must be an integer from -1000 to 1000, not"
    given(Planner).when(initialize(work(1), priority=priority)).then_rejected(expected)


def test_approval_is_for_an_exact_revision() -> None:
    plan = given(Planner, initialize(work(1), approved_by=None))
    plan.when(ApprovePlan("0123456789ab", "ada")).then_rejected("review that revision")
    revision = plan.handler.state.revision_hash
    plan.when(ApprovePlan(revision, "ada")).then(PlanApproved(revision, "ada"))
    plan.when(ApprovePlan(revision, "bob")).then_nothing()
    plan.when(Continue()).then(TaskDispatched(1, 1))


def test_a_plan_that_is_over_takes_no_approval() -> None:
    plan = play(running(work(1)), done(1))
    plan.when(ApprovePlan(plan.handler.state.revision_hash)).then_rejected("is completed")
    plan = play(given(Planner, initialize(work(1), approved_by=None)), CancelPlan())
    plan.when(ApprovePlan(plan.handler.state.revision_hash)).then_rejected("was cancelled")


def test_the_revision_hash_changes_with_any_field_and_not_with_the_order() -> None:
    base = work(1)
    others = [
        work(2),
        ask(1),
        work(1, route="x"),
        work(1, timeout=1.0),
        work(1, retry=RetryPolicy(attempts=2)),
        work(1, on_failure="continue"),
    ]
    assert len({hash_revision([spec]) for spec in (base, *others)}) == 7
    assert hash_revision([work(1), work(2)]) == hash_revision([work(2), work(1)])


def test_tasks_that_were_done_before_count_as_completed() -> None:
    plan = running(work(1, done=True), work(2, 1))
    assert statuses(plan) == {1: "completed", 2: "running"}


def test_a_plan_of_finished_tasks_ends_without_approval() -> None:
    plan = given(Planner, initialize(work(1, done=True), approved_by=None))
    plan.follow_up().then(PlanningCompleted)


def test_two_lines_are_enough() -> None:
    planner = Planner()
    history = planner.process(initialize(work(1)))
    assert Planner.fold(history).process(Continue()) == [TaskDispatched(1, 1)]


def test_what_is_no_command_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="no command str"):
        running(work(1)).handler.process("stop")  # type: ignore[arg-type]
