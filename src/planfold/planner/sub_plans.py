"""Sub-plans: a task waits for the end of a plan, and that plan reports its end to the task.

The two plans are streams of their own. A plan that has something for the other one is due, and a
worker carries it over: from the parent, that a sub-plan has to begin or stop; from the sub-plan,
that it has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from planfold.compaction.errors import compact_error_message
from planfold.errors import CommandRejected
from planfold.handler import BELOW
from planfold.planner.cancellation import root_cause
from planfold.planner.commands import (
    ConfirmEnd,
    ContinueSubPlan,
    OutcomeUnknown,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.events import EndReported, Event, SubPlanContinued
from planfold.planner.followers import reset_all
from planfold.planner.items import id_text, index_of, map_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import ParentTask, Task, TaskStatus

ROUTE: Final = "plan"  # what sub-plans are called where other tasks have a tool
_NAMED: Final = 3  # tasks that the error of a parent's task names
_OPEN: Final = (TaskStatus.Failed, TaskStatus.Cancelled)


def sub_plan_id(plan_id: str, task: Task) -> str:
    """The id of a task's sub-plan: the same for all its attempts, until an answer above it is
    changed."""
    item = task.spec.id
    place = f"{map_of(item)}-{index_of(item)}" if map_of(item) else str(item)
    run = f"~{task.run}" if task.run > 1 else ""
    return f"{plan_id}{BELOW}{place}{run}"


def draft_of_sub_plan(state: PlannerState, task: Task) -> dict[str, Any]:
    """The draft of a task's sub-plan, as JSON."""
    spec = state.tasks[map_of(task.spec.id)].spec if map_of(task.spec.id) else task.spec
    return (spec.wait.plan if spec.wait is not None else None) or {}


def owes_end(state: PlannerState) -> bool:
    """Whether this sub-plan has ended and its parent does not know it yet."""
    return state.parent is not None and state.outcome is not None and not state.end_reported


def end_of(state: PlannerState) -> TaskCompleted | TaskFailed | OutcomeUnknown:
    """The report to the task of the parent, once this plan has ended. Its result has that of
    each task with a label."""
    tasks = [task for task in state.written().values() if not task.superseded]
    if state.outcome == "completed":
        done = (t for t in tasks if t.spec.label and t.status is TaskStatus.Completed)
        return TaskCompleted({str(task.spec.label): task.result for task in done})
    if state.outcome == "failed":
        return TaskFailed(_failure(state, tasks))
    reason = f": {state.cancel_reason}" if state.cancelled and state.cancel_reason else ""
    error = f"its plan was cancelled{reason}"
    if any(task.outcome_unknown for task in state.tasks.values()):
        return OutcomeUnknown(error, ended=True)
    return TaskFailed(error, retryable=False)


def _failure(state: PlannerState, tasks: list[Task]) -> str:
    failed = [t for t in tasks if t.status is TaskStatus.Failed and t.spec.on_failure == "stop"]
    said = [f"task {t.spec.label or id_text(t.id)}: {t.error or 'failed'}" for t in failed]
    more = f"; and {len(said) - _NAMED:,} more" if len(said) > _NAMED else ""
    text = f"its plan failed: {'; '.join(said[:_NAMED])}{more}"
    return compact_error_message(text, state.config.error_char_limit)


def continue_sub_plan(state: PlannerState, command: ContinueSubPlan) -> Iterator[Event]:
    """Decide ``ContinueSubPlan``: another attempt runs again what did not complete. For the same
    attempt the end is only reported again, because the parent may not have it."""
    known = _parent(state).attempt
    if command.attempt < known or (command.attempt == known and not state.end_reported):
        return
    yield SubPlanContinued(command.attempt)
    if command.attempt > known and state.outcome in ("failed", "cancelled"):
        yield from reset_all(state, _roots(state), "retry")


def _roots(state: PlannerState) -> list[Task]:
    """The tasks that did not complete and that nothing keeps from running, except another one of
    them."""
    found = {task.id: task for task in state.written().values() if _is_open(task)}
    causes = {task_id: root_cause(state, task) for task_id, task in found.items()}
    return [found[i] for i, cause in causes.items() if cause is None or cause in found]


def _is_open(task: Task) -> bool:
    stops = task.status is TaskStatus.Cancelled or task.spec.on_failure == "stop"
    return task.status in _OPEN and stops and not task.superseded and task.spec.undoes is None


def confirm_end(state: PlannerState, command: ConfirmEnd) -> Iterator[Event]:
    """Decide ``ConfirmEnd``."""
    if _parent(state).attempt == command.attempt and owes_end(state):
        yield EndReported(command.attempt)


def _parent(state: PlannerState) -> ParentTask:
    if state.parent is None:
        raise CommandRejected("the plan is not a sub-plan; no task waits for its end")
    return state.parent


def fold_continuation(state: PlannerState, event: SubPlanContinued) -> None:
    """Fold ``SubPlanContinued``."""
    parent = _parent(state)
    state.parent = ParentTask(parent.plan_id, parent.task_id, event.attempt)
    state.end_reported = False


def fold_report(state: PlannerState, _: EndReported) -> None:
    """Fold ``EndReported``."""
    state.end_reported = True


def stop_sub_plan(state: PlannerState, task: Task) -> None:
    """Fold a request to stop. If the task runs a plan, that plan has to stop."""
    if task.runs_plan and task.id not in state.unregistered:
        state.unregistered.append(task.id)


def leave_family(state: PlannerState, interrupted: Iterable[int]) -> None:
    """Fold a fork: it is not a sub-plan, and begins sub-plans of its own."""
    state.parent, state.end_reported = None, False
    for task_id in interrupted:
        state.tasks[task_id].plan_id = None
