"""``Ledger``: where a plan's time went, along the critical path of what really happened.

The path is walked from the plan's end back: from a task to the parent that it waited for last. So
every moment of the plan is in exactly one entry, and the entries add up to its makespan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from planfold.planner.items import source_of
from planfold.planner.maps import items_of
from planfold.planner.state import PlannerState
from planfold.planner.structure import critical_path
from planfold.planner.tasks import TaskStatus
from planfold.readmodels.timeline import Phase, PhaseSpan, Timeline

CANDIDATES = 10  # tasks of which it is tried what shortening them would gain
_OF_PEOPLE = (Phase.Answer, Phase.Budget)
_NOT_ITS_OWN = (Phase.Approval, Phase.Parents, Phase.Ended)


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """``seconds`` from ``start`` on, split into ``entries``, oldest first, each with its end; and
    summed up by phase. Of a plan that has not ended: so far.

    ``longest`` is the task whose shortening would help most, by ``gain`` seconds at most;
    ``running`` is how long the plan takes where nothing but running takes time and everything
    runs as early as its parents allow, of a map all items at once.
    """

    plan_id: str
    start: float
    seconds: float
    entries: tuple[PhaseSpan, ...] = ()
    by_phase: dict[str, float] = {}
    longest: int | None = None
    gain: float = 0.0
    running: float = 0.0


def ledger_of(timeline: Timeline, now: float) -> Ledger:
    """The ledger up to the plan's end, or to ``now`` (seconds since the epoch) if it has not
    ended."""
    state = timeline.state
    end = timeline.now if state.outcome is not None else max(now, timeline.now)
    entries = tuple(p for each in reversed([*_walk(timeline, end)]) for p in _parts(timeline, each))
    by_phase: dict[str, float] = defaultdict(float)
    for entry in entries:
        by_phase[entry.phase.value] += entry.seconds(end)
    depends_on = {i: task.depends_on for i, task in state.written().items()}
    own = {i: _own(timeline, i, end, _NOT_ITS_OWN, _alone_from(state, i)) for i in depends_on}
    waits = tuple(phase for phase in Phase if phase is not Phase.Running)
    ran = {i: _ran(timeline, i, end, waits) for i in depends_on}
    longest, gain = _most_gain(depends_on, own, {entry.task_id for entry in entries})
    return Ledger(
        plan_id=timeline.fold.plan_id,
        start=state.created_at,
        seconds=end - state.created_at,
        entries=entries,
        by_phase=dict(sorted(by_phase.items(), key=lambda item: -item[1])),
        longest=longest,
        gain=gain,
        running=critical_path(depends_on, ran.__getitem__)[0],
    )


def _walk(timeline: Timeline, end: float) -> Iterator[PhaseSpan]:
    """The entries from the plan's end back to its beginning."""
    begin, cursor = timeline.state.created_at, end
    task_id, moves = _last(timeline, end), 0
    while cursor > begin:
        before = cursor
        parent = None
        for span in reversed(timeline.spans(task_id, end)):
            if span.start >= cursor:
                continue
            if span.end is not None and span.end < cursor:
                yield PhaseSpan(task_id, Phase.Ended, span.end, cursor)
                cursor = span.end
            if span.phase is Phase.Parents:
                parent = _parent(timeline, span, cursor)
                if parent is not None:
                    break
            alone = _alone_from(timeline.state, task_id)
            if span.start < alone < cursor:
                yield replace(span, start=alone, end=cursor)
                cursor, parent = alone, source_of(timeline.state.tasks[task_id].spec)
                break
            yield replace(span, end=cursor)
            cursor = span.start
        if parent is None:  # the task came into the plan
            parent = _planned_by(timeline, task_id, cursor)
        moves = moves + 1 if cursor == before else 0
        if parent is None or moves > len(timeline.state.tasks):
            break
        task_id = parent
    if cursor > begin:
        yield PhaseSpan(task_id, Phase.Ended, begin, cursor)


