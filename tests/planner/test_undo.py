"""What a plan did is undone: when, in which order, and what a person decides about it."""

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
    work,
)

from planfold.commands import (
    CancelPlan,
    CancelTask,
    CompleteTask,
    ForkPlan,
    PausePlan,
    RetryTask,
    RevisePlan,
    SkipTask,
    TaskSpec,
    UndoPlan,
    UnpausePlan,
)
from planfold.errors import CommandRejected, CorruptLog
from planfold.executor import OutcomeUnknown
from planfold.log import events as e
from planfold.planner.items import item_id
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, NodeKind, Task, TaskStatus
from planfold.testing.scenario import given
from planfold.types import ForEach, ToolCall, Undo

SAFE, ONCE = Effect.Safe, Effect.Once
ALWAYS: dict[str, Any] = {"undo": "always"}
DROP = Undo(tool=ToolCall("drop", {"id": "$self.id", "name": "$arguments.name"}))


def make(task_id: int, *after: int, undo: Undo | None = DROP, **fields: Any) -> TaskSpec:
    """A task that makes something, and the call that removes it."""
    fields = {"tool": ToolCall("make", {"name": f"n{task_id}"})} | fields
    kind, text = NodeKind.ToolCall, f"make {task_id}"
    return TaskSpec(id=task_id, description=text, kind=kind, depends_on=after, undo=undo, **fields)


def made(task_id: int) -> Any:
    return done(task_id, {"id": f"i{task_id}"})


def the(plan: Plan, task_id: int) -> Task:
    return plan.handler.state.tasks[task_id]


def undo_tasks(plan: Plan) -> dict[int, int]:
    """What each undo task undoes, in the order in which they run."""
    tasks = plan.handler.state.tasks.values()
    return {t.id: t.spec.undoes for t in tasks if t.spec.undoes}


def summary(plan: Plan) -> e.PlanSummary:
    return next(x for x in reversed(plan.events) if isinstance(x, e.PlanningCompleted)).summary


def failed_plan(**config: Any) -> Plan:
    """1 and 2 made something, 1 after 2, then 3 failed."""
    plan = running(make(1), make(2), work(3, 1, 2), **config)
    return play(plan, made(2), made(1), failed(3))


# --- when, and in which order --------------------------------------------------------------------


def test_what_a_failed_plan_did_is_undone_the_last_completion_first() -> None:
    plan = failed_plan(**ALWAYS)
    assert undo_tasks(plan) == {4: 1, 5: 2}
    assert (statuses(plan)[4], statuses(plan)[5], plan_status(plan)) == (
        "running",
        "planned",
        "running",
    )
    assert the(plan, 4).arguments == {"id": "i1", "name": "n1"}
    play(plan, done(4))
    assert the(plan, 5).arguments == {"id": "i2", "name": "n2"}
    play(plan, done(5))
    assert (plan_status(plan), summary(plan).undone, summary(plan).to_undo) == ("failed", 2, 2)
    assert summary(plan).failed == (3,)


def test_a_task_that_undoes_another_is_no_progress_of_the_plan() -> None:
    plan = failed_plan(**ALWAYS)
    assert plan.handler.state.progress == (2, 3)
    play(plan, done(4))
    assert plan.handler.state.progress == (2, 3)
    play(plan, done(5))
    head = plan.handler.outlook().head
    assert (summary(plan).completed, summary(plan).total) == (2, 3)
    assert head is not None
    assert (head["completed"], head["total"]) == (2, 3)
    assert Planner.fold(plan.history).state.progress == (2, 3)


def test_a_person_is_asked_once_with_all_that_would_be_undone_and_what_stays() -> None:
    tell = work(4, 1)
    plan = running(make(1), make(2), work(3, 1, 2, 4), tell)
    play(plan, made(2), made(1), done(4), failed(3))
    assert plan_status(plan) == "awaiting_answer"
    [question] = plan.handler.state.questions.values()
    assert question.question == (
        "The plan has failed. Undo what it did? In this order:\n- 1: make 1\n- 2: make 2\n"
        "This is not undone:\n- 3: work 3 (has failed)\n- 4: work 4"
    )
    play(plan, answer(5, "undo"), done(6), done(7))
    assert (plan_status(plan), summary(plan).undone) == ("failed", 2)


