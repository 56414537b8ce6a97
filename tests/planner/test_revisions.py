"""RevisePlan replaces what has not started, and needs a new approval."""

from __future__ import annotations

import pytest
from plan_builders import (
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
    tool,
    work,
)

from planfold.errors import NotFound
from planfold.planner.commands import (
    ApprovePlan,
    CancelPlan,
    CancelTask,
    Continue,
    RetryTask,
    RevisePlan,
)
from planfold.planner.events import PlanApproved, PlanRevised, TaskDispatched
from planfold.planner.planner import Planner
from planfold.planner.tasks import RetryPolicy
from planfold.testing.scenario import given


def test_only_tasks_that_have_not_started_are_replaced() -> None:
    plan = play(running(work(1), work(2), work(3, 1, 2), work(4, 3)), done(1))
    plan.when(RevisePlan((work(3, 2, route="new"), work(5, 1))))
    revision = plan.handler.state.revision_hash
    plan.then(PlanRevised((4,), (work(3, 2, route="new"), work(5, 1)), revision))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "planned", 5: "planned"}


def test_a_revision_needs_a_new_approval() -> None:
    plan = running(work(1), work(2, 1))
    before = plan.handler.state.revision_hash
    plan.when(RevisePlan((work(3),)))
    assert plan_status(plan) == "awaiting_approval"
    plan.when(Continue()).then_nothing()
    plan.when(ApprovePlan(before)).then_rejected("review that revision")
    play(plan, ApprovePlan(plan.handler.state.revision_hash))
    plan.then(PlanApproved, TaskDispatched(3, 1))


def test_a_revision_may_come_approved() -> None:
    plan = running(work(1), work(2, 1)).when(RevisePlan((work(3),), "me"))
    plan.then(PlanRevised, PlanApproved)


def test_the_same_revision_again_changes_nothing_but_may_approve() -> None:
    plan = given(Planner, initialize(work(1), work(2, 1), approved_by=None))
    plan.when(RevisePlan((work(3),)))
    plan.when(RevisePlan((work(3),))).then_nothing()
    plan.when(RevisePlan((work(3),), "me")).then(PlanApproved)
    plan.when(RevisePlan((work(3),), "me")).then_nothing()


def test_what_runs_continues_during_a_revision() -> None:
    plan = play(running(work(1), work(2, 1)), RevisePlan((work(2, 1), work(3, 1))), done(1))
    assert statuses(plan) == {1: "completed", 2: "planned", 3: "planned"}
    play(plan, ApprovePlan(plan.handler.state.revision_hash))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "running"}


def test_an_id_that_has_started_cannot_be_used_again() -> None:
    plan = running(work(1), work(2, 1))
    plan.when(RevisePlan((work(1),))).then_rejected(
        "task id 1 is used twice, or its task has already"
    )


def test_a_task_that_waits_for_a_retry_has_started() -> None:
    plan = running(work(1, retry=RetryPolicy(attempts=2))).when(failed(1))
    plan.when(RevisePlan((work(1),))).then_rejected("has already started")


def test_a_revision_is_a_graph() -> None:
    plan = running(work(1), work(2, 1))
    plan.when(RevisePlan((work(3, 4), work(4, 3)))).then_rejected("wait for each other")
    plan.when(RevisePlan((work(3, 9),))).then_rejected("depends on task 9")
    plan.when(RevisePlan((work(3, 2),))).then_rejected("depends on task 2")


def test_a_revision_cannot_build_on_what_failed() -> None:
    plan = play(running(work(1), work(2, 1), work(3, on_failure="continue")), failed(1), failed(3))
    plan.when(RevisePlan((work(4, 1),))).then_rejected("depends on task 1, which has failed")
    plan.when(RevisePlan((work(4, 2),))).then_rejected("depends on task 2, which was skipped")
    dropped = RevisePlan((work(4, 3),), "me", superseded=(1, 2, 3))
    plan.when(dropped).then_rejected(
        "depends on task 3, which has failed; depend on its replacement"
    )
    play(plan, RevisePlan((work(4, 3),), "me"))
    assert statuses(plan)[4] == "running"


def test_a_plan_that_had_ended_continues_with_a_revision() -> None:
    plan = play(running(work(1)), done(1), RevisePlan((work(2, 1),), "me"))
    assert plan_status(plan) == "running"
    play(plan, done(2))
    assert plan_status(plan) == "completed"


def test_a_revision_may_drop_all_that_is_left() -> None:
    plan = play(running(work(1), work(2, 1)), RevisePlan(()), done(1))
    assert plan_status(plan) == "completed"


def test_a_cancelled_plan_is_not_revised() -> None:
    plan = play(running(work(1), work(2, 1)), CancelPlan())
    plan.when(RevisePlan((work(3),))).then_rejected("the plan is cancelled")


