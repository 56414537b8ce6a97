"""``Layout``: where the nodes and lines of a plan's graph are; the same for terminal and pictures.

A layered drawing (Sugiyama, Tagawa and Toda 1981): a column for each wave, each node near the
middle of its parents, and a narrow lane kept free where a dependency passes other columns. A long
plan is broken into bands below each other, like the lines of a text.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from planfold.planner.structure import waves
from planfold.planner.tasks import TaskSpec
from planfold.readmodels.fan_outs import shapes_of

BOX_W, BOX_H, COUNTED_H = 232, 56, 78
_GAP_X, _GAP_Y, _MARGIN, _LANE_H, _BAND_GAP = 60, 18, 28, 8, 54
_MOST_LANES: Final = 20_000  # a drawing with more lines cannot be read
_MOST_COLUMNS: Final = 12  # side by side; more are broken into bands
_BAND: Final = 8


class Node(msgspec.Struct, frozen=True):
    """One task, or a fan-out of tasks of one shape; ``parents`` are numbers of nodes."""

    tasks: tuple[TaskSpec, ...]
    parents: tuple[int, ...]

    @property
    def counted(self) -> bool:
        """Whether the node represents several tasks."""
        return len(self.tasks) > 1

    @property
    def height(self) -> int:
        """The height of the node's box."""
        return COUNTED_H if self.counted else BOX_H


def graph_of(specs: Iterable[TaskSpec]) -> dict[int, tuple[int, ...]]:
    """The parents of each task."""
    return {spec.id: spec.depends_on for spec in specs}


def reading_order(specs: Iterable[TaskSpec]) -> list[TaskSpec]:
    """Parents before children, otherwise in the order in which the plan was written."""
    tasks = list(specs)
    place = {spec.id: index for index, spec in enumerate(tasks)}
    children: dict[int, list[int]] = {spec.id: [] for spec in tasks}
    unmet: dict[int, int] = {}
    for spec in tasks:
        parents = [parent for parent in spec.depends_on if parent in place]
        unmet[spec.id] = len(parents)
        for parent in parents:
            children[parent].append(spec.id)
    ready = [place[task_id] for task_id, count in unmet.items() if not count]
    heapq.heapify(ready)
    ordered: list[TaskSpec] = []
    while ready:
        spec = tasks[heapq.heappop(ready)]
        ordered.append(spec)
        for child in children[spec.id]:
            unmet[child] -= 1
            if not unmet[child]:
                heapq.heappush(ready, place[child])
    return ordered


def _nodes_of(specs: Sequence[TaskSpec]) -> list[Node]:
    shapes = shapes_of(reading_order(specs))
    number = {spec.id: index for index, shape in enumerate(shapes) for spec in shape}
    return [
        Node(
            tuple(shape),
            tuple({number[i]: None for spec in shape for i in spec.depends_on if i in number}),
        )
        for shape in shapes
    ]


