"""Decisions about a map: when it expands, and how it ends once its items have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from planfold.compaction.errors import compact_error_message
from planfold.compaction.truncation import truncate_middle
from planfold.planner.branches import NONE_NEEDED, not_needed
from planfold.planner.budget import Spend
from planfold.planner.cancellation import skip, skip_dependents, stopped
from planfold.planner.events import (
    ClarificationRequested,
    Event,
    MapExpanded,
    TaskStatusUpdated,
)
from planfold.planner.graph import blocks
from planfold.planner.items import MAX_ITEMS, id_text, source_of
from planfold.planner.maps import items_of, list_of
from planfold.planner.questions import BUDGET_CHOICES, STOP
from planfold.planner.references import (
    ReferenceFault,
    described,
    fields_of,
    rename_references,
)
from planfold.planner.state import PlannerState
from planfold.planner.tasks import ForEach, Task, TaskStatus

_NAMED = 3  # items that the end of a map names, and elements that its question shows
_LONGEST_NAME = 40  # characters: of a field that a fault suggests, of an element in a question


def start_map(state: PlannerState, task: Task, skipped: set[int]) -> Iterator[Event]:
    """Expand a map whose turn has come, ask about its count, or fail it. ``skipped``: see
    :func:`skip_dependents`."""
    for_each = task.spec.for_each or ForEach(items="")
    try:
        elements = list_of(state, task)
        if not isinstance(elements, (list, tuple)):
            raise ReferenceFault(for_each.items, _no_list(for_each.items, elements))
    except ReferenceFault as fault:
        yield from _failed(state, task, _with_labels(state, task, f"for_each: {fault}"), skipped)
        return
    count, why = len(elements), _why_asked(state, task, for_each, len(elements))
    if count > MAX_ITEMS:
        error = f"the list has {count:,} elements; a map takes at most {MAX_ITEMS:,}"
        yield from _failed(state, task, error, skipped)
    elif why and task.answers[-1:] == (STOP,):
        yield from _failed(state, task, f"a person stopped it: {count:,} items", skipped)
    elif why and not task.answers:
        first = _first(elements)
        question = f"Run this for {count:,} items? {task.spec.description} ({why}{first})"
        yield ClarificationRequested(task.spec.id, question, BUDGET_CHOICES, then="resume")
    else:
        yield MapExpanded(task.spec.id, count)


def _no_list(reference: str, value: object) -> str:
    """The fault of a value that is not a list. For an object, it names the fields, and the list
    that was perhaps meant."""
    said = f"it is {described(value)}, not a list"
    if not isinstance(value, dict) or not value:
        return said
    lists = sorted(str(n) for n, found in value.items() if isinstance(found, (list, tuple)))
    plain = [name for name in lists if name.isidentifier() and len(name) <= _LONGEST_NAME]
    remedy = f'; revise the plan with for_each "{reference}.{plain[0]}"' if plain else ""
    return f"{said}; it {fields_of(value)}{remedy}"


def _with_labels(state: PlannerState, task: Task, error: str) -> str:
    """``error`` with task ids in references replaced by labels, as the author wrote them."""
    above = (state.tasks[i].spec for i in task.depends_on)
    return rename_references(error, {str(spec.id): spec.label for spec in above if spec.label})


def _why_asked(state: PlannerState, task: Task, for_each: ForEach, count: int) -> str:
    """Why a person has to see the count first; empty if that is not needed."""
    if task.elements is not None:
        return ""  # it has expanded before: only what did not complete runs again
    share = state.config.preview_from
    if count > share * for_each.max_items:
        return f"its max_items is {for_each.max_items:,}"
    if not task.spec.proposed:
        return ""
    spent = state.spent + state.reserved
    if short := state.budget.exceeded(spent, Spend(tasks=count)):
        return short
    most = state.budget.tasks
    if most is None or spent.tasks + count <= share * most:
        return ""
    return f"{spent.tasks:,} of {most:,} tasks of the budget used"


def _first(elements: Sequence[object]) -> str:
    """The first elements, for the person who decides about the count."""
    known = [element for element in elements[:_NAMED] if element is not None]
    said = (truncate_middle(msgspec.json.encode(e).decode(), _LONGEST_NAME) for e in known)
    return f"; the first of the list: {', '.join(said)}" if known else ""


def end_map(state: PlannerState, task: Task, skipped: set[int]) -> Iterator[Event]:
    """End a map: all items that ran have ended, and no other one will start."""
    if task.stopping:
        yield from stopped(state, task, "its items have ended")
        return
    failed = [i for i in items_of(state, task) if _did_not_complete(i)]
    if task.halted:
        yield from _failed(state, task, _said(state, task, failed), skipped)
        return
    source = state.tasks.get(source_of(task.spec))
    if source is not None and blocks(source):
        yield skip(task.spec.id, source.spec.id)
        yield from skip_dependents(state, [task.spec.id], skipped)
        return
    if source is not None and source.not_needed:
        yield not_needed(task.spec.id, NONE_NEEDED)
        return
    error = _said(state, task, failed) if failed else None
    yield TaskStatusUpdated(task.spec.id, TaskStatus.Completed, error=error)


def _failed(state: PlannerState, task: Task, error: str, skipped: set[int]) -> Iterator[Event]:
    error = compact_error_message(error, state.config.error_char_limit)
    yield TaskStatusUpdated(task.spec.id, TaskStatus.Failed, error=error)
    if task.spec.on_failure == "stop":
        yield from skip_dependents(state, [task.spec.id], skipped)


def _did_not_complete(item: Task) -> bool:
    return item.status in (TaskStatus.Failed, TaskStatus.Cancelled)


def _said(state: PlannerState, task: Task, failed: list[Task]) -> str:
    """The items that did not complete: "2 of 30 items did not complete: 3[4]: it is closed; 3[7]:
    ..."."""
    total = len(task.elements or ())
    named = "; ".join(
        f"{id_text(i.spec.id)}: {_line(i.error) or i.status.value}" for i in failed[:_NAMED]
    )
    more = f"; and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
    text = f"{len(failed):,} of {total:,} items did not complete: {named}{more}"
    return compact_error_message(text, state.config.error_char_limit)


def _line(error: str | None) -> str:
    return (error or "").partition("\n")[0][:200]
