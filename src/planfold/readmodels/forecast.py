"""``Forecast``: how long a plan may take and what it may cost, by what earlier runs took."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

import msgspec

from planfold.planner.events import StepFailed, StepRecorded
from planfold.planner.structure import critical_path
from planfold.planner.tasks import NodeKind, PlanStatus, TaskSpec, TaskStatus
from planfold.readmodels.ledger import ledger_of
from planfold.readmodels.timeline import Phase, Timeline

_IDLE = frozenset(  # waits for people, or until a worker runs, and what is between an end and a
    # retry or a revision
    phase.value
    for phase in (
        *(Phase.Approval, Phase.Pause, Phase.Answer, Phase.Budget, Phase.Worker, Phase.Ended),
    )
)


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds without the waits for people and for a worker, and amounts of money, that half of the
    runs did not exceed (p50), and 95 % of them. ``runs``: of plans with this title or, where
    ``by_title`` is false, of tasks with the same tools; then ``unknown`` tasks of the plan had no
    run."""

    runs: int
    by_title: bool
    seconds_p50: float
    seconds_p95: float
    cost_p50: float = 0.0
    cost_p95: float = 0.0
    unknown: int = 0


class _TaskRun(NamedTuple):
    seconds: float
    cost: float
    number: int


class PastRuns:
    """Collects the durations of earlier runs: ``add`` each ended plan with its folded log.

    A task is compared with earlier tasks of the same tool and arguments; if there are none, with
    those of the same tool.
    """

    def __init__(self) -> None:
        self._plans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._numbers = count(1)
        self._tasks: dict[bytes, list[_TaskRun]] = defaultdict(list)

    def add(self, timeline: Timeline, events: Sequence[object]) -> None:
        """Add a run. From a plan that did not complete, only completed tasks count."""
        state = timeline.state
        cost: dict[int, float] = defaultdict(float)
        for event in events:
            if isinstance(event, StepRecorded | StepFailed) and event.spent is not None:
                cost[event.task_id] += event.spent.cost
        for task in state.tasks.values():
            if task.status is not TaskStatus.Completed or not _is_counted(task.spec):
                continue
            if task.spec.for_each is not None:
                continue  # its items ran
            spans = timeline.spans(task.id)
            ran = sum(span.seconds(0.0) for span in spans if span.phase is Phase.Running)
            run = _TaskRun(ran, cost[task.id], next(self._numbers))
            for key in _keys(task.spec):
                self._tasks[key].append(run)
        if state.status is PlanStatus.Completed:
            phases = ledger_of(timeline, timeline.now).by_phase
            worked = sum(s for phase, s in phases.items() if phase not in _IDLE)
            self._plans[state.title].append((worked, state.spent.cost))

    def forecast(self, title: str, specs: Sequence[TaskSpec]) -> Forecast | None:
        """The forecast of a plan; None if no run has its title, and none has the same tools."""
        if title and (plans := self._plans.get(title)):
            low, high = _shares(s for s, _ in plans)
            cheap, costly = _shares(c for _, c in plans)
            return Forecast(
                runs=len(plans),
                by_title=True,
                seconds_p50=low,
                seconds_p95=high,
                cost_p50=cheap,
                cost_p95=costly,
            )
        return self._by_tools([spec for spec in specs if not spec.done])

    def _by_tools(self, specs: Sequence[TaskSpec]) -> Forecast | None:
        found = {spec.id: self._runs_of(spec) for spec in specs if _is_counted(spec)}
        known = {task_id: runs for task_id, runs in found.items() if runs}
        if not known:
            return None
        depends_on = {spec.id: spec.depends_on for spec in specs}
        seconds = {i: _shares(run.seconds for run in runs) for i, runs in known.items()}
        costs = [_shares(run.cost for run in runs) for runs in known.values()]
        nothing = (0.0, 0.0)
        p50, _ = critical_path(depends_on, lambda i: seconds.get(i, nothing)[0])
        p95, _ = critical_path(depends_on, lambda i: seconds.get(i, nothing)[1])
        return Forecast(
            runs=len({run.number for runs in known.values() for run in runs}),
            by_title=False,
            seconds_p50=p50,
            seconds_p95=p95,
            cost_p50=sum(low for low, _ in costs),
            cost_p95=sum(high for _, high in costs),
            unknown=len(found) - len(known),
        )

    def _runs_of(self, spec: TaskSpec) -> list[_TaskRun]:
        if spec.for_each is not None:
            return []  # how many items it will have is not known
        return next((self._tasks[key] for key in _keys(spec) if key in self._tasks), [])


def _is_counted(spec: TaskSpec) -> bool:
    works = spec.kind is not NodeKind.Clarification and spec.wait is None
    return works and not spec.drafts and not spec.done


def _keys(spec: TaskSpec) -> tuple[bytes, bytes]:
    """The keys of a task, the narrower one first."""
    tool = spec.tool
    name = [spec.queue_route, tool.name if tool else ""]
    return msgspec.json.encode([*name, tool.arguments if tool else None]), msgspec.json.encode(name)


def _shares(values: Iterable[float]) -> tuple[float, float]:
    """The p50 and the p95, by nearest rank."""
    ordered = sorted(values)
    low, high = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return low, high