def test_a_person_may_leave_it() -> None:
    plan = play(failed_plan(), answer(4, "leave it"))
    assert (statuses(plan)[5], statuses(plan)[6], plan_status(plan)) == (
        "skipped",
        "skipped",
        "failed",
    )
    assert (summary(plan).undone, summary(plan).to_undo) == (0, 2)


def test_after_leave_it_a_second_failure_is_asked_about_again() -> None:
    plan = play(failed_plan(), answer(4, "leave it"), RetryTask(3), failed(3))
    assert plan_status(plan) == "awaiting_answer"
    assert undo_tasks(plan) == {5: 1, 6: 2, 8: 1, 9: 2}
    assert the(plan, 5).superseded
    play(plan, answer(7, "undo"), done(8), done(9))
    assert (plan_status(plan), summary(plan).undone, summary(plan).to_undo) == ("failed", 2, 2)


def test_after_leave_it_a_plan_that_completes_has_nothing_to_undo() -> None:
    plan = play(failed_plan(), answer(4, "leave it"), RetryTask(3), done(3))
    assert (plan_status(plan), summary(plan).to_undo) == ("completed", 0)
    assert summary(plan).skipped == ()


def test_after_leave_it_a_revised_plan_that_fails_is_asked_about_again() -> None:
    plan = play(failed_plan(), answer(4, "leave it"))
    play(plan, RevisePlan((work(7, 1, 2),), "me", superseded=(3,)), failed(7))
    assert (plan_status(plan), undo_tasks(plan)) == ("awaiting_answer", {5: 1, 6: 2, 9: 1, 10: 2})


@pytest.mark.parametrize("command", [SkipTask(4), CancelTask(4), answer(4, "I cannot", bad=True)])
def test_a_question_without_a_yes_undoes_nothing(command: Any) -> None:
    plan = play(failed_plan(), command)
    assert [statuses(plan)[i] for i in (5, 6)] == ["skipped", "skipped"]
    assert plan_status(plan) == "failed"


def test_a_policy_can_undo_nothing() -> None:
    plan = failed_plan(undo="never")
    assert (plan_status(plan), undo_tasks(plan)) == ("failed", {})


def test_a_cancelled_plan_is_undone() -> None:
    plan = running(make(1), make(2, 1), **ALWAYS)
    play(plan, made(1), CancelPlan("too late"))
    assert (statuses(plan)[2], plan_status(plan)) == ("running", "cancelling")
    play(plan, report(2, OutcomeUnknown("stopped", ended=True)))
    assert (undo_tasks(plan), plan_status(plan)) == ({3: 1}, "cancelling")
    plan.when(CancelPlan("again")).then_nothing()
    play(plan, done(3))
    assert (plan_status(plan), summary(plan).undone) == ("cancelled", 1)
    assert summary(plan).unknown == (2,)


def test_a_question_about_a_cancelled_plan_can_be_answered() -> None:
    plan = play(running(make(1), make(2, 1)), made(1), CancelPlan(), failed(2))
    assert plan_status(plan) == "awaiting_answer"
    play(plan, answer(3, "undo"), done(4))
    assert (plan_status(plan), summary(plan).undone) == ("cancelled", 1)


def test_an_unknown_outcome_is_asked_first() -> None:
    plan = play(running(make(1), make(2, 1), **ALWAYS), made(1), report(2, OutcomeUnknown("cut")))
    assert undo_tasks(plan) == {}
    play(plan, answer(2, "done", result={"id": "i2"}))
    assert plan_status(plan) == "completed"
    play(plan, UndoPlan("ada"))
    assert undo_tasks(plan) == {3: 2, 4: 1}


