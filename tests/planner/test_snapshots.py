"""Snapshots: a planner that was saved is the planner that was folded."""

from __future__ import annotations

from zlib import compress

import pytest
from plan_builders import answer, ask, done, failed, initialize, play, report, running, tool, work

from planfold.handler import Outlook
from planfold.planner import planner as module
from planfold.planner import snapshots
from planfold.planner.commands import (
    Continue,
    NeedsClarification,
    PausePlan,
    RevisePlan,
    StepCompleted,
)
from planfold.planner.planner import Planner
from planfold.planner.snapshots import Snapshot, StoredTasks
from planfold.planner.stored import StoredPlan, StoredSchedule
from planfold.planner.tasks import Link, PlanStatus, RetryPolicy, Task, TaskStatus, Wait


def test_a_restored_planner_continues_as_if_nothing_had_happened() -> None:
    attached = work(1, retry=RetryPolicy(attempts=2), attachments=(Link("https://x.org"),))
    plan = running(attached, ask(2, default="d", deadline=9.0), tool(3, 2, x="$2"), work(4))
    play(plan, failed(1, now=1.0), report(4, StepCompleted("k", [1])), now=1.0)
    play(plan, report(4, NeedsClarification("why?", ("a", "b"))), now=1.0)
    planner = plan.handler
    restored = Planner.restore(planner.snapshot())
    assert restored is not None
    assert restored.snapshot() == planner.snapshot() == Planner.fold(plan.history).snapshot()
    assert restored.outlook().due_at == planner.outlook().due_at == 1.5
    for command in (Continue(20.0), answer(2, "x"), answer(4, "1"), done(3)):
        assert restored.process(command) == planner.process(command)
    assert restored.outlook().head == planner.outlook().head


def _with_front(data: bytes) -> bytes:
    packed = compress(data)
    return len(packed).to_bytes(4, "big") + packed


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"nonsense", b"[6,{},{}]", b"\0\0\0\0", b"\0\0\0\1x", b"\xff\xfe"),
        *(_with_front(b"[]"), _with_front(b'[7,{"tasks":7},{},0,[]]'), _with_front(b"nonsense")),
    ],
)
def test_bytes_of_another_shape_are_no_snapshot(data: bytes) -> None:
    assert Planner.restore(data) is None
    assert StoredPlan.restore(data) is None


def test_a_snapshot_of_another_fold_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    data = running(work(1)).handler.snapshot()
    assert Planner.restore(data) is not None
    monkeypatch.setattr(module, "FOLD_VERSION", module.FOLD_VERSION + 1)
    assert Planner.restore(data) is None


def test_a_snapshot_has_the_ids_of_tasks_that_did_not_complete() -> None:
    plan = running(work(1), work(2))
    play(plan, done(2))
    found = Snapshot.unpack(plan.handler.snapshot())
    assert found is not None
    assert (found.version, found.state.tasks) == (module.FOLD_VERSION, {})
    assert found.by_status == {"running": [1]}
    assert [(piece.ids, piece.tasks()[1].result) for piece in found.pieces] == [([1, 2], None)]


def test_a_snapshot_is_worth_most_while_the_plan_waits_for_a_person() -> None:
    plan = running(ask(1), work(2))
    assert plan.handler.outlook().phase == "active"
    play(plan, done(2))
    assert plan.handler.outlook().phase == "waiting"
    play(plan, answer(1, "x"))
    assert plan.handler.outlook().phase == "ended"


def test_a_plan_that_is_not_approved_waits_for_a_person() -> None:
    plan = Planner.fold(Planner().process(initialize(work(1), approved_by=None)))
    assert plan.outlook().phase == "waiting"


def test_of_a_stored_plan_only_those_tasks_are_decoded_that_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "PIECE", 1)
    plan = running(work(1), work(2), ask(3), work(4, 1, 2))
    play(plan, done(1))
    stored = StoredPlan.restore(plan.handler.snapshot())
    assert stored is not None
    play(plan, done(2))
    stored.take_in(plan.history[-2:], [0.0, 0.0])
    state, tasks = stored.state, stored.state.tasks
    assert isinstance(tasks, StoredTasks)
    assert state.schedule.counts == plan.handler.state.schedule.counts
    assert state.schedule.slots == plan.handler.state.schedule.slots == 1
    assert state.schedule.having([TaskStatus.Running])[0].id == 4
    assert decoded(tasks) == [2, 4]
    assert stored.outlook() == Outlook()
    assert state == plan.handler.state


