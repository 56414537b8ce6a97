"""Items: the tasks that a map (``for_each``) expands to, one for each element of its list.

An item is a task with an id of its own, made of the id of its map and its place in the list. Such
an id is larger than that of any task that is written in a plan, so the two are never confused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from planfold.compaction.truncation import truncate_middle
from planfold.planner.references import (
    ITEM,
    Reference,
    ReferenceFault,
    references_in,
    value_of,
    whole_reference,
    written_out,
)
from planfold.planner.tasks import TaskSpec, Wait

STRIDE: Final = 10**10  # above every id that a draft may give
MAX_MAP: Final = 900_000  # the largest id of a map: those of its items stay exact as JSON numbers
MAX_ITEMS: Final = 100_000  # of one map
_LABEL: Final = 60  # characters
_DESCRIPTION: Final = 20_000  # characters


def item_id(map_id: int, index: int) -> int:
    """The id of the item at ``index`` (from 0) of a map's list."""
    return map_id * STRIDE + index


def map_of(task_id: int) -> int:
    """The id of the map of an item; 0 for every other task."""
    return task_id // STRIDE


def index_of(task_id: int) -> int:
    """The place of an item in its list, from 0."""
    return task_id % STRIDE


def id_text(task_id: int) -> str:
    """A task's id as people write it: ``3``, and ``3[0]`` for the first item of map 3."""
    return f"{map_of(task_id)}[{index_of(task_id)}]" if task_id >= STRIDE else str(task_id)


def written_list(text: str) -> list[Any] | None:
    """The list of a map that is written in the plan as JSON; None where ``text`` is none."""
    if not text.startswith("["):
        return None
    import json  # seldom needed

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def written_json(value: Any) -> str:
    """A value as compact JSON without a dollar, so that nothing in it is a reference."""
    import json  # seldom needed

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("$", "\\u0024")


def of_item(references: Iterable[Reference]) -> bool:
    """Whether one of the references is about the element: ``$item`` or ``$index``."""
    return any(reference.target in ITEM for reference in references)


def source_of(spec: TaskSpec) -> int:
    """The id of the map that a map follows item by item; 0 for every other task."""
    if spec.for_each is None or not spec.for_each.item_by_item:
        return 0
    whole = whole_reference(spec.for_each.items)
    return int(whole.target) if whole is not None and whole.target.isdecimal() else 0


def item_spec(spec: TaskSpec, key: int, element: Any, *, when: bool) -> TaskSpec:
    """The task with the id ``key`` for one element (UNSET: it is not known yet). ``when``: the
    condition of the map is about the element. What follows the map waits for the map, and its
    failures are the map's: an item stops nothing."""
    description, label = _texts(spec, key, element)
    return TaskSpec(
        id=key,
        description=description,
        kind=spec.kind,
        label=label,
        tool=spec.tool,
        attachments=spec.attachments,
        effect=spec.effect,
        retry=spec.retry,
        timeout=spec.timeout,
        stall_timeout=spec.stall_timeout,
        limits=spec.limits,
        wait=_item_wait(spec.wait),
        route=spec.route,
        on_failure="continue",
        when=spec.when if when else None,
        prompt=spec.prompt,
        proposed=spec.proposed,
        tainted=spec.tainted,
        undo=spec.undo,
    )


def with_element(item: TaskSpec, spec: TaskSpec, element: Any) -> TaskSpec:
    """The task of an item of the map ``spec``, once its element is known."""
    description, label = _texts(spec, item.id, element)
    if (description, label) == (item.description, item.label):
        return item
    return msgspec.structs.replace(item, description=description, label=label)


def _texts(spec: TaskSpec, key: int, element: Any) -> tuple[str, str | None]:
    """The description and label of an item. Before its element is known: as planned, and empty."""
    description = spec.description
    if element is msgspec.UNSET:
        return description, None
    if "$" in description:
        description = _written(description, key, element, _DESCRIPTION)
    label = spec.for_each.label if spec.for_each is not None else None
    return description, _written(label, key, element, _LABEL) if label else None


def _item_wait(wait: Wait | None) -> Wait | None:
    """The wait of an item, without the draft of its sub-plan, which would otherwise be in the state
    once for each item."""
    return Wait(plan={}) if wait is not None and wait.plan is not None else wait


def _written(text: str, key: int, element: Any, limit: int) -> str:
    """``text`` with the element inserted. All other references stay."""

    def result(target: int | str) -> Any:
        if isinstance(target, int):
            raise LookupError(target)
        return index_of(key) if target == "index" else element

    found: list[str] = []
    end = 0
    for reference, start, stop in references_in(text):
        if reference.target not in ITEM:
            continue
        try:
            value = value_of(reference, result)
        except ReferenceFault:
            continue
        found += [text[end:start], written_out(value)]
        end = stop
    return truncate_middle("".join((*found, text[end:])), limit)