def test_handlers_run_before_the_undo_and_are_undone_as_well() -> None:
    plan = running(make(1), work(2, 1), make(3, 2, run_if="failed"), **ALWAYS)
    play(plan, made(1), failed(2))
    assert (undo_tasks(plan), statuses(plan)[3]) == ({}, "running")
    play(plan, made(3))
    assert undo_tasks(plan) == {4: 3, 5: 1}


def test_a_plan_that_completes_without_a_task_is_not_undone() -> None:
    plan = running(make(1), work(2, on_failure="continue"), **ALWAYS)
    play(plan, made(1), failed(2))
    assert (plan_status(plan), undo_tasks(plan)) == ("completed", {})


# --- an undo that fails --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "became", "undone"), [("done", "completed", 2), ("failed", "failed", 1)]
)
def test_an_undo_that_fails_asks_before_the_next_one(said: str, became: str, undone: int) -> None:
    plan = play(failed_plan(**ALWAYS), failed(4, "it is locked"))
    question = plan.handler.state.questions[4].question
    assert question.startswith("This could not be undone. Undo 1: make 1 (it failed: it is locked;")
    assert the(plan, 4).error == "it is locked"
    assert (statuses(plan)[5], plan_status(plan)) == ("planned", "awaiting_answer")
    play(plan, answer(4, said), done(5))
    assert (statuses(plan)[4], plan_status(plan)) == (became, "failed")
    assert the(plan, 4).error == (None if said == "done" else "it is locked")
    assert (summary(plan).undone, summary(plan).to_undo) == (undone, 2)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ('ValueError: locked\n  File "tools.py", line 3, in drop\n    raise', "ValueError: locked"),
        (
            'exit code 1: Traceback (most recent call last):\n  File "x"\nKeyError: 7',
            "exit code 1: KeyError: 7",
        ),
        ("\n", ""),
    ],
)
def test_the_question_about_an_undo_has_the_message_of_its_error(error: str, said: str) -> None:
    plan = play(failed_plan(**ALWAYS), failed(4, error))
    assert f"(it failed: {said}; undo it by hand" in plan.handler.state.questions[4].question
    assert (the(plan, 4).error or "") == error.strip()


def test_an_undo_that_failed_runs_again_if_a_person_wants_it() -> None:
    plan = play(failed_plan(**ALWAYS), failed(4), answer(4, "run it again"))
    assert (statuses(plan)[4], the(plan, 4).attempt) == ("running", 2)
    play(plan, failed(4))
    assert statuses(plan)[4] == "needs_clarification"


def test_an_undo_is_retried_as_its_tool_says_before_a_person_is_asked() -> None:
    from planfold.retries import RetryPolicy

    patient = Undo(tool=ToolCall("drop"), effect=SAFE, retry=RetryPolicy(attempts=2, base=0))
    plan = running(make(1, undo=patient), work(2, 1), **ALWAYS)
    play(plan, made(1), failed(2), failed(3), now=1.0)
    assert statuses(plan)[3] == "running"
    play(plan, failed(3), now=2.0)
    assert statuses(plan)[3] == "needs_clarification"


def test_an_undo_of_effect_once_is_asked_about_after_a_crash() -> None:
    plan = play(failed_plan(**ALWAYS), report(4, OutcomeUnknown("killed", ended=True)))
    assert plan.handler.state.questions[4].question.startswith("Was this done? Undo 1: make 1")
    play(plan, answer(4, "done"), done(5))
    assert summary(plan).undone == 2


def test_an_undo_that_cannot_be_called_asks_a_person() -> None:
    plan = running(make(1), work(2, 1), **ALWAYS)
    play(plan, done(1, {"other": 1}), failed(2))
    assert "$self has no field 'id'" in plan.handler.state.questions[3].question
    play(plan, answer(3, "failed"))
    assert (plan_status(plan), summary(plan).undone) == ("failed", 0)


# --- a plan that continues -----------------------------------------------------------------------


