"""Maps that run item by item behind another map: when an item starts, and what ends what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.errors import CommandRejected
from planfold.planner.commands import (
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    Command,
    CompleteTask,
    ForkPlan,
    Initialize,
    RetryTask,
    RevisePlan,
    SkipTask,
)
from planfold.planner.events import (
    MapExpanded,
    PlanningCompleted,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.graph import Schedule
from planfold.planner.items import index_of, map_of
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, NodeKind, RetryPolicy, TaskSpec, TaskStatus, ToolCall
from planfold.planner.transitions import ENDED
from planfold.readmodels.reasons import reasons_of
from tests.planner.plan_builders import (
    Plan,
    answer,
    ask,
    done,
    failed,
    plan_status,
    play,
    running,
    statuses,
    tool,
    work,
)
from tests.planner.test_maps import LIST, at, each, error, expanded, result

THREE = (0, 1, 2)


def behind(task_id: int, source: int, **rest: Any) -> TaskSpec:
    """A map that runs item by item behind another one."""
    rest.setdefault("tool", ToolCall("echo", {"it": "$item"}))
    rest.setdefault("description", "post $item")
    return each(task_id, source, item_by_item=True, **rest)


def both(source: dict[str, Any] | None = None, **rest: Any) -> Plan:
    """Two maps of three items, and a task behind the second; the items of the first run."""
    specs = (each(2, **(source or {})), behind(3, 2, **rest), tool(4, 3, all="$3"))
    return expanded(*specs)


def task(plan: Plan, task_id: int) -> Any:
    return plan.handler.state.tasks[task_id]


def send(planner: Planner, command: Command | None) -> None:
    """A command with the commands that follow from it."""
    while command is not None:
        for event in planner.process(command):
            planner.apply(event)
        command = planner.outlook().command


def of(plan: Plan, task_id: int) -> list[str]:
    """The statuses of the items of a map."""
    return [status for i, status in statuses(plan).items() if map_of(i) == task_id]


# --- starting ------------------------------------------------------------------------------------


def test_an_item_starts_when_its_counterpart_has_completed() -> None:
    plan = both()
    assert (statuses(plan)[3], of(plan, 3)) == ("running", ["planned"] * 3)
    plan.when(done(at(1), "b")).follow_up().then(
        TaskStatusUpdated(at(1), TaskStatus.Completed, "b"),
        TaskDispatched(at(1, 3), 1, {"it": "b"}),
    )


def test_the_map_behind_expands_with_the_one_before() -> None:
    plan = running(work(1), each(2, concurrency=1), behind(3, 2))
    plan.when(done(1, LIST)).follow_up().then(
        TaskStatusUpdated(1, TaskStatus.Completed, LIST),
        MapExpanded(2, 3),
        MapExpanded(3, 3),
        TaskDispatched(at(0), 1, {"n": 5, "place": "at 0"}),
    )


def test_an_item_gets_its_element_with_its_turn() -> None:
    plan = both(label="no. $item")
    assert [task(plan, at(0, 3)).spec.label, task(plan, at(0, 3)).description] == [
        *(None, "post $item")
    ]
    plan = play(plan, done(at(0), "a"))
    assert [task(plan, at(0, 3)).spec.label, task(plan, at(0, 3)).description] == [
        *("no. a", "post a")
    ]
    assert task(plan, 3).elements == ["a", None, None]


def test_results_are_in_the_order_of_the_list() -> None:
    plan = play(both(), *(done(at(i), i) for i in (2, 0, 1)))
    plan = play(plan, *(done(at(i, 3), f"r{i}") for i in (1, 2, 0)))
    assert result(plan, 3) == ["r0", "r1", "r2"]
    assert task(plan, 4).arguments == {"all": ["r0", "r1", "r2"]}
    assert plan_status(play(plan, done(4))) == "completed"


def test_an_empty_list_has_empty_results() -> None:
    plan = expanded(each(2), behind(3, 2), behind(4, 3), elements=[])
    assert [result(plan, i) for i in (2, 3, 4)] == [[], [], []]
    assert plan_status(plan) == "completed"


def test_a_chain_of_maps() -> None:
    plan = expanded(each(2), behind(3, 2), behind(4, 3))
    plan = play(plan, done(at(1), 1), done(at(1, 3), 2), done(at(1, 4), 3))
    assert of(plan, 4) == ["planned", "completed", "planned"]
    assert statuses(plan)[2] == "running"


def test_concurrency_and_limits_are_those_of_each_map() -> None:
    plan = play(both(concurrency=1), *(done(at(i), i) for i in THREE))
    assert of(plan, 3) == ["running", "planned", "planned"]
    plan = expanded(each(2), behind(3, 2), max_parallel=1)
    plan = play(plan, done(at(0), 0))
    assert (of(plan, 2)[1], of(plan, 3)[0]) == ("planned", "running"), "what began first"
    plan = play(plan, done(at(0, 3), 0))
    assert of(plan, 2)[1] == "running"


def test_a_map_that_waits_for_another_task_has_all_elements_then() -> None:
    third = msgspec.structs.replace(behind(3, 2), depends_on=(2, 9))
    specs = (work(9), each(2), third)
    plan = play(running(work(1), *specs), done(1, LIST), *(done(at(i), i) for i in THREE))
    assert statuses(plan)[3] == "planned"
    plan = play(plan, done(9))
    assert [task(plan, at(i, 3)).arguments for i in THREE] == [{"it": i} for i in THREE]


def test_a_condition_sees_the_element() -> None:
    plan = play(both(when="$item > 0"), done(at(0), 0), done(at(1), 1))
    assert of(plan, 3) == ["skipped", "running", "planned"]


def test_max_items_asks_and_the_map_before_runs_on() -> None:
    plan = both(max_items=2)
    assert plan.handler.state.questions[3].question.startswith("Run this for 3 items?")
    plan = play(plan, done(at(0), "a"), answer(3, "go on"))
    assert of(plan, 3) == ["running", "planned", "planned"]


# --- failures ------------------------------------------------------------------------------------

CONTINUE = {"on_item_failure": "continue"}


def test_an_item_whose_counterpart_failed_is_skipped() -> None:
    plan = both(CONTINUE)
    plan.when(failed(at(0), "closed")).follow_up().then(
        TaskStatusUpdated(at(0), TaskStatus.Failed, error="closed"),
        TaskStatusUpdated(
            at(0, 3),
            TaskStatus.Skipped,
            error="it needs task 2[0], which did not complete",
            skip_reason="failure",
        ),
    )
    plan = play(plan, failed(at(0)), done(at(1), 1), done(at(2), 2))
    plan = play(plan, done(at(1, 3), "b"), done(at(2, 3), "c"))
    assert result(plan, 3) == [None, "b", "c"]
    assert plan_status(play(plan, done(4))) == "completed"


def test_where_the_map_before_fails_what_completed_there_is_finished() -> None:
    plan = play(both({"concurrency": 2}), done(at(0), 0), failed(at(1), "closed"))
    plan = play(plan, done(at(2), 2))
    assert (statuses(plan)[2], statuses(plan)[3]) == ("failed", "running")
    assert of(plan, 3) == ["running", "skipped", "running"]
    plan = play(plan, done(at(0, 3)), done(at(2, 3)))
    assert [statuses(plan)[i] for i in (3, 4)] == ["skipped", "skipped"]
    assert error(plan, 3) == "it needs task 2, which did not complete"
    assert plan_status(plan) == "failed"


def test_the_end_of_the_map_before_skips_in_one_event() -> None:
    plan = expanded(each(2, concurrency=1), behind(3, 2), behind(5, 3), tool(4, 3, all="$3"))
    plan.when(failed(at(0), "closed")).follow_up().then(
        TaskStatusUpdated(at(0), TaskStatus.Failed, error="closed"),
        TaskStatusUpdated(2, TaskStatus.Failed, error=_of_three("2[0]: closed")),
        _skipped(at(0, 3), "2[0]"),
        _skipped(3, "2"),
        _skipped(4, "3"),
        _skipped(at(0, 5), "3[0]"),
        _skipped(5, "3"),
        PlanningCompleted,
    )


def test_the_map_before_may_fail_with_continue() -> None:
    source = {"on_failure": "continue", "concurrency": 1}
    plan = play(both(source), done(at(0), "a"), failed(at(1)))
    assert (statuses(plan)[2], of(plan, 3)) == ("failed", ["running", "skipped", "skipped"])
    plan = play(plan, done(at(0, 3), "A"))
    assert (statuses(plan)[3], result(plan, 3)) == ("completed", ["A", None, None])


def test_a_failure_behind_stops_nothing_before() -> None:
    plan = play(both(), done(at(0), 0), failed(at(0, 3), "closed"), done(at(1), 1))
    assert (statuses(plan)[2], statuses(plan)[3]) == ("running", "failed")
    assert error(plan, 3) == _of_three("3[0]: closed")
    assert of(plan, 3) == ["failed", "skipped", "skipped"]


def test_what_is_not_needed_before_is_not_needed_behind() -> None:
    plan = play(both({"when": "$index > 0"}), done(at(1), 1), done(at(2), 2))
    assert task(plan, at(0, 3)).not_needed
    plan = play(plan, done(at(1, 3), "b"), done(at(2, 3), "c"))
    assert result(plan, 3) == [None, "b", "c"]


def test_by_hand() -> None:
    keyed = {"effect": Effect.Keyed}
    plan = play(both(keyed), SkipTask(at(0), "no", "ada"), failed(at(0)))
    plan.when(CompleteTask(at(1), by="ada")).then_rejected(r"task 3\[1\] uses \$item: give the")
    plan = play(plan, CompleteTask(at(1), "by hand", "why", "ada"), failed(at(1)))
    assert of(plan, 3) == ["skipped", "running", "planned"]
    assert task(plan, at(1, 3)).arguments == {"it": "by hand"}
    assert task(plan, at(0, 3)).not_needed


def test_a_map_that_is_not_needed() -> None:
    plan = both({"when": "size($1) > 3"})
    assert [statuses(plan)[i] for i in (2, 3, 4)] == ["skipped"] * 3
    assert plan_status(plan) == "completed"


# --- retrying, cancelling, changing --------------------------------------------------------------


def test_a_retry_of_the_map_before_continues_the_one_behind() -> None:
    plan = play(both({"concurrency": 1}), done(at(0), 0), done(at(0, 3), "A"), failed(at(1)))
    assert [statuses(plan)[i] for i in (2, 3, 4)] == ["failed", "skipped", "skipped"]
    plan.when(RetryTask(3)).then_rejected("task 3 needs task 2, which has failed; retry that one")
    plan = play(plan, RetryTask(2))
    assert of(plan, 3) == ["completed", "planned", "planned"]
    plan = play(plan, done(at(1), 1), done(at(2), 2), done(at(1, 3), "B"), done(at(2, 3), "C"))
    assert result(plan, 3) == ["A", "B", "C"]
    assert task(plan, at(1, 3)).arguments == {"it": 1}


def test_a_retry_of_an_item_runs_its_counterpart_too() -> None:
    plan = play(both(CONTINUE), failed(at(0)), done(at(1), 1), done(at(2), 2))
    plan.when(RetryTask(at(0, 3))).then_rejected(r"3\[0\] needs task 2\[0\], which has failed")
    plan = play(plan, done(at(1, 3), "b"), done(at(2, 3), "c"))
    assert statuses(plan)[3] == "completed"
    plan.when(RetryTask(at(0))).then(TasksReset((2, at(0), 3, at(0, 3)), "retry"))
    plan = play(plan, RetryTask(at(0)), done(at(0), 0), done(at(0, 3), "a"))
    assert result(plan, 3) == ["a", "b", "c"]


def test_attempts_of_an_item_hold_up_only_its_counterpart() -> None:
    plan = play(both({"retry": RetryPolicy(2, base=0.0)}), failed(at(0)), done(at(1), 1))
    assert of(plan, 3) == ["planned", "running", "planned"]
    plan = play(plan, done(at(0), "second"))
    assert task(plan, at(0, 3)).arguments == {"it": "second"}


def test_cancelling() -> None:
    plan = play(both(), done(at(0), 0), CancelTask(2), failed(at(1)), failed(at(2)))
    assert (statuses(plan)[2], of(plan, 3)) == ("cancelled", ["running", "skipped", "skipped"])
    plan = play(plan, done(at(0, 3)))
    assert [statuses(plan)[i] for i in (3, 4)] == ["skipped", "skipped"]
    plan = play(both(), done(at(0), 0), CancelTask(3), done(at(0, 3)), done(at(1), 1))
    assert (statuses(plan)[3], statuses(plan)[2]) == ("cancelled", "running")
    plan = play(both(), done(at(0), 0), CancelPlan("no"), done(at(0, 3)))
    plan = play(plan, failed(at(1)), failed(at(2)))
    assert plan_status(plan) == "cancelled"


def test_another_answer_above_both_maps() -> None:
    safe = {"effect": Effect.Safe}
    specs = (ask(1), work(2, 1, **safe), each(3, 2, **safe), behind(4, 3, **safe))
    plan = play(running(*specs), answer(1, "a"), done(2, LIST), done(at(0, 3), "old"))
    plan = play(plan, ChangeAnswer(1, "b"))
    plan = play(plan, done(at(1, 3)), done(at(2, 3)), done(2, [{"n": 1}]))
    assert of(plan, 3) == ["running"]
    assert statuses(plan)[4] == "running", "its item of the old list has not ended"
    plan = play(plan, done(at(0, 3), "new"), done(at(0, 4), "of the old list"))
    assert task(plan, at(0, 4)).arguments == {"it": "new"}
    assert result(play(plan, done(at(0, 4), "end")), 4) == ["end"]


def test_a_map_that_ends_at_once_again_takes_the_one_behind_with_it() -> None:
    plan = play(both({"concurrency": 2}), failed(at(0)), failed(at(1)), RetryTask(at(0)))
    assert [statuses(plan)[i] for i in (2, 3, 4)] == ["failed", "skipped", "skipped"]
    assert error(plan) == _of_three("2[1]: boom")


def test_no_map_follows_one_that_is_to_run_again() -> None:
    safe = {"effect": Effect.Safe}
    specs = (ask(1), work(2, 1, **safe), each(3, 2, **safe), behind(4, 3, **safe))
    plan = play(running(*specs), answer(1, "a"), done(2, LIST), ChangeAnswer(1, "b"))
    assert [statuses(plan)[i] for i in (3, 4)] == ["running", "planned"]
    plan = play(plan, *(failed(at(i, 3)) for i in THREE))
    assert [statuses(plan)[i] for i in (3, 4)] == ["planned", "planned"]
    plan = play(plan, done(2, [{"n": 1}]), done(at(0, 3), 1), done(at(0, 4), "end"))
    assert result(plan, 4) == ["end"]


def test_another_answer_of_an_item_expands_the_map_behind_again() -> None:
    spec = each(2, kind=NodeKind.Clarification, description="Pay $item.n?", tool=None)
    plan = expanded(spec, behind(3, 2, effect=Effect.Safe))
    plan = play(plan, answer(at(0), "yes"), done(at(0, 3), "paid"), ChangeAnswer(at(0), "no"))
    assert task(plan, at(0, 3)).arguments == {"it": "no"}
    assert of(plan, 3) == ["running", "planned", "planned"]


def test_a_revision_keeps_maps_that_run() -> None:
    plan = play(both(), RevisePlan((tool(5, 3, all="$3"),), approved_by="me"))
    plan = play(plan, *(done(at(i), i) for i in THREE), *(done(at(i, 3), i) for i in THREE))
    assert task(plan, 5).arguments == {"all": [0, 1, 2]}


def test_a_fork_runs_the_map_behind_again() -> None:
    plan = play(both(), *(done(at(i), i) for i in THREE), done(at(0, 3), "old"))
    fork = Planner.restore(plan.handler.snapshot())
    assert fork is not None
    fork.state.version = 0
    spec = msgspec.structs.replace(task(plan, 3).spec, tool=ToolCall("echo", {"its": "$item"}))
    send(fork, ForkPlan(origin="p", version=9, tasks=(spec,), repeat=(3,), approved_by="me"))
    assert [fork.state.tasks[at(i, 3)].arguments for i in THREE] == [{"its": i} for i in THREE]


# --- explaining, refusing ------------------------------------------------------------------------


def test_why_an_item_waits_or_was_skipped() -> None:
    plan = both(CONTINUE)
    [reason] = reasons_of(plan.handler.state, task(plan, at(0, 3)), 0.0)
    assert (reason.text, reason.by) == ("waits for task 2[0]", (at(0),))
    plan = play(plan, failed(at(0)))
    [reason] = reasons_of(plan.handler.state, task(plan, at(0, 3)), 0.0)
    assert (reason.text, reason.by) == ("was skipped: task 2[0] failed: boom", (at(0),))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (each(3, 1, item_by_item=True), r"must be the result of a map, such as \$3"),
        (each(3, 2, items="$2.x", item_by_item=True), "must be the result of a map"),
        (each(3, 2, items="$2 ?? []", item_by_item=True), "must be the result of a map"),
        (each(3, 2, items="[1]", item_by_item=True), "must be the result of a map"),
        (behind(3, 2, tool=ToolCall("echo", {"a": "$item", "b": "$2"})), r"it refers to \$2; wait"),
        (behind(3, 2, when="$2:status == 'failed'"), "it refers to"),
        (behind(3, 2, run_if="ended"), "its run_if is ended; wait for the whole map"),
    ],
)
def test_what_needs_the_whole_map_does_not_run_item_by_item(spec: TaskSpec, why: str) -> None:
    with pytest.raises(CommandRejected, match=why):
        Planner().process(Initialize("x", (work(1), each(2), spec)))


def test_the_map_before_stays_a_map() -> None:
    plan = running(work(1), each(2), behind(3, 2))
    plan.when(RevisePlan((work(2, 1), behind(3, 2)))).then_rejected("must be the result of a map")


def test_an_end_is_known_to_the_counterpart_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: what an item costs does not depend on how many there are."""
    size, touched = 300, list[int]()
    planner = expanded(each(2), behind(3, 2), elements=[{"n": 5}] * size).handler
    original = Schedule._parent_changed

    def counted(schedule: Schedule, child: Any, satisfied: bool) -> None:
        touched.append(child.spec.id)
        original(schedule, child, satisfied)

    monkeypatch.setattr(Schedule, "_parent_changed", counted)
    for map_id in (2, 3):
        for index in range(size):
            before = len(touched)
            send(planner, done(at(index, map_id), index))
            assert len(touched) - before <= 1 or index == size - 1
    assert planner.state.outcome == "completed"


