"""One plan for people and programs to look at: what ``planfold show`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.planner.events import (
    ClarificationReceived,
    ClarificationRequested,
    PlanningCompleted,
    PlanSummary,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState, Question
from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskStatus
from planfold.planner.transitions import ENDED

_Times = dict[int, float]  # seconds since the epoch by task id


class TaskView(msgspec.Struct):
    """A task with its times (seconds since the epoch) and, while it waits, the reason why."""

    id: int
    label: str | None
    description: str
    kind: NodeKind
    status: TaskStatus
    attempt: int
    depends_on: tuple[int, ...]
    result: Any
    error: str | None
    started_at: float | None
    finished_at: float | None
    waits_for: str | None = None
    note: str | None = None
    outcome_unknown: bool = False


class PlanView(msgspec.Struct):
    """A plan as its log says. ``summary`` is set once the plan has ended."""

    id: str
    title: str
    status: PlanStatus
    revision_hash: str
    tasks: list[TaskView]
    questions: list[Question]
    goal: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0
    context_summary: str = ""
    summary: PlanSummary | None = None

    def task(self, key: int | str) -> TaskView:
        """The task with this id or label. Raises KeyError."""
        for task in self.tasks:
            if key in (task.id, task.label):
                return task
        raise KeyError(key)


def plan_view(plan_id: str, envelopes: Iterable[Envelope]) -> PlanView:
    """Fold one plan's log into a view.

    Raises:
        CorruptLog: an event cannot be read by this version.
    """
    planner = Planner()
    started: dict[int, float] = {}
    finished: dict[int, float] = {}
    summary: PlanSummary | None = None
    first = last = None
    for envelope in envelopes:
        event = envelope.event
        if isinstance(event, Undecoded):
            raise CorruptLog(f"{envelope.event_id}: {event.reason}; the plan is read-only")
        planner.apply(event)
        _note_times(event, envelope.recorded_at, planner.state, started, finished)
        if isinstance(event, PlanningCompleted):
            summary = event.summary
        first, last = first or envelope, envelope
    state = planner.state
    return PlanView(
        id=plan_id,
        title=state.title,
        status=state.status,
        revision_hash=state.revision_hash,
        tasks=[_task_view(task, state, started, finished) for task in state.tasks.values()],
        questions=list(state.questions.values()),
        goal=state.goal,
        created_at=first.recorded_at if first else 0.0,
        updated_at=last.recorded_at if last else 0.0,
        version=last.version if last else 0,
        context_summary=state.context_summary,
        summary=summary if state.outcome else None,
    )


def _note_times(
    event: Any,
    at: float,
    state: PlannerState,
    started: dict[int, float],
    finished: dict[int, float],
) -> None:
    match event:
        case TaskDispatched(task_id) | ClarificationRequested(task_id):
            started.setdefault(task_id, at)
        case TaskStatusUpdated(task_id) | ClarificationReceived(task_id):
            if state.tasks[task_id].status in ENDED:
                finished[task_id] = at
        case TasksReset(task_ids):
            for task_id in task_ids:
                started.pop(task_id, None)
                finished.pop(task_id, None)


def _task_view(task: Task, state: PlannerState, started: _Times, finished: _Times) -> TaskView:
    return TaskView(
        id=task.id,
        label=task.spec.label,
        description=task.description,
        kind=task.kind,
        status=task.status,
        attempt=task.attempt,
        depends_on=task.depends_on,
        result=task.result,
        error=task.error,
        started_at=started.get(task.id),
        finished_at=finished.get(task.id),
        waits_for=waits_for(task, state),
        note=task.note if task.status is TaskStatus.Running else None,
        outcome_unknown=task.outcome_unknown,
    )


def waits_for(task: Task, state: PlannerState) -> str | None:
    """Why a task does not go on, and who or what it waits for; None when it does not wait."""
    if task.status is TaskStatus.NeedsClarification:
        return "an answer"
    if task.status is TaskStatus.Running and task.cancel_requested:
        return "its worker to stop"
    if task.status is not TaskStatus.Planned or state.cancelled:
        return None
    if not state.approved:
        return "approval"
    parents = [i for i in task.depends_on if state.tasks[i].status not in ENDED]
    if parents:
        shown = ", ".join(map(str, parents[:5])) + (", ..." if len(parents) > 5 else "")
        return f"task {shown}" if len(parents) == 1 else f"tasks {shown}"
    if task.not_before is not None:
        return f"a retry after: {task.error}"
    return "a free slot"
