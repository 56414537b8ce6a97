"""``simulate``: how long a plan would have taken under other limits, or with quicker answers.

The recorded durations are played through the planner itself, with time that jumps from one end of
a task to the next. There is always a worker; attempts that failed count as run time of one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from planfold.errors import CommandRejected
from planfold.planner.commands import (
    ClarificationProvided,
    Command,
    Continue,
    ExecutorEvent,
    HandleExecutorEvent,
    Initialize,
    NeedsClarification,
    RegisterWait,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.config import PlannerConfig
from planfold.planner.events import (
    ClarificationRequested,
    Event,
    TaskDispatched,
    WaitStarted,
)
from planfold.planner.occurrence import occurrence_of
from planfold.planner.planner import Planner
from planfold.planner.questions import GO_ON
from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskSpec, TaskStatus, in_words
from planfold.planner.waits import to_register
from planfold.readmodels.timeline import Phase, Timeline

START = 1.0  # of the time that is played: 0.0 means that a time is not known


class Simulation(msgspec.Struct, frozen=True):
    """Makespans in seconds: ``actual`` is the recorded one, ``replayed`` that of the recorded
    durations as the plan was, ``changed`` that of the changes asked for."""

    plan_id: str
    actual: float
    replayed: float
    changed: float


def simulate(
    timeline: Timeline,
    *,
    max_parallel: int | None = None,
    route_limits: Mapping[str, int] | None = None,
    answers: Mapping[int, float] | None = None,
) -> Simulation:
    """``answers`` gives, by task, the seconds until a question is answered; limits that are not
    given stay as they are.

    Raises:
        CommandRejected: the plan has not completed or failed, so durations are missing; a limit or
            a time is out of range.
    """
    state = timeline.state
    if state.status not in (PlanStatus.Completed, PlanStatus.Failed):
        raise CommandRejected(
            f"the plan {in_words(state.status)}; its durations are known when it "
            "has completed or failed"
        )
    limits = [1 if max_parallel is None else max_parallel, *(route_limits or {}).values()]
    if min(limits) < 1 or min((answers or {}).values(), default=0.0) < 0:
        raise CommandRejected("a limit must be at least 1, and a time at least 0 seconds")
    config = replace(state.config, undo="never")  # the time that it took does not count
    changed = replace(config, route_limits={**config.route_limits, **(route_limits or {})})
    if max_parallel is not None:
        changed = replace(changed, max_parallel=max_parallel)
    return Simulation(
        timeline.fold.plan_id,
        timeline.now - state.created_at,
        _Play(timeline, {}).makespan(config),
        _Play(timeline, answers or {}).makespan(changed),
    )


class _Play:
    """One simulated run of a plan."""

    def __init__(self, timeline: Timeline, answers: Mapping[int, float]) -> None:
        self._state = timeline.state
        self._ran = {i: _seconds(timeline, i, Phase.Running) for i in self._state.tasks}
        self._asked = {
            i: _seconds(timeline, i, Phase.Answer, Phase.Budget) for i in self._state.tasks
        }
        self._asked.update(answers)
        self._waited = {i: _seconds(timeline, i, Phase.Wait) for i in self._state.tasks}
        self._planner = Planner()
        self._now = START
        self._ends: list[tuple[float, int, ExecutorEvent]] = []

    def makespan(self, config: PlannerConfig) -> float:
        state = self._state
        specs = tuple(self._specs())
        begin = Initialize(state.title, specs, state.goal, config, approved_by="simulation")
        self._send(replace(begin, occurrence=occurrence_of(state)))
        while self._planner.state.outcome is None:
            for task in to_register(self._planner.state):
                self._send(RegisterWait(task.id, task.attempt))
            due = self._planner.outlook((), self._now).due_at
            if due is not None and (not self._ends or due < self._ends[0][0]):
                self._now = due
                self._send(Continue(due))
            elif self._ends:
                self._now, task_id, report = heapq.heappop(self._ends)
                if self._is_awaited(task_id, report):
                    self._send(HandleExecutorEvent(task_id, report, now=self._now))
            else:
                raise CommandRejected("a task of the plan can never start in the simulation")
        return self._now - START

    def _is_awaited(self, task_id: int, report: ExecutorEvent) -> bool:
        """Whether the answer is still awaited; not if it comes after the default has applied."""
        asks = self._planner.state.tasks[task_id].status is TaskStatus.NeedsClarification
        return asks or not isinstance(report, ClarificationProvided)

    def _specs(self) -> Iterator[TaskSpec]:
        """The tasks of the simulated plan. Each also depends on the drafting tasks, because a task
        planned by a model could not start before it was planned."""
        drafting = tuple(self._state.drafting)
        for task in self._state.written().values():
            spec = task.spec
            if not task.superseded and spec.undoes is None:
                first = () if spec.drafts else drafting
                after = tuple(dict.fromkeys((*spec.depends_on, *first)))
                yield replace(spec, depends_on=after)

    def _send(self, command: Command | None) -> None:
        """Decide a command and its follow-up commands."""
        while command is not None:
            events: Sequence[Event] = self._planner.process(command)
            for event in events:
                self._planner.recorded_at = self._now
                self._planner.apply(event)
                if isinstance(event, TaskDispatched):
                    self._begin(event)
                elif isinstance(event, WaitStarted):
                    self._begin_wait(event)
                elif isinstance(event, ClarificationRequested):
                    task = self._state.tasks[event.task_id]
                    self._end(event.task_id, self._asked[event.task_id], _answer(task))
            command = self._planner.outlook((), self._now).command

    def _begin(self, event: TaskDispatched) -> None:
        task = self._state.tasks[event.task_id]
        report: ExecutorEvent = TaskCompleted(task.result)
        seconds = self._ran[task.id]
        if event.attempt > 1:  # it has asked, and has its answer
            seconds = 0.0
        elif self._asked[task.id]:
            report = NeedsClarification("?")
        if not isinstance(report, NeedsClarification) and task.status is not TaskStatus.Completed:
            report = TaskFailed(task.error or "", retryable=False)
        self._end(task.id, seconds, report)

    def _begin_wait(self, event: WaitStarted) -> None:
        """Begin a wait. It lasts as long as the recorded one, however that ended."""
        task = self._state.tasks[event.task_id]
        report: ExecutorEvent = TaskCompleted(task.result)
        if task.status is not TaskStatus.Completed:
            report = TaskFailed(task.error or "", retryable=False)
        self._end(task.id, self._waited[task.id], report)

    def _end(self, task_id: int, seconds: float, report: ExecutorEvent) -> None:
        heapq.heappush(self._ends, (self._now + seconds, task_id, report))


def _answer(task: Task) -> ClarificationProvided:
    failed = task.status is not TaskStatus.Completed
    if task.spec.for_each is not None:
        return ClarificationProvided(GO_ON, "simulation")
    if task.kind is not NodeKind.Clarification:
        return ClarificationProvided("yes", "simulation")
    return ClarificationProvided(str(task.error if failed else task.result), "simulation", failed)


def _seconds(timeline: Timeline, task_id: int, *phases: Phase) -> float:
    spans = timeline.spans(task_id)
    return sum(span.seconds(0.0) for span in spans if span.phase in phases)