def test_a_retry_runs_again_what_was_undone_with_another_key() -> None:
    plan = play(failed_plan(**ALWAYS), done(4), done(5))
    plan.when(RetryTask(3)).then(e.TasksReset((3,), "retry"), e.TasksReset((1, 2), "undone"))
    plan.follow_up()
    assert [statuses(plan)[i] for i in (1, 2, 3)] == ["running", "running", "planned"]
    assert [the(plan, i).run for i in (1, 2, 3)] == [2, 2, 1]
    play(plan, made(1), made(2), done(3))
    assert plan_status(plan) == "completed"
    assert (summary(plan).to_undo, summary(plan).failed) == (0, ())


def test_a_second_failure_undoes_the_second_run() -> None:
    plan = play(failed_plan(**ALWAYS), done(4), failed(5), answer(5, "failed"), RetryTask(3))
    assert [statuses(plan)[i] for i in (1, 2, 3)] == ["running", "completed", "planned"]
    play(plan, made(1), failed(3))
    assert undo_tasks(plan) == {4: 1, 5: 2, 6: 1}  # 2 was left as it is, by a person's consent
    play(plan, done(6))
    assert (summary(plan).undone, summary(plan).to_undo) == (1, 2)


def test_what_follows_an_undone_task_runs_again_except_once_effects() -> None:
    read, mail, last = work(2, 1, effect=SAFE), work(3, 1), work(4, 2, 3)
    plan = play(running(make(1), read, mail, last, **ALWAYS), made(1), done(2), done(3), failed(4))
    play(plan, done(5), RetryTask(4))
    assert statuses(plan) == {
        1: "running",
        2: "planned",
        3: "completed",
        4: "planned",
        5: "completed",
    }


def test_an_undo_that_was_left_can_be_retried_alone() -> None:
    plan = play(failed_plan(**ALWAYS), failed(4), answer(4, "failed"), done(5), RetryTask(4))
    assert (statuses(plan)[4], statuses(plan)[5], plan_status(plan)) == (
        "running",
        "completed",
        "running",
    )
    play(plan, done(4))
    assert (plan_status(plan), summary(plan).undone) == ("failed", 2)


def test_a_person_may_have_undone_it_by_hand() -> None:
    plan = play(failed_plan(**ALWAYS), SkipTask(5), failed(4), CompleteTask(4, by="ada"))
    assert (plan_status(plan), summary(plan).undone) == ("failed", 1)
    play(plan, CompleteTask(5, by="ada"))
    assert (plan_status(plan), summary(plan).undone) == ("failed", 2)


def test_what_a_person_completed_is_undone_with_the_result_that_was_given() -> None:
    plan = running(make(1), make(2, 1), work(3, 2), **ALWAYS)
    play(plan, CompleteTask(2, {"id": "mine"}), made(1), failed(3))
    assert undo_tasks(plan) == {4: 1, 5: 2}
    play(plan, done(4))
    assert the(plan, 5).arguments == {"id": "mine", "name": "n2"}


def test_an_answer_that_changes_runs_again_all_that_was_undone() -> None:
    plan = running(ask(1), make(2, 1), make(3), work(4, 2, 3), **ALWAYS)
    play(plan, answer(1, "a"), made(2), made(3), failed(4), done(5), done(6))
    plan.when(change(1, "b")).follow_up()
    assert [statuses(plan)[i] for i in (2, 3, 4)] == ["running", "running", "planned"]
    assert [the(plan, i).run for i in (2, 3)] == [2, 2]


def test_an_undone_effect_needs_no_consent_to_happen_again() -> None:
    from planfold.commands import ChangeAnswer

    plan = running(ask(1), make(2, 1), work(3, 2), **ALWAYS)
    play(plan, answer(1, "a"), made(2), failed(3), done(4), ChangeAnswer(1, "b"))
    assert statuses(plan)[2] == "running"


def test_a_revision_runs_again_what_was_undone() -> None:
    plan = play(failed_plan(**ALWAYS), done(4), done(5))
    play(plan, RevisePlan((work(6, 1, 2),), "me", superseded=(3,)))
    assert [statuses(plan)[i] for i in (1, 2, 6)] == ["running", "running", "planned"]
    play(plan, made(1), made(2), done(6))
    assert plan_status(plan) == "completed"


