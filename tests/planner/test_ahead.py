"""How many tasks start before one that waits for a slot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from plan_builders import failed, play, running, work

from planfold.planner.commands import Continue
from planfold.planner.config import PlannerConfig
from planfold.planner.dispatch import ahead_of
from planfold.planner.events import TaskDispatched
from planfold.planner.tasks import RetryPolicy


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12), st.integers(0, 4))
def test_it_is_the_place_in_the_order_of_starting(routes: list[str], failing: int) -> None:
    retry = RetryPolicy(attempts=3, base=0.0)
    specs = [work(i, route=route, retry=retry) for i, route in enumerate(routes, 1)]
    plan = running(*specs, max_parallel=2)
    for _ in range(failing):
        first = next(i for i, t in plan.handler.state.tasks.items() if t.status == "running")
        if plan.handler.state.tasks[first].failures < 2:
            play(plan, failed(first))
    state = plan.handler.state
    waiting = [task for task in state.tasks.values() if task.status == "planned"]
    ahead = {task.id: ahead_of(state, task, 0.0) for task in waiting}
    state.config = PlannerConfig()
    started = [e.task_id for e in plan.handler.process(Continue()) if isinstance(e, TaskDispatched)]
    assert ahead == {task_id: place for place, task_id in enumerate(started)}


def test_of_a_route_only_its_own_tasks_count() -> None:
    specs = [work(i, route=route) for i, route in enumerate("ababa", 1)]
    state = running(*specs, route_limits={"a": 1, "b": 1}).handler.state
    found = {
        i: ahead_of(state, state.tasks[i], 0.0, route=state.tasks[i].spec.route) for i in (3, 4, 5)
    }
    assert found == {3: 0, 4: 0, 5: 1}
