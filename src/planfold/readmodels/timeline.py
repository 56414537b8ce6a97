"""``Timeline``: what each task of a plan waited for, ran, and how long; folded from its log.

A span closes when its task moves on. Closed spans of a task follow each other without a gap, from
the event that planned it on, so their lengths add up to the time that has passed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice

import msgspec

from planfold.eventstore.envelope import Envelope
from planfold.planner.cancellation import blocking_parent
from planfold.planner.events import (
    CancelRequested,
    ClarificationRequested,
    PlanForked,
    PlanPaused,
    PlanRevised,
    PlanUnpaused,
    RetryScheduled,
    StepRecorded,
    StepStarted,
    TasksPlanned,
    TasksReset,
    TaskStatusUpdated,
    UndoPlanned,
)
from planfold.planner.items import map_of
from planfold.planner.lanes import lane_of_items
from planfold.planner.maps import items_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.readmodels.plan_fold import PlanFold


class Phase(StrEnum):
    """What a task does, or what it waits for."""

    Approval = "approval"
    Parents = "parents"
    Pause = "pause"  # until a person unpauses the plan, or lifts its break-point
    Retry = "retry"  # the delay before the next attempt
    PlanLimit = "plan_limit"
    RouteLimit = "route_limit"
    MapLimit = "map_limit"  # as many items of its map run as may
    Answer = "answer"
    Budget = "budget"  # a person decides whether the plan may spend more
    Worker = "worker"  # that takes it
    Items = "items"  # those of a map run
    Wait = "wait"  # for a time or a signal
    Running = "running"
    Stopping = "stopping"
    Ended = "ended"

    __hash__ = str.__hash__  # as of TaskStatus


# Looking up a member takes longer than what is done with it.
APPROVAL, PARENTS, RETRY = Phase.Approval, Phase.Parents, Phase.Retry
PLAN_LIMIT, ROUTE_LIMIT, WORKER = Phase.PlanLimit, Phase.RouteLimit, Phase.Worker
MAP_LIMIT = Phase.MapLimit
ANSWER, BUDGET, PAUSE = Phase.Answer, Phase.Budget, Phase.Pause
ITEMS, WAITING = Phase.Items, Phase.Wait
RUNNING, STOPPING, OVER = Phase.Running, Phase.Stopping, Phase.Ended
RUNS, ASKS = TaskStatus.Running, TaskStatus.NeedsClarification


class PhaseSpan(msgspec.Struct, frozen=True):
    """A task in one phase, from ``start`` to ``end`` (seconds since the epoch; None: it lasts).
    ``by``: the parent that ended the wait for parents; of an attempt, its number is ``attempt``.
    ``failed``: it is an attempt, or the items of a map, and ended so."""

    task_id: int
    phase: Phase
    start: float
    end: float | None
    by: int | None = None
    attempt: int = 0
    failed: bool = False

    def seconds(self, now: float) -> float:
        """Its length; a span that lasts counts up to ``now``."""
        return max((now if self.end is None else self.end) - self.start, 0.0)


_QUIET = (TaskStatusUpdated, StepStarted, StepRecorded)  # a note of progress and steps move no task


class Timeline:
    """A fold of one plan's log: ``apply`` each envelope. ``fold`` is the plan. The timeline of a
    fork begins with the fork; ``base`` is the state that it begins with."""

    def __init__(self, plan_id: str, base: PlannerState | None = None) -> None:
        self.fold = PlanFold(plan_id, base)
        self.state = self.fold.state  # of the plan after the events that were applied
        self.now = 0.0  # of the last event; it never goes back
        self._spans: dict[int, list[PhaseSpan]] = {}
        self._open: dict[int, _Open] = {}
        self._unapproved = _Intervals()
        self._full = _Intervals()  # the plan runs as many tasks as it may
        self._full_routes: dict[str, _Intervals] = {}
        self._full_maps: dict[int, _Intervals] = {}

    def apply(self, envelope: Envelope) -> list[PhaseSpan]:
        """Advance by one event; returns the spans that it closed, also those that took no time.
        Raises CorruptLog."""
        event, state = envelope.event, self.state
        ended = state.outcome is not None and not isinstance(event, PlanForked)
        self.fold.apply(envelope)
        if ended and state.outcome is not None:
            return []  # a tag, more budget: the plan ended before
        self.now = max(self.now, envelope.recorded_at)
        if isinstance(event, _QUIET) and getattr(event, "status", RUNS) is RUNS:
            return []
        self._unapproved.set(not state.approved, self.now)
        closed: list[PhaseSpan] = []
        every = isinstance(event, PlanForked | PlanPaused | PlanUnpaused)
        for task_id in list(state.tasks) if every else self._moved(event):
            before = self.ended_at(task_id)
            closed += self._move(task_id, envelope)
            if before != self.ended_at(task_id):
                for child in state.schedule.children.get(task_id, ()):
                    closed += self._move(child, envelope)
        self._note_limits(event)
        if isinstance(event, PlanRevised):
            for task_id in event.removed:  # another task may get the id
                self._open.pop(task_id, None)
                self._spans.pop(task_id, None)
        return closed

    def _moved(self, event: object) -> Iterator[int]:
        """The tasks that an event may move: with a map its items."""
        about = _about(event)
        if isinstance(event, UndoPlanned):  # the tasks that it added
            added = len(event.task_ids) + bool(event.question)
            about = tuple(islice(reversed(self.state.tasks), added))
        for task_id in about:
            yield task_id
            task = self.state.tasks.get(task_id)
            if task is not None and task.elements is not None:
                yield from [item.spec.id for item in items_of(self.state, task)]

    def spans(self, task_id: int, now: float = 0.0) -> list[PhaseSpan]:
        """The spans of one task, oldest first. The last one may still last at the time ``now``: its
        end is None."""
        found = list(self._spans.get(task_id, ()))
        open_ = self._open.get(task_id)
        if open_ is None or open_.phase is OVER:
            return found
        task, now = self.state.tasks[task_id], max(now, self.now)
        *pieces, last = self._pieces(task, open_, now, None)
        return [*found, *filter(_lasted, pieces), msgspec.structs.replace(last, end=None)]

    def ended_at(self, task_id: int) -> float | None:
        """When the task ended, unless it was planned again since."""
        open_ = self._open.get(task_id)
        return open_.start if open_ is not None and open_.phase is OVER else None

    def first_at(self, task_id: int) -> float:
        """When the task came into the plan."""
        spans, open_ = self._spans.get(task_id), self._open.get(task_id)
        return spans[0].start if spans else open_.start if open_ else self.now

    # --- one task moves on ----------------------------------------------------------------------

    def _move(self, task_id: int, envelope: Envelope) -> list[PhaseSpan]:
        task = self.state.tasks.get(task_id)
        if task is None:
            return []
        open_ = self._open.get(task_id)
        phase = phase_of(self.state, task)
        if open_ is not None and phase is STOPPING and open_.phase is RUNNING:
            open_.stopping_at = open_.stopping_at or self.now
            return []
        if open_ is not None and open_.phase is phase and open_.attempt == task.attempt:
            return []
        pieces = self._pieces(task, open_, self.now, envelope) if open_ is not None else ()
        closed = list(pieces)
        self._spans.setdefault(task_id, []).extend(filter(_lasted, closed))
        self._open[task_id] = _Open(phase, self.now, task.attempt, task.not_before)
        return closed

    def _pieces(
        self, task: Task, open_: _Open, end: float, envelope: Envelope | None
    ) -> Iterator[PhaseSpan]:
        """The open phase up to ``end``, divided by what it waited for."""
        if open_.phase is RUNNING:
            return _attempt(task, open_, end, envelope)
        if open_.phase in (PARENTS, PAUSE, RETRY, WORKER):
            return self._planned(task, open_, end, envelope)
        failed = open_.phase is ITEMS and _has_failed(task, envelope)
        return iter([PhaseSpan(task.id, open_.phase, open_.start, end, failed=failed)])

    def _planned(
        self, task: Task, open_: _Open, end: float, envelope: Envelope | None
    ) -> Iterator[PhaseSpan]:
        parts = [(open_.start, end, False)]
        if not task.spec.drafts:
            parts = list(self._unapproved.divide(open_.start, end))
        for start, stop, unapproved in parts:
            if unapproved:
                yield PhaseSpan(task.id, APPROVAL, start, stop)
            elif open_.phase is PARENTS:
                yield PhaseSpan(task.id, PARENTS, start, stop, self._parent(task, envelope))
            elif open_.phase is PAUSE:
                yield PhaseSpan(task.id, PAUSE, start, stop)
            else:
                due = max(open_.not_before or start, start)
                if due > start:
                    yield PhaseSpan(task.id, RETRY, start, min(due, stop))
                if due <= stop:
                    yield from self._limited(task, due, stop)

    def _limited(self, task: Task, start: float, end: float) -> Iterator[PhaseSpan]:
        """The phases of a task that lacks only a slot. A wait that no limit explains is the wait
        for a worker, because workers also continue plans."""
        full_route = self._full_routes.get(task.spec.queue_route, _NEVER)
        full_map = self._full_maps.get(map_of(task.id), _NEVER)
        for begin, stop, full in self._full.divide(start, end):
            if full:
                yield PhaseSpan(task.id, PLAN_LIMIT, begin, stop)
                continue
            for first, last, route_full in full_route.divide(begin, stop):
                if route_full:
                    yield PhaseSpan(task.id, ROUTE_LIMIT, first, last)
                    continue
                for since, until, map_full in full_map.divide(first, last):
                    yield PhaseSpan(task.id, MAP_LIMIT if map_full else WORKER, since, until)

    def _parent(self, task: Task, envelope: Envelope | None) -> int | None:
        """The parent that ended a wait: the event is about it, or it keeps the task from
        starting."""
        about = getattr(envelope.event, "task_id", None) if envelope is not None else None
        if about in task.depends_on:
            return int(about)
        return blocking_parent(self.state, task)

    def _note_limits(self, event: object) -> None:
        config, schedule = self.state.config, self.state.schedule
        if config.max_parallel is not None:
            self._full.set(schedule.slots >= config.max_parallel, self.now)
        for route, limit in config.route_limits.items():
            intervals = self._full_routes.setdefault(route, _Intervals())
            intervals.set(schedule.running_on(route) >= limit, self.now)
        for map_id in {map_of(task_id) or task_id for task_id in _about(event)}:
            above = self.state.tasks.get(map_id)
            if above is not None and (of := above.spec.for_each) is not None:
                full = schedule.running[lane_of_items(above.spec)] >= of.concurrency
                self._full_maps.setdefault(map_id, _Intervals()).set(full, self.now)


def phase_of(state: PlannerState, task: Task) -> Phase:
    """A task's phase by the plan's state alone; a planned task that only waits for a
    slot is at :attr:`Phase.Worker`."""
    if task.status in ENDED:
        return OVER
    if task.status is ASKS:
        question = state.questions.get(task.id)
        return BUDGET if question and question.then == "budget" else ANSWER
    if task.status is RUNS:
        runs = RUNNING if task.spec.for_each is None else ITEMS
        runs = WAITING if task.waits else runs
        return STOPPING if task.stopping else runs
    if state.schedule.unmet(task.id):
        return PARENTS
    if state.paused is not None or task.id in state.breakpoints:
        return PAUSE
    return WORKER if task.not_before is None else RETRY


class _Open:
    """A phase that lasts."""

    __slots__ = ("attempt", "not_before", "phase", "start", "stopping_at")

    def __init__(self, phase: Phase, start: float, attempt: int, not_before: float | None) -> None:
        self.phase, self.start, self.attempt = phase, start, attempt
        self.not_before = not_before
        self.stopping_at = 0.0


class _Intervals:
    """Times in which a condition held: its beginnings and ends in turn."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def set(self, holds: bool, at: float) -> None:
        if (len(self._times) % 2 == 1) is holds:
            return
        if self._times and self._times[-1] == at:
            self._times.pop()  # it was interrupted for no time
        else:
            self._times.append(at)

    def divide(self, start: float, end: float) -> Iterator[tuple[float, float, bool]]:
        """The parts of a time, each with whether it held then."""
        place = bisect_right(self._times, start)
        while place < len(self._times) and self._times[place] <= end:
            yield start, self._times[place], place % 2 == 1
            start = self._times[place]
            place += 1
        yield start, end, place % 2 == 1


