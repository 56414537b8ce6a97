"""How the events of a whole plan change its state. Each function has the name of its event."""

from __future__ import annotations

from typing import Final

from planfold.errors import CorruptLog
from planfold.planner.again import plan_again
from planfold.planner.budget import Spend
from planfold.planner.context_size import remember_plan, remember_summary
from planfold.planner.events import (
    BudgetAdded,
    ClarificationReceived,
    ContextCompacted,
    PlanApproved,
    PlanCancelled,
    PlanForked,
    PlanningCompleted,
    PlanRevised,
    TasksPlanned,
)
from planfold.planner.maps import items_of
from planfold.planner.occurrence import occurrence_of
from planfold.planner.state import PlannerState, forget_parents, must_have_begun
from planfold.planner.sub_plans import leave_family
from planfold.planner.task_folds import answered
from planfold.planner.tasks import Task, TaskSpec, TaskStatus
from planfold.planner.undone import forget_undo, forget_what_was_left

PLANNED: Final = TaskStatus.Planned  # looking up a member takes time
COMPLETED: Final = TaskStatus.Completed


def planned(state: PlannerState, event: TasksPlanned) -> None:
    if state.initialized:
        raise CorruptLog("the plan was initialized twice")
    state.title, state.goal, state.config = event.title, event.goal, event.config
    state.budget, state.tags = event.config.budget, event.tags
    state.parent, state.occurrence = event.parent, event.occurrence
    state.initial_hash = state.revision_hash = event.revision_hash
    state.created_at = state.updated_at
    _add(state, event.tasks)


def approved(state: PlannerState, event: PlanApproved) -> None:
    must_have_begun(state)
    state.approved = event.revision_hash == state.revision_hash


def revised(state: PlannerState, event: PlanRevised) -> None:
    must_have_begun(state)
    if state.outcome is not None:
        forget_what_was_left(state)
    replaced = [spec.id for spec in event.tasks if spec.id in state.tasks]
    for task_id in (*event.removed, *replaced):
        remember_plan(state, state.tasks.pop(task_id).spec, -1)
    state.drafting = [i for i in state.drafting if i in state.tasks]
    for task_id in event.removed:
        state.breakpoints.pop(task_id, None)
    for task_id in event.superseded:
        task = state.tasks[task_id]
        task.superseded = True
        for item in items_of(state, task):
            item.superseded = True
    state.revision_hash, state.approved, state.outcome = event.revision_hash, False, None
    _add(state, event.tasks)
    if event.removed:
        forget_parents(state)


def _add(state: PlannerState, specs: tuple[TaskSpec, ...]) -> None:
    tasks = state.tasks
    for spec in specs:
        tasks[spec.id] = Task(spec, COMPLETED if spec.done else PLANNED)
        remember_plan(state, spec)
        if spec.drafts:
            state.drafting.append(spec.id)
        if spec.proposed:
            state.spent += Spend(tasks=1)
    state.__dict__.pop("schedule", None)


def forked(state: PlannerState, event: PlanForked) -> None:
    must_have_begun(state)
    state.__dict__.pop("schedule", None)  # the changed tasks may depend on others
    for task_id, answer in event.answers.items():
        answered(state, ClarificationReceived(task_id, answer, event.by))
    forget_undo(state)
    if event.again:
        plan_again(state, event.again, afresh=True)
    if event.interrupted:
        plan_again(state, event.interrupted, afresh=False)
    leave_family(state, event.interrupted)
    for spec in event.tasks:
        task = state.tasks[spec.id]
        remember_plan(state, task.spec, -1)
        remember_plan(state, spec)
        task.spec = spec
    state.approved = state.approved and event.revision_hash == state.revision_hash
    state.revision_hash = event.revision_hash
    state.origins = ((event.origin, event.version), *state.origins)
    state.prepared, state.checkpoints = dict(event.prepared), {}
    state.paused, state.breakpoints = None, {}
    state.occurrence = occurrence_of(state)  # before the fork gets a beginning of its own
    state.created_at = state.updated_at
    state.version = 0


def budget_added(state: PlannerState, event: BudgetAdded) -> None:
    must_have_begun(state)
    state.budget = state.budget.raised_by(event.budget)


def cancelled(state: PlannerState, event: PlanCancelled) -> None:
    must_have_begun(state)
    state.cancelled, state.cancel_reason = True, event.reason


def compacted(state: PlannerState, event: ContextCompacted) -> None:
    must_have_begun(state)
    remember_summary(state, event)


def completed(state: PlannerState, event: PlanningCompleted) -> None:
    must_have_begun(state)
    state.outcome, state.undoing = event.outcome, False
