"""Scores of plans against gold plans: what must hold for any two graphs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.graphs import (
    Node,
    TaskGraph,
    closure,
    graph_of,
    longest_chain,
    reduction,
)
from evals.matching import assign, match, same_call, same_words
from evals.scores import ExampleScore, PlanScore, f1, score_plan, summarise
from planfold.planner.tasks import NodeKind, TaskSpec, ToolCall

WORDS = ("wash", "cook", "bake", "paint", "sell", "plant", "repair", "measure", "carry", "sort")


@st.composite
def graphs(draw: st.DrawFn, *, distinct: bool = False, least: int = 0) -> TaskGraph:
    """Plans of up to eight tasks; with ``distinct`` no two say the same."""
    names = draw(st.lists(st.sampled_from(WORDS), min_size=least, max_size=8, unique=distinct))
    depends_on = {
        place: tuple(sorted(draw(st.sets(st.integers(0, place - 1), max_size=3)))) if place else ()
        for place in range(len(names))
    }
    return TaskGraph(tuple(Node(name) for name in names), depends_on)


def shuffled(graph: TaskGraph, order: Sequence[int]) -> TaskGraph:
    """The same plan, its tasks written in another order."""
    new = {old: place for place, old in enumerate(order)}
    return TaskGraph(
        tuple(graph.nodes[old] for old in order),
        {new[old]: tuple(new[p] for p in graph.depends_on[old]) for old in order},
    )


def plan(*tasks: str, **after: Sequence[str]) -> TaskGraph:
    """``plan("a", "b", b=["a"])``: b waits for a."""
    return TaskGraph(
        tuple(map(Node, tasks)),
        {n: tuple(tasks.index(p) for p in after.get(task, ())) for n, task in enumerate(tasks)},
    )


# --- graphs ------------------------------------------------------------------------------------


@given(graphs())
def test_the_reduction_implies_the_same_order_with_nothing_to_spare(graph: TaskGraph) -> None:
    few = reduction(graph.depends_on)
    assert few <= closure(graph.depends_on)

    def order_of(edges: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        return closure({n: [p for p, c in edges if c == n] for n in graph.depends_on})

    assert order_of(few) == closure(graph.depends_on)
    for edge in few:
        assert order_of(few - {edge}) != closure(graph.depends_on)


def test_the_longest_chain_counts_tasks() -> None:
    assert longest_chain(plan("a", "b", "c", b=["a"], c=["b", "a"]).depends_on) == 3
    assert longest_chain({}) == 0


def test_references_are_compared_by_the_tool_they_point_to() -> None:
    first = TaskSpec(id=7, description="x", kind=NodeKind.ToolCall, tool=ToolCall("find", {}))
    call = ToolCall("tell", {"a": "$7.b[0]", "text": "it is $7.b", "price": "$$7"})
    second = TaskSpec(id=9, description="y", tool=call, depends_on=(7,))
    graph = graph_of([first, second])
    assert graph.depends_on == {0: (), 1: (0,)}
    assert graph.nodes[1].arguments == {
        "a": ["find", "b", 0],
        "text": "it is <find.b>",
        "price": "$$7",
    }


# --- matching ----------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), max_size=4))
def test_no_other_assignment_weighs_more(weights: list[list[int]]) -> None:
    pairs = assign(weights)
    assert len(set(pairs.values())) == len(pairs)
    assert all(weights[row][column] > 0 for row, column in pairs.items())
    assert sum(weights[r][c] for r, c in pairs.items()) == best_by_trying(weights, frozenset())


def best_by_trying(weights: list[list[int]], taken: frozenset[int]) -> int:
    if not weights:
        return 0
    first, *rest = weights
    found = [best_by_trying(rest, taken)]
    found += [
        weight + best_by_trying(rest, taken | {column})
        for column, weight in enumerate(first)
        if column not in taken
    ]
    return max(found)


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (0, 3), (2, 5), (5, 2)])
def test_any_shape_can_be_assigned(shape: tuple[int, int]) -> None:
    rows, columns = shape
    pairs = assign([[1] * columns for _ in range(rows)])
    assert len(pairs) == min(shape)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("Wash the dishes", "wash dishes.", 1.0),
        ("Washing the dish", "Washed dishes", 1.0),
        ("Wash the dishes", "Paint the fence", 0.0),
        ("Book a hotel in Rome", "Book the hotel", 0.8),
        ("the", "the", 1.0),
        ("!", "?", 0.0),
        ("!", "!", 1.0),
    ],
)
def test_texts_are_alike_by_their_words(ours: str, theirs: str, expected: float) -> None:
    assert same_words(Node(ours), Node(theirs)) == pytest.approx(expected)


def test_calls_are_alike_by_tool_then_by_arguments() -> None:
    gold = Node("", "add", {"a": 1, "b": "Rome"})
    assert same_call(Node("", "add", {"a": 1.0, "b": " rome"}), gold) == 1.0
    assert same_call(Node("", "add", {"a": 2, "b": "Rome"}), gold) == 0.75
    assert same_call(Node("", "add", {"a": True}), gold) == 0.5
    assert same_call(Node("", "sub", {"a": 1, "b": "Rome"}), gold) == 0.0
    assert same_call(Node(""), Node("")) == 0.0


def test_more_pairs_are_better_than_one_that_is_more_alike() -> None:
    draft = TaskGraph((Node("wash cook bake"), Node("wash cook")), {0: (), 1: ()})
    gold = TaskGraph((Node("wash cook bake"), Node("bake paint wash")), {0: (), 1: ()})
    assert match(draft, gold, same_words) == {0: 1, 1: 0}


def test_between_tasks_with_the_same_words_the_dependencies_decide() -> None:
    gold = TaskGraph((Node("wash"), Node("cook"), Node("wash")), {0: (), 1: (0,), 2: (1,)})
    draft = shuffled(gold, [2, 1, 0])
    assert score_plan(draft, gold, same_words).edge_f1 == 1.0


# --- scores ------------------------------------------------------------------------------------


@given(graphs(distinct=True, least=1))
def test_a_plan_against_itself_is_perfect(graph: TaskGraph) -> None:
    score = score_plan(graph, graph, same_words)
    assert (score.node_f1, score.edge_f1, score.critical_path_ratio) == (1.0, 1.0, 1.0)
    assert score.ordered_falsely == score.order_missed == 0


@given(st.data(), graphs(), graphs())
def test_in_which_order_the_tasks_are_written_makes_no_difference_to_nodes(
    data: st.DataObject, draft: TaskGraph, gold: TaskGraph
) -> None:
    order = data.draw(st.permutations(range(len(draft.nodes))))
    assert (
        score_plan(draft, gold, same_words).node_f1
        == score_plan(shuffled(draft, order), gold, same_words).node_f1
    )


@given(st.data(), graphs(distinct=True), graphs(distinct=True))
def test_nor_to_any_score_where_tasks_say_different_things(
    data: st.DataObject, draft: TaskGraph, gold: TaskGraph
) -> None:
    ours = data.draw(st.permutations(range(len(draft.nodes))))
    theirs = data.draw(st.permutations(range(len(gold.nodes))))
    assert score_plan(draft, gold, same_words) == score_plan(
        shuffled(draft, ours), shuffled(gold, theirs), same_words
    )


@given(graphs(), graphs())
def test_scores_keep_their_bounds(draft: TaskGraph, gold: TaskGraph) -> None:
    score = score_plan(draft, gold, same_words)
    assert 0 <= score.node_f1 <= 1
    assert 0 <= score.edge_f1 <= 1
    assert score.matched <= min(score.tasks, score.gold_tasks)
    assert 0 <= score.ordered_falsely <= score.ordered
    assert 0 <= score.order_missed <= score.gold_ordered
    assert score.critical_path_ratio is None or score.critical_path_ratio > 0


@given(graphs(), graphs())
def test_implied_dependencies_change_nothing(draft: TaskGraph, gold: TaskGraph) -> None:
    full = {n: tuple(p for p, c in closure(draft.depends_on) if c == n) for n in draft.depends_on}
    spelled_out = TaskGraph(draft.nodes, full)
    assert score_plan(spelled_out, gold, same_words) == score_plan(draft, gold, same_words)
    full = {n: tuple(p for p, c in closure(gold.depends_on) if c == n) for n in gold.depends_on}
    assert score_plan(draft, TaskGraph(gold.nodes, full), same_words) == score_plan(
        draft, gold, same_words
    )


def test_what_each_score_sees() -> None:
    gold = plan("wash", "cook", "bake", "sell", sell=["wash", "cook", "bake"])
    chain = plan("wash", "cook", "bake", "sell", cook=["wash"], bake=["cook"], sell=["bake"])
    score = score_plan(chain, gold, same_words)
    assert score.node_f1 == 1.0
    assert score.edge_f1 == pytest.approx(2 / 6)
    assert score.false_dependencies == 0.5
    assert score.missed_dependencies == 0.0
    assert score.critical_path_ratio == 2.0
    loose = score_plan(plan("wash", "sell", "paint"), gold, same_words)
    assert loose.node_f1 == pytest.approx(4 / 7)
    assert (loose.false_dependencies, loose.missed_dependencies) == (None, 1.0)
    assert loose.critical_path_ratio == 0.5


def test_the_wrong_way_round_is_false_and_missed() -> None:
    score = score_plan(
        plan("wash", "cook", wash=["cook"]), plan("wash", "cook", cook=["wash"]), same_words
    )
    assert (score.edge_f1, score.false_dependencies, score.missed_dependencies) == (0.0, 1.0, 1.0)


def test_arguments_count_where_calls_are_compared() -> None:
    gold = TaskGraph((Node("", "add", {"a": 1, "b": 2}),), {0: ()})
    draft = TaskGraph((Node("", "add", {"a": 1, "c": 2}),), {0: ()})
    assert score_plan(draft, gold, same_call).argument_f1 == 0.5
    assert score_plan(draft, gold, same_call).node_f1 == 1.0


def test_nothing_against_nothing_is_no_fault() -> None:
    assert f1(0, 0, 0) == 1.0
    assert score_plan(plan(), plan("wash"), same_words).node_f1 == 0.0


def test_a_draft_that_is_not_valid_counts_nothing_in_the_f1_scores() -> None:
    good = PlanScore(2, 2, 2, 1.0, 1.0, ordered=1, gold_ordered=1, critical_path_ratio=1.0)
    found = summarise(
        [
            ExampleScore("a", True, True, good, tokens=10),
            ExampleScore("b", False, False, None, rounds=3, tokens=30),
        ],
        calls_compared=False,
    )
    assert (found.node_f1, found.edge_f1) == (0.5, 0.5)
    assert (found.valid_before, found.valid_after) == (0.5, 0.5)
    assert (found.false_dependencies, found.critical_path_ratio) == (0.0, 1.0)
    assert (found.rounds, found.tokens, found.argument_f1) == (1.5, 20.0, None)


def test_of_no_examples_there_is_no_mean() -> None:
    found = summarise([], calls_compared=True)
    assert (found.examples, found.node_f1, found.missed_dependencies) == (0, None, None)