class Layout:
    """The layout of the graph of ``specs``. ``nodes`` are in reading order; ``columns`` hold their
    numbers, top to bottom; ``width`` and ``height`` are in pixels."""

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        self.nodes = _nodes_of(specs)
        self.columns = waves({n: node.parents for n, node in enumerate(self.nodes)})
        self._column = {node: column for column, ids in enumerate(self.columns) for node in ids}
        self._band = _BAND if len(self.columns) > _MOST_COLUMNS else max(len(self.columns), 1)
        self._middle: dict[tuple[int, int], float] = {}  # (node, column) -> y of box or lane
        self._bottoms: list[float] = []  # of each band
        self._crossing: dict[tuple[int, int], int] = {}  # (node, band) -> its line in the gap
        lanes = self._lanes()
        top = float(_MARGIN)
        for first in range(0, len(self.columns), self._band):
            band = range(first, min(first + self._band, len(self.columns)))
            heights = {column: self._height(column, lanes[column]) for column in band}
            for column in band:
                room = max(heights.values()) - heights[column]
                self._stack(column, lanes[column], top + room / 2)
            self._bottoms.append(top + max(heights.values()))
            top = self._bottoms[-1] + self._cross(band[-1], lanes)
        self.width = 2 * _MARGIN + self._band * (BOX_W + _GAP_X) - _GAP_X
        self.height = (self._bottoms[-1] if self._bottoms else top) + _MARGIN

    def _lanes(self) -> list[list[int]]:
        """For each column, the nodes whose dependencies pass through it."""
        last = dict(self._column)
        for number, node in enumerate(self.nodes):
            for parent in node.parents:
                last[parent] = max(last[parent], self._column[number])
        lanes: list[list[int]] = [[] for _ in self.columns]
        if sum(last[node] - column for node, column in self._column.items()) > _MOST_LANES:
            return lanes
        for number, column in self._column.items():
            for passed in range(column + 1, last[number]):
                lanes[passed].append(number)
        return lanes

    def _height(self, column: int, passing: Sequence[int]) -> float:
        boxes = sum(self.nodes[node].height + _GAP_Y for node in self.columns[column])
        return boxes + len(passing) * (_LANE_H + _GAP_Y) - _GAP_Y

    def _stack(self, column: int, passing: Sequence[int], top: float) -> None:
        """Place the nodes of a column from the top, each near the middle of its parents, so that
        few lines cross."""
        ids = self.columns[column]
        wanted = {node: self._near(column - 1, self.nodes[node].parents) for node in ids}
        wanted |= {~node: self._near(column - 1, [node]) for node in passing}
        ordered = sorted(wanted, key=wanted.__getitem__)
        for key in ordered:
            height = self.nodes[key].height if key >= 0 else _LANE_H
            self._middle[key if key >= 0 else ~key, column] = top + height / 2
            top += height + _GAP_Y
        self.columns[column] = [key for key in ordered if key >= 0]

    def _cross(self, column: int, lanes: Sequence[Sequence[int]]) -> float:
        """Give each node that leads from this column's band into the next a line in the gap between
        them; returns the height of the gap."""
        if column + 1 == len(self.columns):
            return 0.0
        leading = {
            parent for node in self.columns[column + 1] for parent in self.nodes[node].parents
        } | set(lanes[column + 1])
        for line, node in enumerate(sorted(leading)):
            self._crossing[node, column] = line
        return float(_BAND_GAP + 5 * len(leading))

    def _near(self, column: int, nodes: Sequence[int]) -> float:
        if not nodes:
            return 0.0
        return sum(self._at(node, column) for node in nodes) / len(nodes)

    def _at(self, node: int, column: int) -> float:
        return self._middle.get((node, column), self._middle[node, self._column[node]])

    def corner(self, node: int) -> tuple[float, float]:
        """The upper left corner of a node's box."""
        column = self._column[node]
        return self._left(column), self._middle[node, column] - self.nodes[node].height / 2

    def _left(self, column: int) -> float:
        return _MARGIN + column % self._band * (BOX_W + _GAP_X)

    def path(self, parent: int, child: int) -> str:
        """The line from the right of ``parent`` through its lanes to the left of ``child``, in the
        path language of SVG."""
        first, last = self._column[parent], self._column[child]
        y = self._middle[parent, first]
        steps = [f"M{self._left(first) + BOX_W:g} {y:g}"]
        for column in range(first + 1, last + 1):
            middle = self._middle.get((parent if column < last else child, column))
            if middle is None:
                continue
            x = self._left(column)
            tip = x - 2 if column == last else x
            if column % self._band == 0:
                steps.append(self._turn(parent, column, middle, tip))
            else:
                steps.append(f"C{x - 30:g} {y:g} {x - 30:g} {middle:g} {tip:g} {middle:g}")
            y = middle
            if column < last:
                steps.append(f"H{x + BOX_W:g}")
        return "".join(steps)

    def _turn(self, parent: int, column: int, middle: float, tip: float) -> str:
        """The part of a path that leads from the end of a band, below it, to the beginning of the
        next."""
        line = self._crossing.get((parent, column - 1), 0)
        side = 6 + line % 4 * 4
        right = self.width - _MARGIN + side
        below = self._bottoms[column // self._band - 1] + _BAND_GAP / 2 + 5 * line
        return f"H{right:g}V{below:g}H{_MARGIN - side:g}V{middle:g}H{tip:g}"