_NEVER = _Intervals()


def _about(event: object) -> tuple[int, ...]:
    """The tasks that an event may move."""
    match event:
        case TasksPlanned() | PlanRevised():
            return tuple(spec.id for spec in event.tasks)
        case TasksReset() | CancelRequested():
            return event.task_ids
    task_id = getattr(event, "task_id", None)
    return () if task_id is None else (task_id,)


def _attempt(
    task: Task, open_: _Open, end: float, envelope: Envelope | None
) -> Iterator[PhaseSpan]:
    """The spans of an attempt. It is queued until it began, which the report of its end records. An
    attempt that ended without a report never ran, unless the log is older than such reports."""
    number, start, began = open_.attempt, open_.start, open_.start
    if envelope is not None:
        said = envelope.metadata
        if said.began_at or said.claimed_at:
            began = min(max(said.began_at or said.claimed_at, start), end)
        elif not said.worker and task.status is TaskStatus.Cancelled:
            yield PhaseSpan(task.id, WORKER, start, end, attempt=number)
            return
        yield PhaseSpan(task.id, WORKER, start, began, attempt=number)
    stopping = min(max(open_.stopping_at or end, began), end)
    failed = _has_failed(task, envelope)
    yield PhaseSpan(task.id, RUNNING, began, stopping, attempt=number, failed=failed)
    if open_.stopping_at:
        yield PhaseSpan(task.id, STOPPING, stopping, end, attempt=number)


def _has_failed(task: Task, envelope: Envelope | None) -> bool:
    """Whether this event ends an attempt, or a map, as failed. A failed undo task asks a person."""
    event = None if envelope is None else envelope.event
    if getattr(event, "task_id", None) != task.id:
        return False
    match event:
        case RetryScheduled():
            return True
        case TaskStatusUpdated():
            return event.status is TaskStatus.Failed
        case ClarificationRequested():
            return bool(event.error)
    return False


def _lasted(span: PhaseSpan) -> bool:
    return span.end is None or span.end > span.start