def test_a_plan_of_which_a_revision_waits_for_approval_is_undone() -> None:
    plan = play(running(make(1), work(2, 1), **ALWAYS), made(1), RevisePlan((work(5, 1),)))
    play(plan, CancelPlan(), failed(2))
    assert undo_tasks(plan) == {6: 1}
    play(plan, done(6))
    assert plan_status(plan) == "cancelled"


# --- while it is undone --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        RetryTask(3),
        SkipTask(3),
        CompleteTask(3),
        CancelPlan(),
        RevisePlan((work(9),)),
    ],
)
def test_a_plan_that_is_being_undone_does_not_continue(command: Any) -> None:
    failed_plan(**ALWAYS).when(command).then_rejected("is being undone")


def test_an_answer_does_not_change_while_the_plan_is_undone() -> None:
    plan = running(ask(1), make(2, 1), work(3, 2), **ALWAYS)
    play(plan, answer(1, "a"), made(2), failed(3))
    plan.when(change(1, "b")).then_rejected("is being undone")


def test_a_pause_holds_the_undo_and_so_does_a_break_point() -> None:
    plan = play(failed_plan(**ALWAYS), PausePlan((5,)), done(4))
    assert (statuses(plan)[5], plan_status(plan)) == ("planned", "paused")
    play(plan, UnpausePlan())
    assert statuses(plan)[5] == "running"
    held = running(make(1), work(2, 1), **ALWAYS)
    play(held, made(1), PausePlan(), failed(2))
    assert (statuses(held)[3], plan_status(held)) == ("planned", "paused")
    play(held, UnpausePlan())
    assert statuses(held)[3] == "running"


def test_an_undo_task_that_is_cancelled_does_not_keep_the_others() -> None:
    plan = play(failed_plan(**ALWAYS), CancelTask(4), failed(4), done(5))
    assert (statuses(plan)[4], plan_status(plan)) == ("cancelled", "failed")
    assert (summary(plan).undone, summary(plan).to_undo) == (1, 2)


def test_one_undo_can_be_left_out_while_the_question_is_open() -> None:
    plan = play(failed_plan(), SkipTask(5), answer(4, "undo"), done(6))
    assert (statuses(plan)[5], statuses(plan)[6], summary(plan).undone) == (
        "skipped",
        "completed",
        1,
    )


# --- by hand -------------------------------------------------------------------------------------


def test_a_plan_that_has_ended_is_undone_by_hand() -> None:
    plan = play(running(make(1), make(2, 1), undo="never"), made(1), made(2))
    plan.when(UndoPlan("ada")).then(e.UndoPlanned((2, 1), by="ada"))
    plan.when(UndoPlan("ada")).then_nothing()
    plan.follow_up()
    play(plan, done(3), done(4))
    assert (plan_status(plan), summary(plan).undone) == ("completed", 2)
    plan.when(UndoPlan()).then_rejected("there is nothing to undo")


def test_what_was_left_is_undone_by_hand_later() -> None:
    plan = play(failed_plan(), answer(4, "leave it"), UndoPlan("ada"))
    assert undo_tasks(plan) == {5: 1, 6: 2, 7: 1, 8: 2}
    play(plan, done(7), done(8))
    assert (summary(plan).undone, summary(plan).to_undo) == (2, 2)
    assert summary(plan).by_condition == ()
    plan.when(RetryTask(5)).then_rejected("belongs to an undo that is over")
    plan.when(change(4, "undo")).then_rejected("undo the plan again")


def test_a_plan_that_runs_is_not_undone() -> None:
    plan = play(running(make(1), work(2, 1)), made(1))
    plan.when(UndoPlan()).then_rejected("only a plan that has ended is undone: cancel it")


# --- items of a map ------------------------------------------------------------------------------


def mapped(**fields: Any) -> Plan:
    each = make(
        2,
        1,
        for_each=ForEach(items="$1"),
        tool=ToolCall("make", {"name": "$item"}),
        **fields,
    )
    plan = running(work(1, effect=SAFE), each, work(3, 2), **ALWAYS)
    return play(plan, done(1, ["a", "b"]))


