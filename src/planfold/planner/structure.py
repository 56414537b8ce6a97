"""The shape of a plan's graph: missing parents, cycles, waves, the critical path.

``depends_on`` maps each task to its parents. Everything here is linear in tasks and dependencies
and keeps its own stack, so a chain of 100,000 tasks does not overflow the call stack.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

DependsOn = Mapping[int, Collection[int]]


def dangling(depends_on: DependsOn) -> list[tuple[int, int]]:
    """Every (task, parent) whose parent is not a task."""
    return [
        (task, parent)
        for task, parents in depends_on.items()
        for parent in parents
        if parent not in depends_on
    ]


def find_cycles(depends_on: DependsOn) -> list[tuple[int, ...]]:
    """The cycles, each once; at least one for every strongly connected set of tasks.

    ``(3, 5)`` says that 3 depends on 5 and 5 on 3; the smallest id is first. A graph can
    hold exponentially many cycles: listed are those that a depth-first search closes (Tarjan
    1972). Without their closing dependencies the graph has no cycle. Where they overlap so much
    that writing them out would not be linear, only those without a common dependency are
    listed. Parents that are not tasks are ignored.

    ``used`` holds, for each place of the path, the last place up to it whose dependency (from
    the place before) is in a listed cycle, which shows in O(1) whether a new one overlaps.
    """
    if _is_ordered(depends_on):  # as nearly always
        return []
    cycles: list[tuple[int, ...]] = []
    spare = len(depends_on) + sum(map(len, depends_on.values()))
    place: dict[int, int] = {}  # place on the current path, or -1 once the task is done with
    for root in depends_on:
        if root in place:
            continue
        place[root] = 0
        path, used = [root], [0]
        todo: list[Iterator[int]] = [_parents(depends_on, root)]
        while path:
            parent = next(todo[-1], None)
            if parent is None:
                todo.pop()
                used.pop()
                place[path.pop()] = -1
            elif parent not in place:
                place[parent] = len(path)
                path.append(parent)
                used.append(used[-1])
                todo.append(_parents(depends_on, parent))
            elif (start := place[parent]) >= 0:
                length = len(path) - start
                overlaps = start < used[-1]
                if overlaps and length > spare:
                    continue
                spare -= length if overlaps else 0
                cycles.append(_from_smallest(path[start:]))
                used[start + 1 :] = range(start + 1, len(path))
    return cycles


def _is_ordered(depends_on: DependsOn) -> bool:
    """Whether each task comes after its parents."""
    before: set[int] = set()
    for task, parents in depends_on.items():
        if not before.issuperset(parents):
            return False
        before.add(task)
    return True


def waves(depends_on: DependsOn) -> list[list[int]]:
    """Tasks by the length of the longest chain before them: the first list waits for nothing.

    planfold does not run plans in waves; this is for drawing them. Raises ValueError when there is
    a cycle. Parents that are not tasks are ignored.
    """
    level: dict[int, int] = {}
    for task in _parents_first(depends_on):
        level[task] = 1 + max((level[p] for p in depends_on[task] if p in level), default=-1)
    found: list[list[int]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for task in depends_on:
        found[level[task]].append(task)
    return found


def critical_path(
    depends_on: DependsOn, weight: Callable[[int], float]
) -> tuple[float, tuple[int, ...]]:
    """The heaviest chain of tasks, first to last, and its weight (in the unit of ``weight``).

    It is the least time in which a plan can be done, however much runs at once (Kelley and
    Walker 1959). Raises ValueError when there is a cycle. Parents that are not tasks are
    ignored; the empty plan has weight 0.
    """
    total: dict[int, float] = {}
    before: dict[int, int | None] = {}
    for task in _parents_first(depends_on):
        parents = [p for p in depends_on[task] if p in total]
        before[task] = max(parents, key=total.__getitem__, default=None)
        total[task] = weight(task) + max((total[p] for p in parents), default=0.0)
    if not total:
        return 0.0, ()
    last: int | None = max(depends_on, key=total.__getitem__)
    chain: list[int] = []
    while last is not None:
        chain.append(last)
        last = before[last]
    return total[chain[0]], tuple(reversed(chain))


def _parents(depends_on: DependsOn, task: int) -> Iterator[int]:
    return (parent for parent in dict.fromkeys(depends_on[task]) if parent in depends_on)


def _parents_first(depends_on: DependsOn) -> list[int]:
    """A topological order (Kahn 1962); raises ValueError when there is none."""
    children: dict[int, list[int]] = {task: [] for task in depends_on}
    unmet: dict[int, int] = {}
    for task, parents in depends_on.items():
        known = {p for p in parents if p in depends_on}
        unmet[task] = len(known)
        for parent in known:
            children[parent].append(task)
    order = [task for task, count in unmet.items() if count == 0]
    for task in order:
        for child in children[task]:
            unmet[child] -= 1
            if unmet[child] == 0:
                order.append(child)
    if len(order) < len(depends_on):
        cycle = find_cycles(depends_on)[0]
        raise ValueError("a cycle: " + " -> ".join(map(str, (*cycle, cycle[0]))))
    return order


def _from_smallest(cycle: list[int]) -> tuple[int, ...]:
    start = cycle.index(min(cycle))
    return tuple(cycle[start:] + cycle[:start])
