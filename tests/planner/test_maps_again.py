"""Maps that are planned again: by a fork, by another answer, and by a retry of what they need."""

from __future__ import annotations

import msgspec
import pytest

from planfold.errors import CommandRejected
from planfold.planner.commands import (
    CancelTask,
    ChangeAnswer,
    Command,
    ForkPlan,
    NeedsClarification,
    RetryTask,
    RevisePlan,
)
from planfold.planner.events import Event
from planfold.planner.items import map_of
from planfold.planner.planner import Planner
from planfold.planner.stored import StoredPlan
from planfold.planner.tasks import Effect, NodeKind, TaskSpec
from tests.planner.plan_builders import (
    Plan,
    answer,
    ask,
    done,
    failed,
    play,
    report,
    running,
    statuses,
    work,
)
from tests.planner.test_maps import LIST, at, each, error, expanded, result

FIND = work(2, 1, effect=Effect.Safe)
SAFE = each(3, 2, effect=Effect.Safe)
PAY = each(3, 2, kind=NodeKind.Clarification, description="Pay $item.n?", tool=None)


def found(*specs: TaskSpec) -> Plan:
    """A plan in which the answer to question 1 decides what list task 2 finds."""
    return play(running(ask(1), FIND, *specs), answer(1, "a"), done(2, LIST))


def forked(plan: Plan, **command: object) -> Planner:
    fork = Planner.restore(plan.handler.snapshot())
    assert fork is not None
    fork.state.version = 0
    return sent(fork, ForkPlan(origin="p", version=9, **command))  # type: ignore[arg-type]


def sent(planner: Planner, *commands: Command) -> Planner:
    """Each command with the commands that follow from it."""
    for command in commands:
        following: Command | None = command
        while following is not None:
            for event in planner.process(following):
                planner.apply(event)
            following = planner.outlook().command
    return planner


# --- forks ---------------------------------------------------------------------------------------


def test_answers_that_were_kept_are_for_the_items_of_the_same_list_only() -> None:
    plan = play(found(PAY), *(answer(at(i, 3), "yes") for i in range(3)))
    kept = {at(i, 3): "yes" for i in range(3)}
    fork = forked(plan, answers={1: "b"}, kept=kept, approved_by="me")
    sent(fork, done(2, [{"n": 900}]))
    assert [q.question for q in fork.state.questions.values()] == ["Pay 900?"]


def test_an_answer_to_an_item_of_a_map_that_is_planned_again_is_refused() -> None:
    plan = play(found(PAY), *(answer(at(i, 3), "yes") for i in range(3)))
    with pytest.raises(CommandRejected, match=r"3\[1\] is an item, and its map is planned again"):
        forked(plan, answers={1: "b", at(1, 3): "no"}, approved_by="me")
    fork = forked(plan, answers={at(1, 3): "no"}, approved_by="me")
    assert fork.state.tasks[3].result == ["yes", "no", "yes"]


def test_a_fork_of_a_map_whose_list_is_outdated_waits_for_the_other_list() -> None:
    plan = play(found(SAFE), done(at(0, 3)), ChangeAnswer(1, "b"))
    fork = sent(forked(plan, approved_by="me"), done(2, [{"n": 1}]))
    arguments = {i: task.arguments for i, task in fork.state.tasks.items() if map_of(i)}
    assert arguments == {at(0, 3): {"n": 1, "place": "at 0"}}


def test_a_fork_of_an_outdated_task_does_its_inner_steps_again() -> None:
    spec = work(2, 1, effect=Effect.Safe)
    plan = play(running(ask(1), spec), answer(1, "a"), ChangeAnswer(1, "b"))
    assert plan.handler.state.tasks[2].outdated
    assert forked(plan, approved_by="me").state.tasks[2].run == 2


def test_another_answer_in_a_fork_that_awaits_approval_drops_items_that_ask() -> None:
    plan = play(found(SAFE, ask(5), work(6, 5)), report(at(0, 3), NeedsClarification("which?")))
    fork = forked(plan, tasks=(work(6, 5, effect=Effect.Safe),))
    assert fork.state.tasks[3].status == "planned"
    sent(fork, ChangeAnswer(1, "b"))
    assert (fork.state.tasks[3].elements, fork.state.questions) == (None, {})
    assert fork.state.tasks[3].status == "planned"


# --- retries and revisions -----------------------------------------------------------------------


@pytest.mark.parametrize("then", ["stop", "continue"])
def test_a_retry_of_what_a_cancelled_map_needs_runs_its_items(then: str) -> None:
    spec = each(2, concurrency=1, on_item_failure=then)
    spec = msgspec.structs.replace(spec, depends_on=(1, 4))
    plan = running(work(1), work(4, on_failure="continue"), spec)
    plan = play(plan, failed(4), done(1, LIST), CancelTask(2), failed(at(0), "stopped"))
    assert statuses(plan)[2] == "cancelled"
    plan = play(plan, RetryTask(4), done(4))
    plan = play(plan, *(done(at(i), i) for i in range(3)))
    assert (result(plan), error(plan)) == ([0, 1, 2], "")


@pytest.mark.parametrize("task_id", [2, at(0)])
def test_a_retry_of_a_superseded_map_takes_back_all_of_its_items(task_id: int) -> None:
    plan = play(expanded(each(2)), failed(at(0)), done(at(1)), done(at(2)))
    plan = play(plan, RevisePlan((work(3),), "me", superseded=(2,)), RetryTask(task_id))
    state = plan.handler.state
    assert not any(task.superseded for task in state.tasks.values())
    assert state.progress == (3, 6)
    plan = play(plan, done(at(0)))
    assert state.progress == (5, 6)


# --- snapshots -----------------------------------------------------------------------------------


def test_readers_of_a_snapshot_see_the_result_of_an_empty_map() -> None:
    """Also where a later map is about that result."""
    planner = running(work(1), each(2), each(3, 2), work(4, 3)).handler
    events: list[Event] = []
    snapshots = [(planner.snapshot(), 0)]
    command: Command | None = done(1, [])
    while command is not None:
        for event in planner.process(command):
            planner.apply(event)
            events.append(event)
            snapshots.append((planner.snapshot(), len(events)))
        command = planner.outlook().command
    for snapshot, version in snapshots:
        reader = StoredPlan.restore(snapshot)
        assert reader is not None
        for event in events[version:]:
            reader.apply(event)
        assert [reader.state.tasks[i].result for i in (2, 3)] == [[], []]
        assert reader.state.tasks == planner.state.tasks
