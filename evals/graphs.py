"""Graphs of tasks to be compared: what each task is, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from planfold.planner.references import find_references, whole_reference
from planfold.planner.structure import DependsOn, critical_path, waves
from planfold.planner.tasks import TaskSpec


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task as it is compared: what it says, the tool it calls, and with what.

    A reference in ``arguments`` becomes ``[tool, path...]`` of the task that it points to, so
    that two plans with other ids can be compared.
    """

    text: str
    tool: str = ""
    arguments: dict[str, Any] = {}


class TaskGraph(msgspec.Struct, frozen=True):
    """Tasks and what each of them depends on, by place in ``nodes``."""

    nodes: tuple[Node, ...]
    depends_on: dict[int, tuple[int, ...]]


Edge = tuple[int, int]  # parent, child


def graph_of(specs: Sequence[TaskSpec]) -> TaskGraph:
    """The graph of a checked plan."""
    place = {spec.id: number for number, spec in enumerate(specs)}
    tools = {spec.id: spec.tool.name if spec.tool else "" for spec in specs}
    nodes = tuple(
        Node(
            spec.description,
            tools[spec.id],
            {} if spec.tool is None else _comparable(spec.tool.arguments, tools),
        )
        for spec in specs
    )
    return TaskGraph(
        nodes,
        {place[spec.id]: tuple(place[p] for p in spec.depends_on if p in place) for spec in specs},
    )


def closure(depends_on: DependsOn) -> frozenset[Edge]:
    """Every (earlier, later) that the dependencies imply. Raises ValueError when there is a
    cycle."""
    before: dict[int, set[int]] = {}
    for wave in waves(depends_on):
        for task in wave:
            parents = [p for p in depends_on[task] if p in depends_on]
            before[task] = set(parents).union(*(before[p] for p in parents))
    return frozenset((earlier, task) for task, all_of in before.items() for earlier in all_of)


def reduction(depends_on: DependsOn) -> frozenset[Edge]:
    """The fewest (parent, child) that imply the same order (Aho, Garey and Ullman 1972): a
    dependency that others imply already is left out. Raises ValueError when there is a cycle."""
    implied = closure(depends_on)
    return frozenset(
        (parent, task)
        for task, parents in depends_on.items()
        for parent in set(parents)
        if parent in depends_on
        and not any((parent, other) in implied for other in parents if other != parent)
    )


def longest_chain(depends_on: DependsOn) -> int:
    """How many tasks must run one after the other, however much runs at once. Raises ValueError
    when there is a cycle."""
    return int(critical_path(depends_on, lambda _: 1.0)[0])


def _comparable(value: Any, tools: dict[int, str]) -> Any:
    if isinstance(value, dict):
        return {key: _comparable(item, tools) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(item, tools) for item in value]
    if not isinstance(value, str):
        return value
    whole = whole_reference(value)
    if whole is not None:
        return [_tool_of(whole.target, tools), *whole.path]
    for reference in find_references(value):
        steps = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in reference.path)
        value = value.replace(reference.text, f"<{_tool_of(reference.target, tools)}{steps}>", 1)
    return value


def _tool_of(target: str, tools: dict[int, str]) -> str:
    return tools.get(int(target), target) if target.isdecimal() else target
