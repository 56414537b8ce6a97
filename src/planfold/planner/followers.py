"""Which tasks are planned again together with a task: its followers, and tasks that were undone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from planfold.planner.cancellation import root_cause
from planfold.planner.events import TasksReset
from planfold.planner.graph import blocks
from planfold.planner.items import STRIDE, map_of
from planfold.planner.maps import retried_with
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Task, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.planner.undone import is_undone, refuse_old_undo, refuse_while_undoing


def reset_with_followers(
    state: PlannerState, task: Task, reason: Literal["retry", "by_hand"]
) -> Iterator[TasksReset]:
    """Plan a task again that has ended, and what a retry plans again with it."""
    if task.spec.undoes is not None:
        refuse_old_undo(state, task)
        yield TasksReset((task.id,), reason)
        return
    yield from reset_all(state, [task], reason)


def reset_all(
    state: PlannerState, tasks: Iterable[Task], reason: Literal["retry", "by_hand"]
) -> Iterator[TasksReset]:
    """Plan several ended tasks again, with their followers."""
    refuse_while_undoing(state)
    roots = dict.fromkeys(i for task in tasks for i in retried_with(state, task))
    undone, maps = _undone(state, roots)
    reset, again = _with_followers(state, [*roots, *maps], undone)
    outdated = tuple(i for i in reset if state.tasks[i].outdated)
    if outdated:  # the steps kept for a retry depend on an answer that was changed
        yield TasksReset(tuple(i for i in outdated if map_of(i) not in outdated), "answer_changed")
    gone = {*outdated, *(i for i in reset if map_of(i) in outdated)}
    if rest := tuple(i for i in reset if i not in gone):
        yield TasksReset(rest, reason)
    left = [i for i in undone if map_of(i) not in outdated]  # the others went with their maps
    yield from _from_the_beginning([i for i in again if map_of(i) not in outdated], left)


def _from_the_beginning(again: Iterable[int], undone: Collection[int]) -> Iterator[TasksReset]:
    if undone:
        yield TasksReset(tuple(undone), "undone")
    seen = set(undone)
    if handlers := tuple(i for i in again if i not in seen):
        yield TasksReset(handlers, "handler")


def redo_undone(state: PlannerState, keep: Collection[int] = ()) -> list[TasksReset]:
    """Plan undone tasks again, with their followers, in a plan that continues. The tasks of
    ``keep`` and their items are left out."""
    undone, maps = _undone(state, keep, keep)
    if not undone:
        return []
    reset, again = _with_followers(state, maps, undone)
    rest = tuple(i for i in reset if i not in keep)
    resets = [TasksReset(rest, "retry")] if rest else []
    return [*resets, *_from_the_beginning([i for i in again if i not in keep], undone)]


def _undone(
    state: PlannerState, planned: Collection[int], keep: Collection[int] = ()
) -> tuple[list[int], list[int]]:
    """The undone tasks and items except those to ``keep``, with the maps of the items. Items of a
    map that another task keeps from running stay undone, unless that task is ``planned`` again."""
    undone = [
        task.id
        for task in state.tasks.values()
        if is_undone(state, task) and task.id not in keep and map_of(task.id) not in keep
    ]
    maps = dict.fromkeys(of for i in undone if (of := map_of(i)))
    again = {*planned, *maps, *undone}
    causes = {of: root_cause(state, state.tasks[of]) for of in maps}
    while off := [of for of, cause in causes.items() if cause is not None and cause not in again]:
        again.difference_update(off)
        causes = {of: cause for of, cause in causes.items() if of not in off}
    return [i for i in undone if not map_of(i) or map_of(i) in causes], list(causes)


def _with_followers(
    state: PlannerState, frontier: list[int], undone: Collection[int]
) -> tuple[dict[int, None], tuple[int, ...]]:
    """What a retry plans again: ``frontier`` and what was skipped or cancelled below it; and, to
    run again from the beginning, its handlers that ran, what was ``undone``, and what is below
    those."""
    frontier = list(dict.fromkeys(frontier))
    reset, again = dict.fromkeys(frontier), dict.fromkeys(undone)
    afresh = again.keys() | {map_of(i) for i in undone}
    frontier += (i for i in undone if i not in reset)
    for parent in frontier:
        for child in state.schedule.children[parent]:
            task = state.tasks[child]
            if child in reset or child in again or task.superseded or _may_have_acted(task):
                continue
            if task.status in (TaskStatus.Skipped, TaskStatus.Cancelled):
                planned = {*reset, *again}
                needs = (*task.spec.depends_on, *_needs_of_map(state, task))
                above = (state.tasks[i] for i in needs if i not in planned)
                if task.spec.run_if != "completed" or not any(map(blocks, above)):
                    revived = retried_with(state, task)
                    revived = [i for i in revived if not _may_have_acted(state.tasks[i])]
                    reset |= dict.fromkeys(revived)
                    frontier += revived
            elif (
                child < STRIDE
                and _may_repeat(task)
                and (task.spec.run_if != "completed" or parent in afresh)
            ):
                again[child] = None
                afresh.add(child)
                frontier.append(child)
    return reset, tuple(again)


def _needs_of_map(state: PlannerState, task: Task) -> tuple[int, ...]:
    """What the map of an item depends on, because the map runs again with the item."""
    of = state.tasks.get(map_of(task.id))
    return () if of is None or of.status is TaskStatus.Running else of.spec.depends_on


def _may_have_acted(task: Task) -> bool:
    """Whether the effect of a ``once`` task may have happened before it was stopped; only a person
    retries it then."""
    return task.spec.effect is Effect.Once and task.outcome_unknown


def _may_repeat(task: Task) -> bool:
    """Whether an ended task may run again without a person's consent. A ``once`` task may only if
    its failure was reported."""
    if task.status not in ENDED or task.spec.done:
        return False
    asks = task.kind is NodeKind.Clarification
    failed = task.status is TaskStatus.Failed and not task.outcome_unknown
    return asks or task.spec.effect is not Effect.Once or (failed and task.spec.for_each is None)
