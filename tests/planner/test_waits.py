"""Waits in the planner: how they begin and end, and what each command means for them."""

from __future__ import annotations

from typing import Any

import pytest

from planfold.planner.commands import (
    CancelPlan,
    CancelTask,
    CompleteTask,
    Continue,
    ForkPlan,
    PausePlan,
    RegisterWait,
    RetryTask,
    SkipTask,
    UnpausePlan,
)
from planfold.planner.events import (
    TaskDecided,
    TaskDispatched,
    TaskStatusUpdated,
    WaitRegistered,
    WaitStarted,
)
from planfold.planner.items import item_id
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, ForEach, TaskSpec, TaskStatus, Wait
from tests.planner.plan_builders import (
    Plan,
    answer,
    ask,
    change,
    done,
    failed,
    plan_status,
    play,
    running,
    statuses,
    work,
)

S = TaskStatus


def wait(task_id: int, *after: int, timeout: float | None = None, **fields: Any) -> TaskSpec:
    rest = {name: fields.pop(name) for name in ("on_failure", "for_each") if name in fields}
    return TaskSpec(
        id=task_id,
        description="wait",
        depends_on=after,
        effect=Effect.Safe,
        timeout=timeout,
        wait=Wait(**fields),
        **rest,
    )


def due(plan: Plan) -> float | None:
    return plan.handler.outlook().due_at


def after(plan: Plan, seconds: float) -> Plan:
    return play(plan, Continue(seconds), now=seconds)


def test_a_wait_for_a_time_ends_when_it_has_passed() -> None:
    plan = running(wait(1, seconds=60.0), work(2, 1))
    assert due(plan) == 60.0
    assert plan_status(plan) == "running"
    assert not after(plan, 59.9).events
    plan.when(Continue(60.0)).follow_up(60.0).then(
        TaskStatusUpdated(1, S.Completed), TaskDispatched(2, 1)
    )


def test_a_moment_that_has_passed_ends_the_wait_at_once() -> None:
    plan = after(running(work(9), wait(1, 9, at=50.0, written="x"), work(2)), 100.0)
    plan.when(done(9)).follow_up(100.0).then(
        TaskStatusUpdated(9, S.Completed),
        WaitStarted(1, 1, 50.0),
        TaskStatusUpdated(1, S.Completed),
    )


def test_a_wait_has_no_row_in_the_queue_and_takes_no_slot() -> None:
    plan = running(wait(1, seconds=1.0), work(2), max_parallel=1)
    assert statuses(plan) == {1: "running", 2: "running"}
    fresh = Planner.fold(plan.history)
    assert not any(e.task_id == 1 for _, e in fresh.outlook(plan.history[-3:]).queue)


def test_a_signal_is_the_result() -> None:
    plan = running(work(1), wait(2, 1, signal="paid", key="order-$1.id"), work(3, 2))
    plan.when(done(1, {"id": 7})).follow_up().then(
        TaskStatusUpdated(1, S.Completed, {"id": 7}), WaitStarted(2, 1, None, "order-7")
    )
    assert due(plan) == 0.0  # it is to be registered
    plan.when(RegisterWait(2, 1)).then(WaitRegistered(2, 1))
    assert due(plan) is None
    plan.when(RegisterWait(2, 1)).then()
    plan.when(done(2, {"amount": 3}, attempt=1)).follow_up().then(
        TaskStatusUpdated(2, S.Completed, {"amount": 3}), TaskDispatched(3, 1)
    )
    plan.when(done(2, {"amount": 4}, attempt=1)).then()


def test_a_signal_may_be_faster_than_the_registration() -> None:
    plan = play(running(wait(1, signal="paid")), done(1, "x", attempt=1))
    plan.when(RegisterWait(1, 1)).then()
    assert due(plan) is None


@pytest.mark.parametrize(
    ("found", "key"), [(7, "7"), (2.5, "2.5"), (True, "true"), ("a b", "a b")], ids=str
)
def test_what_is_found_becomes_a_key(found: Any, key: str) -> None:
    plan = play(running(work(1), wait(2, 1, signal="paid", key="$1")), done(1, found))
    assert plan.handler.state.tasks[2].signal_key == key


@pytest.mark.parametrize("found", [None, {}, [1], "", "x" * 1001, "a\0"], ids=lambda f: repr(f)[:9])
def test_what_cannot_be_a_key_fails_the_wait(found: Any) -> None:
    plan = play(running(work(1), wait(2, 1, signal="paid", key="$1"), work(3, 2)), done(1, found))
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped"}
    assert "key: $1: a key is" in (plan.handler.state.tasks[2].error or "")


def test_without_a_signal_the_default_holds_or_the_wait_fails() -> None:
    plan = running(
        wait(1, signal="a", timeout=9.0, default={"n": 0}),
        wait(2, signal="b", key="k", timeout=9.0),
        work(3, 2),
        wait(4, signal="c", timeout=9.0, on_failure="continue"),
    )
    tasks = after(plan, 9.0).handler.state.tasks
    assert (tasks[1].status, tasks[1].result) == (S.Completed, {"n": 0})
    assert tasks[2].error == "no signal 'b' with the key 'k' came within 9 s"
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped", 4: "failed"}
    assert plan_status(plan) == "failed"


def test_a_question_beside_a_wait_does_not_hold_the_plan_up() -> None:
    plan = running(wait(1, signal="a"), ask(2))
    assert plan_status(plan) == "running"
    assert plan_status(play(plan, done(1))) == "awaiting_answer"


