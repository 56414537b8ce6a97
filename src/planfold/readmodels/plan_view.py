"""One plan for people and programs to look at: what ``planfold show`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.planner.context import current_summary
from planfold.planner.events import (
    ClarificationReceived,
    ClarificationRequested,
    PlanApproved,
    PlanningCompleted,
    PlanRevised,
    PlanSummary,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.planner import Planner
from planfold.planner.questions import Question
from planfold.planner.spending import Budget, Spend
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskSpec, TaskStatus
from planfold.planner.transitions import ENDED

_Times = dict[int, float]  # seconds since the epoch by task id


class TaskView(msgspec.Struct):
    """A task with its times (seconds since the epoch) and, while it waits, the reason why.
    ``started_at`` is when it was first queued, or asked.
    ``superseded``: it did not complete, and the plan does not rest on it since a revision."""

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
    superseded: bool = False


class PlanView(msgspec.Struct):
    """A plan as its log says. ``summary`` is set once the plan has ended; ``reserved`` is set
    aside for calls that go on. ``stopped_because`` is set where :meth:`App.run` returns a plan that
    has not ended."""

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
    model: str = ""
    spent: Spend = Spend()
    reserved: Spend = Spend()
    budget: Budget = Budget()
    stopped_because: str | None = None
    priority: int = 0

    def task(self, key: int | str) -> TaskView:
        """The task with this id or label. Raises KeyError."""
        for task in sorted(self.tasks, key=lambda task: task.superseded):
            if key in (task.id, task.label):
                return task
        raise KeyError(key)


class PlanFold:
    """One plan's log, folded as it grows: ``apply`` each envelope, look at it at any time.

    The three maps hold seconds since the epoch by task id; ``attempt_at`` is when the latest
    attempt was dispatched. ``approved`` holds the tasks as they were approved last.
    """

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id
        self.version = 0
        self.position = 0
        self.created_at = self.updated_at = 0.0
        self.started: _Times = {}
        self.finished: _Times = {}
        self.attempt_at: _Times = {}
        self.approved: tuple[TaskSpec, ...] = ()
        self._planner = Planner()
        self._summary: PlanSummary | None = None

    @property
    def state(self) -> PlannerState:
        return self._planner.state

    @property
    def summary(self) -> PlanSummary | None:
        """How the plan ended, or None while it has not."""
        return self._summary if self.state.outcome else None

    def apply(self, envelope: Envelope) -> None:
        """Advance by one event. Raises CorruptLog when this version cannot read it."""
        event, at = envelope.event, envelope.recorded_at
        if isinstance(event, Undecoded):
            raise CorruptLog(f"{envelope.event_id}: {event.reason}; the plan is read-only")
        self._planner.apply(event)
        self._note_times(event, at)
        if isinstance(event, PlanningCompleted):
            self._summary = event.summary
        elif isinstance(event, PlanApproved):
            self.approved = tuple(t.spec for t in self.state.tasks.values() if not t.superseded)
        self.created_at = self.created_at or at
        self.updated_at = at
        self.version, self.position = envelope.version, envelope.position

    def view(self) -> PlanView:
        """The plan as it stands."""
        state = self.state
        return PlanView(
            id=self.plan_id,
            title=state.title,
            status=state.status,
            revision_hash=state.revision_hash,
            tasks=[self._task_view(task) for task in state.tasks.values()],
            questions=list(state.questions.values()),
            goal=state.goal,
            created_at=self.created_at,
            updated_at=self.updated_at,
            version=self.version,
            context_summary=current_summary(state),
            summary=self.summary,
            model=state.config.model,
            spent=state.spent,
            reserved=state.reserved,
            budget=state.budget,
            priority=state.config.priority,
        )

    def _note_times(self, event: Any, at: float) -> None:
        match event:
            case TaskDispatched(task_id) | ClarificationRequested(task_id):
                self.started.setdefault(task_id, at)
                if isinstance(event, TaskDispatched):
                    self.attempt_at[task_id] = at
            case TaskStatusUpdated(task_id) | ClarificationReceived(task_id):
                if self.state.tasks[task_id].status in ENDED:
                    self.finished[task_id] = at
            case TasksReset(task_ids):
                self._forget_times(task_ids)
            case PlanRevised(tasks=tasks):
                self._forget_times([spec.id for spec in tasks])

    def _forget_times(self, task_ids: Iterable[int]) -> None:
        for task_id in task_ids:
            self.started.pop(task_id, None)
            self.finished.pop(task_id, None)

    def _task_view(self, task: Task) -> TaskView:
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
            started_at=self.started.get(task.id),
            finished_at=self.finished.get(task.id),
            waits_for=waits_for(task, self.state),
            note=task.note if task.status is TaskStatus.Running else None,
            outcome_unknown=task.outcome_unknown,
            superseded=task.superseded,
        )


def plan_view(plan_id: str, envelopes: Iterable[Envelope]) -> PlanView:
    """Fold one plan's log into a view.

    Raises:
        CorruptLog: an event cannot be read by this version.
    """
    fold = PlanFold(plan_id)
    for envelope in envelopes:
        fold.apply(envelope)
    return fold.view()


def waits_for(task: Task, state: PlannerState) -> str | None:
    """Why a task does not go on, and who or what it waits for; None when it does not wait."""
    if task.status is TaskStatus.NeedsClarification:
        return "an answer"
    if task.status is TaskStatus.Running and task.stopping:
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
