"""Whether a task whose parents have ended runs: ``run_if``, the join after a branch, ``when``.

The table in docs/howto/conditions.md lists every case; its cells are tests.
"""

from __future__ import annotations

from collections.abc import Callable

from planfold.compaction.errors import compact_error_message
from planfold.errors import ConfigurationError
from planfold.planner.conditions import ConditionFault, about_element, holds
from planfold.planner.events import TaskStatusUpdated
from planfold.planner.items import index_of, map_of
from planfold.planner.occurrence import occurrence_of
from planfold.planner.references import ARGUMENTS, OCCURRENCE, SELF, Facts, ReferenceFault
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus
from planfold.planner.undone import UNDO

LEFT = "nothing more is undone: a person did not agree"
NOTHING_FAILED = "no task before it failed or was cancelled"
NOTHING_RAN = "the tasks before it were skipped by their conditions"
NONE_NEEDED = "the tasks before it were skipped by hand or by their conditions"


def did_not_complete(task: Task) -> bool:
    """Whether tasks below this one with ``run_if: failed`` run: it failed, was cancelled, or was
    skipped because of such a task."""
    status = task.status
    if status is TaskStatus.Skipped:
        return not task.not_needed
    return status is TaskStatus.Failed or status is TaskStatus.Cancelled


def kept_off(state: PlannerState, task: Task) -> TaskStatusUpdated | None:
    """How a free task ends without running: skipped, or failed by its condition. None if it runs;
    in a plan without conditions, ``run_if`` and skipped tasks, every task does."""
    spec = task.spec
    parents = [state.tasks[i] for i in spec.depends_on]
    if spec.undoes is not None:
        return None if is_agreed(parents) else not_needed(task.id, LEFT)
    if spec.run_if == "failed" and not any(map(did_not_complete, parents)):
        return not_needed(task.id, NOTHING_FAILED)
    none_ran = parents and all(parent.status is TaskStatus.Skipped for parent in parents)
    if spec.run_if == "completed" and none_ran:
        by_hand = any(parent.skip_reason == "by_hand" for parent in parents)
        return not_needed(task.id, NONE_NEEDED if by_hand else NOTHING_RAN)
    if spec.when is None or (spec.for_each is not None and about_element(spec.when)):
        return None
    try:
        holds_now, values = holds(spec.when, results_of(state, task), facts_of(state))
    except (ConditionFault, ConfigurationError) as fault:
        error = compact_error_message(f"when: {fault}", state.config.error_char_limit)
        return TaskStatusUpdated(task.id, TaskStatus.Failed, error=error)
    if holds_now:
        return None
    said = f" ({values})" if values else ""
    error = compact_error_message(
        f"its condition is false: {spec.when}{said}", state.config.error_char_limit
    )
    return not_needed(task.id, error)


def is_agreed(parents: list[Task]) -> bool:
    """Whether a person agreed to undo, or was not asked. ``parents`` are the parents of an undo
    task."""
    asked = [parent for parent in parents if parent.spec.undoes == 0]
    return all(parent.result == UNDO for parent in asked)


def not_needed(task_id: int, why: str) -> TaskStatusUpdated:
    return TaskStatusUpdated(task_id, TaskStatus.Skipped, error=why, skip_reason="condition")


def results_of(state: PlannerState, of: Task | None = None) -> Callable[[int | str], object]:
    """The values that references of a task are resolved with. For an item they include its element;
    for an undo task, the values of the undone task with its result and arguments."""
    item = 0 if of is None else of.spec.undoes or of.spec.id

    def result(task_id: int | str) -> object:
        if task_id == OCCURRENCE:
            return occurrence_of(state)
        if task_id == SELF:
            return state.tasks[item].result
        if task_id == ARGUMENTS:
            return _arguments(state.tasks[item])
        if isinstance(task_id, str):
            elements = state.tasks[map_of(item)].elements
            if elements is None:
                raise LookupError(task_id)
            return index_of(item) if task_id == "index" else elements[index_of(item)]
        task = state.tasks[task_id]
        if task.status is not TaskStatus.Completed:
            why = f"task {task_id} is {task.status.value} and has no result"
            raise ReferenceFault(f"${task_id}", why)
        return task.result

    return result


def _arguments(task: Task) -> object:
    """The arguments that the tool of a task was called with."""
    if task.arguments is None and task.tool is not None:
        return task.tool.arguments
    return task.arguments


def facts_of(state: PlannerState) -> Callable[[int], Facts]:
    """The values of ``:status`` and ``:error``."""

    def facts(task_id: int) -> Facts:
        task = state.tasks[task_id]
        return Facts(task.status.value, task.error)

    return facts
