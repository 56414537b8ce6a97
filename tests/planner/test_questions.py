"""Questions: as tasks of the graph, from executors, about unknown outcomes; and new answers."""

from __future__ import annotations

import msgspec
import pytest
from plan_builders import (
    answer,
    ask,
    change,
    done,
    failed,
    plan_status,
    play,
    report,
    running,
    statuses,
    tool,
    work,
)

from planfold.planner.commands import (
    CancelPlan,
    CancelTask,
    ClarificationProvided,
    Continue,
    NeedsClarification,
    OutcomeUnknown,
    RetryTask,
)
from planfold.planner.events import (
    ClarificationReceived,
    ClarificationRequested,
    RetryScheduled,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, RetryPolicy, TaskStatus

# --- tasks that ask ----------------------------------------------------------------------------


def test_several_questions_are_open_and_answered_in_any_order() -> None:
    plan = running(ask(1), ask(2), ask(3), work(4, 3), work(5, 1, 2))
    assert list(plan.handler.state.questions) == [1, 2, 3]
    play(plan, answer(3, "c"))
    assert statuses(plan)[4] == "running"
    play(plan, answer(1, "a"))
    assert statuses(plan)[5] == "planned"
    play(plan, answer(2, "b"))
    assert statuses(plan)[5] == "running"
    assert plan.handler.state.questions == {}


def test_an_answer_is_the_result() -> None:
    plan = play(running(ask(1), tool(2, 1, name="$1")), answer(1, "blue"))
    plan.then(ClarificationReceived(1, "blue", "ada"), TaskDispatched(2, 1, {"name": "blue"}))


@pytest.mark.parametrize("text", ["Beta", " beta ", "BETA", "2", " 2 "])
def test_a_choice_is_given_by_its_text_or_its_number(text: str) -> None:
    plan = running(ask(1, choices=("alpha", "Beta"))).when(answer(1, text))
    plan.then(ClarificationReceived(1, "Beta", "ada"))
    plan.when(answer(1, text)).then_nothing()


def test_a_choices_text_goes_before_a_number() -> None:
    plan = running(ask(1, choices=("2", "1"))).when(answer(1, "2"))
    plan.then(ClarificationReceived(1, "2", "ada"))


@pytest.mark.parametrize("text", ["gamma", "", "0", "3", "-1", "9" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_another_answer_than_the_choices_is_rejected(text: str) -> None:
    plan = running(ask(1, choices=("alpha", "beta")))
    plan.when(answer(1, text)).then_rejected(r"takes one of: 1\. alpha, 2\. beta")
    assert 1 in plan.handler.state.questions


def test_the_same_answer_again_changes_nothing_and_another_one_is_rejected() -> None:
    plan = running(ask(1)).when(answer(1, "yes"))
    plan.when(answer(1, "yes")).then_nothing()
    plan.when(answer(1, "no")).then_rejected("it is completed; change the answer")


def test_an_answer_without_a_question_is_rejected() -> None:
    plan = running(work(1), ask(2, 1))
    plan.when(answer(1, "yes")).then_rejected(
        "task 1 has no open question; it is queued or running"
    )
    plan.when(answer(2, "yes")).then_rejected("task 2 has no open question; it is planned")


def test_an_answer_may_say_that_it_could_not_be_done() -> None:
    plan = running(ask(1, choices=("yes", "no")), work(2, 1))
    play(plan, answer(1, "the site is down", bad=True))
    assert statuses(plan) == {1: "failed", 2: "skipped"}
    assert plan.handler.state.tasks[1].error == "the site is down"
    plan.when(answer(1, "the site is down", bad=True)).then_nothing()
    plan.when(answer(1, "the site is down")).then_rejected("has no open question; it has failed")


def test_the_default_holds_after_the_deadline() -> None:
    plan = running(ask(1, default="later", deadline=60.0), work(2, 1))
    plan.then(ClarificationRequested(1, "question 1?", (), "later", 60.0))
    assert plan.handler.outlook().due_at == 60.0
    plan.when(Continue(59.9)).then_nothing()
    plan.when(Continue(60.0)).then(ClarificationReceived(1, "later", "deadline"))
    assert plan.handler.outlook().due_at is None
    plan.follow_up(60.0).when(answer(1, "now")).then_rejected("change the answer instead")


def test_an_answer_before_the_deadline_counts() -> None:
    plan = running(ask(1, default="later", deadline=60.0)).when(answer(1, "now"))
    assert plan.handler.outlook().due_at is None
    plan.follow_up(61.0)
    assert plan.handler.state.tasks[1].result == "now"


def test_a_deadline_without_a_default_is_nothing_to_wait_for() -> None:
    plan = running(ask(1, deadline=60.0))
    assert plan.handler.outlook().due_at is None
    assert plan.handler.outlook((), 100.0).command is None


def test_the_earliest_deadline_is_due_first() -> None:
    plan = running(*(ask(i, default="x", deadline=float(70 - i)) for i in range(1, 6)))
    assert plan.handler.outlook().due_at == 65.0
    assert plan.when(Continue(67.0)).events == [
        ClarificationReceived(i, "x", "deadline") for i in (5, 4, 3)
    ]
    assert plan.handler.outlook().due_at == 68.0


# --- executors that ask ------------------------------------------------------------------------


def test_an_executor_asks_and_continues_with_the_answers() -> None:
    plan = running(work(1), work(2, 1))
    plan.when(report(1, NeedsClarification("which?", ("a", "b")), attempt=1))
    plan.then(ClarificationRequested(1, "which?", ("a", "b"), then="resume"))
    play(plan, answer(1, "2"))
    plan.then(ClarificationReceived(1, "b", "ada", "resume"), TaskDispatched(1, 2))
    play(plan, report(1, NeedsClarification("sure?"), attempt=2), answer(1, "yes"))
    assert plan.handler.state.tasks[1].answers == ("b", "yes")
    plan.when(answer(1, "yes")).then_nothing()
    play(plan, done(1, "ok"))
    assert statuses(plan) == {1: "completed", 2: "running"}


def test_an_executors_question_may_be_the_whole_task() -> None:
    plan = running(work(1), tool(2, 1, text="$1"))
    play(plan, report(1, NeedsClarification("do it", completes=True)), answer(1, "done that"))
    assert plan.handler.state.tasks[1].result == "done that"
    assert plan.handler.state.tasks[2].arguments == {"text": "done that"}


def test_an_executors_default_lets_it_continue() -> None:
    plan = running(work(1))
    plan.when(report(1, NeedsClarification("which?", default="a", deadline=5.0), now=10.0))
    plan.when(Continue(15.0)).then(ClarificationReceived(1, "a", "deadline", "resume"))
    assert statuses(plan) == {1: "planned"}
    assert plan.handler.state.tasks[1].answers == ("a",)


def test_asking_takes_no_attempt_away() -> None:
    plan = running(work(1, retry=RetryPolicy(attempts=2, base=0.0)))
    play(plan, report(1, NeedsClarification("a?")), answer(1, "a"), failed(1))
    assert statuses(plan) == {1: "running"}
    assert plan.handler.state.tasks[1].failures == 1


def test_an_answer_that_names_a_past_attempt_is_ignored() -> None:
    plan = running(work(1))
    play(plan, report(1, NeedsClarification("a?")), answer(1, "a"))
    play(plan, report(1, NeedsClarification("b?"), attempt=2))
    plan.when(report(1, ClarificationProvided("a"), attempt=1)).then_nothing()
    plan.when(report(1, ClarificationProvided("b"), attempt=2)).then(ClarificationReceived)


def test_a_task_that_asks_when_its_parent_was_given_up_is_skipped() -> None:
    lenient = work(1, on_failure="continue")
    plan = play(running(lenient, work(2, 1), work(3, 2)), failed(1))
    play(plan, report(2, NeedsClarification("a?")), RetryTask(1), CancelTask(1), failed(1))
    play(plan, answer(2, "a"))
    assert statuses(plan) == {1: "cancelled", 2: "skipped", 3: "skipped"}
    assert plan.handler.state.outcome == "cancelled"


# --- unknown outcomes --------------------------------------------------------------------------


def unknown(*, effect: Effect = Effect.Once) -> object:
    plan = running(work(1, effect=effect), work(2, 1))
    return play(plan, report(1, OutcomeUnknown("the worker died"), attempt=1))


def test_an_unknown_outcome_is_asked_about() -> None:
    plan = unknown()
    question = plan.handler.state.questions[1]  # type: ignore[attr-defined]
    assert question.then == "outcome"
    assert question.choices == ("done", "run it again", "failed")
    assert "work 1 (the worker died;" in question.question


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("done", {1: "completed", 2: "running"}),
        ("run it again", {1: "running", 2: "planned"}),
        ("failed", {1: "failed", 2: "skipped"}),
        ("3", {1: "failed", 2: "skipped"}),
    ],
)
def test_each_of_the_three_answers_does_what_it_says(text: str, expected: dict[int, str]) -> None:
    plan = play(unknown(), answer(1, text))  # type: ignore[arg-type]
    assert statuses(plan) == expected
    task = plan.handler.state.tasks[1]
    assert task.answers == ()
    assert task.attempt == (2 if text == "run it again" else 1)
    if task.error:
        assert task.error == "its outcome was unknown: failed"


@pytest.mark.parametrize("effect", [Effect.Safe, Effect.Keyed])
def test_what_may_run_twice_is_not_asked_about_but_tried_again(effect: Effect) -> None:
    plan = running(work(1, effect=effect, retry=RetryPolicy(attempts=2, base=0.0)), work(2, 1))
    plan.when(report(1, OutcomeUnknown("it does not stop"), attempt=1))
    plan.then(RetryScheduled(1, 0.0, 0.0, "it does not stop")).follow_up()
    assert plan.handler.state.tasks[1].run == 1  # and so the key is the same
    plan.when(report(1, OutcomeUnknown("it does not stop"), attempt=2))
    plan.then(TaskStatusUpdated(1, TaskStatus.Failed, error="it does not stop"), TaskStatusUpdated)


def test_done_completes_with_null_unless_a_result_is_given() -> None:
    plan = play(unknown(), answer(1, "done"))  # type: ignore[arg-type]
    assert plan.handler.state.tasks[1].result is None
    plan = play(unknown(), answer(1, "Done", result={"id": 3}))  # type: ignore[arg-type]
    assert plan.handler.state.tasks[1].result == {"id": 3}


def test_done_needs_the_result_that_a_dependent_uses() -> None:
    plan = running(work(1), tool(2, 1, to="$1.id"), tool(3, 1, text="no reference"))
    play(plan, report(1, OutcomeUnknown("the worker died"), attempt=1))
    for text in ("done", "Done", "1"):
        plan.when(answer(1, text)).then_rejected(
            r"task 2 uses \$1.id: the answer 'done' needs the result of task 1; give it with"
        )
    assert Planner.fold(plan.history).process(answer(1, "done", result=None))
    assert Planner.fold(plan.history).process(answer(1, "run it again"))
    play(plan, answer(1, "done", result={"id": 3}))
    assert plan.handler.state.tasks[2].arguments == {"to": 3}


def test_done_needs_no_result_where_the_task_runs_again() -> None:
    plan = running(ask(1), work(2, 1), tool(3, 2, to="$2.id"))
    play(plan, answer(1, "a"), report(2, OutcomeUnknown("cut off"), attempt=1))
    play(plan, change(1, "b"), answer(2, "done"))
    assert (statuses(plan)[2], plan.handler.state.tasks[2].attempt) == ("running", 2)


@pytest.mark.parametrize("given", [{}, {"result": None}, {"result": {"id": 3}}])
def test_that_it_was_done_may_be_said_twice(given: dict[str, object]) -> None:
    plan = play(unknown(), answer(1, "done", **given))  # type: ignore[arg-type]
    plan.when(answer(1, "1", **given)).then_nothing()
    plan.when(answer(1, "done", result="other")).then_rejected(
        "has no open question; it is completed$"
    )


def test_a_result_is_taken_only_with_done() -> None:
    plan = unknown()
    for text in ("failed", "run it again"):
        plan.when(answer(1, text, result=3)).then_rejected("only with the answer 'done'")  # type: ignore[attr-defined]
    running(ask(1)).when(answer(1, "done", result=3)).then_rejected("only with the answer 'done'")


def test_in_an_older_log_the_answer_is_the_result() -> None:
    plan = unknown()
    plan.happened(ClarificationReceived(1, "done", "ada"))  # type: ignore[attr-defined]
    assert plan.handler.state.tasks[1].result == "done"  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [{}, {"result": None}, {"result": [1]}])
