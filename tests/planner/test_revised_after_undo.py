"""A plan that was undone is revised, retried and forked: undo tasks are not tasks of its author."""

from __future__ import annotations

from typing import Any

import pytest
from plan_builders import Plan, answer, done, failed, plan_status, play, running, statuses, work

from planfold.commands import CompleteTask, ForkPlan, RetryTask, RevisePlan, SkipTask, TaskSpec
from planfold.errors import CommandRejected
from planfold.planner.events import PlanForked
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind
from planfold.types import ToolCall, Undo

DROP = Undo(tool=ToolCall("drop", {}))


def make(task_id: int, *after: int) -> TaskSpec:
    fields: dict[str, Any] = {"tool": ToolCall("make", {}), "kind": NodeKind.ToolCall}
    return TaskSpec(id=task_id, description="make", depends_on=after, undo=DROP, **fields)


def left() -> Plan:
    """1 has completed, 2 failed, and a person left it: 3 asked, 4 was to undo 1."""
    plan = play(running(make(1), work(2, 1)), done(1), failed(2), answer(3, "leave it"))
    assert statuses(plan)[4] == "skipped"
    return plan


def not_undone() -> Plan:
    """3 could not undo 1, and a person said so."""
    plan = running(make(1), work(2, 1), undo="always")
    return play(plan, done(1), failed(2), failed(3), answer(3, "failed"))


def test_an_undo_task_does_not_run_while_a_revision_waits_for_approval() -> None:
    plan = play(not_undone(), RevisePlan((make(7),), None, (2,)))
    assert plan_status(plan) == "awaiting_approval"
    for command in (RetryTask(3), SkipTask(3), CompleteTask(3)):
        plan.when(command).then_rejected("undo the plan again when it has ended")
    assert statuses(plan)[7] == "planned"


def test_an_undo_task_does_not_run_beside_the_plan_that_continues() -> None:
    plan = play(not_undone(), RetryTask(2))
    plan.when(RetryTask(3)).then_rejected("undo the plan again when it has ended")
    play(plan, failed(2), RetryTask(3))
    assert (plan.handler.state.undoing, statuses(plan)[3]) == (True, "running")


def test_a_revision_neither_replaces_an_undo_task_nor_depends_on_it() -> None:
    plan = left()
    plan.when(RevisePlan((work(4),), "me", (2,))).then_rejected("task id 4 is used twice")
    plan.when(RevisePlan((work(5, 3),), "me", (2,))).then_rejected(
        "depends on task 3, which undoes"
    )
    play(plan, RevisePlan((work(5),), "me", (2,)), done(5))
    state = plan.handler.state
    assert (plan_status(plan), state.tasks[4].spec.undoes) == ("completed", 1)
    assert state.tasks[1].undo_task == 0, "whether it is undone is decided again"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tasks": (work(4),)}, "task 4 undoes another one"),
        ({"answers": {3: "undo"}}, "task 3 is not a question"),
    ],
)
def test_a_fork_neither_changes_an_undo_task_nor_answers_its_question(
    changed: dict[str, Any], why: str
) -> None:
    fork = Planner(left().handler.state)
    fork.state.version = 0
    with pytest.raises(CommandRejected, match=why):
        fork.process(ForkPlan(origin="o", version=9, **changed))
    [forked, *_] = fork.process(ForkPlan(origin="o", version=9, kept={3: "undo"}))
    assert isinstance(forked, PlanForked)
    assert forked.prepared == {}
