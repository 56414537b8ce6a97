"""Fan-outs of a graph: tasks of the same shape, which a picture draws as one counted node.

Tasks are of one shape when they do the same (kind, tool, route and the first word of the
description), are equally deep, and have parents and children of the same shapes. Found by partition
refinement (Paige and Tarjan 1987, here in the simple form: pass after pass until nothing is split).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Final

from planfold.planner.structure import waves
from planfold.planner.tasks import TaskSpec

COUNTED_FROM: Final = 8  # tasks; fewer are drawn one by one
_MOST_PASSES: Final = 20  # a shape that takes more to split stays whole


def shapes_of(specs: Sequence[TaskSpec]) -> list[list[TaskSpec]]:
    """The nodes of a picture, each the tasks that it is drawn for: one, or at least
    :data:`COUNTED_FROM` of one shape, in the order of ``specs``."""
    parents = {spec.id: spec.depends_on for spec in specs}
    children: dict[int, list[int]] = {spec.id: [] for spec in specs}
    for spec in specs:
        for parent in spec.depends_on:
            if parent in children:
                children[parent].append(spec.id)
    levels = waves(parents)
    depth = {task: level for level, ids in enumerate(levels) for task in ids}
    classes = _Classes({spec.id: (depth[spec.id], *_work_of(spec)) for spec in specs})
    for _ in range(_MOST_PASSES):
        before = classes.count
        for ids in levels:
            classes.split(ids, parents)
        for ids in reversed(levels):
            classes.split(ids, children)
        if classes.count == before:
            break
    found: dict[Hashable, list[TaskSpec]] = {}
    for spec in specs:
        found.setdefault(classes.node(spec.id), []).append(spec)
    return list(found.values())


def _work_of(spec: TaskSpec) -> tuple[str, ...]:
    first = spec.description.split(maxsplit=1)[:1]
    call = spec.tool.name if spec.tool else ""
    each = ["map"] * (spec.for_each is not None)
    return (
        spec.kind.value,
        spec.queue_route,
        call,
        spec.run_if,
        "when" * bool(spec.when),
        *each,
        *["wait"] * (spec.wait is not None),
        *first,
    )


class _Classes:
    def __init__(self, given: Mapping[int, Hashable]) -> None:
        numbers: dict[Hashable, int] = {}
        self._of = {task: numbers.setdefault(key, len(numbers)) for task, key in given.items()}
        self._sizes = [0] * len(numbers)
        for number in self._of.values():
            self._sizes[number] += 1

    @property
    def count(self) -> int:
        return len(self._sizes)

    def node(self, task: int) -> tuple[int, int]:
        """The node of a task: its class, or the task itself if the class is small."""
        number = self._of[task]
        return number, -1 if self._sizes[number] >= COUNTED_FROM else task

    def split(self, tasks: Collection[int], near: Mapping[int, Collection[int]]) -> None:
        """Divide the classes of these tasks by their neighbours' nodes."""
        parts: dict[int, dict[Hashable, list[int]]] = {}
        for task in tasks:
            key = frozenset(self.node(other) for other in near[task] if other in self._of)
            parts.setdefault(self._of[task], {}).setdefault(key, []).append(task)
        for number, divided in parts.items():
            for ids in list(divided.values())[1:]:
                self._sizes[number] -= len(ids)
                for task in ids:
                    self._of[task] = len(self._sizes)
                self._sizes.append(len(ids))
