"""Maps in the state of a plan: how one expands, what its end means, and how it is planned again.

The list of a map is a result that is in the log already, so ``MapExpanded`` holds only how many
elements it has. They are read when that event is folded, and kept with the map until it is
planned again from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from planfold.errors import CorruptLog
from planfold.planner.branches import facts_of, results_of
from planfold.planner.budget import Spend
from planfold.planner.conditions import about_element
from planfold.planner.counterparts import counterparts, follow, leave
from planfold.planner.events import MapExpanded
from planfold.planner.items import STRIDE, item_id, item_spec, map_of, source_of, written_list
from planfold.planner.references import ReferenceFault, value_of, whole_reference
from planfold.planner.state import PlannerState
from planfold.planner.step_costs import settle_all
from planfold.planner.tasks import Task, TaskStatus
from planfold.planner.undone import set_aside

NOT_STARTED = "an item before it did not complete, or its map was stopped"


def items_of(state: PlannerState, task: Task) -> Iterator[Task]:
    """The items of a map that has expanded, in order; none of any other task."""
    first = item_id(task.spec.id, 0)
    return (state.tasks[first + place] for place in range(len(task.elements or ())))


def list_of(state: PlannerState, task: Task) -> Any:
    """The list of a map: from its expansion, else the present value of its reference. Raises
    ReferenceFault if it has no value."""
    if task.elements is not None:
        return task.elements
    written = task.spec.for_each.items if task.spec.for_each is not None else ""
    if (found := written_list(written)) is not None:
        return found
    source = state.tasks.get(source_of(task.spec))
    if source is not None and source.elements is not None:
        return results_in_order(state, source)  # as far as they are known
    reference = whole_reference(written)
    if reference is None:
        raise ReferenceFault(written, "it is not a reference")
    return value_of(reference, results_of(state), facts_of(state))


def expand(state: PlannerState, event: MapExpanded) -> None:
    """Fold the expansion, after the map's own status has changed."""
    task = state.tasks[event.task_id]
    elements = None
    if task.spec.for_each is not None:
        with suppress(ReferenceFault):
            elements = list_of(state, task)
    if not isinstance(elements, (list, tuple)) or len(elements) != event.count:
        raise CorruptLog(f"task {task.spec.id} has no list of {event.count:,} elements")
    when = task.spec.when is not None and about_element(task.spec.when)
    if task.elements is None and task.spec.proposed:
        state.spent += Spend(tasks=event.count)
    again, by_item = task.elements is not None, source_of(task.spec) != 0
    task.elements = list(elements)
    new: list[Task] = []
    for key, element in enumerate(elements, item_id(task.spec.id, 0)):
        if key not in state.tasks:
            spec = item_spec(task.spec, key, msgspec.UNSET if by_item else element, when=when)
            item = state.tasks[key] = Task(spec, attempt=task.item_attempts, run=task.run)
            new.append(item)
    if by_item:
        follow(state, task, again=again)
    if again:
        task.halted = any(_halts(task, item) for item in items_of(state, task))
    if (schedule := state.__dict__.get("schedule")) is not None:
        schedule.add_items(task, new)


def item_ended(state: PlannerState, item: Task) -> None:
    """Fold the end of an item: it may keep the other items from starting."""
    task = state.tasks.get(map_of(item.spec.id))
    if task is None or task.halted or not _halts(task, item):
        return
    task.halted = True
    if (schedule := state.__dict__.get("schedule")) is not None:
        schedule.gate(task)


def item_reset(state: PlannerState, item: Task) -> None:
    """Fold a retry of an item: it may have been what kept the others from starting."""
    task = state.tasks.get(map_of(item.spec.id))
    if task is None or not task.halted or task.status is not TaskStatus.Running:
        return
    task.halted = any(_halts(task, other) for other in items_of(state, task))
    if (schedule := state.__dict__.get("schedule")) is not None:
        schedule.gate(task)


def _halts(task: Task, item: Task) -> bool:
    for_each = task.spec.for_each
    stops = for_each is not None and for_each.on_item_failure == "stop"
    return stops and item.status in (TaskStatus.Failed, TaskStatus.Cancelled)


def end_items(state: PlannerState, task: Task) -> None:
    """Fold the end of a map: items that have not started will never start."""
    schedule = state.__dict__.get("schedule")
    waiting = [item for item in items_of(state, task) if item.status is TaskStatus.Planned]
    for item in waiting:
        item.error, item.skip_reason = item.error or NOT_STARTED, "failure"
        item.finished_at = state.updated_at
        if schedule is not None:
            schedule.move(item, TaskStatus.Skipped)
        else:
            item.status, item.not_before = TaskStatus.Skipped, None
        waiting += (i for i in counterparts(state, item) if i.status is TaskStatus.Planned)


def results_in_order(state: PlannerState, task: Task) -> list[Any]:
    """The result of a map: null for an item without one."""
    return [
        item.result if item.status is TaskStatus.Completed else None
        for item in items_of(state, task)
    ]


def answer_of_item_changed(state: PlannerState, item: int) -> None:
    """Fold a changed answer of an item: the result of its map holds that answer."""
    task = state.tasks[map_of(item)]
    if task.status is TaskStatus.Completed:
        task.result = results_in_order(state, task)


def drop_items(state: PlannerState, task: Task) -> None:
    """Remove the items of a map that is planned again from the beginning, because its list may
    change."""
    leave(state, task)
    schedule = state.__dict__.get("schedule")
    for item in list(items_of(state, task)):
        key = item.spec.id
        task.item_attempts = max(task.item_attempts, item.attempt)
        set_aside(state, item.undo_task)
        settle_all(state, key)
        for kept in (state.questions, state.steps_by_task, state.begun_by_task, state.prepared):
            kept.pop(key, None)
        if schedule is not None:
            schedule.remove_item(item)
        del state.tasks[key]
    task.elements = None


def retried_with(state: PlannerState, task: Task) -> list[int]:
    """What a retry plans again with a task: for a map its items that did not complete; for an item
    its map, unless that runs, and those that never started."""
    over = (TaskStatus.Failed, TaskStatus.Cancelled)
    if task.spec.id < STRIDE:
        items = (i for i in items_of(state, task) if i.status in over or _never_started(i))
        return [task.spec.id, *(i.spec.id for i in items)]
    of = state.tasks[map_of(task.spec.id)]
    if of.status is TaskStatus.Running:
        return [task.spec.id]
    items = (i for i in items_of(state, of) if _never_started(i) and i is not task)
    return [of.spec.id, task.spec.id, *(i.spec.id for i in items)]


def _never_started(item: Task) -> bool:
    return item.status is TaskStatus.Skipped and not item.not_needed
