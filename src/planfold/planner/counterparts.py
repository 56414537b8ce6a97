"""Maps that run item by item: each item depends on its counterpart, the item at the same place of
another map, the source.

An item gets its element, the result of its counterpart, when that completes, so folding an event
costs the same however many items there are. The source knows which maps follow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from planfold.planner.graph import blocks
from planfold.planner.items import index_of, item_id, map_of, source_of, with_element
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus

COMPLETED: Final = TaskStatus.Completed
_KEEP: Final = (TaskStatus.Running, TaskStatus.NeedsClarification, COMPLETED)


def counterparts(state: PlannerState, item: Task) -> Iterator[Task]:
    """The items that wait for this one."""
    source = state.tasks.get(map_of(item.spec.id))
    for follower in source.followed_by if source is not None else ():
        other = state.tasks.get(item_id(follower, index_of(item.spec.id)))
        if other is not None:
            yield other


def pass_on(state: PlannerState, item: Task) -> None:
    """Fold the result of an item: it becomes the element of its counterparts, unless they have
    begun."""
    for other in counterparts(state, item):
        _take(state, other, item)


def _take(state: PlannerState, item: Task, counterpart: Task) -> None:
    of = state.tasks[map_of(item.spec.id)]
    if item.status not in _KEEP and of.elements is not None:
        of.elements[index_of(item.spec.id)] = counterpart.result
        item.spec = with_element(item.spec, of.spec, counterpart.result)


def follow(state: PlannerState, task: Task, *, again: bool) -> None:
    """Fold the expansion of a map that runs item by item: its items get their counterparts.
    ``again``: it had expanded before, and what it follows may have been planned again since."""
    source = state.tasks[source_of(task.spec)]
    if task.spec.id not in source.followed_by:
        source.followed_by = (*source.followed_by, task.spec.id)
    for place in range(len(task.elements or ())):
        item = state.tasks[item_id(task.spec.id, place)]
        counterpart = state.tasks.get(item_id(source.spec.id, place))
        after = () if counterpart is None else (counterpart.spec.id,)
        if item.spec.depends_on != after:
            item.spec = msgspec.structs.replace(item.spec, depends_on=after)
            if again:
                state.__dict__.pop("schedule", None)
        if counterpart is not None and counterpart.status is COMPLETED:
            _take(state, item, counterpart)


def leave(state: PlannerState, task: Task) -> None:
    """Fold that a map loses its items: it follows no other map, and the maps that follow it keep
    their items without counterparts."""
    source = state.tasks.get(source_of(task.spec))
    if source is not None:
        source.followed_by = tuple(i for i in source.followed_by if i != task.spec.id)
    for follower in task.followed_by:
        state.__dict__.pop("schedule", None)
        for place in range(len(state.tasks[follower].elements or ())):
            item = state.tasks[item_id(follower, place)]
            item.spec = msgspec.structs.replace(item.spec, depends_on=())
    task.followed_by = ()


def lost_counterpart(state: PlannerState, item: Task) -> int:
    """The id of the counterpart without which an item cannot run, because it did not complete or no
    longer exists. 0 if the item can run."""
    source = source_of(state.tasks[map_of(item.spec.id)].spec)
    if not source:
        return 0
    counterpart = state.tasks.get(item_id(source, index_of(item.spec.id)))
    if counterpart is not None and item.spec.depends_on and not blocks(counterpart):
        return 0
    return item_id(source, index_of(item.spec.id))