def test_a_null_result_and_none_are_distinguished_in_the_log(given: dict[str, object]) -> None:
    event = ClarificationReceived(1, "done", **given)  # type: ignore[arg-type]
    data = msgspec.json.encode(event)
    assert msgspec.json.decode(data, type=ClarificationReceived) == event
    assert (b"result" in data) is bool(given)


def test_the_question_shows_what_was_called_and_when() -> None:
    plan = running(tool(1, to="secret://TOKEN", text="x" * 1000))
    play(plan, report(1, OutcomeUnknown("the worker died", 12.5, ended=True), attempt=1))
    question = plan.handler.state.questions[1]
    head = 'Was this done? call 1 (called with {"to":"secret://TOKEN","text":"xxx'
    assert question.question.startswith(head)
    assert "xxx[...]xxx" in question.question
    assert len(question.question) < 700
    assert (question.started_at, question.ended) == (12.5, True)


def test_an_unknown_outcome_stays_unknown_when_it_is_cancelled() -> None:
    plan = play(unknown(), CancelPlan())  # type: ignore[arg-type]
    assert plan.events[-1].summary.unknown == (1,)
    assert plan.handler.state.tasks[1].outcome_unknown
    plan = play(unknown(), CancelTask(1))  # type: ignore[arg-type]
    assert plan.handler.state.tasks[1].outcome_unknown


