"""Every cell of the transition table, and the page that shows it."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from planfold.errors import CorruptLog
from planfold.planner import transitions as t
from planfold.planner.events import (
    AnswerLeadsTo,
    CancelRequested,
    ClarificationReceived,
    ClarificationRequested,
    Event,
    MapExpanded,
    RetryScheduled,
    StepFailed,
    StepRecorded,
    StepStarted,
    TaskDecided,
    TaskDispatched,
    TasksPlanned,
    TasksReset,
    TaskStatusUpdated,
    WaitRegistered,
    WaitStarted,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import ForEach, TaskSpec, TaskStatus
from planfold.planner.transitions import TRANSITIONS, TRIGGERS

S = TaskStatus

HISTORY: dict[S, list[Event]] = {
    S.Planned: [],
    S.Running: [TaskDispatched(1, 1)],
    S.NeedsClarification: [ClarificationRequested(1, "why?")],
    S.Completed: [TaskDispatched(1, 1), TaskStatusUpdated(1, S.Completed)],
    S.Failed: [TaskDispatched(1, 1), TaskStatusUpdated(1, S.Failed, error="boom")],
    S.Cancelled: [TaskStatusUpdated(1, S.Cancelled)],
    S.Skipped: [TaskStatusUpdated(1, S.Skipped)],
}
EVENTS: dict[str, Event] = {
    t.DISPATCHED: TaskDispatched(1, 2),
    t.EXPANDED: MapExpanded(1, 0),
    t.WAIT_STARTED: WaitStarted(1, 1),
    t.WAIT_REGISTERED: WaitRegistered(1, 1),
    t.RETRY_SCHEDULED: RetryScheduled(1, 1.0, 1.0, "boom"),
    t.ASKED: ClarificationRequested(1, "why?"),
    t.RESET: TasksReset((1,), "retry"),
    t.STEP_STARTED: StepStarted(1, "key"),
    t.STEP_RECORDED: StepRecorded(1, "key"),
    t.STEP_FAILED: StepFailed(1, "key"),
    t.CANCEL_REQUESTED: CancelRequested((1,)),
    t.SKIPPED_BY_HAND: TaskDecided(1, S.Skipped),
    t.COMPLETED_BY_HAND: TaskDecided(1, S.Completed),
}
for name in t.TRIGGERS:
    event_name, _, variant = name.partition(":")
    if event_name == "TaskStatusUpdated":
        EVENTS[name] = TaskStatusUpdated(1, S(variant))
LEADS: tuple[AnswerLeadsTo, ...] = ("complete", "resume", "fail")
for leads_to in LEADS:
    EVENTS[f"ClarificationReceived:{leads_to}"] = ClarificationReceived(1, "so", "", leads_to)

CELLS = list(itertools.product(S, TRIGGERS))


def planner_at(status: S, *, with_schedule: bool) -> Planner:
    empty = TaskSpec(id=2, description="a list", done=True)
    task = TaskSpec(id=1, description="d", for_each=ForEach(items="$2 ?? []"), depends_on=(2,))
    planner = Planner.fold([TasksPlanned("t", "", (task, empty), "hash")])
    if with_schedule:
        assert planner.state.schedule.counts[S.Planned] == 1
    for event in HISTORY[status]:
        planner.apply(event)
    assert planner.state.tasks[1].status is status
    return planner


@pytest.mark.parametrize("with_schedule", [False, True], ids=["folding", "live"])
@pytest.mark.parametrize(("status", "trigger"), CELLS, ids=str)
def test_a_cell_of_the_table_holds(status: S, trigger: str, with_schedule: bool) -> None:
    planner = planner_at(status, with_schedule=with_schedule)
    after = TRANSITIONS.get((status, trigger))
    if after is None:
        with pytest.raises(CorruptLog, match=r"is not legal for task 1|task 1"):
            planner.apply(EVENTS[trigger])
        assert planner.state.tasks[1].status is status
        return
    planner.apply(EVENTS[trigger])
    assert planner.state.tasks[1].status is after
    counts = planner.state.schedule.counts
    assert +counts == Counter([after, S.Completed])
    assert bool(planner.state.questions) is (after is S.NeedsClarification)


def test_the_table_names_no_unknown_trigger() -> None:
    assert {trigger for _, trigger in TRANSITIONS} == set(TRIGGERS) == set(EVENTS)


@pytest.mark.parametrize("status", [S.Planned, S.NeedsClarification])
def test_a_status_that_no_event_reports_is_refused(status: S) -> None:
    with pytest.raises(CorruptLog):
        planner_at(S.Running, with_schedule=False).apply(TaskStatusUpdated(1, status))


@pytest.mark.parametrize("event", [e for e in EVENTS.values() if not isinstance(e, TasksPlanned)])
def test_a_history_begins_with_the_plan(event: Event) -> None:
    with pytest.raises(CorruptLog, match="begin with TasksPlanned"):
        Planner().apply(event)


def test_an_event_of_another_kind_is_refused() -> None:
    with pytest.raises(CorruptLog, match="no event str"):
        Planner().apply("nonsense")  # type: ignore[arg-type]


def test_a_plan_begins_once() -> None:
    begun = TasksPlanned("t", "", (TaskSpec(id=1, description="d"),), "hash")
    with pytest.raises(CorruptLog, match="twice"):
        Planner.fold([begun, begun])


def test_an_event_about_an_unknown_task_is_refused() -> None:
    planner = planner_at(S.Planned, with_schedule=False)
    with pytest.raises(CorruptLog, match="about task 7"):
        planner.apply(TaskDispatched(7, 1))
