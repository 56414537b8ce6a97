"""Checks of a map's own fields, and the map of a compiled task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from planfold.drafting.draft import TaskDraft
from planfold.drafting.faults import Faults, excerpt, quoted
from planfold.drafting.fields import kind_of
from planfold.planner.conditions import references_of
from planfold.planner.items import MAX_ITEMS, MAX_MAP, of_item, source_of, written_list
from planfold.planner.references import (
    ITEM,
    OCCURRENCE,
    find_references,
    references_in,
    rename_whole,
    whole_reference,
)
from planfold.planner.tasks import ForEach, NodeKind, TaskSpec

_ONLY_OF_MAPS: Final = (
    *("max_items", "concurrency", "on_item_failure", "item_label", "item_by_item"),
)


def check_map(task: TaskDraft, name: str, faults: Faults) -> None:
    """Every check of a map that needs no other task and no tool."""
    if task.for_each is None:
        for field in _ONLY_OF_MAPS:
            if getattr(task, field) is not None:
                fix = "add for_each, or leave it out"
                faults.add("is only for a map", task=name, field=field, fix=fix)
        return
    written = str(task.for_each).strip()
    whole = whole_reference(written)
    if written_list(written) is not None:
        if "$" in written:
            fix = "write it as JSON in quotes, with \\u0024 for a dollar sign"
            message = "a list that is written out holds no references"
            faults.add(message, task=name, field="for_each", fix=fix)
    elif whole is None or whole.about or whole.target in (*ITEM, OCCURRENCE):
        message = f"{excerpt(written)} is not a reference to a list"
        fix = "write one reference, such as $fetch.invoices, or the list itself"
        faults.add(message, task=name, field="for_each", fix=fix)
    if task.done:
        faults.add(
            "is not used by a task that is done", task=name, field="for_each", fix="remove it"
        )
    if task.label in ITEM:
        message = f"{quoted(task.label)} is what the element of a map is called"
        faults.add(message, task=name, field="label", fix="use another label")
    if task.id is not None and task.id > MAX_MAP:
        message = f"{quoted(task.id)} is too large for a map"
        faults.add(message, task=name, field="id", fix=f"use an id up to {MAX_MAP:,}")
    for field in ("max_items", "concurrency"):
        number = getattr(task, field)
        if number is not None and not 1 <= number <= MAX_ITEMS:
            fix = f"use a number from 1 to {MAX_ITEMS}, or leave it out"
            faults.add(f"{quoted(number)} is out of range", task=name, field=field, fix=fix)
    _check_element(task, name, faults)


def _check_element(task: TaskDraft, name: str, faults: Faults) -> None:
    """A task that says nothing of the element would be the same for each."""
    texts: Any = task.arguments if kind_of(task) is NodeKind.ToolCall else task.description
    field = "arguments" if kind_of(task) is NodeKind.ToolCall else "description"
    if task.wait_for is not None:
        texts, field = task.key or "", "key"
    try:
        found = find_references(texts)
    except RecursionError:
        return  # the check of the arguments says so
    if isinstance(texts, str):
        found = [reference for reference, _, _ in references_in(texts)]
    if not of_item(found):
        fix = "refer to the element: $item, $item.field or $index"
        faults.add("says nothing of the element", task=name, field=field, fix=fix)
    for reference in found:
        if reference.target in ITEM and reference.about:
            fix = f"write ${reference.target}"
            faults.add(
                f"{reference.text}: an element has no {reference.about}",
                task=name,
                field=field,
                fix=fix,
            )


def check_item_by_item(
    specs: Iterable[TaskSpec], existing: Mapping[int, TaskSpec], faults: Faults
) -> None:
    """Check the compiled maps that run item by item behind another one. Raises InvalidPlan."""
    new = {spec.id: spec for spec in specs}
    for spec in new.values():
        if spec.for_each is None or not spec.for_each.item_by_item:
            continue
        source, name = source_of(spec), spec.label or quoted(spec.id)
        of = new.get(source) or existing.get(source)
        if of is None or of.for_each is None or spec.for_each.items != f"${source}":
            message = "item_by_item is for a map over the items of another map"
            fix = "write for_each: $fetch, where fetch has for_each; or leave item_by_item out"
            faults.add(message, task=name, field="for_each", fix=fix)
            continue
        wait = "leave item_by_item out: the task waits for all items then"
        if len([r for r in references_of(spec) if r.target == str(source)]) > 1:
            message = f"refers to task {of.label or quoted(source)} besides its list; that has no "
            message += "result while its items run"
            faults.add(message, task=name, field="item_by_item", fix=wait)
        if spec.run_if != "completed":
            message = "runs beside the items of the other map, so it cannot wait for how that ends"
            faults.add(message, task=name, field="run_if", fix=wait)
    faults.raise_any()


def for_each_of(task: TaskDraft, ids: Mapping[str, int]) -> ForEach | None:
    """The map of a checked task, in which labels are replaced by ids."""
    if task.for_each is None:
        return None
    said = {
        "max_items": task.max_items,
        "concurrency": task.concurrency,
        "on_item_failure": task.on_item_failure,
        "label": task.item_label,
        "item_by_item": task.item_by_item,
    }
    given: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    return ForEach(items=rename_whole(str(task.for_each).strip(), ids), **given)
