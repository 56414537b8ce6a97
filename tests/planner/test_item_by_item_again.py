"""Maps that run item by item, after their source has failed: what may be planned again, and what
waits for a retry of the source."""

from __future__ import annotations

import msgspec
import pytest

from planfold.planner.commands import (
    CancelPlan,
    Command,
    CompleteTask,
    ConfirmEnd,
    ContinueSubPlan,
    ForkPlan,
    OutcomeUnknown,
    RetryTask,
    SkipTask,
    UndoPlan,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, ParentTask, TaskSpec, ToolCall, Undo
from planfold.testing.scenario import given
from tests.planner.plan_builders import (
    Plan,
    done,
    failed,
    initialize,
    plan_status,
    play,
    report,
    running,
    statuses,
    tool,
    work,
)
from tests.planner.test_item_by_item import behind
from tests.planner.test_maps import LIST, at, each, error, expanded

UNKNOWN = OutcomeUnknown("its process died", ended=True)
AFTER = tool(4, 3, all="$3")


def source_failed(*others: TaskSpec, follower: TaskSpec | None = None) -> Plan:
    """Two maps; one item of the first fails, and the others run through both."""
    plan = expanded(each(2), follower or behind(3, 2), AFTER, *others, undo="never")
    play(plan, done(at(0)), failed(at(1), retryable=False), done(at(2)))
    return play(plan, done(at(0, 3)), done(at(2, 3)))


@pytest.mark.parametrize("command", [CompleteTask(at(1, 3), "by hand"), SkipTask(at(1, 3))])
def test_an_item_of_a_map_whose_source_has_failed_is_not_decided_by_hand(command: Command) -> None:
    plan = source_failed()
    plan.when(command).then_rejected(r"3\[1\] is an item of a map that needs task 2, which has")
    play(plan, RetryTask(2), command, done(at(1)), done(4))
    assert plan_status(plan) == "completed"


def test_undone_items_whose_source_has_failed_run_again_with_it() -> None:
    undo = Undo(tool=ToolCall("revert", {}))
    plan = source_failed(tool(7), follower=behind(3, 2, undo=undo, effect=Effect.Safe))
    play(plan, failed(7, retryable=False), UndoPlan(), done(8), done(9))
    play(plan, RetryTask(7), done(7))
    assert plan_status(plan) == "failed"
    assert statuses(plan)[3] == "skipped"

    play(plan, RetryTask(2))
    assert [statuses(plan)[at(i, 3)] for i in (0, 1, 2)] == ["running", "planned", "running"]
    play(plan, done(at(1)), *(done(at(i, 3)) for i in (0, 1, 2)), done(4))
    assert plan_status(plan) == "completed"


def test_a_fork_runs_items_again_that_were_undone_once_their_source_runs_again() -> None:
    undo = Undo(tool=ToolCall("revert", {}))
    plan = source_failed(follower=behind(3, 2, undo=undo, effect=Effect.Safe))
    play(plan, UndoPlan(), done(5), done(6))
    origin = Planner.fold(plan.history)
    origin.state.version = 0
    fork = given(origin).when(ForkPlan(origin="p", version=len(plan.history))).follow_up()
    play(fork, RetryTask(2), done(at(1)))
    assert [statuses(fork)[at(i, 3)] for i in (0, 1, 2)] == ["running"] * 3


def test_a_map_is_not_needed_whose_source_was_skipped_while_both_ran() -> None:
    plan = expanded(each(2, effect=Effect.Safe), behind(3, 2), AFTER)
    play(plan, done(at(0)), done(at(0, 3)), SkipTask(2))
    play(plan, failed(at(1)), failed(at(2)))
    assert [statuses(plan)[i] for i in (2, 3, 4)] == ["skipped"] * 3
    assert plan.handler.state.tasks[4].not_needed
    assert plan_status(plan) == "completed"


def test_a_retry_of_the_source_leaves_an_item_whose_outcome_is_unknown_to_a_person() -> None:
    plan = expanded(each(2), behind(3, 2, effect=Effect.Once), AFTER)
    play(plan, done(at(0)), CancelPlan())
    play(plan, report(at(0, 3), UNKNOWN), failed(at(1)), failed(at(2)))
    play(plan, RetryTask(2), done(at(1)), done(at(2)))
    assert statuses(plan)[at(0, 3)] == "cancelled"
    assert error(plan, 3).startswith("1 of 3 items did not complete: 3[0]: outcome unknown")
    play(plan, RetryTask(at(0, 3)))
    assert statuses(plan)[at(0, 3)] == "running"


def test_a_handler_whose_outcome_is_unknown_is_not_repeated_by_another_retry() -> None:
    plan = play(running(work(1), work(2, 1, run_if="ended")), failed(1, retryable=False))
    play(plan, CancelPlan(), report(2, UNKNOWN), RetryTask(1), done(1))
    assert statuses(plan)[2] == "cancelled"


def test_another_attempt_of_a_sub_plan_runs_both_maps_again() -> None:
    specs = (work(1), each(2), behind(3, 2), AFTER)
    begin = msgspec.structs.replace(initialize(*specs), parent=ParentTask("parent", 1, 1))
    plan = play(given(Planner, begin).follow_up(), done(1, LIST), done(at(0)))
    play(plan, failed(at(0, 3), retryable=False), failed(at(1), retryable=False), done(at(2)))
    assert [statuses(plan)[i] for i in (2, 3)] == ["failed", "failed"]

    play(plan, ConfirmEnd(1), ContinueSubPlan(2), done(at(1)))
    play(plan, *(done(at(i, 3)) for i in (0, 1, 2)), done(4))
    assert plan_status(plan) == "completed"