# --- ChangeAnswer ------------------------------------------------------------------------------


def answered() -> object:
    """1 asks; 2, 3 and 4 descend from it, 5 and 6 do not."""
    specs = [ask(1, choices=("a", "b")), tool(2, 1, x="$1"), work(3, 2), work(4, 3, 6)]
    plan = running(*specs, work(5), work(6, 5))
    return play(plan, answer(1, "a"), done(5), done(6))


def test_a_changed_answer_runs_exactly_the_descendants_again() -> None:
    plan = play(answered(), done(2), done(3), done(4))  # type: ignore[arg-type]
    assert plan.handler.state.outcome == "completed"
    plan.when(change(1, "B", "bob"))
    plan.then(ClarificationReceived(1, "b", "bob"), TasksReset((2, 3, 4), "answer_changed"))
    assert plan_status(plan) == "running"
    plan.follow_up().then(ClarificationReceived, TasksReset, TaskDispatched(2, 2, {"x": "b"}))
    tasks = plan.handler.state.tasks
    assert {i: t.run for i, t in tasks.items()} == {1: 1, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1}
    assert tasks[3].result is None
    play(plan, done(2), done(3), done(4))
    assert plan.handler.state.outcome == "completed"


def test_the_same_answer_is_no_change() -> None:
    answered().when(change(1, "1")).then_nothing()  # type: ignore[attr-defined]