FIRST, SECOND = item_id(2, 0), item_id(2, 1)


def test_the_items_of_a_map_are_undone_one_by_one() -> None:
    plan = play(mapped(), done(SECOND, {"id": "sb"}), done(FIRST, {"id": "sa"}), failed(3))
    assert undo_tasks(plan) == {4: FIRST, 5: SECOND}
    assert the(plan, 4).arguments == {"id": "sa", "name": "a"}
    play(plan, done(4), failed(5), answer(5, "failed"))
    assert (summary(plan).undone, summary(plan).to_undo) == (1, 2)
    play(plan, RetryTask(3))
    assert [statuses(plan)[i] for i in (2, FIRST, SECOND, 3)] == [
        "running",
        "running",
        "completed",
        "planned",
    ]
    assert [the(plan, i).run for i in (FIRST, SECOND)] == [2, 1]
    play(plan, done(FIRST, {"id": "again"}), done(3))
    assert (plan_status(plan), the(plan, 2).result[0]) == ("completed", {"id": "again"})


def test_the_undo_of_an_item_may_use_the_element_and_what_the_map_could() -> None:
    drop = Undo(tool=ToolCall("drop", {"it": "$item", "at": "$index", "of": "$1"}))
    plan = play(mapped(undo=drop), done(SECOND), done(FIRST), failed(3))
    assert the(plan, 4).arguments == {"it": "a", "at": 0, "of": ["a", "b"]}


def test_items_that_completed_in_a_map_that_failed_are_undone() -> None:
    plan = play(mapped(), done(FIRST, {"id": "sa"}), failed(SECOND))
    assert undo_tasks(plan) == {4: FIRST}
    play(plan, done(4), RetryTask(2))
    assert [statuses(plan)[i] for i in (2, FIRST, SECOND)] == ["running", "running", "running"]


# --- forks ---------------------------------------------------------------------------------------


def forked(plan: Plan, **fields: Any) -> Plan:
    state = plan.handler.state
    state.version = 0
    fork = ForkPlan(origin="other", version=7, approved_by="me", **fields)
    return given(Planner(state), fork).follow_up()


def test_a_fork_runs_again_what_was_undone_and_does_not_undo_what_its_origin_did() -> None:
    fork = forked(play(failed_plan(**ALWAYS), done(4), failed(5), answer(5, "failed")))
    assert statuses(fork) == {1: "running", 2: "completed", 3: "planned"}
    play(fork, made(1), failed(3))
    assert undo_tasks(fork) == {4: 1}


def test_a_fork_of_a_plan_that_is_undone_later_runs_again_what_was_undone() -> None:
    plan = play(running(make(1), work(2, 1, effect=SAFE), **ALWAYS), made(1))
    assert statuses(forked(plan, undone=(1,))) == {1: "running", 2: "planned"}


def test_a_fork_takes_no_undo_over_that_is_under_way() -> None:
    fork = forked(play(failed_plan(**ALWAYS), PausePlan((5,))))
    assert (statuses(fork), plan_status(fork)) == (
        {1: "completed", 2: "completed", 3: "failed"},
        "failed",
    )


# --- any history ---------------------------------------------------------------------------------

_SHAPES = st.tuples(st.integers(0, 2), st.booleans(), st.booleans())  # parents, undo, safe


