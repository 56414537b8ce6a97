"""Random graphs with conditions, failure handlers and partial references, with random outcomes:
each plan ends, no task is lost, none that is skipped runs, and the queue is what the state says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from planfold.deciding import Decision, Delivery, Stream, decide
from planfold.handler import Enqueue, Settle
from planfold.planner import commands as c
from planfold.planner.branches import did_not_complete
from planfold.planner.config import PlannerConfig
from planfold.planner.events import TaskDispatched
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, TaskSpec, TaskStatus, ToolCall
from planfold.planner.transitions import ENDED

CONDITIONS = (
    *('#:status == "completed"', '#:status != "failed"', "#? == 1", "#.n ?? 0 > 0", "has(#.n)"),
    *("#.n > 0", "# == 1", "true", "false", "1 / 0 > 0", '#:error.contains("boom")'),
)
ARGUMENTS = ("", "#", "#?", "#.n ?? 5", "it is #:status", "#:error")
RESULTS = (None, 1, {"n": 1}, {"n": -1}, {"n": "text"}, "x\0", {"n": [1] * 10})


@st.composite
def tasks(draw: st.DrawFn) -> tuple[TaskSpec, ...]:
    made: list[TaskSpec] = []
    for task_id in range(1, draw(st.integers(2, 10)) + 1):
        after = draw(st.lists(st.integers(1, task_id - 1), max_size=3, unique=True)) if made else []
        of = [f"${parent}" for parent in after]
        when, text = None, ""
        if of:
            when = draw(st.sampled_from([None, None, *CONDITIONS]))
            text = draw(st.sampled_from(ARGUMENTS)).replace("#", draw(st.sampled_from(of)))
            when = when and when.replace("#", draw(st.sampled_from(of)))
        run_if = draw(st.sampled_from(["completed", "completed", "failed", "ended"]))
        made.append(
            TaskSpec(
                id=task_id,
                description="work",
                kind=NodeKind.ToolCall,
                tool=ToolCall("work", {"text": text}),
                depends_on=tuple(after),
                when=when,
                run_if=run_if if after else "completed",  # type: ignore[arg-type]
                on_failure=draw(st.sampled_from(["stop", "stop", "continue"])),
            )
        )
    return tuple(made)


class Play:
    """One plan, and the queue that its decisions leave."""

    def __init__(self) -> None:
        self.planner = Planner()
        self.events: list[Any] = []
        self.queue: set[int] = set()
        self.dispatched: list[int] = []

    def send(self, command: c.Command) -> None:
        version = len(self.events)
        twin = Planner.restore(self.planner.snapshot())
        assert twin is not None
        decision = self._decide(self.planner, command, version)
        assert self._decide(twin, command, version).events == decision.events
        self.events += [event for event, _ in decision.events]
        self.dispatched += [e.task_id for e, _ in decision.events if isinstance(e, TaskDispatched)]
        for change, _ in sorted(decision.queue, key=lambda pair: pair[1]):
            if isinstance(change, Enqueue):
                assert change.task_id not in self.queue
                self.queue.add(change.task_id)
            elif isinstance(change, Settle):
                self.queue.discard(change.task_id)
        running = {
            t.id for t in self.planner.state.tasks.values() if t.status is TaskStatus.Running
        }
        assert self.queue == running

    def _decide(self, planner: Planner, command: c.Command, version: int) -> Decision:
        return decide(planner, [Delivery(command)], 1.0, Stream("p", version))


@settings(max_examples=3 * settings.default.max_examples)
@given(
    specs=tasks(),
    limit=st.sampled_from([None, 1, 2]),
    outcomes=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), min_size=60, max_size=60),
)
def test_every_plan_with_branches_ends(
    specs: tuple[TaskSpec, ...], limit: int | None, outcomes: list[tuple[int, int]]
) -> None:
    play = Play()
    play.send(c.Initialize("x", specs, config=PlannerConfig(max_parallel=limit), approved_by="me"))
    state = play.planner.state
    for choice, outcome in outcomes:
        if not play.queue:
            break
        task = state.tasks[sorted(play.queue)[choice % len(play.queue)]]
        report: c.ExecutorEvent = c.TaskCompleted(RESULTS[outcome % len(RESULTS)])
        if outcome >= 7:
            report = c.TaskFailed("boom")
        if outcome == 9 and choice % 2:
            play.send(c.CancelTask(task.id))
        play.send(c.HandleExecutorEvent(task.id, report, task.attempt, 1.0))
    assert state.outcome is not None, "the plan is stuck"
    assert all(task.status in ENDED for task in state.tasks.values())
    again = Planner()
    again.take_in(play.events, [1.0] * len(play.events))
    assert again.snapshot() == play.planner.snapshot()
    check_ends(play)


def check_ends(play: Play) -> None:
    tasks = play.planner.state.tasks
    for task in tasks.values():
        parents = [tasks[i] for i in task.depends_on]
        ran = task.id in play.dispatched
        assert play.dispatched.count(task.id) == int(ran)
        assert not (ran and task.status is TaskStatus.Skipped)
        if task.skip_reason == "failure":
            assert task.spec.run_if == "completed"
            assert any(map(did_not_complete, parents))
        if ran and task.spec.run_if == "failed":
            assert any(map(did_not_complete, parents)) or any(p.error for p in parents)
        if ran and task.spec.run_if == "completed" and parents:
            assert any(parent.status is not TaskStatus.Skipped for parent in parents)
        if task.spec.run_if == "ended" and task.spec.when is None:
            assert task.status is not TaskStatus.Skipped
        failed = [t for t in tasks.values() if t.status is TaskStatus.Failed]
        if any(t.spec.on_failure == "stop" for t in failed):
            assert play.planner.state.outcome == "failed"
