"""``Statistics``: the outcomes, durations and costs of plans and tasks.

A projection of the log (see ``subscriptions/projection.py``) that is kept in memory. It counts
endings, so every figure only rises; one that is built again from the same log is equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple
from zlib import compress, decompress
from zlib import error as ZlibError

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope
from planfold.planner.budget import Spend
from planfold.planner.dispatch import PREPARED
from planfold.planner.events import (
    ClarificationReceived,
    ClarificationRequested,
    PlanForked,
    PlanningCompleted,
    RetryScheduled,
    TaskDispatched,
    TasksPlanned,
)
from planfold.planner.state import PlannerState
from planfold.planner.tasks import TaskSpec
from planfold.readmodels.histogram import Histogram
from planfold.readmodels.timeline import Phase, PhaseSpan, Timeline

By = Literal["kind", "tool", "route", "title"]
DEADLINE = "deadline"  # who gives an answer that is the default
_COUNTS = ("plans_begun", "attempts", "retries", "questions", "answers", "defaults", "not_needed")
_RULES = 1  # raise it when the same events are counted otherwise


class StatisticsKey(NamedTuple):
    """Tasks that are counted together; ``tool`` is empty where a task has none."""

    kind: str
    tool: str
    route: str


class Figures(msgspec.Struct):
    """What is counted of some tasks and, in a total or of a title, of their plans.

    ``plans`` and ``tasks`` count endings by status; ``attempts`` those that were dispatched,
    ``retries`` those that failed and were tried again. ``answers`` are a person's, ``defaults``
    those of a deadline. ``not_needed`` are skipped tasks whose condition was false, or before which
    nothing ran or failed. ``queued`` is the time from the dispatch until a worker began,
    ``person`` that until an answer, ``lasted`` that of a plan from its first event to its end.
    """

    plans_begun: int = 0
    plans: Counter[str] = msgspec.field(default_factory=Counter)
    tasks: Counter[str] = msgspec.field(default_factory=Counter)
    attempts: int = 0
    retries: int = 0
    questions: int = 0
    answers: int = 0
    defaults: int = 0
    not_needed: int = 0
    queued: Histogram = msgspec.field(default_factory=Histogram)
    running: Histogram = msgspec.field(default_factory=Histogram)
    person: Histogram = msgspec.field(default_factory=Histogram)
    lasted: Histogram = msgspec.field(default_factory=Histogram)
    spent: Spend = Spend()

    def merge(self, other: Figures) -> None:
        """Add all of the other figures."""
        for name in ("plans", "tasks"):
            getattr(self, name).update(getattr(other, name))
        for name in ("queued", "running", "person", "lasted"):
            getattr(self, name).merge(getattr(other, name))
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.spent += other.spent

    @property
    def completion_rate(self) -> float | None:
        """The share of plans (of tasks that were needed, where no plans are counted) that ended
        completed."""
        ended = self.plans.total() or self.tasks.total() - self.not_needed
        return (self.plans or self.tasks)["completed"] / ended if ended else None


class _PackedFigures(Figures):
    """Figures as JSON has them."""

    plans: dict[str, int] = {}  # type: ignore[assignment]
    tasks: dict[str, int] = {}  # type: ignore[assignment]

    def figures(self) -> Figures:
        counts = {"plans": Counter(self.plans), "tasks": Counter(self.tasks)}
        return Figures(**{**msgspec.structs.asdict(self), **counts})


_Packed = tuple[
    int, str, int, list[str], list[tuple[StatisticsKey, _PackedFigures]], dict[str, _PackedFigures]
]


class Statistics:
    """Counts outcomes, durations and costs; see
    :class:`planfold.subscriptions.projection.Projection`.

    ``history`` reads the events of a plan up to a version, for a plan that ended and was continued.
    ``origin`` returns the state that a fork begins with; only events of the fork itself count. With
    ``since``, only events recorded from then on count (seconds since the epoch). ``unreadable`` are
    plans that this version cannot read; their later events do not count.
    """

    def __init__(
        self,
        history: Callable[[str, int], Awaitable[Sequence[Envelope]]],
        since: float = 0.0,
        origin: Callable[[str, int], Awaitable[PlannerState]] | None = None,
    ) -> None:
        self.checkpoint: Checkpoint | None = None
        self.unreadable: set[str] = set()
        self.groups: dict[StatisticsKey, Figures] = {}
        self.titles: dict[str, Figures] = {}
        self._history = history
        self._origin = origin
        self._since = since
        self._open: dict[str, Timeline] = {}
        self._position = 0  # of the last event that was counted

    async def load(self) -> Checkpoint | None:
        """See :class:`planfold.subscriptions.projection.Projection`."""
        return self.checkpoint

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        """Count events, in the order of the log; again after an error, from where it stopped."""
        for envelope in envelopes:
            if envelope.position > self._position:
                await self._count(envelope)
                self._position = envelope.position
        self.checkpoint = checkpoint

    def figures(self, by: By | None = None) -> dict[str, Figures]:
        """By kind, tool, route or title, sorted; without ``by`` the total, under ""."""
        found: dict[str, Figures] = {}
        if by in (None, "title"):
            for title, figures in self.titles.items():
                found.setdefault(title if by else "", Figures()).merge(figures)
        else:
            for group, figures in self.groups.items():
                found.setdefault(getattr(group, by), Figures()).merge(figures)
        return dict(sorted(found.items()))

    def packed(self, *, by: str) -> bytes:
        """Everything that was counted, for :meth:`restore`; ``by`` is the version of planfold."""
        groups = list(self.groups.items())
        packed = (_RULES, by, self._position, sorted(self.unreadable), groups, self.titles)
        return compress(msgspec.json.encode(packed), 1)

    def restore(self, packed: bytes, checkpoint: Checkpoint, *, by: str) -> bool:
        """Continue from what was counted up to a checkpoint. Returns False and changes nothing if
        it was counted by other rules, or by another version of planfold that could not read all
        plans."""
        try:
            found = msgspec.json.decode(decompress(packed), type=_Packed)
        except (msgspec.DecodeError, ZlibError):
            return False
        rules, counted_by, position, unreadable, groups, titles = found
        if rules != _RULES or (unreadable and counted_by != by):
            return False
        self.unreadable = set(unreadable)
        self.groups = {key: each.figures() for key, each in groups}
        self.titles = {title: each.figures() for title, each in titles.items()}
        self.checkpoint, self._position = checkpoint, position
        return True

    async def _count(self, envelope: Envelope) -> None:
        plan_id = envelope.aggregate_id
        if plan_id in self.unreadable:
            return
        try:
            timeline = self._open.get(plan_id) or await self._begin(envelope)
            task_id = getattr(envelope.event, "task_id", 0)
            had_ended, spent = timeline.ended_at(task_id) is not None, timeline.state.spent
            spans = timeline.apply(envelope)
        except CorruptLog:
            self.unreadable.add(plan_id)
            self._open.pop(plan_id, None)
            return
        if isinstance(envelope.event, PlanningCompleted):
            self._open.pop(plan_id, None)  # it is read again, should it be taken up again
        if envelope.recorded_at < self._since:
            return
        counted = [self.titles.setdefault(timeline.state.title, Figures())]
        _count_plan(counted[0], timeline, envelope.event)
        if task := timeline.state.tasks.get(task_id):
            counted.append(self.groups.setdefault(_group_of(task.spec), Figures()))
            ended = timeline.ended_at(task_id) is not None and not had_ended
            for figures in counted:
                _count_event(figures, envelope.event)
                _count_spans(figures, [s for s in spans if s.task_id == task_id], envelope.event)
                figures.tasks.update([task.status.value] * ended)
                figures.not_needed += ended and task.skip_reason == "condition"
        for figures in counted:
            figures.spent += timeline.state.spent - spent

    async def _begin(self, envelope: Envelope) -> Timeline:
        plan_id, before = envelope.aggregate_id, envelope.version - 1
        history = await self._history(plan_id, before) if before else ()
        first, base = history[0].event if history else envelope.event, None
        if isinstance(first, PlanForked) and self._origin is not None:
            base = await self._origin(first.origin, first.version)
        timeline = Timeline(plan_id, base)
        for earlier in history:
            timeline.apply(earlier)
        self._open[plan_id] = timeline
        return timeline


def _group_of(spec: TaskSpec) -> StatisticsKey:
    return StatisticsKey(spec.kind.value, spec.tool.name if spec.tool else "", spec.queue_route)


def _count_plan(figures: Figures, timeline: Timeline, event: object) -> None:
    if isinstance(event, TasksPlanned | PlanForked):
        figures.plans_begun += 1
    elif isinstance(event, PlanningCompleted):
        figures.plans[event.outcome] += 1
        figures.lasted.add(max(timeline.now - timeline.state.created_at, 0.0))


def _count_event(figures: Figures, event: object) -> None:
    match event:
        case TaskDispatched():
            figures.attempts += 1
        case RetryScheduled():
            figures.retries += 1
        case ClarificationRequested():
            figures.questions += 1


def _count_spans(figures: Figures, spans: Sequence[PhaseSpan], event: object) -> None:
    for span in spans:
        if span.phase is Phase.Running:
            figures.running.add(span.seconds(0.0))
        elif span.phase is Phase.Worker and span.attempt:
            figures.queued.add(span.seconds(0.0))
        elif span.phase in (Phase.Answer, Phase.Budget):
            figures.person.add(span.seconds(0.0))
            if isinstance(event, ClarificationReceived):
                figures.defaults += event.by == DEADLINE
                figures.answers += event.by not in (DEADLINE, PREPARED)


def figures_json(figures: Figures) -> dict[str, Any]:
    """Every figure; durations in seconds."""
    found: dict[str, Any] = {name: getattr(figures, name) for name in _COUNTS}
    found |= {"completion_rate": figures.completion_rate}
    found |= {"plans": dict(figures.plans), "tasks": dict(figures.tasks)}
    for name in ("queued", "running", "person", "lasted"):
        found[name] = getattr(figures, name).summary()
    return found | {"spent": msgspec.to_builtins(msgspec.structs.asdict(figures.spent))}
