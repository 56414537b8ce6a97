"""A forecast is what runs of the same title, or of the same tools, took."""

from __future__ import annotations

from planfold.eventstore.envelope import Envelope
from planfold.handler import Metadata
from planfold.planner import events as e
from planfold.planner.budget import Spend
from planfold.planner.tasks import NodeKind, TaskSpec, TaskStatus, ToolCall, planning_task
from planfold.readmodels.forecast import Forecast, PastRuns
from planfold.readmodels.timeline import Timeline


def call(task_id: int, tool: str, *after: int, **arguments: object) -> TaskSpec:
    return TaskSpec(
        id=task_id,
        description="x",
        kind=NodeKind.ToolCall,
        tool=ToolCall(tool, arguments),
        depends_on=after,
    )


ASK = TaskSpec(id=9, description="?", kind=NodeKind.Clarification)


def run(runs: PastRuns, title: str, *tasks: tuple[TaskSpec, float, float]) -> None:
    """A plan whose tasks ran one after the other, each with its seconds and its cost; it was
    approved after an hour."""
    specs = tuple(spec for spec, _, _ in tasks)
    made: list[tuple[float, object]] = [(0.0, e.TasksPlanned(title, "", specs, "h"))]
    at = 3_600.0
    made.append((at, e.PlanApproved("h")))
    for spec, seconds, cost in tasks:
        made.append((at, e.TaskDispatched(spec.id, 1)))
        at += seconds
        made.append((at, e.StepRecorded(spec.id, "k", None, Spend(cost=cost))))
        made.append((at, e.TaskStatusUpdated(spec.id, TaskStatus.Completed)))
    made.append((at, e.PlanningCompleted("completed", e.PlanSummary(len(specs), len(specs)))))
    timeline = Timeline("p")
    for version, (when, event) in enumerate(made, 1):
        name = type(event).__name__
        timeline.apply(Envelope(version, "plan", "p", version, name, 1, event, Metadata(), when))
    runs.add(timeline, [event for _, event in made])


def test_the_time_between_a_failure_and_its_retry_does_not_count() -> None:
    spec, runs = call(1, "make"), PastRuns()
    summary = e.PlanSummary(1, 0, failed=(1,))
    made: list[tuple[float, object]] = [
        (0.0, e.TasksPlanned("Release", "", (spec,), "h")),
        (0.0, e.PlanApproved("h")),
        (0.0, e.TaskDispatched(1, 1)),
        (5.0, e.TaskStatusUpdated(1, TaskStatus.Failed, error="boom")),
        (5.0, e.PlanningCompleted("failed", summary)),
        (7_205.0, e.TasksReset((1,), "retry")),
        (7_205.0, e.TaskDispatched(1, 2)),
        (7_212.0, e.TaskStatusUpdated(1, TaskStatus.Completed)),
        (7_212.0, e.PlanningCompleted("completed", e.PlanSummary(1, 1))),
    ]
    timeline = Timeline("p")
    for version, (when, event) in enumerate(made, 1):
        name = type(event).__name__
        timeline.apply(Envelope(version, "plan", "p", version, name, 1, event, Metadata(), when))
    runs.add(timeline, [event for _, event in made])
    found = runs.forecast("Release", [spec])
    assert found is not None
    assert found.seconds_p50 == 12.0


def test_the_time_until_a_worker_takes_what_was_replanned_does_not_count() -> None:
    """A replanned plan may lie for a day until a person resumes it."""
    plans, work, runs = planning_task(1, "Plan: it"), call(2, "make"), PastRuns()
    more, last = planning_task(3, "again"), call(4, "make")
    done = TaskStatus.Completed
    made: list[tuple[float, object, float]] = [
        (0.0, e.TasksPlanned("Release", "", (plans,), "h"), 0.0),
        (0.0, e.TaskDispatched(1, 1), 0.0),
        (3.0, e.PlanRevised((), (work,), "i"), 0.0),
        (3.0, e.TaskStatusUpdated(1, done), 0.0),
        (3.0, e.PlanApproved("i"), 0.0),
        (3.0, e.TaskDispatched(2, 1), 0.0),
        (5.0, e.TaskStatusUpdated(2, done), 3.0),
        (5.0, e.PlanningCompleted("completed", e.PlanSummary(2, 2)), 0.0),
        (3_605.0, e.PlanRevised((), (more,), "j"), 0.0),
        (3_605.0, e.TaskDispatched(3, 1), 0.0),
        (7_211.0, e.PlanRevised((), (last,), "k"), 0.0),
        (7_211.0, e.TaskStatusUpdated(3, done), 7_205.0),
        (9_000.0, e.PlanApproved("k"), 0.0),
        (9_000.0, e.TaskDispatched(4, 1), 0.0),
        (20_009.0, e.TaskStatusUpdated(4, done), 20_000.0),
        (20_009.0, e.PlanningCompleted("completed", e.PlanSummary(4, 4)), 0.0),
    ]
    timeline = Timeline("p")
    for version, (when, event, began) in enumerate(made, 1):
        name, metadata = type(event).__name__, Metadata(began_at=began)
        timeline.apply(Envelope(version, "plan", "p", version, name, 1, event, metadata, when))
    runs.add(timeline, [event for _, event, _ in made])
    found = runs.forecast("Release", [last])
    assert found is not None
    assert found.seconds_p50 == 3 + 2 + 6 + 9


def test_nothing_is_said_without_a_run() -> None:
    runs = PastRuns()
    assert runs.forecast("Release", [call(1, "make")]) is None
    run(runs, "Other", (call(1, "test"), 3.0, 0.0))
    assert runs.forecast("Release", [call(1, "make"), ASK]) is None
    assert runs.forecast("Release", []) is None


def test_the_title_decides_and_waits_for_people_do_not_count() -> None:
    runs = PastRuns()
    for number in range(1, 21):
        run(runs, "Release", (call(1, "make"), float(number), number / 100))
    assert runs.forecast("Release", [call(1, "something else")]) == Forecast(
        runs=20,
        by_title=True,
        seconds_p50=10.0,
        seconds_p95=19.0,
        cost_p50=0.10,
        cost_p95=0.19,
    )


def test_without_the_title_the_critical_path_of_the_same_tools_decides() -> None:
    runs = PastRuns()
    run(runs, "a", (call(1, "make", target="x"), 10.0, 0.5), (call(2, "test"), 2.0, 0.0))
    run(runs, "b", (call(1, "make", target="y"), 30.0, 0.0))
    specs = [
        call(1, "make", target="x"),  # as in the first one
        call(2, "make", 1, target="z"),  # as in both
        call(3, "test"),
        call(4, "deploy", 2),
        ASK,
    ]
    assert runs.forecast("c", specs) == Forecast(
        runs=3,
        by_title=False,
        seconds_p50=20.0,
        seconds_p95=40.0,
        cost_p50=0.5,
        cost_p95=1.0,
        unknown=1,
    )
