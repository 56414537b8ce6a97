"""``Explanation``: why a plan or one of its tasks does not run, and what it waited for so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.readmodels.ended_reasons import undone
from planfold.readmodels.labels import labels_of
from planfold.readmodels.plan_fold import PlanFold
from planfold.readmodels.reason import Reason, ReasonKind
from planfold.readmodels.reasons import paused, reasons_of, with_holders
from planfold.readmodels.timeline import Phase, PhaseSpan, Timeline
from planfold.readmodels.workers import QueueLook, no_worker_then, queue_reasons

_NOT_COMPLETED: Final = tuple(s for s in TaskStatus if s is not TaskStatus.Completed)
_BY_TIME: Final = (ReasonKind.Retry, ReasonKind.Wait)
LOOKED_AT: Final = 200  # tasks, where the log is not read
_TELLING: Final = (
    (TaskStatus.Failed, TaskStatus.NeedsClarification, TaskStatus.Running),
    (TaskStatus.Planned, TaskStatus.Cancelled, TaskStatus.Skipped),
)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What the log and the task queue say at the time ``at`` (seconds since the epoch).

    Of a plan, the reasons of every task that does not merely wait for other tasks; those of equal
    reasons are put together. Of a task (``task_id``), its own reasons, then those of the tasks
    above it that hold it up in the end. ``history`` is what the task waited for and ran.
    ``labels`` are those of the tasks that the reasons name, by id, and ``tools`` those that they
    call. Of a plan with a long log at most 200 tasks are looked at, first those that failed, run or
    ask; ``left_out`` counts the others.
    """

    plan_id: str
    status: PlanStatus
    at: float
    task_id: int | None = None
    task_status: TaskStatus | None = None
    reasons: tuple[Reason, ...] = ()
    history: tuple[PhaseSpan, ...] = ()
    labels: dict[int, str] = {}
    tools: dict[int, str] = {}
    left_out: int = 0


class Present:
    """Used instead of a timeline when the log is not read. The plan's state alone says since when a
    task waits, if its parents, its end, its first attempt or its own question show it."""

    def __init__(self, fold: PlanFold) -> None:
        self.fold = fold

    @property
    def state(self) -> PlannerState:
        """The plan's state."""
        return self.fold.state

    def ended_at(self, task_id: int) -> float | None:
        """As :meth:`Timeline.ended_at`."""
        task = self.state.tasks[task_id]
        return task.finished_at or None if task.status in ENDED else None

    def since(self, task_id: int) -> float | None:
        """When the present phase of the task began; None if unknown."""
        state, task = self.state, self.state.tasks[task_id]
        if task.status is TaskStatus.NeedsClarification:
            return task.started_at if task.kind is NodeKind.Clarification else None
        if task.waits:
            return task.waiting_since or None
        if task.status is TaskStatus.Running:
            return task.started_at or None if task.attempt == 1 and not task.asked else None
        if task.status is not TaskStatus.Planned or task.attempt or not state.approved:
            return None
        ends = [state.tasks[i].finished_at for i in task.depends_on]
        return max(ends, default=0.0) or None


def _pause_of_plan(
    state: PlannerState, task: Task | None, found: Sequence[Reason]
) -> Iterator[Reason]:
    """The pause of the plan as a further reason, because it also holds up tasks that first wait for
    something else."""
    if state.paused is None or any(reason.kind is ReasonKind.Pause for reason in found):
        return
    held = [task] if task is not None else state.schedule.having([TaskStatus.Planned], 1)
    if held and held[0].status is TaskStatus.Planned and state.approved:
        yield paused(state, held[0])


def explain(
    timeline: Timeline | Present, look: QueueLook, now: float, task_id: int | None = None
) -> Explanation:
    """Explain a plan or a task. ``timeline`` is at the end of the plan's log, and ``look`` is no
    older. Only a timeline knows what a task waited for so far."""
    state, left_out = timeline.state, 0
    if task_id is None:
        tasks = _open_tasks(state, LOOKED_AT if isinstance(timeline, Present) else None)
        left_out = sum(state.schedule.counts[s] for s in _NOT_COMPLETED) - len(tasks)
        tasks = [task for task in tasks if not (task.superseded or task.not_needed)]
        tasks = [task for task in tasks if not _waits_for_parents(state, task)]
        found = merged([r for task in tasks for r in _all_reasons(timeline, look, task, now)])
        found += undone(state)
        task = None
    else:
        task = state.tasks[task_id]
        found = _all_reasons(timeline, look, task, now)
        above = [state.tasks[i] for i in _holding_up(state, task)]
        found += merged([r for t in above for r in _all_reasons(timeline, look, t, now)])
    found += _pause_of_plan(state, task, found)
    reasons = tuple(with_holders(state, reason, now) for reason in found)
    named = {i for r in reasons for i in (*r.tasks, *r.by) if i in state.tasks}
    tools = {i: call.name for i in sorted(named) if (call := state.tasks[i].spec.tool) is not None}
    history: tuple[PhaseSpan, ...] = ()
    if task is not None:
        history = task_history(timeline, look, task, now) if isinstance(timeline, Timeline) else ()
        named |= {task.id, *(span.by for span in history if span.by is not None)}
    return Explanation(
        plan_id=timeline.fold.plan_id,
        status=state.status,
        at=now,
        task_id=task_id,
        task_status=task.status if task else None,
        reasons=reasons,
        history=history,
        labels=labels_of(state.tasks[i].spec for i in sorted(named) if i in state.tasks),
        tools=tools,
        left_out=left_out,
    )