def test_a_task_that_started_keeps_the_parents_it_waits_for() -> None:
    """After a changed answer a task that ran is planned again, below a question that does
    not count as started: replacing the question must not lose the dependency."""
    plan = running(ask(1), ask(2, 1), work(3, 2), max_parallel=1)
    play(plan, answer(1, "a"), answer(2, "x"), done(3))
    plan.when(change(1, "b"))
    plan.when(RevisePlan(())).then_rejected("task 3 is not planned any more.* keep that")
    play(plan, RevisePlan((ask(2, 1, choices=("p", "q")),), "me"))
    assert statuses(plan) == {1: "completed", 2: "needs_clarification", 3: "planned"}
    play(plan, answer(2, "q"))
    assert statuses(plan)[3] == "running"


def test_a_parent_that_stays_starts_its_new_dependents() -> None:
    plan = play(running(work(1), work(2, 1)), RevisePlan((work(3, 1),), "me"), done(1))
    assert statuses(plan) == {1: "completed", 3: "running"}


# --- tasks that failed, were skipped or cancelled ----------------------------------------------


@pytest.fixture
def ended() -> Plan:
    """1 completed, 2 failed, 3 and 4 were skipped."""
    return play(running(work(1), work(2, 1), work(3, 2), work(4, 3)), done(1), failed(2))


def test_a_revision_replaces_what_failed_and_plans_what_was_skipped(ended: Plan) -> None:
    revision = RevisePlan((work(5, 1), work(3, 5), work(4, 3)), "me", superseded=(2,))
    ended.when(revision)
    ended.then(
        PlanRevised((), revision.tasks, ended.handler.state.revision_hash, (2,)), PlanApproved
    )
    ended.follow_up()
    assert plan_status(ended) == "running"
    play(ended, done(5), done(3), done(4))
    assert statuses(ended) == dict.fromkeys((1, 2, 3, 4, 5), "completed") | {2: "failed"}
    assert plan_status(ended) == "completed"


def test_a_revision_drops_what_failed(ended: Plan) -> None:
    ended.when(RevisePlan((), superseded=(2, 3, 4)))
    play(ended, ApprovePlan(ended.handler.state.revision_hash))
    assert plan_status(ended) == "completed"
    ended.when(RevisePlan((), superseded=(2, 3, 4))).then_nothing()


def test_what_a_revision_does_not_mention_stays_failed(ended: Plan) -> None:
    play(ended, RevisePlan((work(5, 1),), "me"), done(5))
    assert plan_status(ended) == "failed"


def test_only_what_ended_without_completing_is_superseded(ended: Plan) -> None:
    ended.when(RevisePlan((work(5),), superseded=(1,))).then_rejected("task 1 is completed; a rev")
    ended.when(RevisePlan((work(3),), superseded=(3,))).then_rejected("leave one of them out")
    ended.when(RevisePlan((work(5),), superseded=(9,))).then_rejected("no task 9", NotFound)
    ended.when(RevisePlan((work(2),), superseded=())).then_rejected("has already started")
    plan = running(work(1), work(2, 1))
    plan.when(RevisePlan((), superseded=(1,))).then_rejected("task 1 is queued or running")
    plan.when(RevisePlan((), superseded=(2,))).then_rejected("task 2 is planned")


def test_a_cancelled_task_that_never_started_keeps_its_id() -> None:
    plan = play(running(work(1), work(2, 1)), CancelTask(2), RevisePlan((work(2, 1),), "me"))
    play(plan, done(1), done(2))
    assert statuses(plan) == {1: "completed", 2: "completed"}


def test_a_superseded_task_does_not_keep_its_parents() -> None:
    plan = play(running(work(1), work(2, 1), work(3, 2)), CancelTask(3))
    play(plan, RevisePlan((work(4, 1),), "me", superseded=(3,)), done(1), done(4))
    assert statuses(plan) == {1: "completed", 3: "cancelled", 4: "completed"}
    assert plan.handler.state.tasks[3].depends_on == ()
    assert plan_status(plan) == "completed"


def test_a_superseded_task_does_not_run_again_with_others() -> None:
    plan = running(ask(1), work(2, 1), work(3, 2))
    play(plan, answer(1, "a"), failed(2))
    play(plan, RevisePlan((work(4, 1),), "me", superseded=(2, 3)), done(4))
    play(plan, change(1, "b"))
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped", 4: "running"}
    play(plan, RetryTask(2))
    assert statuses(plan) == {1: "completed", 2: "running", 3: "skipped", 4: "running"}


def test_references_need_a_dependency() -> None:
    plan = running(work(1), work(2, 1))
    message = "task 3 refers to [$]1.path, but does not depend"
    plan.when(RevisePlan((tool(3, text="$1.path"),))).then_rejected(message)
    given(Planner).when(initialize(work(1), tool(3, text="$1.path"))).then_rejected(message)
