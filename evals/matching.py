"""Which task of a draft corresponds to which task of the gold plan.

Two tasks are alike to a degree from 0 to 1. Among all ways to pair them one to one, taken is the
one with the most pairs, of these the one whose pairs are most alike (an assignment problem, Kuhn
1955), and where that leaves a choice - two tasks with the same words - one that keeps as many
dependencies as a swap of two can. No randomness, no model: the same plans give the same pairs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Final

import msgspec

from evals.graphs import Node, TaskGraph, reduction

Similarity = Callable[[Node, Node], float]

ALIKE: Final = 0.5  # texts that have fewer words in common are different tasks
_UNITS: Final = 1_000_000  # likeness as an integer, so that sums are exact
_SWAPS: Final = 10_000  # pairs of pairs that are looked at, so that a huge draft ends too
_WORD: Final = re.compile(r"[^\W_]+")
_ENDINGS: Final = ("ing", "ed", "es", "s")
_FILLERS: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "in",
        "into",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "that",
        "the",
        "then",
        "this",
        "to",
        "using",
        "with",
        "you",
        "your",
    ]
)


def same_words(draft: Node, gold: Node) -> float:
    """How many words two descriptions share (Dice 1945), or 0 where that is less than half.

    Upper case, filler words and the endings -s, -es, -ed and -ing make no difference.
    """
    ours, theirs = _words(draft.text), _words(gold.text)
    size = ours.total() + theirs.total()
    share = 2 * (ours & theirs).total() / size if size else float(draft.text == gold.text)
    return share if share >= ALIKE else 0.0


def same_call(draft: Node, gold: Node) -> float:
    """0 for another tool, else a half and, for the other half, the share of arguments that are
    equal (of those that either call has)."""
    if not gold.tool or draft.tool != gold.tool:
        return 0.0
    names = draft.arguments.keys() | gold.arguments.keys()
    return 0.5 + 0.5 * (equal_arguments(draft, gold) / len(names) if names else 1.0)


def equal_arguments(draft: Node, gold: Node) -> int:
    """How many arguments have the same value in both calls."""
    missing = object()
    return sum(
        _canonical(draft.arguments.get(name, missing)) == _canonical(value)
        for name, value in gold.arguments.items()
        if name in draft.arguments
    )


def match(draft: TaskGraph, gold: TaskGraph, similarity: Similarity) -> dict[int, int]:
    """The gold task for each task of ``draft`` that has one, by place."""
    alike = [
        [round(similarity(ours, theirs) * _UNITS) for theirs in gold.nodes] for ours in draft.nodes
    ]
    most = _UNITS * (len(draft.nodes) + len(gold.nodes) + 1)
    pairs = assign([[most + cell if cell else 0 for cell in row] for row in alike])
    return _settle_ties(pairs, alike, draft, gold)


def assign(weights: Sequence[Sequence[int]]) -> dict[int, int]:
    """Pairs of row and column, each at most once, with the greatest sum of (non-negative)
    weights; pairs of weight 0 are left out.

    Takes time in short x short x long side, by shortest augmenting paths.
    """
    if not weights or not weights[0]:
        return {}
    if len(weights) > len(weights[0]):
        turned = assign(list(zip(*weights, strict=True)))
        return {row: column for column, row in sorted(turned.items(), key=lambda pair: pair[1])}
    rows, columns = len(weights), len(weights[0])
    row_price, column_price = [0] * (rows + 1), [0] * (columns + 1)
    taken_by = [0] * (columns + 1)  # row (from 1) that has the column; 0: none
    for row in range(1, rows + 1):
        way = _augmenting_path(weights, row, row_price, column_price, taken_by)
        column = way.pop()
        while column:
            before = way[column]
            taken_by[column] = taken_by[before]
            column = before
    found = {taken_by[c] - 1: c - 1 for c in range(1, columns + 1) if taken_by[c]}
    return {row: found[row] for row in sorted(found) if weights[row][found[row]] > 0}


def _augmenting_path(
    weights: Sequence[Sequence[int]],
    row: int,
    row_price: list[int],
    column_price: list[int],
    taken_by: list[int],
) -> list[int]:
    """For each column the one before it on the way from ``row``; the last item is the free
    column where the way ends. Column 0 represents the row itself."""
    columns = len(column_price)
    taken_by[0] = row
    before = [0] * columns
    least: list[int | None] = [None] * columns
    seen = [False] * columns
    here = 0
    while taken_by[here]:
        seen[here] = True
        owner, step, there = taken_by[here], None, 0
        for column in range(1, columns):
            if seen[column]:
                continue
            cost = -weights[owner - 1][column - 1] - row_price[owner] - column_price[column]
            known = least[column]
            if known is None or cost < known:
                least[column], before[column], known = cost, here, cost
            if step is None or known < step:
                step, there = known, column
        assert step is not None, "a row more than columns"
        for column in range(columns):
            if seen[column]:
                row_price[taken_by[column]] += step
                column_price[column] -= step
            elif (known := least[column]) is not None:
                least[column] = known - step
        here = there
    return [*before, here]


def _settle_ties(
    pairs: dict[int, int], alike: list[list[int]], draft: TaskGraph, gold: TaskGraph
) -> dict[int, int]:
    """Swap gold tasks between pairs as long as that costs no likeness and keeps more edges."""
    ours, theirs = reduction(draft.depends_on), reduction(gold.depends_on)

    def kept(chosen: Mapping[int, int]) -> int:
        return sum((chosen.get(a), chosen.get(b)) in theirs for a, b in ours)

    best = kept(pairs)
    looked_at, improved = 0, True
    while improved and looked_at < _SWAPS:
        improved = False
        for one, other in combinations(range(len(draft.nodes)), 2):
            looked_at += 1
            swapped = _swapped(pairs, one, other, alike)
            if looked_at >= _SWAPS:
                break
            if swapped is not None and (found := kept(swapped)) > best:
                pairs, best, improved = swapped, found, True
    return pairs


def _swapped(
    pairs: dict[int, int], one: int, other: int, alike: list[list[int]]
) -> dict[int, int] | None:
    """``pairs`` with the gold tasks of two drafted ones exchanged, if these are as much alike."""
    first, second = pairs.get(one), pairs.get(other)
    if first is None and second is None:
        return None

    def likeness(a: int | None, b: int | None) -> int:
        return (0 if a is None else alike[one][a]) + (0 if b is None else alike[other][b])

    if likeness(second, first) < likeness(first, second):
        return None
    if (second is not None and not alike[one][second]) or (
        first is not None and not alike[other][first]
    ):
        return None
    changed = {k: v for k, v in pairs.items() if k not in (one, other)}
    if second is not None:
        changed[one] = second
    if first is not None:
        changed[other] = first
    return changed


def _words(text: str) -> Counter[str]:
    words = [_stem(word) for word in _WORD.findall(text.casefold())]
    return Counter([word for word in words if word not in _FILLERS] or words)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _canonical(value: object) -> object:
    """Equal for what a person calls the same: 1 and 1.0, upper and lower case at the ends."""
    if isinstance(value, bool):
        return ("boolean", value)  # else True would be 1
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 2**53 else value
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return msgspec.UNSET
