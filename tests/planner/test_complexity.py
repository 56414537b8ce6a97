"""What one completion costs does not depend on the size of the plan: counted, not timed."""

from __future__ import annotations

from typing import Any

import pytest
from plan_builders import done, failed, running, work

from planfold.planner.commands import Continue
from planfold.planner.due_times import DueTimes
from planfold.planner.graph import Schedule
from planfold.planner.tasks import RetryPolicy, TaskSpec

SIZE = 10_000


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the schedule looked at a child, built itself, or asked whether an alarm holds."""
    counts = {"children": 0, "built": 0, "due_times": 0}

    def counted(owner: type, name: str, key: str) -> None:
        original = getattr(owner, name)

        def wrapper(*args: Any) -> Any:
            counts[key] += 1
            return original(*args)

        monkeypatch.setattr(owner, name, wrapper)

    counted(Schedule, "_parent_changed", "children")
    counted(Schedule, "_take_in", "built")
    counted(Schedule, "_still_waits", "due_times")
    return counts


def chain() -> list[TaskSpec]:
    return [work(i, *([i - 1] if i > 1 else [])) for i in range(1, SIZE + 1)]


def fan() -> list[TaskSpec]:
    parents = range(1, SIZE)
    return [*(work(i) for i in parents), work(SIZE, *parents)]


@pytest.mark.parametrize("specs", [chain(), fan()], ids=["chain", "fan"])
def test_a_completion_looks_at_its_own_children_only(
    specs: list[TaskSpec], touched: dict[str, int]
) -> None:
    planner = running(*specs).handler
    touched.update(children=0)
    for task_id in range(1, SIZE + 1):
        before = touched["children"]
        for event in planner.process(done(task_id)):
            planner.apply(event)
        while (command := planner.outlook().command) is not None:
            for event in planner.process(command):
                planner.apply(event)
        assert touched["children"] - before == len(planner.state.schedule.children[task_id])
    assert planner.state.outcome == "completed"
    assert touched["children"] == SIZE - 1
    assert touched["built"] == 1


def test_waiting_retries_are_not_looked_through_for_every_command(
    touched: dict[str, int],
) -> None:
    policy = RetryPolicy(attempts=2, base=100.0, cap=100.0)
    plan = running(*(work(i, retry=policy) for i in range(1, 1_001)))
    planner = plan.handler
    for task_id in range(1, 1_001):
        for event in planner.process(failed(task_id, now=0.0, jitter=0.5 + task_id / 4_000)):
            planner.apply(event)
        assert planner.outlook((), 1.0).command is None
        assert planner.outlook().due_at == 50.025
    assert touched["due_times"] < 10 * 1_000
    assert len(planner.process(Continue(60.0))) == 400


def test_alarms_that_mean_nothing_any_more_are_dropped() -> None:
    alive = set(range(500, 1_000))
    due_times = DueTimes(lambda _, task_id: task_id in alive)
    for task_id in range(1_000):
        due_times.set(float(task_id), task_id)
        due_times.set(float(task_id), task_id)
    assert due_times.next() == (500.0, 500)
    assert [i for _, i in due_times.due(502.0)] == [500, 501, 502]
    assert [i for _, i in due_times.due(502.0)] == [500, 501, 502]
    alive.clear()
    assert due_times.next() is None
    assert list(due_times.due(1e9)) == []
