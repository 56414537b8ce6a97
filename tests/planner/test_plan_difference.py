"""Two plans compared: the first divergence, and the outcome of each task."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from recorded_logs import RecordedLog, logs

from planfold.planner import commands as c
from planfold.planner import events as e
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, TaskSpec, TaskStatus, ToolCall
from planfold.readmodels.plan_difference import Side, plan_difference
from planfold.types import Divergence, PlanDifference, TaskDifference


def side(log: RecordedLog, version: int | None = None) -> Side:
    planner = Planner()
    events = log.envelopes[:version]
    for envelope in events:
        planner.recorded_at = envelope.recorded_at
        planner.apply(envelope.event)
    return Side(planner.state, events)


def compared(one: RecordedLog, other: RecordedLog) -> PlanDifference:
    return plan_difference(side(one), side(other))


QUESTION = TaskSpec(id=1, description="Which?", kind=NodeKind.Clarification)
ECHO = TaskSpec(
    id=2,
    description="echo",
    kind=NodeKind.ToolCall,
    tool=ToolCall("echo", {"text": "$1"}),
    depends_on=(1,),
)
OTHER = TaskSpec(id=3, description="other")


def begun(*tasks: TaskSpec) -> RecordedLog:
    log = RecordedLog()
    log.send(c.Initialize("plan", tasks, approved_by="me"))
    return log


def answered(text: str, by: str = "ada") -> RecordedLog:
    log = begun(QUESTION, ECHO, OTHER)
    log.send(c.HandleExecutorEvent(1, c.ClarificationProvided(text, by)), later=1)
    log.send(done(2, {"text": text, "seconds": len(by)}), later=len(text))
    return log


def done(task_id: int, result: Any = None) -> c.HandleExecutorEvent:
    return c.HandleExecutorEvent(task_id, c.TaskCompleted(result), 1)


def changes(found: PlanDifference) -> dict[int, dict[str, Any]]:
    return {task.id: task.changes for task in found.tasks if task.changes}


def test_times_and_people_do_not_count() -> None:
    found = compared(answered("left", "ada"), answered("left", "grace"))
    assert found.divergence is None
    assert changes(found) == {}


def test_another_answer_and_what_came_of_it() -> None:
    found = compared(answered("left"), answered("right"))
    divergence = found.divergence
    assert isinstance(divergence, Divergence)
    assert isinstance(found.tasks[0], TaskDifference)
    assert divergence.task_id == 1
    assert [event.answer for event in divergence.events] == ["left", "right"]
    assert divergence.causes == ("ClarificationProvided", "ClarificationProvided")
    assert divergence.versions == (5, 5)
    assert changes(found) == {
        1: {"answer": ("left", "right")},
        2: {
            "arguments": ({"text": "left"}, {"text": "right"}),
            "result": ({"text": "left", "seconds": 3}, {"text": "right", "seconds": 3}),
        },
    }
    assert found.tasks[1].seconds == (4.0, 5.0)
    assert found.seconds == (5.0, 6.0)


def test_the_order_of_tasks_side_by_side_means_nothing() -> None:
    one, other = begun(OTHER, QUESTION), begun(OTHER, QUESTION)
    answer = c.HandleExecutorEvent(1, c.ClarificationProvided("left"))
    for log, commands in ((one, (done(3), answer)), (other, (answer, done(3)))):
        for command in commands:
            log.send(command, later=1)
    assert compared(one, other).divergence is None


def test_a_task_that_fails_in_one_of_them() -> None:
    one, other = begun(OTHER), begun(OTHER)
    one.send(done(3))
    other.send(c.HandleExecutorEvent(3, c.TaskFailed("no"), 1))
    found = compared(one, other)
    assert found.divergence is not None
    assert found.divergence.causes == ("TaskCompleted", "TaskFailed")
    assert changes(found) == {3: {"status": ("completed", "failed"), "error": (None, "no")}}


def test_other_tasks() -> None:
    one, other = begun(QUESTION, OTHER), begun(QUESTION, ECHO)
    other.send(c.RevisePlan((TaskSpec(id=4, description="new"),), "me"))
    found = compared(one, other)
    assert (found.removed, found.added) == ((3,), (4,))
    assert found.divergence is not None
    assert (found.divergence.task_id, found.divergence.versions) == (None, (1, 1))
    assert found.labels == {}
    changed = compared(begun(OTHER), begun(TaskSpec(id=3, description="another")))
    assert changes(changed) == {3: {"description": ("other", "another")}}


def test_tasks_are_named_by_their_labels() -> None:
    which = replace(QUESTION, label="which")
    more = replace(ECHO, tool=ToolCall("echo", {"text": "$1", "loud": True}), depends_on=(1, 3))
    found = compared(begun(which, ECHO), begun(which, more, replace(OTHER, label="other")))
    assert found.labels == {1: "which", 3: "other"}
    assert changes(found)[2] == {
        "tool": (
            ToolCall("echo", {"text": "$which"}),
            ToolCall("echo", {"text": "$which", "loud": True}),
        ),
        "depends_on": ((1,), (1, 3)),
    }


@given(logs, st.integers(1, 10**6))
def test_a_version_diverges_from_the_whole_at_its_next_event(log: RecordedLog, at: int) -> None:
    at = at % len(log.envelopes) + 1
    found = plan_difference(side(log, at), side(log))
    rest = [
        envelope
        for envelope in log.envelopes[at:]
        if not isinstance(envelope.event, e.ContextCompacted)
        and getattr(envelope.event, "status", None) is not TaskStatus.Running
    ]
    if not rest:
        assert found.divergence is None
    else:
        assert found.divergence is not None
        assert found.divergence.versions == (None, rest[0].version)
        assert found.divergence.events == (None, rest[0].event)