def test_a_changed_answer_must_be_a_choice() -> None:
    answered().when(change(1, "c")).then_rejected("takes one of")  # type: ignore[attr-defined]


def test_only_an_answered_question_has_an_answer_to_change() -> None:
    plan = running(ask(1), work(2))
    plan.when(change(1, "b")).then_rejected("not an answered question .it waits for an ans")
    plan.when(change(2, "b")).then_rejected("it asks nothing")


def test_a_question_below_is_asked_again() -> None:
    plan = play(running(ask(1), ask(2, 1), work(3, 2)), answer(1, "a"))
    play(plan, change(1, "b"))
    plan.then(ClarificationReceived, TasksReset((2,), "answer_changed"), ClarificationRequested)
    play(plan, answer(2, "x"), done(3), change(1, "c"))
    assert statuses(plan) == {1: "completed", 2: "needs_clarification", 3: "planned"}


def test_a_changed_answer_does_not_run_what_another_failure_blocks() -> None:
    plan = running(ask(1), work(2, 1), work(3), work(4, 2, 3), work(5, 4))
    play(plan, answer(1, "a"), done(2), failed(3))
    play(plan, change(1, "b"), done(2))
    assert statuses(plan) == {
        1: "completed",
        2: "completed",
        3: "failed",
        4: "skipped",
        5: "skipped",
    }
    assert plan.handler.state.outcome == "failed"


def test_a_result_that_rests_on_the_old_answer_does_not_stay_when_it_cannot_be_made_again() -> None:
    plan = running(ask(1), work(2, 1, 3), work(3, on_failure="continue"), work(4, 2))
    play(plan, answer(1, "a"), failed(3), done(2, "old"), RetryTask(3), CancelTask(3), failed(3))
    play(plan, change(1, "b"))
    assert statuses(plan) == {1: "completed", 2: "skipped", 3: "cancelled", 4: "running"}
    play(plan, done(4, "old too"))
    assert statuses(plan) == {1: "completed", 2: "skipped", 3: "cancelled", 4: "skipped"}
    assert plan.handler.state.tasks[2].result is None
    assert plan.handler.state.tasks[4].result is None
