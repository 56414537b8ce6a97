"""One plan for people and programs to look at: what ``planfold show`` prints."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold import projects
from planfold.eventstore.codec import own
from planfold.planner.budget import Budget, Spend
from planfold.planner.context import current_summary
from planfold.planner.dispatch import summary_of
from planfold.planner.events import PlanSummary
from planfold.planner.items import id_text
from planfold.planner.maps import items_of
from planfold.planner.questions import Question
from planfold.planner.state import PlannerState
from planfold.planner.tasks import (
    ByHand,
    NodeKind,
    ParentTask,
    Pause,
    PlanStatus,
    RunIf,
    SkipReason,
    Task,
    TaskStatus,
    Undo,
    Wait,
)
from planfold.planner.transitions import ENDED
from planfold.planner.undo import was_undone
from planfold.readmodels.reasons import waits_for


class TaskView(msgspec.Struct):
    """A task with its times (seconds since the epoch) and, while it waits, the reason why.
    ``started_at`` is when it was first queued, or asked.
    ``superseded``: it did not complete, and a revision replaced or dropped it. ``skip_reason``: a
    task before it did not complete ("failure"), its condition is false, or nothing before it ran or
    failed ("condition"), or a person decided so ("by_hand"). ``by_hand`` is what a person decided.
    Before a task with a ``breakpoint`` the plan pauses. A map runs once for each element of
    ``for_each``; ``items`` are those runs, in order, once it has expanded. ``wait`` is what a wait
    waits for; ``plan_id`` is the sub-plan of a task, once that has begun. ``undo`` is the call that
    reverts the task, and ``undone`` says that it was made: for a map, of all items that completed.
    A task that ``undoes`` another one was added for that (0: it asks a person whether to)."""

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
    when: str | None = None
    run_if: RunIf = "completed"
    skip_reason: SkipReason | None = None
    by_hand: ByHand | None = None
    breakpoint: Pause | None = None
    for_each: str | None = None
    wait: Wait | None = None
    plan_id: str | None = None
    undo: Undo | None = None
    undoes: int | None = None
    undone: bool = False
    items: list[TaskView] = []


class PlanView(msgspec.Struct):
    """A plan as its log says, at one ``version`` (the number of its events).

    ``revision_hash`` is what an approval names. ``questions`` wait for an answer. ``created_at``
    and ``updated_at`` are seconds since the epoch. ``summary`` is set once the plan has ended.
    ``spent``, ``reserved`` (for running calls) and ``budget`` are amounts in the units of
    :class:`Spend`. A fork continues ``origin`` at ``origin_version``; ``checkpoints`` are versions
    by name. ``paused`` says who paused it. A sub-plan runs for the task ``parent``. ``occurrence``
    is the time that a plan of a schedule is for (RFC 3339).
    ``stopped_because`` says why :meth:`App.run` returned a plan that has not ended.

    Example:
        import planfold

        async with planfold.open_app("sqlite:///plans.db") as app:
            plan = await app.view(await app.submit("1. Run `make` {#build}"))
            print(plan.status)  # awaiting_approval
            print(plan.task("build").waits_for)  # approval
    """

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
    origin: str | None = None
    origin_version: int | None = None
    checkpoints: dict[str, int] = {}
    project: str = projects.DEFAULT
    paused: Pause | None = None
    tags: tuple[str, ...] = ()
    parent: ParentTask | None = None
    occurrence: str = ""

    def task(self, key: int | str) -> TaskView:
        """The task with this id or label; ``"3[0]"`` is the first item of map 3. Raises
        KeyError."""
        ordered = sorted(self.tasks, key=lambda task: task.superseded)
        items = (item for task in ordered for item in task.items)
        for task in (*ordered, *items):
            if key in (task.id, task.label, id_text(task.id)):
                return task
        raise KeyError(key)


def plan_view(plan_id: str, state: PlannerState) -> PlanView:
    """A plan in this state."""
    return PlanView(
        id=plan_id,
        title=state.title,
        status=state.status,
        revision_hash=state.revision_hash,
        tasks=[_task_view(task, state) for task in state.written().values()],
        questions=list(state.questions.values()),
        goal=state.goal,
        created_at=state.created_at,
        updated_at=state.updated_at,
        version=state.version,
        context_summary=current_summary(state),
        summary=summary_of(state) if state.outcome else None,
        model=state.config.model,
        spent=state.spent,
        reserved=state.reserved,
        budget=state.budget,
        priority=state.config.priority,
        origin=state.origins[0][0] if state.origins else None,
        origin_version=state.origins[0][1] if state.origins else None,
        checkpoints=dict(state.checkpoints),
        project=state.config.project,
        paused=state.paused,
        tags=state.tags,
        parent=state.parent,
        occurrence=state.occurrence,
    )


def _task_view(task: Task, state: PlannerState) -> TaskView:
    spec = task.spec
    return TaskView(
        id=spec.id,
        label=spec.label,
        description=spec.description,
        kind=spec.kind,
        status=task.status,
        attempt=task.attempt,
        depends_on=spec.depends_on,
        result=None if task.result is None else own(task.result),
        error=task.error,
        started_at=task.started_at or None,
        finished_at=task.finished_at or None,
        waits_for=None if task.status in ENDED else waits_for(task, state),
        note=task.note if task.status is TaskStatus.Running else None,
        outcome_unknown=task.outcome_unknown,
        superseded=task.superseded,
        when=spec.when,
        run_if=spec.run_if,
        skip_reason=task.skip_reason,
        by_hand=task.by_hand,
        breakpoint=state.breakpoints.get(spec.id),
        for_each=None if spec.for_each is None else spec.for_each.items,
        wait=spec.wait,
        plan_id=task.plan_id,
        undo=spec.undo,
        undoes=spec.undoes,
        undone=spec.undo is not None and was_undone(state, task),
        items=[_task_view(item, state) for item in items_of(state, task)] if task.elements else [],
    )
