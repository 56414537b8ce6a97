"""What starts when: the moment its own parents are done, as far as the limits allow."""

from __future__ import annotations

from plan_builders import ask, done, failed, plan_status, play, running, statuses, tool, work

from planfold.planner.commands import Continue
from planfold.planner.events import (
    ClarificationRequested,
    TaskDispatched,
    TaskStatusUpdated,
)
from planfold.planner.tasks import RetryPolicy, TaskStatus


def started(plan: object) -> list[int]:
    return [e.task_id for e in plan.events if isinstance(e, TaskDispatched)]  # type: ignore[attr-defined]


def test_everything_without_parents_starts_at_once() -> None:
    plan = running(work(1), work(2), ask(3), work(4, 1))
    plan.then(ClarificationRequested(3, "question 3?"), TaskDispatched(1, 1), TaskDispatched(2, 1))


def test_a_task_starts_the_moment_its_own_parents_are_done() -> None:
    plan = running(work(1), work(2), work(3, 1), work(4, 1, 2))
    assert started(play(plan, done(1))) == [3]
    assert started(play(plan, done(2))) == [4]


def test_a_parent_that_is_named_twice_counts_once() -> None:
    plan = play(running(work(1), work(2, 1, 1)), done(1))
    assert started(plan) == [2]


def test_a_task_that_becomes_free_late_starts_beside_many_that_run() -> None:
    plan = running(work(1), *(work(i) for i in range(2, 9)), work(9, 1))
    assert started(play(plan, done(1))) == [9]


def test_no_more_than_max_parallel_run() -> None:
    plan = running(*(work(i) for i in range(1, 6)), max_parallel=2)
    assert started(plan) == [1, 2]
    assert started(play(plan, done(2))) == [3]
    assert started(play(plan, done(1))) == [4]
    assert started(play(plan, done(3), done(4))) == []
    assert statuses(plan)[5] == "running"


def test_max_parallel_may_all_be_one_route() -> None:
    plan = running(*(work(i, route="a") for i in range(1, 6)), max_parallel=4)
    assert started(plan) == [1, 2, 3, 4]
    assert started(play(plan, done(1))) == [5]


def test_questions_take_no_slot() -> None:
    plan = running(work(1), ask(2), ask(3), max_parallel=1)
    assert set(statuses(plan).values()) == {"running", "needs_clarification"}


def test_a_route_limit_bounds_only_its_route() -> None:
    specs = [work(i, route="gpu") for i in (1, 2, 3)] + [work(i) for i in (4, 5)]
    plan = running(*specs, route_limits={"gpu": 1})
    assert started(plan) == [1, 4, 5]
    assert started(play(plan, done(4))) == []
    assert started(play(plan, done(1))) == [2]


def test_routes_take_turns_under_a_common_limit() -> None:
    crowd = [work(i, route="a") for i in range(1, 7)]
    plan = running(*crowd, work(7, route="b"), work(8, route="c"), max_parallel=4)
    assert started(plan) == [1, 7, 8, 2]


def test_a_tools_name_is_its_route() -> None:
    plan = running(tool(1), tool(2), route_limits={"echo": 1})
    assert started(plan) == [1]


def test_due_retries_go_before_fresh_tasks() -> None:
    retried = work(1, retry=RetryPolicy(attempts=2, base=2.0))
    plan = running(retried, work(2), work(3), max_parallel=1)
    assert started(play(plan, failed(1, now=0.0, jitter=0.5))) == [2]
    assert started(play(plan, done(2), now=5.0)) == [1]


def test_references_are_resolved_when_the_task_starts() -> None:
    plan = running(tool(1), tool(2, 1, text="got $1.name", all="$1"))
    play(plan, done(1, {"name": "x"}))
    plan.then(
        TaskStatusUpdated,
        TaskDispatched(2, 1, {"text": "got x", "all": {"name": "x"}}),
    )
    assert plan.handler.state.tasks[2].arguments == {"text": "got x", "all": {"name": "x"}}


def test_a_reference_to_a_missing_field_fails_the_task_and_skips_what_follows() -> None:
    plan = play(running(tool(1), tool(2, 1, text="$1.name"), work(3, 2)), done(1, {"size": 1}))
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped"}
    assert "no field 'name'" in str(plan.handler.state.tasks[2].error)


def test_a_missing_field_lets_dependents_continue_where_the_task_says_so() -> None:
    spec = tool(2, 1, text="$1.name")
    lenient = type(spec)(
        id=2, description="x", tool=spec.tool, depends_on=(1,), on_failure="continue"
    )
    plan = play(running(tool(1), lenient, work(3, 2)), done(1, 7))
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "running"}


def test_a_failed_parent_lets_dependents_start_where_it_says_so() -> None:
    lenient = work(1, on_failure="continue")
    plan = play(running(lenient, work(2, 1), tool(3, 1, text="$1"), work(4, 3)), failed(1))
    assert statuses(plan) == {1: "failed", 2: "running", 3: "failed", 4: "skipped"}
    assert plan.handler.state.tasks[3].error == "$1: task 1 is failed and has no result"


def test_a_failed_parent_stops_everything_below_it_by_default() -> None:
    specs = [work(1), work(2, 1), work(3, 2), work(4), work(5, 4, 3)]
    plan = play(running(*specs), failed(1))
    assert statuses(plan) == {1: "failed", 2: "skipped", 3: "skipped", 4: "running", 5: "skipped"}
    assert plan.handler.state.tasks[3].error == "it needs task 2, which did not complete"


def test_continuing_again_changes_nothing() -> None:
    plan = running(work(1), work(2, 1))
    plan.when(Continue()).then_nothing()
    plan.when(Continue(1e9)).then_nothing()
    assert plan.handler.outlook().due_at is None


def test_a_plan_waits_for_a_person_only_when_nothing_else_continues() -> None:
    plan = running(ask(1), work(2), work(3, 2))
    assert plan_status(plan) == "running"
    assert plan_status(play(plan, done(2))) == "running"
    assert plan_status(play(plan, done(3))) == "awaiting_answer"


def test_the_head_says_how_far_a_plan_is() -> None:
    plan = play(running(ask(1), work(2), work(3, 2)), done(2))
    assert plan.handler.outlook().head == {
        "title": "Release",
        "status": "running",
        "total": 3,
        "completed": 1,
        "questions": 1,
    }
    assert plan.handler.state.tasks[2].status is TaskStatus.Completed
