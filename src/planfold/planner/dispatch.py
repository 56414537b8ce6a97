"""``Continue``: start what can start, apply what is due, and end the plan when nothing is left."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

from planfold.compaction.errors import compact_error_message
from planfold.planner.answers import answer_by_default
from planfold.planner.branches import facts_of, kept_off, results_of
from planfold.planner.cancellation import skip, skip_dependents
from planfold.planner.commands import Continue
from planfold.planner.counterparts import lost_counterpart
from planfold.planner.events import (
    ClarificationReceived,
    ClarificationRequested,
    Event,
    PlanningCompleted,
    PlanOutcome,
    PlanSummary,
    TaskDispatched,
    TaskStatusUpdated,
    WaitStarted,
)
from planfold.planner.items import STRIDE
from planfold.planner.lanes import OF_MAP, QUESTION, lane_of
from planfold.planner.map_decisions import end_map, start_map
from planfold.planner.occurrence import with_occurrence
from planfold.planner.references import ReferenceFault, has_references, resolve
from planfold.planner.state import PlannerState
from planfold.planner.tasks import PLANNING, Prompt, Task, TaskSpec, TaskStatus
from planfold.planner.undo import how_to_undo, undo_before, undo_counts
from planfold.planner.waits import end_wait, start_wait

_OTHER: Final = tuple(status for status in TaskStatus if status is not TaskStatus.Completed)
PREPARED = "fork"  # who gives an answer that a fork was made with
_PLANNED, _SKIPPED, _RUNNING, _ASKING = (
    TaskStatus.Planned,
    TaskStatus.Skipped,
    TaskStatus.Running,
    TaskStatus.NeedsClarification,
)


def has_work(state: PlannerState, now: float) -> bool:
    """Whether ``Continue(now)`` would yield any event."""
    if state.outcome is not None:
        return False
    schedule = state.schedule
    if schedule.over or (schedule.startable and _nothing_holds_back(state)) or _is_over(state):
        return True
    if not (schedule.startable or schedule.delayed or schedule.deadlines.pending):
        return False  # nearly always: all that can run is running
    due = next(schedule.deadlines.due(now), None)
    return due is not None or next(iter(_startable(state, now)), None) is not None


def _starts_nothing(state: PlannerState) -> bool:
    """Whether no task starts: the plan is paused, or cancelled and not being undone."""
    return state.paused is not None or (state.cancelled and not state.undoing)


def _nothing_holds_back(state: PlannerState) -> bool:
    """Without limits every free task can start. This is the usual case, so it is checked first."""
    approved = state.approved or state.undoing
    return not (_is_limited(state) or _starts_nothing(state)) and approved


def _is_limited(state: PlannerState) -> bool:
    """Whether free tasks may have to wait for a slot: of the plan, of a route or of a map."""
    config = state.config
    return bool(config.max_parallel is not None or config.route_limits or state.schedule.maps)


def continue_plan(state: PlannerState, command: Continue) -> list[Event]:
    """Decide ``Continue``."""
    events: list[Event] = []
    if state.outcome is not None:
        return events
    skipped: set[int] = set()
    if state.schedule.deadlines.pending:
        for _, task_id in state.schedule.deadlines.due(command.now):
            if (question := state.questions.get(task_id)) is not None:
                events += answer_by_default(state, question, skipped)
            else:
                events += end_wait(state, state.tasks[task_id], skipped)
    if state.schedule.over:
        for task_id in sorted(state.schedule.over):
            events += end_map(state, state.tasks[task_id], skipped)
    for task in _startable(state, command.now):
        if task.spec.id not in skipped:  # by the end of the map that it was to run behind
            events += _start(state, task, command.now, skipped)
    if _is_over(state):
        end = _conclusion(state)
        undo = undo_before(state, end.outcome) if end.outcome != "completed" else None
        events.append(undo or end)
    return events


def _is_over(state: PlannerState) -> bool:
    counts = state.schedule.counts
    return not (counts[_RUNNING] or counts[_PLANNED] or counts[_ASKING])


class _Room:
    """Free slots of the plan, of each route and of each map."""

    def __init__(self, state: PlannerState) -> None:
        limit, self._state = state.config.max_parallel, state
        self.total = len(state.tasks) if limit is None else limit
        self.total -= state.schedule.slots
        self._free: dict[str, int] = {}
        self._bounds: dict[str, tuple[str, ...]] = {}  # the limits that a lane is under

    def has(self, lane: str) -> bool:
        if self.total <= 0:
            return False
        names = self._bounds.get(lane)
        if names is None:
            names = self._bounds_of(lane)
        return not names or all(self._free[name] > 0 for name in names)

    def take(self, lane: str) -> bool:
        if not self.has(lane):
            return False
        self.total -= 1
        for name in self._bounds[lane]:
            self._free[name] -= 1
        return True

    def _bounds_of(self, lane: str) -> tuple[str, ...]:
        state = self._state
        route, _, of = lane.partition(OF_MAP)
        names: list[str] = []
        if route in state.config.route_limits:
            names.append(route)
            free = state.config.route_limits[route] - state.schedule.running_on(route)
            self._free.setdefault(route, free)
        if of and (for_each := state.tasks[int(of)].spec.for_each) is not None:
            names.append(lane)
            self._free[lane] = for_each.concurrency - state.schedule.running[lane]
        self._bounds[lane] = tuple(names)
        return self._bounds[lane]


def next_due(state: PlannerState) -> tuple[float, float] | None:
    """When time next changes something, and when that wait began: a question's default applies, a
    wait ends, or a retry with a free slot is due. A retry without a slot starts when another task
    ends."""
    waits = [state.schedule.deadlines.next()]
    approved = state.approved or state.undoing
    if state.schedule.waits and approved and not _starts_nothing(state):
        room = _Room(state)
        waits += [w.next() for route, w in state.schedule.waits.items() if room.has(route)]
    first = min((wait for wait in waits if wait is not None), default=None)
    if first is None:
        return None
    at, task_id = first
    return at, state.tasks[task_id].waiting_since


def _startable(state: PlannerState, now: float) -> Iterable[Task]:
    """Free tasks, as far as the limits allow: questions, then due retries, then the rest, the
    routes taking turns so that a crowded one does not starve the others. Before the approval:
    drafting only."""
    if _starts_nothing(state):
        return ()
    ready, tasks = state.schedule.ready, state.tasks
    if not (state.approved or state.undoing):
        drafting = (tasks[i] for i in ready.get(PLANNING, ()))
        return [task for task in drafting if task.spec.drafts]
    if not (state.schedule.waits or _is_limited(state)):
        lanes = [lane for lane in ready.values() if lane.ids]
        if len(lanes) == 1:  # nearly always
            return [tasks[i] for i in lanes[0]]
    return _taking_turns(state, now)


def _taking_turns(state: PlannerState, now: float) -> Iterator[Task]:
    for task_id in state.schedule.ready.get("", ()):
        yield state.tasks[task_id]
    room, lanes = _Room(state), _in_turn(state)
    if state.schedule.waits:
        yield from _due_retries(state, now, room)
    while lanes and room.total > 0:
        for route in list(lanes):
            task = next(lanes[route], None) if room.has(route) else None
            if task is None:
                del lanes[route]
            else:
                room.take(route)
                yield state.tasks[task]


def _in_turn(state: PlannerState) -> dict[str, Iterator[int]]:
    """Free tasks by route; first the route of which the fewest are running, then that of a map that
    runs item by item (what has begun is finished), then the one with the smallest id. The order
    depends only on the state."""
    schedule = state.schedule
    lanes = {route: iter(lane) for route, lane in schedule.ready.items() if route and lane.ids}
    if len(lanes) <= 1:
        return lanes
    first = {route: next(iter(schedule.ready[route])) for route in lanes}
    heads = sorted(
        (schedule.running[route], not schedule.follows(head), head, route)
        for route, head in first.items()
    )
    return {route: lanes[route] for *_, route in heads}


def _due_retries(state: PlannerState, now: float, room: _Room) -> Iterator[Task]:
    """Retries that are due, the longest waiting first, while their routes have room."""
    waiting = [
        (entry, route, due)
        for route, waits in state.schedule.waits.items()
        if room.has(route) and (entry := next(due := waits.due(now), None)) is not None
    ]
    heapq.heapify(waiting)
    while waiting:
        (_, task_id), route, due = heapq.heappop(waiting)
        if room.take(route):
            yield state.tasks[task_id]
            if (entry := next(due, None)) is not None:
                heapq.heappush(waiting, (entry, route, due))


def _start(state: PlannerState, task: Task, now: float, skipped: set[int]) -> Iterable[Event]:
    spec = task.spec
    if (end := _end_without_start(state, task)) is not None:
        return _ended(state, spec, end, skipped)
    if spec.for_each is not None:
        return start_map(state, task, skipped)
    if spec.wait is not None and spec.wait.plan is None:
        return start_wait(state, task, spec.wait, now, skipped)
    if spec.kind is QUESTION:
        return _ask(state, spec, now)
    try:
        arguments = _resolved(state, task) if spec.tool is not None else None
    except ReferenceFault as fault:
        error = compact_error_message(str(fault), state.config.error_char_limit)
        if spec.undoes is not None:
            return [how_to_undo(task, error)]
        failed = TaskStatusUpdated(spec.id, TaskStatus.Failed, error=error)
        return _ended(state, spec, failed, skipped)
    if spec.wait is not None:  # for its sub-plan
        return [WaitStarted(spec.id, task.attempt + 1, arguments=arguments)]
    return [TaskDispatched(spec.id, task.attempt + 1, arguments)]


def _ended(
    state: PlannerState, spec: TaskSpec, end: TaskStatusUpdated, skipped: set[int]
) -> list[Event]:
    """End a task before it starts."""
    if end.status is TaskStatus.Failed and spec.on_failure == "stop":
        return [end, *skip_dependents(state, [spec.id], skipped)]
    return [end]


def _ask(state: PlannerState, spec: TaskSpec, now: float) -> Iterator[Event]:
    prompt = spec.prompt or Prompt()
    deadline = None if prompt.deadline is None else now + prompt.deadline
    question = with_occurrence(state, spec.description)
    yield ClarificationRequested(spec.id, question, prompt.choices, prompt.default, deadline)
    if spec.id in state.prepared:
        yield ClarificationReceived(spec.id, state.prepared[spec.id], PREPARED)


def _end_without_start(state: PlannerState, task: Task) -> TaskStatusUpdated | None:
    spec = task.spec
    if spec.id >= STRIDE and (lost := lost_counterpart(state, task)):
        return skip(spec.id, lost)
    decides = spec.when is not None or spec.run_if != "completed"
    if decides or state.schedule.counts[_SKIPPED]:
        return kept_off(state, task)
    return None


def _resolved(state: PlannerState, task: Task) -> dict[str, object] | None:
    call = task.spec.tool
    if (
        call is None
        or not call.arguments
        or not has_references(call.arguments, literal=call.literal)
    ):
        return None

    facts = facts_of(state)
    return resolve(call.arguments, results_of(state, task), literal=call.literal, facts=facts)


def _conclusion(state: PlannerState) -> PlanningCompleted:
    summary = summary_of(state)
    outcome: PlanOutcome = "completed"
    cancelled = (state.tasks[i].spec for i in summary.cancelled if i < STRIDE)
    if state.cancelled or any(spec.undoes is None for spec in cancelled):
        outcome = "cancelled"
    stops = any(state.tasks[i].spec.on_failure == "stop" for i in summary.failed)
    if stops and not state.cancelled:
        outcome = "failed"
    return PlanningCompleted(outcome, summary)


def summary_of(state: PlannerState) -> PlanSummary:
    """How the tasks and items have ended, without those that a revision superseded. Those that
    undo others are only among the ids."""
    completed, total = state.progress
    if state.schedule.counts[TaskStatus.Completed] == len(state.tasks):
        others = []
    else:
        others = state.schedule.having(_OTHER)
    ended = [task for task in others if not task.superseded]
    failed = tuple(task.spec.id for task in ended if task.status is TaskStatus.Failed)
    skipped = tuple(task.spec.id for task in ended if task.status is _SKIPPED)
    cancelled = tuple(task.spec.id for task in ended if task.status is TaskStatus.Cancelled)
    undone, to_undo = undo_counts(state) if state.completions else (0, 0)
    return PlanSummary(
        total=total,
        completed=completed,
        failed=failed,
        skipped=skipped,
        cancelled=cancelled,
        unknown=tuple(t.spec.id for t in others if t.outcome_unknown),
        by_condition=tuple(i for i in skipped if state.tasks[i].not_needed),
        undone=undone,
        to_undo=to_undo,
    )


def ahead_of(state: PlannerState, task: Task, now: float, *, route: str | None = None) -> int:
    """How many free tasks start before this one in the present state: of its ``route``, or (None)
    of the whole plan, where routes take turns."""
    own = lane_of(task.spec)
    alarms = [
        (alarm, other)
        for other, waits in state.schedule.waits.items()
        if route in (None, other.partition(OF_MAP)[0])
        for alarm in waits.due(now)
    ]
    due = [task_id for (_, task_id), _ in sorted(alarms)]
    if task.spec.id in due:
        return due.index(task.spec.id)
    lanes = list(_in_turn(state))
    place = sum(1 for i in state.schedule.ready.get(own, ()) if i < task.spec.id)
    if route is not None or own not in lanes:
        return len(due) + place
    before = set(lanes[: lanes.index(own)])
    ready = state.schedule.ready
    turns = (min(len(ready[lane]), place + (lane in before)) for lane in lanes)
    return len(due) + sum(turns)