# --- any order -----------------------------------------------------------------------------------


@given(
    size=st.integers(0, 5),
    steps=st.lists(st.tuples(st.integers(0, 14), st.sampled_from(["done", "done", "failed"]))),
    options=st.tuples(*[st.sampled_from(["stop", "continue"])] * 4),
    concurrency=st.tuples(*[st.sampled_from([1, 2, 100])] * 3),
    when=st.sampled_from([None, "$index > 0"]),
)
def test_items_run_if_and_only_if_their_counterparts_completed(
    size: int,
    steps: list[tuple[int, str]],
    options: tuple[str, ...],
    concurrency: tuple[int, ...],
    when: str | None,
) -> None:
    """Three maps in a row, whose items end in any order and any way. The model: an item needs its
    counterpart to have completed, and its own map to stop at no failure."""
    stops: dict[int, Any] = dict(zip((2, 3, 4), options, strict=False))
    limits = dict(zip((2, 3, 4), concurrency, strict=True))
    maps = {
        2: each(2, on_item_failure=stops[2], concurrency=limits[2], when=when),
        3: behind(3, 2, on_item_failure=stops[3], concurrency=limits[3]),
        4: behind(4, 3, on_item_failure=stops[4], concurrency=limits[4]),
    }
    maps[2] = msgspec.structs.replace(maps[2], on_failure=options[3])
    plan = expanded(*maps.values(), work(5, 4), elements=[{"n": 5}] * size)
    endings = iter(steps)
    while runs := [i for i, s in statuses(plan).items() if s == "running" and map_of(i)]:
        place, how = next(endings, (0, "done"))
        item = runs[place % len(runs)]
        plan = play(plan, failed(item) if how == "failed" else done(item, item))
    state = plan.handler.state
    assert state.outcome is None or not state.schedule.over
    for task_id in maps:
        _check_map(plan, task_id, source=task_id - 1 if task_id > 2 else 0)
    waits = statuses(plan)[5] == "running"
    assert waits or state.outcome is not None, "no combination is stuck"


def _check_map(plan: Plan, task_id: int, source: int) -> None:
    state = plan.handler.state
    own = state.tasks[task_id]
    items = [t for t in state.tasks.values() if map_of(t.id) == task_id]
    assert own.status in ENDED
    assert all(item.status in ENDED for item in items)
    halted = own.status is TaskStatus.Failed
    for item in items:
        before = state.tasks[at(index_of(item.id), source)] if source else None
        if before is not None and before.status is not TaskStatus.Completed:
            assert (item.status, item.attempt) == (TaskStatus.Skipped, 0), "no skipped one runs"
            if before.not_needed:
                assert item.not_needed or halted
        elif not item.not_needed:
            assert item.attempt or halted, "no item is lost"
        if item.attempt and before is not None:
            assert item.arguments == {"it": before.result}
    if own.status is TaskStatus.Completed:
        assert own.result == [i.result if i.status is TaskStatus.Completed else None for i in items]


def _of_three(failure: str) -> str:
    return f"1 of 3 items did not complete: {failure}"


def _skipped(task_id: int, needs: str) -> TaskStatusUpdated:
    error = f"it needs task {needs}, which did not complete"
    return TaskStatusUpdated(task_id, TaskStatus.Skipped, error=error, skip_reason="failure")
