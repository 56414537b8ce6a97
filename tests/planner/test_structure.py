"""The graph checks against brute force on small graphs, and on one that is deep."""

from __future__ import annotations

import itertools
from graphlib import CycleError, TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.planner.structure import critical_path, dangling, find_cycles, waves

Graph = dict[int, list[int]]
DEEP = 100_000

graphs = st.dictionaries(st.integers(1, 8), st.lists(st.integers(1, 9), max_size=4), max_size=8)
dags = st.dictionaries(st.integers(1, 9), st.lists(st.integers(1, 9), max_size=4)).map(
    lambda graph: {task: [p for p in parents if p < task] for task, parents in graph.items()}
)


def has_cycle(graph: Graph) -> bool:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return True
    return False


@pytest.mark.parametrize(
    ("graph", "cycles"),
    [
        ({}, []),
        ({1: [1]}, [(1,)]),
        ({1: [1, 1]}, [(1,)]),
        ({1: [], 2: [1], 3: [1, 2]}, []),
        ({3: [5], 5: [3]}, [(3, 5)]),
        ({5: [3], 3: [5]}, [(3, 5)]),
        ({1: [2], 2: [3], 3: [1, 2]}, [(1, 2, 3), (2, 3)]),
        ({1: [2], 2: [1], 3: [4, 1], 4: [3], 5: [5]}, [(1, 2), (3, 4), (5,)]),
        ({1: [9]}, []),
    ],
)
def test_cycles_are_named_once_from_their_smallest_id(graph: Graph, cycles: object) -> None:
    assert find_cycles(graph) == cycles


@given(graphs)
def test_what_is_found_are_cycles_and_their_end_is_the_end_of_all(graph: Graph) -> None:
    cycles = find_cycles(graph)
    assert bool(cycles) == has_cycle(graph)
    assert len(set(cycles)) == len(cycles)
    for cycle in cycles:
        assert cycle[0] == min(cycle)
        assert len(set(cycle)) == len(cycle)
        for task, parent in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert parent in graph[task]


@given(graphs)
def test_every_knot_is_named(graph: Graph) -> None:
    while cycles := find_cycles(graph):
        for cycle in cycles:
            last, first = cycle[-1], cycle[0]
            graph[last] = [parent for parent in graph[last] if parent != first]
    assert not has_cycle(graph)


@given(graphs)
def test_dangling_is_what_is_no_task(graph: Graph) -> None:
    expected = [(task, p) for task, parents in graph.items() for p in parents if p not in graph]
    assert dangling(graph) == expected


@given(dags)
def test_waves_put_a_task_right_after_its_last_parent(graph: Graph) -> None:
    found = waves(graph)
    level = {task: number for number, tasks in enumerate(found) for task in tasks}
    assert sorted(level) == sorted(graph)
    for task, parents in graph.items():
        assert level[task] == 1 + max((level[p] for p in parents if p in graph), default=-1)


@given(dags, st.lists(st.floats(0, 1e6), min_size=10, max_size=10))
def test_the_critical_path_is_the_heaviest_chain(graph: Graph, weights: list[float]) -> None:
    def heaviest(task: int) -> float:
        return weights[task] + max((heaviest(p) for p in graph[task] if p in graph), default=0.0)

    total, path = critical_path(graph, weights.__getitem__)
    assert total == max(map(heaviest, graph), default=0.0)
    assert sum(weights[task] for task in path) == pytest.approx(total)
    for parent, task in itertools.pairwise(path):
        assert parent in graph[task]


def test_a_cycle_has_no_waves_and_no_critical_path() -> None:
    with pytest.raises(ValueError, match="a cycle: 1 -> 2 -> 1"):
        waves({1: [2], 2: [1]})
    with pytest.raises(ValueError, match="a cycle"):
        critical_path({1: [1]}, float)


def test_depth_is_no_matter() -> None:
    graph = {task: [task - 1] for task in range(2, DEEP + 1)} | {1: []}
    assert find_cycles(graph) == []
    assert len(waves(graph)) == DEEP
    assert critical_path(graph, lambda _: 1.0)[0] == DEEP
    graph[1] = [DEEP]
    assert len(find_cycles(graph)[0]) == DEEP


def test_a_dense_knot_is_still_quick() -> None:
    graph = {task: [p for p in range(300) if p != task] for task in range(300)}
    cycles = find_cycles(graph)
    assert sum(map(len, cycles)) <= 2 * (300 + 300 * 299)