def _parts(timeline: Timeline, entry: PhaseSpan) -> Iterator[PhaseSpan]:
    """Divide an entry of a map: times in which no item ran and one waited for a person count as
    waiting for that person."""
    moves: list[tuple[float, Phase, int]] = []
    task = timeline.state.tasks.get(entry.task_id)
    assert entry.end is not None
    if entry.phase is Phase.Items and task is not None and task.elements is not None:
        spans = (s for i in items_of(timeline.state, task) for s in timeline.spans(i.id, entry.end))
        for span in spans:
            if span.phase in (Phase.Running, *_OF_PEOPLE):
                moves += [(span.start, span.phase, 1), (span.end or entry.end, span.phase, -1)]
    busy, start, phase = Counter[Phase](), entry.start, entry.phase
    for at, moved, change in sorted(moves):
        busy[moved] += change
        waits = [each for each in _OF_PEOPLE if busy[each] and not busy[Phase.Running]]
        now = waits[0] if waits else Phase.Items
        if now is not phase and at < entry.end:
            if at > start:
                yield replace(entry, phase=phase, start=start, end=at)
                start = at
            phase = now
    yield replace(entry, phase=phase, start=start)


def _last(timeline: Timeline, end: float) -> int:
    """The task that ended last, after something that took time; in a plan that has not ended, the
    one that is in its present phase for the longest time."""
    tasks = timeline.state.written()
    open_ = {}
    for task_id in tasks:
        spans = timeline.spans(task_id, end)
        if spans and spans[-1].end is None and spans[-1].phase is not Phase.Parents:
            open_[task_id] = spans[-1].start
    if open_ and timeline.state.outcome is None:
        return min(open_, key=lambda i: (open_[i], i))

    def ended(task_id: int) -> tuple[float, bool, int]:
        skipped = tasks[task_id].status is TaskStatus.Skipped
        spans = timeline.spans(task_id)
        at = max((s.end for s in spans if s.end and s.phase is not Phase.Ended), default=0.0)
        return at, not skipped, task_id

    return max(tasks, key=ended)


def _parent(timeline: Timeline, span: PhaseSpan, cursor: float) -> int | None:
    """The parent that ended a wait; else the parent that had ended last by then."""
    tasks = timeline.state.tasks
    if span.by in tasks:
        return span.by
    ends = {}
    for parent in tasks[span.task_id].depends_on:
        found = [s.end for s in timeline.spans(parent) if s.end is not None and s.end <= cursor]
        if parent in tasks and found:  # it may have been retried since
            ends[parent] = max(found)
    return max(ends, key=ends.__getitem__, default=None)


def _planned_by(timeline: Timeline, task_id: int, cursor: float) -> int | None:
    """The drafting task that worked when a task came into the plan, else the task that had ended
    last by then."""
    state, found = timeline.state, dict[int, float]()
    drafting = [i for i in state.drafting if i != task_id and timeline.first_at(i) < cursor]
    if task_id not in state.drafting and drafting:
        return drafting[-1]
    for other in state.written():
        if other == task_id or timeline.first_at(other) >= cursor:
            continue
        ends = [s.end for s in timeline.spans(other) if s.end and s.end <= cursor]
        if ends:
            found[other] = ends[-1]
    return max(found, key=found.__getitem__, default=None)


def _own(
    timeline: Timeline,
    task_id: int,
    end: float,
    without: tuple[Phase, ...],
    begin: float = 0.0,
) -> float:
    spans = (span for span in timeline.spans(task_id, end) if span.phase not in without)
    return sum(max(span.seconds(end) - max(begin - span.start, 0.0), 0.0) for span in spans)


def _alone_from(state: PlannerState, task_id: int) -> float:
    """When the map that this one follows item by item ended; the time before counts for that
    map."""
    source = state.tasks.get(source_of(state.tasks[task_id].spec))
    return 0.0 if source is None else source.finished_at


def _ran(timeline: Timeline, task_id: int, end: float, waits: tuple[Phase, ...]) -> float:
    """How long a task ran; for a map, its longest item."""
    task = timeline.state.tasks[task_id]
    if task.elements is None:
        return _own(timeline, task_id, end, waits)
    items = items_of(timeline.state, task)
    return max((_own(timeline, item.id, end, waits) for item in items), default=0.0)


def _most_gain(
    depends_on: dict[int, tuple[int, ...]], own: dict[int, float], path: set[int]
) -> tuple[int | None, float]:
    """The task without which the plan would have been shortest, and by how many seconds."""
    whole = critical_path(depends_on, own.__getitem__)[0]
    candidates = sorted(path & own.keys(), key=own.__getitem__, reverse=True)[:CANDIDATES]
    gains = {}
    for task_id in candidates:
        without = {**own, task_id: 0.0}
        gains[task_id] = whole - critical_path(depends_on, without.__getitem__)[0]
    longest = max(gains, key=gains.__getitem__, default=None)
    if longest is None or gains[longest] <= 0:
        return None, 0.0
    return longest, gains[longest]
