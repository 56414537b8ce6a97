"""Maps: expansion, concurrency, failures, and what each command means for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from planfold.errors import CommandRejected, CorruptLog, NotFound
from planfold.handler import Enqueue, Settle
from planfold.planner.budget import Budget
from planfold.planner.commands import (
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    ForkPlan,
    Initialize,
    OutcomeUnknown,
    RetryTask,
    RevisePlan,
    TaskCompleted,
)
from planfold.planner.events import (
    CancelRequested,
    MapExpanded,
    TaskDispatched,
    TasksPlanned,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.items import id_text, item_id, map_of
from planfold.planner.planner import Planner
from planfold.planner.revisions import hash_revision
from planfold.planner.snapshots import Snapshot
from planfold.planner.tasks import (
    Effect,
    ForEach,
    NodeKind,
    RetryPolicy,
    TaskSpec,
    TaskStatus,
    ToolCall,
)
from tests.planner.plan_builders import (
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

LIST = [{"n": 5}, {"n": 6}, {"n": 7}]


def each(task_id: int, after: int = 1, items: str = "", **rest: Any) -> TaskSpec:
    """A map: of the result of ``after``, unless ``items`` says otherwise."""
    names = ("max_items", "concurrency", "on_item_failure", "label", "item_by_item")
    options = {name: rest.pop(name) for name in names if name in rest}
    rest.setdefault("tool", ToolCall("echo", {"n": "$item.n", "place": "at $index"}))
    return TaskSpec(
        id=task_id,
        description=rest.pop("description", "do $item.n"),
        kind=rest.pop("kind", NodeKind.ToolCall),
        depends_on=(after,),
        for_each=ForEach(items=items or f"${after}", **options),
        **rest,
    )


def at(index: int, of: int = 2) -> int:
    return item_id(of, index)


def expanded(*specs: TaskSpec, elements: Any = LIST, **config: Any) -> Plan:
    """A plan whose first task has found the list."""
    return play(running(work(1), *specs, **config), done(1, elements))


def result(plan: Plan, task_id: int = 2) -> Any:
    return plan.handler.state.tasks[task_id].result


def error(plan: Plan, task_id: int = 2) -> str:
    return plan.handler.state.tasks[task_id].error or ""


# --- expansion -----------------------------------------------------------------------------------


def test_a_map_expands_when_its_list_is_there() -> None:
    running(work(1), each(2, label="no. $item.n")).when(done(1, LIST)).follow_up().then(
        TaskStatusUpdated(1, TaskStatus.Completed, LIST),
        MapExpanded(2, 3),
        TaskDispatched(at(0), 1, {"n": 5, "place": "at 0"}),
        TaskDispatched(at(1), 1, {"n": 6, "place": "at 1"}),
        TaskDispatched(at(2), 1, {"n": 7, "place": "at 2"}),
    )


def test_items_are_named_after_their_elements() -> None:
    tasks = expanded(each(2, label="no. $item.n")).handler.state.tasks
    assert [tasks[at(i)].spec.label for i in range(3)] == ["no. 5", "no. 6", "no. 7"]
    assert tasks[at(1)].description == "do 6"
    assert tasks[2].description == "do $item.n"


def test_the_result_is_the_list_in_order_and_is_not_written_again() -> None:
    plan = expanded(each(2), tool(3, 2, all="$2", second="$2[1]"))
    plan = play(plan, done(at(2), "c"), done(at(0), "a"))
    plan.when(done(at(1), "b")).follow_up().then(
        TaskStatusUpdated(at(1), TaskStatus.Completed, "b"),
        TaskStatusUpdated(2, TaskStatus.Completed),
        TaskDispatched(3, 1, {"all": ["a", "b", "c"], "second": "b"}),
    )


@pytest.mark.parametrize("elements", [[], ()])
def test_an_empty_list_is_a_result(elements: Any) -> None:
    plan = expanded(each(2), tool(3, 2, all="$2"), elements=elements)
    assert plan.handler.state.tasks[3].arguments == {"all": []}
    assert statuses(plan)[2] == "completed"


def test_a_fault_of_a_list_names_the_task_by_its_label() -> None:
    plan = play(running(work(1, label="find"), each(2)), done(1, {"rows": []}))
    assert error(plan) == (
        "for_each: $find: it is an object, not a list; it has: rows; revise the plan with "
        'for_each "$find.rows"'
    )


@pytest.mark.parametrize(
    ("elements", "items", "why"),
    [
        ("text", "$1", "for_each: $1: it is a string, not a list"),
        (None, "$1", "for_each: $1: it is null, not a list"),
        ({"a": []}, "$1.b", "for_each: $1.b: task 1's result has no field 'b'; it has: a"),
        ({"a": 1}, "$1.a ?? []", "for_each: $1.a ?? []: it is a number, not a list"),
        ({}, "$1", "for_each: $1: it is an empty object, not a list"),
        (
            {"n": 2, "rows": [1, 2]},
            "$1",
            "for_each: $1: it is an object, not a list; it has: n, rows; revise the plan with "
            'for_each "$1.rows"',
        ),
        ([1] * 100_001, "$1", "the list has 100,001 elements; a map takes at most 100,000"),
    ],
)
def test_what_is_no_list_fails_the_map(elements: Any, items: str, why: str) -> None:
    plan = expanded(each(2, items=items), work(3, 2), elements=elements)
    assert error(plan) == why
    assert statuses(plan) == {1: "completed", 2: "failed", 3: "skipped"}


def test_a_default_makes_a_map_of_a_failed_task() -> None:
    spec = msgspec.structs.replace(work(1), on_failure="continue")
    plan = play(running(spec, each(2, items="$1 ?? []")), failed(1))
    assert (statuses(plan)[2], plan_status(plan)) == ("completed", "completed")


def test_more_items_than_allowed_are_a_question_with_their_number() -> None:
    plan = expanded(each(2, max_items=2))
    question = plan.handler.state.questions[2]
    assert question.question == (
        "Run this for 3 items? do $item.n (its max_items is 2; the first of the list: "
        '{"n":5}, {"n":6}, {"n":7})'
    )
    assert question.choices == ("go on", "stop")
    stopped = play(expanded(each(2, max_items=2)), answer(2, "stop"))
    assert error(stopped) == "a person stopped it: 3 items"
    assert plan_status(stopped) == "failed"
    again = play(stopped, RetryTask(2))
    assert 2 in again.handler.state.questions
    plan = play(plan, answer(2, "go on"))
    assert len(plan.handler.state.tasks) == 5
    assert plan_status(plan) == "running"


def test_items_that_a_model_planned_count_as_tasks_of_the_budget() -> None:
    tight = {"budget": Budget(tasks=4)}
    plan = expanded(each(2, proposed=True), **tight)  # the map is one of them
    assert plan.handler.state.spent.tasks == 4
    plan = expanded(each(2, proposed=True), elements=[*LIST, {"n": 8}], **tight)
    assert "4 items? do $item.n (1 tasks of 4 tasks used, and 4 tasks more wanted; " in (
        plan.handler.state.questions[2].question
    )


@pytest.mark.parametrize(
    ("share", "most", "asks"),
    [
        *((1.0, 3, False), (0.8, 4, False), (0.8, 3, True), (0.5, 5, True), (0.0, 100, True)),
    ],
)
def test_a_person_sees_the_count_from_a_share_of_max_items_on(
    share: float, most: int, asks: bool
) -> None:
    plan = expanded(each(2, max_items=most), preview_from=share)
    assert (2 in plan.handler.state.questions) is asks
    if asks:
        plan = play(plan, answer(2, "go on"))
    assert len(plan.handler.state.tasks) == 5


@pytest.mark.parametrize(("tasks", "asks"), [(4, True), (5, True), (6, False)])
def test_a_person_sees_the_count_from_a_share_of_the_budget_on(tasks: int, asks: bool) -> None:
    plan = expanded(each(2, proposed=True), preview_from=0.75, budget=Budget(tasks=tasks))
    assert (2 in plan.handler.state.questions) is asks
    if asks:
        asked = plan.handler.state.questions[2].question
        assert f"(1 of {tasks} tasks of the budget used; the first of the list: " in asked


def test_a_preview_shows_the_beginning_of_long_elements_and_none_of_an_empty_list() -> None:
    plan = expanded(each(2), elements=["x" * 100, None, 3, 4], preview_from=0.0)
    asked = plan.handler.state.questions[2].question
    shown = f"{16 * 'x'}[...]{16 * 'x'}"
    assert asked.endswith(f'the first of the list: "{shown}", 3)')
    plan = expanded(each(2), elements=[], preview_from=0.0)
    assert result(plan) == []


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(CommandRejected, match="preview_from must be from 0 to 1"):
        Planner().process(initialize(work(1), preview_from=share))


def test_a_condition_about_the_element_decides_about_each_item() -> None:
    plan = play(expanded(each(2, when="$item.n > 5 && $index < 2")), done(at(1), "b"))
    assert result(plan) == [None, "b", None]
    assert statuses(plan)[at(0)] == "skipped"
    assert error(plan, at(0)) == (
        "its condition is false: $item.n > 5 && $index < 2 ($item.n is 5, $index is 0)"
    )
    assert plan_status(plan) == "completed"


def test_a_condition_about_other_tasks_decides_about_the_map() -> None:
    plan = expanded(each(2, when="size($1) > 3"), work(3, 2))
    assert statuses(plan) == {1: "completed", 2: "skipped", 3: "skipped"}
    assert plan_status(plan) == "completed"


def test_a_map_of_questions() -> None:
    spec = each(2, kind=NodeKind.Clarification, description="Pay $item.n?", tool=None)
    plan = expanded(spec)
    asked = [q.question for q in plan.handler.state.questions.values()]
    assert asked == ["Pay 5?", "Pay 6?", "Pay 7?"]
    assert plan_status(plan) == "awaiting_answer"
    plan = play(plan, *(answer(at(i), f"a{i}") for i in range(3)))
    assert result(plan) == ["a0", "a1", "a2"]
    plan = play(plan, ChangeAnswer(at(1), "no"))
    assert result(plan) == ["a0", "no", "a2"]
    with pytest.raises(CommandRejected, match="task 2 is not an answered question"):
        plan.handler.process(ChangeAnswer(2, "x"))


def test_a_map_of_a_map() -> None:
    plan = expanded(each(2), each(3, 2, tool=ToolCall("echo", {"n": "$item"})))
    plan = play(plan, *(done(at(i), i) for i in range(3)))
    assert plan.handler.state.tasks[at(1, 3)].arguments == {"n": 1}


# --- how many at once ----------------------------------------------------------------------------


def test_at_most_concurrency_items_run() -> None:
    plan = expanded(each(2, concurrency=1))
    for index in range(3):
        run = [i for i, status in statuses(plan).items() if status == "running" and i > 2]
        assert run == [at(index)]
        plan = play(plan, done(at(index)))
    assert plan_status(plan) == "completed"


def test_limits_of_the_plan_count_items_and_not_maps() -> None:
    plan = expanded(each(2), work(3, 1), max_parallel=2, route_limits={"echo": 1})
    assert statuses(plan)[3] == "running"
    assert [i for i, s in statuses(plan).items() if s == "running" and i > 3] == [at(0)]


def test_a_retry_waits_and_gives_its_place_to_others() -> None:
    retry = RetryPolicy(2, base=10.0)
    plan = expanded(each(2, concurrency=1, retry=retry))
    plan = play(plan, failed(at(0)))
    assert statuses(plan)[at(1)] == "running"
    due = plan.handler.outlook().due_at
    assert due is None, "a retry without a slot starts when a task ends"
    plan = play(plan, done(at(1)), done(at(2)))
    assert plan.handler.outlook().due_at == 5.0


def test_the_queue_has_rows_of_items_only() -> None:
    plan = running(work(1), each(2, effect=Effect.Safe))
    planner = plan.handler
    events = planner.process(done(1, LIST))
    for event in events:
        planner.apply(event)
    outlook = planner.outlook(events)
    assert [change for _, change in outlook.queue] == [Settle(1)]
    events = planner.process(outlook.command)  # type: ignore[arg-type]
    for event in events:
        planner.apply(event)
    changes = [change for _, change in planner.outlook(events).queue]
    assert all(isinstance(change, (Enqueue, Settle)) for change in changes)
    assert changes == []  # the map has expanded; its items follow
    events = planner.process(planner.outlook().command)  # type: ignore[arg-type]
    for event in events:
        planner.apply(event)
    rows = [c for _, c in planner.outlook(events).queue if isinstance(c, Enqueue)]
    assert [row.task_id for row in rows] == [at(0), at(1), at(2)]
    assert rows[0].safe


# --- failures ------------------------------------------------------------------------------------


def test_a_failed_item_stops_the_map() -> None:
    plan = play(expanded(each(2, concurrency=2), work(3, 2)), failed(at(0), "closed"))
    assert statuses(plan)[at(2)] == "planned", "no other item starts"
    plan = play(plan, done(at(1), "b"))
    assert error(plan) == "1 of 3 items did not complete: 2[0]: closed"
    assert statuses(plan) == {
        **{1: "completed", 2: "failed", 3: "skipped"},
        **{at(0): "failed", at(1): "completed", at(2): "skipped"},
    }
    assert plan_status(plan) == "failed"


def test_with_continue_the_map_completes_and_says_what_failed() -> None:
    spec = each(2, on_item_failure="continue")
    plan = expanded(spec, tool(3, 2, all="$2", error="$2:error", status="$2:status"))
    plan = play(plan, failed(at(1), "closed"), done(at(0), 1), done(at(2), 3))
    assert plan.handler.state.tasks[3].arguments == {
        "all": [1, None, 3],
        "error": "1 of 3 items did not complete: 2[1]: closed",
        "status": "completed",
    }
    assert plan_status(play(plan, done(3))) == "completed"


def test_on_failure_continue_lets_what_follows_run_without_the_map() -> None:
    plan = expanded(each(2, on_failure="continue"), tool(3, 2, all="$2?"))
    plan = play(plan, failed(at(0)), done(at(1)), done(at(2)))
    assert plan.handler.state.tasks[3].arguments == {"all": None}
    assert plan_status(play(plan, done(3))) == "completed"


def test_a_retry_of_the_map_runs_only_what_did_not_complete() -> None:
    plan = play(expanded(each(2, concurrency=2), work(3, 2)), failed(at(0)), done(at(1), "b"))
    plan.when(RetryTask(2)).follow_up().then(
        TasksReset((2, at(0), at(2), 3), "retry"),
        MapExpanded(2, 3),
        TaskDispatched(at(0), 2, {"n": 5, "place": "at 0"}),
        TaskDispatched(at(2), 1, {"n": 7, "place": "at 2"}),
    )
    plan = play(plan, done(at(0), "a"), done(at(2), "c"))
    assert result(plan) == ["a", "b", "c"]


def test_a_retry_of_an_item_opens_its_map_again() -> None:
    plan = play(expanded(each(2, concurrency=1)), failed(at(0)))
    assert statuses(plan)[2] == "failed"
    plan = play(plan, RetryTask(at(0)))
    assert statuses(plan) == {1: "completed", 2: "running", at(0): "running"} | {
        at(1): "planned",
        at(2): "planned",
    }


def test_a_retry_of_an_item_while_the_others_run() -> None:
    plan = play(expanded(each(2, on_item_failure="continue")), failed(at(0)), RetryTask(at(0)))
    plan = play(plan, done(at(1), 1), done(at(2), 2), done(at(0), 0))
    assert result(plan) == [0, 1, 2]
    assert error(plan) == ""


def test_an_unknown_outcome_is_asked_about_for_each_item() -> None:
    plan = play(expanded(each(2)), report(at(1), OutcomeUnknown("its worker died")))
    assert "Was this done? do 6 (called with " in plan.handler.state.questions[at(1)].question
    plan = play(plan, done(at(0), 0), done(at(2), 2), answer(at(1), "done", result=1))
    assert result(plan) == [0, 1, 2]


# --- cancelling, changing, revising --------------------------------------------------------------


def test_cancelling_a_map_stops_its_items() -> None:
    plan = expanded(each(2, concurrency=1), work(3, 2))
    plan.when(CancelTask(2, reason="enough")).then(CancelRequested((2, at(0)), "enough"))
    plan = play(plan.follow_up(), done(at(0), 0))
    assert statuses(plan)[at(0)] == "completed"
    assert statuses(plan)[at(1)] == "skipped"
    assert (statuses(plan)[2], statuses(plan)[3]) == ("cancelled", "skipped")


def test_cancelling_one_item() -> None:
    plan = play(expanded(each(2, on_item_failure="continue")), CancelTask(at(1)))
    plan = play(plan, failed(at(1), "stopped"), done(at(0)), done(at(2)))
    assert (statuses(plan)[2], plan_status(plan)) == ("completed", "completed")
    assert error(plan) == "1 of 3 items did not complete: 2[1]: stopped"


def test_cancelling_the_plan_ends_a_map_without_items_that_run() -> None:
    spec = each(2, kind=NodeKind.Clarification, description="Pay $item.n?", tool=None)
    plan = play(expanded(spec), CancelPlan("no"))
    assert set(statuses(plan).values()) == {"completed", "cancelled"}
    assert plan_status(plan) == "cancelled"


def test_a_changed_answer_above_a_map_makes_another_list() -> None:
    plan = play(running(ask(1), work(2, 1), each(3, 2), work(4, 3)), answer(1, "a"), done(2, LIST))
    plan = play(plan, *(done(at(i, 3), i) for i in range(3)))
    keys = {plan.handler.state.tasks[at(i, 3)].run for i in range(3)}
    plan = play(plan, change(1, "b"))
    assert [i for i in statuses(plan) if map_of(i)] == []
    plan = play(plan, done(2, [{"n": 1}]))
    item = plan.handler.state.tasks[at(0, 3)]
    assert (item.attempt, item.run) == (2, 2), "reports and keys of before do not fit"
    assert keys == {1}
    late = report(at(0, 3), TaskCompleted("late"), 1)
    assert plan.handler.process(late) == []
    assert plan.handler.process(report(at(2, 3), TaskCompleted("late"), 1)) == []


def test_a_changed_answer_waits_for_items_that_run() -> None:
    plan = play(running(ask(1), work(2, 1), each(3, 2)), answer(1, "a"), done(2, LIST))
    plan = play(plan, done(at(0, 3), 0), change(1, "b"), done(2, []))
    assert statuses(plan)[3] == "running"
    plan = play(plan, done(at(1, 3), 1), done(at(2, 3), 1))
    assert result(plan, 3) == []


def test_a_revision_keeps_a_map_that_has_expanded() -> None:
    plan = expanded(each(2), work(3, 2))
    plan = play(plan, RevisePlan((work(4, 2),), approved_by="me"))
    assert set(statuses(plan)) == {1, 2, 4, at(0), at(1), at(2)}
    assert plan.handler.state.revision_hash == hash_revision((work(1), each(2), work(4, 2)))
    plan = play(plan, *(done(at(i)) for i in range(3)))
    assert statuses(plan)[4] == "running"


def test_a_superseded_map_takes_its_items_with_it() -> None:
    plan = play(expanded(each(2)), failed(at(0)), done(at(1)), done(at(2)))
    plan = play(plan, RevisePlan((work(3),), "me", superseded=(2,)), done(3))
    assert plan_status(plan) == "completed"
    assert plan.handler.state.tasks[at(0)].superseded
    assert plan.handler.state.progress == (2, 2)


def test_a_fork_above_a_map_asks_for_consent_to_items_that_happened() -> None:
    plan = play(running(ask(1), work(2, 1), each(3, 2)), answer(1, "a"), done(2, LIST))
    plan = play(plan, *(done(at(i, 3), i) for i in range(3)))
    base = Planner.restore(plan.handler.snapshot())
    assert base is not None
    base.state.version = 0
    command = ForkPlan(origin="p", version=9, answers={1: "b"}, repeat=(2,), approved_by="me")
    with pytest.raises(CommandRejected, match=r"3\[0\] \(do 5\), 3\[1\] \(do 6\)"):
        base.process(command)
    for event in base.process(msgspec.structs.replace(command, repeat=(2, 3))):
        base.apply(event)
    assert base.state.tasks[3].elements is None


# --- refusals, snapshots -------------------------------------------------------------------------


def test_a_report_on_the_map_itself_is_refused() -> None:
    with pytest.raises(CommandRejected, match=r"task 2 is a map; .* report on 2\[0\]"):
        expanded(each(2)).handler.process(done(2))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (each(2, max_items=0), "max_items of task 2 must be from 1 to 100,000"),
        (each(2, concurrency=100_001), "concurrency of task 2 must be from 1 to 100,000"),
        (each(2, items="of $1"), "for_each must be a reference to a list"),
        (each(2, items="$3"), r"task 2 refers to \$3, but does not depend on that task"),
        (each(900_001), "the id of a map at most 900,000"),
        (tool(2, 1, n="$item"), r"task 2 refers to \$item, but does not depend"),
        (work(item_id(1, 0)), "task id 10000000000 is too large"),
    ],
)
def test_maps_that_are_not_complete_are_refused(spec: TaskSpec, why: str) -> None:
    with pytest.raises(CommandRejected, match=why):
        Planner().process(Initialize("x", (work(1), spec)))


def test_an_unknown_item_is_named_as_people_write_it() -> None:
    with pytest.raises(NotFound, match=r"no task 2\[7\]; its tasks are 1, 2$"):
        expanded(each(2)).handler.process(RetryTask(at(7)))


def test_a_log_whose_expansion_does_not_fit_the_list_is_corrupt() -> None:
    begun = TasksPlanned("t", "", (work(1), each(2), work(3)), "hash")
    history = [begun, TaskDispatched(1, 1), TaskStatusUpdated(1, TaskStatus.Completed, LIST)]
    assert len(Planner.fold([*history, MapExpanded(2, 3)]).state.tasks) == 6
    no_list = [*history[:2], TaskStatusUpdated(1, TaskStatus.Failed)]
    for before, event in (
        *((history, MapExpanded(2, 2)), (history, MapExpanded(3, 3))),
        (no_list, MapExpanded(2, 3)),
    ):
        with pytest.raises(CorruptLog, match=f"task {event.task_id} has no list of {event.count}"):
            Planner.fold([*before, event])


def test_a_snapshot_holds_the_results_of_items_once() -> None:
    plan = play(expanded(each(2)), *(done(at(i), "x" * 1_000) for i in range(3)))
    snapshot = plan.handler.snapshot()
    found = Snapshot.unpack(snapshot)
    assert found is not None
    results = [task.result for piece in found.pieces for task in piece.tasks()]
    assert results.count("x" * 1_000) == 3
    assert results[1] is None
    restored = Planner.restore(snapshot)
    assert restored is not None
    assert restored.state.tasks[2].result == ["x" * 1_000] * 3
    assert restored.snapshot() == snapshot


def test_the_context_has_a_map_as_one_task() -> None:
    state = play(expanded(each(2)), *(done(at(i), "found") for i in range(3))).handler.state
    assert state.uncompacted == [1, 2]


def test_names_of_items() -> None:
    assert [id_text(3), id_text(item_id(3, 17))] == ["3", "3[17]"]
    assert item_id(900_000, 99_999) < 2**53, "exact in JSON"


@pytest.mark.parametrize("ended", [True, False])
def test_another_answer_repeats_items_only_where_it_may(ended: bool) -> None:
    """Also those that have completed: the map makes another list."""
    plan = play(running(ask(1), work(2, 1), each(3, 2)), answer(1, "a"), done(2, LIST))
    plan = play(plan, *(done(at(i, 3), i) for i in range(3 if ended else 1)))
    plan.when(ChangeAnswer(1, "b", repeat=(2,))).then_rejected(r"3\[0\] ")
    plan.when(ChangeAnswer(1, "b", repeat=(3,))).then_rejected("work it out|task 2|2 ")
    play(plan, ChangeAnswer(1, "b", repeat=(2, 3)))
    play(plan, ChangeAnswer(1, "b", repeat=(2, *(at(i, 3) for i in range(3)))))
