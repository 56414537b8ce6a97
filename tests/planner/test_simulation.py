"""What a plan's recorded durations come to under other limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builders import ask, initialize, tool, work
from test_statistics import log_of

from planfold.errors import CommandRejected
from planfold.eventstore.envelope import Envelope
from planfold.handler import Metadata
from planfold.planner import commands as c
from planfold.planner.planner import Planner
from planfold.planner.structure import critical_path
from planfold.planner.tasks import TaskSpec, TaskStatus
from planfold.readmodels.simulation import Simulation, simulate
from planfold.readmodels.timeline import Timeline

T0 = 1_000.0


def ran(seconds: Mapping[int, float], *specs: TaskSpec, bad: int = 0, **config: object) -> Timeline:
    """A plan of which each task ran so long, as soon as it could; ``bad`` failed."""
    planner, timeline, now = Planner(), Timeline("p"), T0
    ends: dict[int, float] = {}

    def send(command: c.Command | None) -> None:
        while command is not None:
            for event in planner.process(command):
                planner.apply(event)
                version = timeline.state.version + 1
                name = type(event).__name__
                timeline.apply(
                    Envelope(version, "plan", "p", version, name, 1, event, Metadata(), now)
                )
            command = planner.outlook((), now).command

    send(initialize(*specs, **config))
    while planner.state.outcome is None:
        for task in planner.state.tasks.values():
            if task.status in (TaskStatus.Running, TaskStatus.NeedsClarification):
                ends.setdefault(task.id, now + seconds[task.id])
        now, task_id = min((at, i) for i, at in ends.items())
        del ends[task_id]
        report: c.ExecutorEvent = c.TaskCompleted({"x": task_id})
        if task_id == bad:
            report = c.TaskFailed("boom", retryable=False)
        elif planner.state.tasks[task_id].status is TaskStatus.NeedsClarification:
            report = c.ClarificationProvided("yes", "ada")
        send(c.HandleExecutorEvent(task_id, report, now=now))
    return timeline


SPECS = (work(1), work(2), ask(3), work(4, 1, 2), work(5, 3, 4))
SECONDS = {1: 10.0, 2: 20.0, 3: 300.0, 4: 5.0, 5: 1.0}


def test_as_it_was_it_takes_as_long_as_it_took() -> None:
    found = simulate(ran(SECONDS, *SPECS, max_parallel=1))
    assert found == Simulation("p", actual=301.0, replayed=301.0, changed=301.0)


def test_a_quicker_answer_uncovers_the_next_chain() -> None:
    timeline = ran(SECONDS, *SPECS, max_parallel=1)
    assert simulate(timeline, answers={3: 0.0}).changed == 36.0
    assert simulate(timeline, answers={3: 0.0}, max_parallel=2).changed == 26.0


def test_a_limit_of_a_route() -> None:
    timeline = ran(SECONDS, *(work(i, route="gpu") for i in (1, 2, 4)))
    assert simulate(timeline, route_limits={"gpu": 1}).changed == 35.0
    assert simulate(timeline).changed == 20.0


def test_results_and_failures_are_as_they_were() -> None:
    uses = tool(2, 1, text="$1.x")
    assert simulate(ran({1: 2.0, 2: 3.0}, work(1), uses)).changed == 5.0
    assert simulate(ran({1: 2.0, 2: 3.0, 3: 9.0}, work(1), uses, work(3, 2), bad=2)).changed == 5.0


def test_an_answer_after_the_deadline_comes_too_late() -> None:
    asks = ask(1, default="no", deadline=60.0)
    found = simulate(ran({1: 5.0, 2: 1.0}, asks, work(2, 1)), answers={1: 100.0})
    assert (found.replayed, found.changed) == (6.0, 61.0)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_it_ends_in_any_case(seed: int) -> None:
    log = log_of(seed)
    for plan_id in ("p0", "p1", "p2"):
        timeline = Timeline(plan_id)
        for envelope in log:
            if envelope.aggregate_id == plan_id:
                timeline.apply(envelope)
        if timeline.state.outcome in ("completed", "failed"):
            assert simulate(timeline, max_parallel=1).changed >= 0


@pytest.mark.parametrize(
    "change", [{"max_parallel": 0}, {"route_limits": {"a": 0}}, {"answers": {1: -1.0}}]
)
def test_a_change_out_of_range_is_refused(change: Any) -> None:
    with pytest.raises(CommandRejected, match="at least"):
        simulate(ran({1: 1.0}, work(1)), **change)


def test_a_plan_that_has_not_ended_is_refused() -> None:
    timeline = Timeline("p")
    event = Planner().process(initialize(work(1)))[0]
    timeline.apply(Envelope(1, "plan", "p", 1, "TasksPlanned", 1, event, Metadata(), T0))
    with pytest.raises(
        CommandRejected, match="durations are known when it has completed or failed"
    ):
        simulate(timeline)


@given(st.data())
def test_without_limits_it_is_the_critical_path(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    parents = {
        i: data.draw(st.sets(st.integers(1, i - 1), max_size=3)) if i > 1 else set()
        for i in range(1, count + 1)
    }
    seconds = {i: float(data.draw(st.integers(1, 9))) for i in parents}
    limit = data.draw(st.integers(1, 3))
    timeline = ran(seconds, *(work(i, *after) for i, after in parents.items()), max_parallel=limit)
    found = simulate(timeline, max_parallel=count)
    assert found.actual == pytest.approx(found.replayed)
    assert found.changed == pytest.approx(critical_path(parents, seconds.__getitem__)[0])