def _open_tasks(state: PlannerState, most: int | None) -> list[Task]:
    """The tasks that did not complete, by id; of more than ``most``, the most informative ones."""
    having = state.schedule.having
    if most is None:
        return having(_NOT_COMPLETED)
    found = list[Task]()
    for statuses in _TELLING:
        found += having(statuses, most - len(found))
    return sorted(found, key=lambda task: task.id)


def task_history(
    timeline: Timeline, look: QueueLook, task: Task, now: float
) -> tuple[PhaseSpan, ...]:
    """What a task waited for and ran. The log does not say yet when a worker claimed a running
    attempt; the queue does."""
    spans = timeline.spans(task.id, now)
    if not spans:
        return ()
    *spans, last = spans
    row = look.rows.get(task.id)
    if last.phase is not Phase.Running or row is None:
        return (*spans, last)
    if look.is_free(row):
        return (*spans, replace(last, phase=Phase.Worker))
    began = max(row.claimed_at, last.start)
    waited = replace(last, phase=Phase.Worker, end=began)
    return (*spans, *[waited] * (began > last.start), replace(last, start=began))


def merged(reasons: list[Reason]) -> list[Reason]:
    """Merge equal reasons into one for all their tasks, since the earliest of them."""
    found: dict[Reason, Reason] = {}
    for reason in reasons:
        key = replace(reason, tasks=(), since=None)
        other = found.get(key, reason)
        since = min((r.since for r in (other, reason) if r.since is not None), default=None)
        tasks = reason.tasks if other is reason else other.tasks + reason.tasks
        found[key] = replace(other, tasks=tasks, since=since)
    return list(found.values())


def _all_reasons(
    timeline: Timeline | Present, look: QueueLook, task: Task, now: float
) -> list[Reason]:
    state = timeline.state
    found = reasons_of(state, task, now)
    runs = task.status is TaskStatus.Running and not task.stopping
    if runs and task.spec.for_each is None and not task.waits:
        found = queue_reasons(look, task)
    elif not look.workers and any(r.until is not None and r.kind in _BY_TIME for r in found):
        found.append(no_worker_then(task))
    since = timeline.ended_at(task.id)
    if since is None:
        if isinstance(timeline, Present):
            since = timeline.since(task.id)
        else:
            since = next((s.start for s in timeline.spans(task.id, now)[-1:]), None)
    return [replace(reason, since=_since(reason, since)) for reason in found]


def _since(reason: Reason, phase: float | None) -> float | None:
    """When a reason began to hold; ``phase`` is when the task's present phase began. A break-point
    holds a task only from when the task reaches it, however early it was set."""
    if reason.since is None or phase is None:
        return phase if reason.since is None else reason.since
    at_breakpoint = reason.kind is ReasonKind.Pause and reason.by
    return max(reason.since, phase) if at_breakpoint else reason.since


def _waits_for_parents(state: PlannerState, task: Task) -> bool:
    if task.status is not TaskStatus.Planned or not (state.approved or task.spec.drafts):
        return False
    return state.schedule.unmet(task.id) > 0


def _holding_up(state: PlannerState, task: Task) -> list[int]:
    """The open tasks above a waiting task that do not themselves wait for parents."""
    found: list[int] = []
    if not _waits_for_parents(state, task):
        return found
    seen, queue = {task.id}, [task.id]
    for task_id in queue:
        for parent in state.tasks[task_id].depends_on:
            if parent in seen or state.tasks[parent].status in ENDED:
                continue
            seen.add(parent)
            if _waits_for_parents(state, state.tasks[parent]):
                queue.append(parent)
            else:
                found.append(parent)
    return sorted(found)