def test_a_stored_plan_knows_how_many_tasks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PIECE", 1)
    plan = play(running(work(1), work(2)), done(1), failed(2))
    play(plan, RevisePlan((work(3),), "me", superseded=(2,)))
    stored = StoredPlan.restore(plan.handler.snapshot())
    assert stored is not None
    assert (stored.state.progress, decoded(stored.state.tasks)) == ((1, 2), [])
    play(plan, done(3))
    stored.take_in(plan.history[-2:], [0.0, 0.0])
    assert stored.state.progress == plan.handler.state.progress == (2, 2)


def decoded(tasks: dict[int, Task]) -> list[int]:
    return [task_id for task_id in tasks if isinstance(dict.__getitem__(tasks, task_id), Task)]


def test_of_a_restored_plan_all_tasks_are_decoded_once_it_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "PIECE", 1)
    plan = running(work(1), work(2, 1), work(3, 2))
    play(plan, done(1), done(2))
    restored = Planner.restore(plan.handler.snapshot())
    assert restored is not None
    held = restored.state.tasks
    running_now = held[3]
    assert decoded(held) == [3], "a task runs without the others"
    assert restored.process(done(3)) == plan.handler.process(done(3))
    assert type(restored.state.tasks) is dict
    assert decoded(restored.state.tasks) == [1, 2, 3]
    assert restored.state.tasks[3] is running_now is held[3]
    assert restored.state == plan.handler.state


def test_two_readers_of_a_snapshot_get_the_same_tasks() -> None:
    """As a tool in a thread and the event loop."""
    found = Snapshot.unpack(running(work(1)).handler.snapshot())
    assert found is not None
    (piece,) = found.pieces
    one, other = StoredTasks([piece]), StoredTasks([piece])
    assert one[1] is other[1]


def test_a_stored_plan_reports_that_it_waits_for_an_answer() -> None:
    plan = running(ask(1), work(2, 1), work(3, 2))
    stored = StoredPlan.restore(plan.handler.snapshot())
    assert stored is not None
    schedule = stored.state.schedule
    assert isinstance(schedule, StoredSchedule)
    schedule.say(stored.state.version, PlanStatus.AwaitingAnswer)
    assert stored.state.status is PlanStatus.AwaitingAnswer
    assert not schedule.is_whole
    play(plan, answer(1, "x"))
    stored.take_in(plan.history[-2:], [0.0, 0.0])
    assert stored.state.status is plan.handler.state.status is PlanStatus.Running


def test_tasks_that_a_revision_removes_or_replaces_do_not_come_back() -> None:
    plan = running(work(1), work(2), work(3))
    stored = StoredPlan.restore(plan.handler.snapshot())
    assert stored is not None
    tasks = stored.state.tasks
    tasks[2] = Task(work(2, 1))
    del tasks[3]
    assert [task.depends_on for task in tasks.values()] == [(), (1,)]


def test_waits_take_no_slot_of_a_stored_plan() -> None:
    plan = running(work(1, wait=Wait(signal="paid")), work(2, wait=Wait(seconds=9.0)), ask(3))
    play(plan, PausePlan())
    stored = StoredPlan.restore(plan.handler.snapshot())
    assert stored is not None
    assert stored.state.schedule.slots == plan.handler.state.schedule.slots == 0
    assert stored.state.status is plan.handler.state.status is PlanStatus.Paused


def test_a_stored_plan_reports_that_it_is_paused_at_a_break_point() -> None:
    plan = running(work(1), work(2, 1))
    play(plan, PausePlan((2,)), done(1))
    stored = StoredPlan.restore(plan.handler.snapshot())
    assert stored is not None
    schedule = stored.state.schedule
    assert isinstance(schedule, StoredSchedule)
    schedule.say(stored.state.version, PlanStatus.Paused)
    assert stored.state.status is plan.handler.state.status is PlanStatus.Paused