def test_a_wait_is_cancelled_at_once() -> None:
    plan = running(wait(1, seconds=9.0), work(2, 1), work(3))
    plan.when(CancelTask(1)).follow_up()
    assert statuses(plan) == {1: "cancelled", 2: "skipped", 3: "running"}
    assert due(plan) is None
    whole = play(running(wait(1, signal="a")), CancelPlan())
    assert plan_status(whole) == "cancelled"
    assert due(whole) is None


def test_a_retry_waits_again_and_an_earlier_signal_does_not_count() -> None:
    plan = after(running(wait(1, signal="a", timeout=5.0)), 5.0)
    play(plan, RetryTask(1), now=8.0)
    task = plan.handler.state.tasks[1]
    assert (task.status, task.attempt, task.until) == (S.Running, 2, 13.0)
    plan.when(done(1, "late", attempt=1)).then()
    play(plan, done(1, "x", attempt=2))
    assert plan_status(plan) == "completed"


def test_a_changed_answer_waits_again_at_once() -> None:
    plan = play(running(ask(1), wait(2, 1, signal="a", key="$1")), answer(1, "x"))
    play(plan, change(1, "y"))
    task = plan.handler.state.tasks[2]
    assert (task.status, task.attempt, task.signal_key) == (S.Running, 2, "y")


def test_each_item_of_a_map_waits_for_its_own_key() -> None:
    waits = wait(2, 1, signal="paid", key="$item.id", for_each=ForEach(items="$1"))
    plan = play(running(work(1), waits), done(1, [{"id": 5}, {"id": 6}]))
    items = [item_id(2, place) for place in range(2)]
    assert [plan.handler.state.tasks[i].signal_key for i in items] == ["5", "6"]
    play(plan, done(items[1], "b"), done(items[0], "a"))
    assert plan.handler.state.tasks[2].result == ["a", "b"]


def test_the_items_are_cancelled_with_their_map() -> None:
    waits = wait(2, 1, signal="paid", key="$item", for_each=ForEach(items="$1"))
    plan = play(running(work(1), waits), done(1, [5, 6]), CancelTask(2))
    assert set(statuses(plan).values()) == {"completed", "cancelled"}
    assert plan_status(plan) == "cancelled"


@pytest.mark.parametrize("fields", [{"signal": "a"}, {"seconds": 9.0}], ids=["signal", "time"])
def test_a_wait_ends_at_once_by_hand(fields: Any) -> None:
    plan = running(wait(1, **fields), work(2, 1))
    plan.when(CompleteTask(1, "paid", "by letter", "ada")).follow_up().then(
        TaskDecided(1, S.Completed, "paid", "by letter", "ada"),
        TaskStatusUpdated(1, S.Completed, "paid"),
        TaskDispatched(2, 1),
    )
    assert due(plan) is None
    plan.when(done(1, "late", attempt=1)).then()
    plan = play(running(wait(1, **fields), work(2), work(3, 1, 2)), SkipTask(1), done(2))
    assert statuses(plan) == {1: "skipped", 2: "completed", 3: "running"}
    assert plan.handler.state.tasks[1].not_needed


def test_the_items_of_a_map_of_waits_end_by_hand() -> None:
    waits = wait(2, 1, signal="paid", key="$item", for_each=ForEach(items="$1"))
    first, second = item_id(2, 0), item_id(2, 1)
    plan = play(running(work(1), waits, work(3, 2)), done(1, [5, 6]))
    assert not plan.handler.state.tasks[2].waits
    play(plan, CompleteTask(first, "a"), SkipTask(second))
    assert plan.handler.state.tasks[2].result == ["a", None]
    assert statuses(plan)[3] == "running"
    whole = play(running(work(1), waits, work(3, 2)), done(1, [5, 6]), SkipTask(2))
    assert statuses(whole) == {
        **{1: "completed", 2: "skipped", 3: "skipped"},
        **{first: "cancelled", second: "cancelled"},
    }
    assert plan_status(whole) == "completed"


def test_a_pause_stops_neither_signals_nor_time() -> None:
    plan = play(running(wait(1, signal="a", timeout=9.0), work(2, 1)), PausePlan())
    assert plan_status(plan) == "paused"
    assert due(plan) == 0.0  # it is to be registered
    play(plan, RegisterWait(1, 1))
    assert due(plan) == 9.0
    late = after(Plan(Planner.fold(plan.history)), 9.0)
    assert plan_status(late) == "failed"
    play(plan, done(1, "x", attempt=1))
    assert statuses(plan) == {1: "completed", 2: "planned"}
    play(plan, UnpausePlan())
    assert statuses(plan) == {1: "completed", 2: "running"}


def test_a_fork_waits_itself() -> None:
    plan = play(running(wait(1, signal="a", timeout=9.0)), RegisterWait(1, 1))
    fork = Planner.fold(plan.history)
    fork.state.version = 0
    for event in fork.process(ForkPlan(origin="p", version=len(plan.history))):
        fork.apply(event)
    for event in fork.process(Continue(100.0)):
        fork.apply(event)
    task = fork.state.tasks[1]
    assert (task.status, task.attempt, task.until) == (S.Running, 2, 109.0)
    assert fork.outlook().due_at is not None


def test_a_wait_reports_a_failure_as_any_task() -> None:
    plan = play(running(wait(1, signal="a"), work(2, 1)), failed(1, "no such order"))
    assert statuses(plan) == {1: "failed", 2: "skipped"}


def test_a_snapshot_keeps_what_waits() -> None:
    plan = running(wait(1, signal="a"), wait(2, seconds=5.0))
    snapshot = plan.handler.snapshot()
    restored = Planner.restore(snapshot)
    assert restored is not None
    assert restored.state == plan.handler.state
    assert restored.outlook().due_at == plan.handler.outlook().due_at
    assert restored.process(Continue(5.0)) == [TaskStatusUpdated(2, S.Completed)]
