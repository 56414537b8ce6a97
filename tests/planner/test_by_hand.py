"""A person pauses a plan, skips a task, or completes it in place of its executor."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
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
    report,
    running,
    statuses,
    tool,
    work,
)

from planfold.commands import (
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    CompleteTask,
    Continue,
    Initialize,
    PausePlan,
    RetryTask,
    RevisePlan,
    SkipTask,
    UnpausePlan,
)
from planfold.errors import CommandRejected, NotFound
from planfold.executor import NeedsClarification, OutcomeUnknown
from planfold.log import events as e
from planfold.planner.items import STRIDE, item_id, map_of
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, Pause, RetryPolicy, TaskStatus, Wait, planning_task
from planfold.testing.scenario import given
from planfold.types import ForEach

SAFE: dict[str, Any] = {"effect": Effect.Safe}
SKIPPED, COMPLETED = TaskStatus.Skipped, TaskStatus.Completed


# --- pauses --------------------------------------------------------------------------------------


def test_a_paused_plan_starts_nothing_and_lets_end_what_is_under_way() -> None:
    plan = running(work(1), work(2, 1), ask(3, 1))
    plan.when(PausePlan(reason="incident", by="ada")).then(e.PlanPaused((), "incident", "ada"))
    assert plan_status(plan) == "running"
    play(plan, done(1))
    assert statuses(plan) == {1: "completed", 2: "planned", 3: "planned"}
    assert plan_status(plan) == "paused"
    plan.when(PausePlan(by="bob")).then_nothing()
    plan.when(UnpausePlan(by="bob")).then(e.PlanUnpaused((), "bob"))
    plan.follow_up()
    assert statuses(plan) == {1: "completed", 2: "running", 3: "needs_clarification"}
    plan.when(UnpausePlan()).then_nothing()


def test_a_retry_is_not_due_while_the_plan_is_paused() -> None:
    plan = play(running(work(1, retry=RetryPolicy(3, 4.0))), failed(1), PausePlan())
    outlook = plan.handler.outlook((), 1_000.0)
    assert (outlook.command, outlook.due_at, plan_status(plan)) == (None, None, "paused")
    play(plan, UnpausePlan(), now=1_000.0)
    assert statuses(plan) == {1: "running"}


def test_a_plan_pauses_before_a_task_until_a_person_continues_it() -> None:
    plan = given(Planner, pausing(initialize(work(1), work(2, 1), work(3, 2)), (2, 3)))
    plan.follow_up()
    assert plan.handler.state.breakpoints == {2: Pause(by="me"), 3: Pause(by="me")}
    assert statuses(plan) == {1: "running", 2: "planned", 3: "planned"}
    play(plan, done(1))
    assert plan_status(plan) == "paused"
    plan.when(UnpausePlan()).then(e.PlanUnpaused((2,)))  # the one that it has reached
    play(plan, Continue(), done(2))
    assert (statuses(plan)[3], plan_status(plan)) == ("planned", "paused")
    plan.when(UnpausePlan((3, 2))).then(e.PlanUnpaused((3,)))
    assert statuses(plan.follow_up())[3] == "running"


def pausing(begin: Initialize, before: tuple[int, ...]) -> Initialize:
    return Initialize(
        begin.title, begin.tasks, config=begin.config, approved_by="me", pause_before=before
    )


def test_a_retry_waits_at_a_break_point() -> None:
    plan = play(running(work(1, retry=RetryPolicy(3, 4.0)), work(2)), PausePlan((1,)), failed(1))
    assert plan.handler.outlook((), 1_000.0).due_at is None
    play(plan, done(2), now=1_000.0)
    assert (statuses(plan)[1], plan_status(plan)) == ("planned", "paused")
    play(plan, UnpausePlan((1,)), now=1_000.0)
    assert statuses(plan)[1] == "running"


def test_a_map_does_not_expand_before_its_break_point_is_lifted() -> None:
    plan = play(running(work(1), work(2, 1, for_each=ForEach(items="$1"))), PausePlan((2,)))
    play(plan, done(1, ["a", "b"]))
    assert len(plan.handler.state.tasks) == 2
    play(plan, UnpausePlan())
    assert statuses(plan)[item_id(2, 1)] == "running"
    play(plan, PausePlan(), done(item_id(2, 0)), done(item_id(2, 1)))
    assert plan_status(plan) == "completed"


def test_what_cannot_be_paused_is_refused() -> None:
    plan = play(running(work(1), work(2)), done(1))
    plan.when(PausePlan((1,))).then_rejected("task 1 is completed; there is nothing to pause")
    with pytest.raises(NotFound, match="no task 9"):
        plan.handler.process(PausePlan((9,)))
    with pytest.raises(NotFound, match="no task 9"):
        plan.handler.process(UnpausePlan((9,)))
    ended = play(plan, done(2))
    ended.when(PausePlan()).then_rejected("the plan is completed; there is nothing to pause")
    with pytest.raises(CommandRejected, match="pause_before names task 7"):
        Planner().process(pausing(initialize(work(1)), (7,)))


def test_a_cancelled_plan_ends_although_it_is_paused() -> None:
    plan = play(running(work(1), work(2, 1)), PausePlan(), CancelPlan(), failed(1))
    assert plan_status(plan) == "cancelled"


def test_a_fork_is_not_paused_and_a_removed_task_has_no_break_point() -> None:
    plan = play(running(work(1), work(2, 1)), PausePlan(), PausePlan((2,)))
    state = plan.handler.state
    play(plan, RevisePlan((work(3, 1),), approved_by="me"))
    assert state.breakpoints == {}
    play(plan, PausePlan((3,)))
    plan.handler.apply(e.PlanForked(origin="o", version=4, revision_hash=state.revision_hash))
    assert (state.paused, state.breakpoints) == (None, {})


# --- by hand -------------------------------------------------------------------------------------


def test_a_skipped_task_counts_as_not_needed() -> None:
    plan = running(work(1), work(2, 1), work(3, 1), work(4, 2, 3), work(5, 2))
    plan.when(SkipTask(2, "not today", "ada"))
    plan.then(e.TaskDecided(2, SKIPPED, None, "not today", "ada"))
    plan.when(SkipTask(2, by="bob")).then_nothing()
    play(plan, done(1), done(3))
    assert statuses(plan) == {1: "completed", 2: "skipped", 3: "completed"} | {
        4: "running",  # one of the tasks before it ran
        5: "skipped",
    }
    skipped = plan.handler.state.tasks[2]
    assert (skipped.skip_reason, skipped.error) == ("by_hand", "skipped by hand by ada: not today")
    play(plan, done(4))
    assert (plan_status(plan), plan.handler.state.tasks[5].skip_reason) == (
        "completed",
        "condition",
    )


def test_a_task_is_completed_by_hand_with_a_result() -> None:
    plan = running(work(1), tool(2, 1, text="$1.id"))
    other = running(work(1, **SAFE), tool(2, 1, text="$1.id"))
    with pytest.raises(CommandRejected, match="task 1 is queued or running, and its effect"):
        plan.handler.process(CompleteTask(1, {"id": 7}))  # its effect is once
    with pytest.raises(CommandRejected, match=r"task 2 uses \$1.id: give the result of task 1"):
        other.handler.process(CompleteTask(1))
    other.when(CompleteTask(1, {"id": 7}, "did it", "ada"))
    other.then(
        e.TaskDecided(1, COMPLETED, {"id": 7}, "did it", "ada"),
        e.CancelRequested((1,), "completed by hand by ada: did it"),
    )
    assert statuses(other) == {1: "running", 2: "planned"}  # not before the attempt has ended
    other.when(CompleteTask(1, {"id": 7})).then_nothing()
    other.when(SkipTask(1)).then_rejected("is being stopped")
    play(other, done(1, {"id": 1}))
    assert other.handler.state.tasks[1].result == {"id": 7}
    assert other.handler.state.tasks[2].arguments == {"text": 7}
    other.when(CompleteTask(1, {"id": 7})).then_nothing()
    other.when(CompleteTask(1, {"id": 8})).then_rejected("is completed")


@pytest.mark.parametrize(
    "end",
    [
        done(1, "too late"),
        failed(1),
        report(1, NeedsClarification("why?")),
        report(1, OutcomeUnknown("cut")),
    ],
)
@pytest.mark.parametrize("effect", [Effect.Safe, Effect.Keyed])
def test_a_decision_holds_however_the_attempt_ends(end: Any, effect: Effect) -> None:
    for command, status in ((SkipTask(1), "skipped"), (CompleteTask(1, 5), "completed")):
        plan = running(work(1, effect=effect, retry=RetryPolicy(5)), work(2, 1))
        play(plan, command, end)
        task = plan.handler.state.tasks[1]
        unknown = isinstance(end.event, OutcomeUnknown) and effect is Effect.Keyed
        unknown = unknown and status == "skipped"  # "completed" says that it was done
        assert (task.status, task.outcome_unknown, task.attempt) == (status, unknown, 1)
        assert not task.cancel_requested
        assert statuses(plan)[2] == {"skipped": "skipped", "completed": "running"}[status]


def test_a_failed_task_is_done_by_hand_and_the_plan_continues() -> None:
    plan = play(running(work(1), tool(2, 1, text="$1"), work(3, 2)), failed(1))
    assert plan_status(plan) == "failed"
    plan.when(CompleteTask(1, "by hand")).then(
        e.TasksReset((1, 2, 3), "by_hand"), e.TaskDecided(1, COMPLETED, "by hand")
    )
    play(plan.follow_up(), done(2), done(3))
    assert plan_status(plan) == "completed"


def test_a_task_below_a_failed_one_is_done_by_hand() -> None:
    plan = play(running(work(1), work(2, 1), work(3, 2)), failed(1), CompleteTask(2))
    assert statuses(plan) == {1: "failed", 2: "completed", 3: "running"}
    assert plan_status(play(plan, done(3))) == "failed"


def test_an_open_question_is_skipped_and_not_completed() -> None:
    plan = running(ask(1), work(2, 1))
    plan.when(CompleteTask(1, "yes")).then_rejected("task 1 is a question; answer it instead")
    play(plan, SkipTask(1))
    assert (plan.handler.state.questions, plan_status(plan)) == ({}, "completed")


def test_an_unknown_outcome_stays_unknown_when_the_task_is_skipped() -> None:
    plan = play(running(work(1)), report(1, OutcomeUnknown("cut")), SkipTask(1))
    task = plan.handler.state.tasks[1]
    assert (task.status, task.outcome_unknown) == (SKIPPED, True)


def test_a_retry_takes_a_decision_back() -> None:
    plan = play(running(work(1), work(2, 1)), SkipTask(2), done(1), RetryTask(2))
    assert (statuses(plan)[2], plan.handler.state.tasks[2].by_hand) == ("running", None)


def test_a_changed_answer_takes_a_decision_back_and_asks_about_what_was_done() -> None:
    plan = play(running(ask(1), work(2, 1), work(3, 2)), answer(1, "a"), CancelTask(2), failed(2))
    play(plan, CompleteTask(2))
    without = change(1, "b")
    with pytest.raises(CommandRejected, match="never repeated"):
        plan.handler.process(type(without)(1, "b"))
    play(plan, without)
    assert plan.handler.state.tasks[2].by_hand is None


def test_a_changed_answer_while_an_attempt_is_stopped_for_a_decision() -> None:
    plan = play(running(ask(1), work(2, 1, **SAFE)), answer(1, "a"), SkipTask(2), change(1, "b"))
    play(plan, failed(2))
    assert (statuses(plan)[2], plan.handler.state.tasks[2].attempt) == ("running", 2)


def test_a_map_that_failed_is_decided_by_hand_without_what_completed() -> None:
    for decision, expected in (
        (CompleteTask(item_id(2, 0), "z"), [COMPLETED, COMPLETED, COMPLETED]),
        (SkipTask(2), [SKIPPED, SKIPPED, COMPLETED]),
    ):
        waits = work(2, 1, for_each=ForEach(items="$1"), **SAFE)
        plan = play(running(work(1), waits, work(3, 2)), done(1, [5, 6]))
        play(plan, failed(item_id(2, 0), retryable=False), done(item_id(2, 1), "b"), decision)
        tasks = plan.handler.state.tasks
        assert [tasks[i].status for i in (2, item_id(2, 0), item_id(2, 1))] == expected
        assert tasks[item_id(2, 1)].attempt == 1
        assert tasks[item_id(2, 1)].result == "b"


def test_a_task_cancelled_after_a_changed_answer_is_decided_by_hand() -> None:
    plan = play(running(ask(1), work(2, 1)), answer(1, "x"), change(1, "y"), CancelTask(2))
    play(plan, report(2, NeedsClarification("?")))
    assert statuses(plan) == {1: "completed", 2: "cancelled"}
    play(plan, CompleteTask(2, "done"))
    assert plan.handler.state.tasks[2].result == "done"


@pytest.mark.parametrize("pause", [PausePlan(), PausePlan((1,))], ids=["plan", "task"])
def test_a_plan_that_is_to_be_drafted_is_paused(pause: PausePlan) -> None:
    drafts = planning_task(1, "Release")
    plan = given(Planner, initialize(drafts, approved_by=None, model="m"))
    assert plan_status(plan) == "running"
    play(plan, pause)
    assert plan_status(plan) == "paused"
    play(plan, UnpausePlan())
    assert statuses(plan) == {1: "running"}
    assert plan_status(plan) == "running"


def test_items_of_a_map_are_skipped_and_completed() -> None:
    each = work(2, 1, for_each=ForEach(items="$1"), **SAFE)
    plan = play(running(work(1), each, work(3, 2), max_parallel=1), done(1, ["a", "b", "c"]))
    first, second, third = (item_id(2, place) for place in range(3))
    plan.when(CompleteTask(2, [])).then_rejected("task 2 is a map; complete its items, or skip it")
    play(plan, SkipTask(second), CompleteTask(third, "C"), CompleteTask(first, "A"), failed(first))
    assert plan.handler.state.tasks[2].result == ["A", None, "C"]
    assert statuses(plan)[3] == "running"


def test_a_running_map_is_skipped_once_its_items_have_ended() -> None:
    each = work(2, 1, for_each=ForEach(items="$1"), **SAFE)
    plan = play(running(work(1), each, work(3, 2)), done(1, ["a", "b"]), SkipTask(2))
    play(plan, failed(item_id(2, 0)), done(item_id(2, 1)))
    assert (statuses(plan)[2], plan.handler.state.tasks[2].skip_reason) == ("skipped", "by_hand")
    assert plan_status(plan) == "completed"


def test_what_cannot_be_decided_is_refused() -> None:
    plan = running(work(1, **SAFE), work(2, 1))
    play(plan, done(1))
    plan.when(SkipTask(1)).then_rejected("task 1 is completed; nothing is left to decide")
    plan.when(SkipTask(2)).then_rejected("its effect .once. may happen in part")
    with pytest.raises(NotFound):
        plan.handler.process(CompleteTask(9))
    play(plan, CancelPlan())
    plan.when(SkipTask(2)).then_rejected("the plan is being cancelled")


# --- invariants ----------------------------------------------------------------------------------

_WAIT = Wait(signal="paid", key="$item")
_SPECS = (
    *(work(1, **SAFE), ask(2), work(3, 1, **SAFE), work(4, 1, 2), work(5, 3, 4, **SAFE)),
    work(6, 1, wait=Wait(signal="paid"), timeout=9.0, **SAFE),
    work(7, 1, for_each=ForEach(items="[1, 2]"), **SAFE),
    work(8, 6, wait=_WAIT, for_each=ForEach(items="[1, 2]"), **SAFE),
    work(9, 7, 8, **SAFE),
)
_IDS = st.sampled_from((*range(1, 10), *(item_id(i, place) for i in (7, 8) for place in (0, 1))))
_COMMANDS = st.one_of(
    st.builds(PausePlan, st.sampled_from([(), (3,), (4, 5), (6, 8), (7,)])),
    st.builds(UnpausePlan, st.sampled_from([(), (3,), (5, 4)])),
    st.builds(SkipTask, _IDS),
    st.builds(CompleteTask, _IDS, st.just("r")),
    st.builds(RetryTask, _IDS),
    st.builds(CancelTask, _IDS),
    st.builds(lambda i: done(i, "x"), _IDS),
    st.builds(failed, _IDS),
    st.builds(lambda text: answer(2, text), st.sampled_from("ab")),
    st.builds(lambda text: change(2, text), st.sampled_from("ab")),
    st.just(Continue(9.0)),
)


@examples(st.lists(_COMMANDS, max_size=25))
def test_no_decision_is_lost_and_no_plan_gets_stuck(commands: list[Any]) -> None:
    plan = running(*_SPECS)
    state = plan.handler.state
    for command in commands:
        decided = {i: t.by_hand for i, t in state.tasks.items() if t.by_hand is not None}
        before = {i: t.attempt for i, t in state.tasks.items()}
        paused, held = state.paused, set(state.breakpoints)
        try:
            events = plan.handler.process(command)
        except (CommandRejected, NotFound):
            continue  # an item may not be there
        for event in events:
            plan.handler.apply(event)
        plan.follow_up()
        retried = {i for event in events if isinstance(event, e.TasksReset) for i in event.task_ids}
        retried |= {i for i in before if i >= STRIDE and map_of(i) in retried}
        for i, word in decided.items():
            assert i in retried or state.tasks[i].by_hand == word
            assert i in retried or state.tasks[i].attempt == before[i]
        started = {i for i, t in state.tasks.items() if t.attempt > before.get(i, 0)}
        assert not (started and paused and state.paused)
        assert not started & held & set(state.breakpoints)
    _finish(plan)


def _finish(plan: Plan) -> None:
    state = plan.handler.state
    for _ in range(30):
        if state.outcome is not None:
            return
        play(plan, UnpausePlan(), UnpausePlan(tuple(state.tasks)))
        if 2 in state.questions:
            play(plan, answer(2, "a"))
        for task in list(state.tasks.values()):
            task = state.tasks.get(task.id, task)
            if task.status is TaskStatus.Running and task.spec.for_each is None:
                play(plan, done(task.id, "x"))
    raise AssertionError(f"stuck: {statuses(plan)}")


def test_what_a_person_did_below_a_failure_is_not_forgotten_by_another_answer() -> None:
    """It would be skipped now, and run when the task that failed is tried again."""
    plan = running(ask(1), work(2), work(3, 1, 2, effect=Effect.Once))
    play(plan, failed(2), CompleteTask(3, "paid", "by hand", "ada"), answer(1, "a"))
    plan.when(ChangeAnswer(1, "b")).then_rejected("never repeated without a person's consent")
    play(plan, ChangeAnswer(1, "b", repeat=(3,)))
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped"}
