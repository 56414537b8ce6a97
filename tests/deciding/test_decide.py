"""``decide`` without an event loop: what one decision holds, and many random ones."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from planfold.deciding import Decision, Delivery, Stream, decide
from planfold.errors import CommandRejected, Conflict, PlanfoldError
from planfold.handler import Enqueue, Handler, Metadata, Settle, Signal
from planfold.planner import commands as c
from planfold.planner.config import PlannerConfig
from planfold.planner.events import TaskDispatched, TasksPlanned, TaskStatusUpdated
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, Prompt, RetryPolicy, TaskSpec, TaskStatus

STEPS = 40  # of one plan
SEED = 20_261_129
NOW = 1_700_000_000.0


def work(task_id: int, *parents: int, **rest: Any) -> TaskSpec:
    return TaskSpec(id=task_id, description=f"task {task_id}", depends_on=parents, **rest)


def begin(*tasks: TaskSpec, approved_by: str | None = "me") -> c.Initialize:
    return c.Initialize("a plan", tasks, approved_by=approved_by)


def done(task_id: int, result: Any = None) -> c.HandleExecutorEvent:
    return c.HandleExecutorEvent(task_id, c.TaskCompleted(result), attempt=1, now=NOW)


def send(planner: Planner, *commands: Any, **stream: Any) -> Decision:
    deliveries = [Delivery(command, f"c{n}") for n, command in enumerate(commands)]
    return decide(planner, deliveries, NOW, Stream("p", **stream))


# --- what a decision holds ----------------------------------------------------------------------


def test_what_follows_is_part_of_the_decision() -> None:
    decision = send(Planner(), begin(work(1), work(2, 1)))
    assert [type(event).__name__ for event, _ in decision.events] == [
        "TasksPlanned",
        "PlanApproved",
        "TaskDispatched",
    ]
    assert decision.queue == [(Enqueue(1, 1, "processing", "processing"), 3)]
    assert decision.head["status"] == "running"
    assert [len(answer) for answer in decision.answers if isinstance(answer, list)] == [2]


def test_an_event_has_the_command_that_caused_it() -> None:
    planner = Planner()
    send(planner, begin(work(1), work(2, 1)))
    decision = send(planner, done(1), version=3, correlation_id="request")
    assert [(type(e).__name__, m.causation_id, m.correlation_id) for e, m in decision.events] == [
        ("TaskStatusUpdated", "c0", "request"),
        ("TaskDispatched", "p#4/Continue", "request"),
    ]
    assert decision.queue == [(Settle(1), 4), (Enqueue(2, 1, "processing", "processing"), 5)]


def test_commands_of_one_round_are_decided_in_order_and_answered_alone() -> None:
    planner = Planner()
    send(planner, begin(work(1), work(2)))
    decision = send(planner, done(1), c.RetryTask(9), done(1), done(2), version=4)
    first, refused, repeated, second = decision.answers
    assert isinstance(refused, PlanfoldError)
    assert (len(first), repeated, len(second)) == (1, [], 1)  # type: ignore[arg-type]
    assert [type(event).__name__ for event, _ in decision.events][-1] == "PlanningCompleted"


def test_a_refused_command_leaves_nothing_behind() -> None:
    planner = Planner()
    send(planner, begin(work(1)))
    before = planner.snapshot()
    decision = send(planner, c.ApprovePlan("another revision"), version=3)
    assert (decision.events, decision.queue) == ([], [])
    assert isinstance(decision.answers[0], CommandRejected)
    assert planner.snapshot() == before


def test_a_command_id_is_decided_once() -> None:
    planner = Planner()
    send(planner, begin(work(1)))
    twice = [Delivery(done(1), "same", "hash"), Delivery(done(1), "same", "hash")]
    decision = decide(planner, twice, NOW, Stream("p", 3))
    assert [len(answer) for answer in decision.answers] == [1, 0]  # type: ignore[arg-type]


def test_a_command_id_that_was_recorded_for_another_command_is_refused() -> None:
    delivery = Delivery(begin(work(1)), "same", "hash")
    known = {"same": ("p", "another hash")}
    decision = decide(Planner(), [delivery], NOW, Stream("p"), known)
    assert isinstance(decision.answers[0], Conflict)
    assert decision.events == []


def test_the_inputs_of_a_decision_are_recorded() -> None:
    planner = Planner()
    command = begin(work(1), approved_by=None)
    decide(planner, [Delivery(command, "c1")], NOW, Stream("p"))
    approve = c.ApprovePlan(planner.state.revision_hash, "ada")
    decision = decide(planner, [Delivery(approve, "c2", recorded=True)], NOW, Stream("p", 1))
    (_, metadata), (_, followed) = decision.events
    assert metadata.command == {
        "ApprovePlan": {"type": "ApprovePlan", "revision_hash": approve.revision_hash, "by": "ada"}
    }
    assert followed.command is None
    origin = Metadata(worker="w", jitter=0.25, claimed_at=NOW - 2, began_at=NOW - 1)
    late = c.HandleExecutorEvent(1, c.TaskCompleted(), attempt=1, now=NOW - 0.5)
    decision = decide(planner, [Delivery(late, "c3", origin=origin)], NOW, Stream("p", 3))
    (_, metadata), *_ = decision.events
    assert (metadata.now, metadata.jitter, metadata.worker) == (NOW - 0.5, 0.25, "w")


def test_a_handler_that_fails_raises() -> None:
    with pytest.raises(TypeError, match="no command"):
        send(_begun(), object())


def _begun() -> Planner:
    planner = Planner()
    send(planner, begin(work(1)))
    return planner


# --- random decisions ---------------------------------------------------------------------------


class Plans:
    """Random plans and commands; the queue as a store would keep it from the decisions."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.decisions = 0
        self.folded = 0
        self.start()

    def start(self) -> None:
        self.planner, self.now = Planner(), NOW
        self.version, self.correlation_id = 0, ""
        self.steps = 0
        self.history: list[tuple[Any, float]] = []
        self.rows: dict[int, int] = {}
        self.send([self.new_plan()])

    def new_plan(self) -> c.Initialize:
        pick = self.random
        tasks = []
        for task_id in range(1, pick.randint(2, 9)):
            parents = [n for n in range(1, task_id) if pick.random() < 0.3]
            rest: dict[str, Any] = {"on_failure": pick.choice(["stop", "continue"])}
            if pick.random() < 0.2:
                rest |= {"kind": NodeKind.Clarification}
                if pick.random() < 0.5:
                    rest |= {"prompt": Prompt(("yes", "no"), "no", 60.0)}
            else:
                rest |= {"retry": RetryPolicy(attempts=pick.randint(1, 3), base=5.0)}
            tasks.append(work(task_id, *parents, **rest))
        limit = pick.choice([None, None, 1, 2])
        config = PlannerConfig(max_parallel=limit)
        approved = pick.choice(["me", None])
        return c.Initialize("random", tuple(tasks), config=config, approved_by=approved)

    def command(self) -> Any:
        pick, state = self.random, self.planner.state
        task_id = pick.choice(list(state.tasks))
        task = state.tasks[task_id]
        answer = c.ClarificationProvided(pick.choice(["yes", "no", "done", "run it again"]), "me")
        reports = (
            c.TaskCompleted(pick.randint(0, 9)),
            c.TaskCompleted(),
            c.TaskFailed("it failed", retryable=pick.random() < 0.7),
            c.NeedsClarification("which?", deadline=9.0, default=pick.choice([None, "no"])),
            c.TaskProgressed("half"),
            c.OutcomeUnknown("it was cut off"),
            c.StepCompleted("step", 1),
        )
        if pick.random() < 0.6:
            attempt = pick.choice([task.attempt, task.attempt, max(task.attempt - 1, 0)])
            report = pick.choice(reports)
            jitter = round(pick.random(), 6)
            return c.HandleExecutorEvent(task_id, report, attempt, self.now, jitter)
        return pick.choice(
            (
                c.HandleExecutorEvent(task_id, answer, now=self.now),
                c.Continue(self.now),
                c.ApprovePlan(state.revision_hash, "me"),
                c.RetryTask(task_id),
                c.ChangeAnswer(task_id, pick.choice(["yes", "no"]), "me", tuple(state.tasks)),
                c.CancelTask(task_id, pick.random() < 0.5),
                c.CancelPlan() if pick.random() < 0.1 else c.Continue(self.now),
            )
        )

    def step(self) -> None:
        self.now = round(self.now + self.random.choice([0.0, 0.5, 10.0, 70.0]), 4)
        self.send([self.command() for _ in range(self.random.choice([1, 1, 1, 2, 3]))])
        self.steps += 1
        if self.steps == STEPS:
            folded = Planner()
            for event, folded.recorded_at in self.history:
                folded.apply(event)
            assert folded.snapshot() == self.planner.snapshot()
            self.folded += 1
            self.start()

    def send(self, commands: list[Any]) -> None:
        self.decisions += 1
        deliveries = [Delivery(command, f"c{self.decisions}") for command in commands]
        stream = Stream("p", self.version, self.correlation_id)
        decision = decide(self.planner, deliveries, self.now, stream)
        assert len(decision.answers) == len(commands)
        own = sum(len(answer) for answer in decision.answers if isinstance(answer, list))
        assert own <= len(decision.events)
        self.take(decision)

    def take(self, decision: Decision) -> None:
        events = [event for event, _ in decision.events]
        for change, version in decision.queue:
            cause = events[version - self.version - 1]
            if isinstance(change, Enqueue):
                assert isinstance(cause, TaskDispatched)
                assert change.task_id not in self.rows, "a task has two rows"
                self.rows[change.task_id] = change.attempt
            elif isinstance(change, Settle):
                self.rows.pop(change.task_id, None)
            else:
                assert isinstance(change, Signal)
                assert change.task_id in self.rows
        self.version += len(events)
        self.correlation_id = decision.correlation_id
        self.history += [(event, decision.now) for event in events]
        tasks = self.planner.state.tasks.values()
        running = {t.id: t.attempt for t in tasks if t.status is TaskStatus.Running}
        assert self.rows == running, "the queue does not hold exactly what runs"
        if events:
            assert decision.head["status"] == self.planner.state.status.value
            assert self.planner.outlook((), self.now).command is None, "something still follows"


@pytest.mark.parametrize("decisions", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_random_decisions_keep_queue_and_plan_equal(decisions: int) -> None:
    plans = Plans(SEED)
    while plans.decisions < decisions:
        plans.step()
    assert plans.folded > decisions / STEPS / 2


def test_events_of_a_plan_begin_with_its_tasks() -> None:
    decision = send(Planner(), begin(work(1)), done(1))
    kinds = [type(event) for event, _ in decision.events]
    assert kinds[0] is TasksPlanned
    assert TaskStatusUpdated not in kinds, "a report of an attempt that was never dispatched"


class Plain:
    """A command that cannot be written as JSON."""


class Counted(msgspec.Struct):
    pass


class Counter(Handler[Plain, Counted]):
    def process(self, command: Plain) -> list[Counted]:
        return [Counted()]

    def apply(self, event: Counted) -> None: ...


def test_a_command_that_json_cannot_hold_is_decided_and_not_recorded() -> None:
    decision = decide(Counter(), [Delivery(Plain(), "c", recorded=True)], 1.0)
    ((event, metadata),) = decision.events
    assert (event, metadata.command, metadata.causation_id) == (Counted(), None, "c")