@examples(
    data=st.data(),
    policy=st.sampled_from(["ask", "always", "never"]),
    shape=st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=1, max_size=6
    ),
)
def test_any_plan_ends_and_undoes_each_completion_once(
    data: st.DataObject, policy: Any, shape: list[tuple[int, bool, bool]]
) -> None:
    specs = [
        make(
            place,
            *range(max(1, place - after), place),
            undo=Undo(tool=ToolCall("drop")) if has_undo else None,
            effect=SAFE if safe else ONCE,
        )
        for place, (after, has_undo, safe) in enumerate(shape, 1)
    ]
    plan = given(Planner, initialize(*specs, undo=policy)).follow_up()
    log: list[Any] = list(plan.events)
    retried = cancelled = False
    command: Any
    for _ in range(200):
        state = plan.handler.state
        if state.outcome is not None:
            over = [t for t in state.written().values() if t.status is TaskStatus.Failed]
            over = [t for t in over if t.spec.undoes is None]
            if retried or not over or not data.draw(st.booleans()):
                break
            retried, command = True, RetryTask(over[0].id)
        elif not cancelled and not state.undoing and data.draw(st.integers(0, 9)) == 0:
            cancelled, command = True, CancelPlan()
        else:
            active = [
                t
                for t in state.tasks.values()
                if t.status in (TaskStatus.Running, TaskStatus.NeedsClarification)
            ]
            assert active, statuses(plan)  # it does not wait for nothing
            task = data.draw(st.sampled_from(active))
            command = _next(data, plan, task)
        plan.when(command).follow_up()
        log += plan.events
    else:
        raise AssertionError(f"it does not end: {statuses(plan)}")
    _check_log(log, [spec.id for spec in specs if spec.undo is not None], undo_tasks(plan))


def _next(data: st.DataObject, plan: Plan, task: Task) -> Any:
    if task.status is TaskStatus.NeedsClarification:
        choices = plan.handler.state.questions[task.id].choices
        return answer(task.id, data.draw(st.sampled_from(choices)))
    ends = data.draw(st.sampled_from(["done", "done", "failed", "unknown"]))
    if ends == "unknown":
        return report(task.id, OutcomeUnknown("killed", ended=True))
    return done(task.id) if ends == "done" else failed(task.id)


def _check_log(log: list[Any], with_undo: list[int], undoes: dict[int, int]) -> None:
    """Each undo task is about the latest completion of its task, which is not undone twice; those
    of one round come in the reverse order of completion. What was left is planned again when the
    plan has continued."""
    completed: list[int] = []
    planned, begun = set[int](), set[int]()
    for event in log:
        match event:
            case e.TaskStatusUpdated(task_id, TaskStatus.Completed) | e.ClarificationReceived(
                task_id, leads_to="complete"
            ) if task_id in with_undo:
                completed.append(task_id)
            case e.UndoPlanned(task_ids):
                assert planned.isdisjoint(task_ids)
                latest = [i for i in reversed(completed) if i in task_ids]
                assert list(dict.fromkeys(latest)) == list(task_ids)
                planned |= {*task_ids}
            case e.TaskDispatched(task_id) if task_id in undoes:
                begun.add(undoes[task_id])
            case e.TasksReset(task_ids):
                begun -= {*task_ids}
                planned -= {*task_ids}
                if not undoes.keys() >= {*task_ids}:
                    planned &= begun
                completed = [i for i in completed if i not in task_ids]


def test_a_once_effect_without_an_undo_is_not_repeated_by_a_retry_after_an_undo() -> None:
    mail = make(2, 1, undo=None)
    plan = play(running(make(1), mail, work(3, 2), **ALWAYS), made(1), done(2), failed(3), done(4))
    play(plan, RetryTask(3))
    assert (statuses(plan)[2], the(plan, 2).attempt) == ("completed", 1)


def test_an_undo_needs_what_the_task_depends_on() -> None:
    drop = Undo(tool=ToolCall("drop", {"id": "$9.id"}))
    with pytest.raises(CommandRejected, match=r"refers to \$9\.id"):
        Planner().process(initialize(make(1, undo=drop), work(9)))


def test_a_log_that_undoes_what_has_no_undo_is_corrupt() -> None:
    with pytest.raises(CorruptLog, match="task 3 has no undo"):
        failed_plan(undo="never").handler.apply(e.UndoPlanned((3,)))


def test_what_undo_tasks_said_is_not_in_the_context_of_a_fork() -> None:
    plan = failed_plan(**ALWAYS)
    before = plan.handler.state.plan_tokens
    fork = forked(play(plan, done(4, "long " * 9), done(5, "long " * 9)))
    state = fork.handler.state
    assert (state.fresh_tokens, state.uncompacted) == (0, [])
    assert state.plan_tokens < before
