"""How close a drafted plan is to the gold plan, and the averages over many.

All scores are pure functions of two graphs. A dependency that others imply already changes none
of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import msgspec

from evals.graphs import TaskGraph, closure, longest_chain, reduction
from evals.matching import Similarity, equal_arguments, match


class PlanScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """One draft against its gold plan. None: the question does not arise.

    ``node_f1``: tasks that have a partner in the other plan. ``edge_f1``: dependencies, without
    the implied ones, that join partners in both plans. ``false_dependencies``: of the pairs of
    partners that the draft puts in an order, how many the gold plan leaves free;
    ``missed_dependencies``: of those that the gold plan orders, how many the draft leaves free
    (both also count what dependencies imply). ``critical_path_ratio``: the longest chain of the
    draft in tasks, divided by the gold plan's. ``argument_f1``: arguments of paired calls that
    have the gold value, where calls are compared.
    """

    tasks: int
    gold_tasks: int
    matched: int
    node_f1: float
    edge_f1: float
    ordered: int = 0
    ordered_falsely: int = 0
    gold_ordered: int = 0
    order_missed: int = 0
    critical_path_ratio: float | None = None
    argument_f1: float | None = None

    @property
    def false_dependencies(self) -> float | None:
        """The share of the draft's orderings that are false."""
        return _share(self.ordered_falsely, self.ordered)

    @property
    def missed_dependencies(self) -> float | None:
        """The share of the gold plan's orderings that are missed."""
        return _share(self.order_missed, self.gold_ordered)


def score_plan(draft: TaskGraph, gold: TaskGraph, similarity: Similarity) -> PlanScore:
    """Raises ValueError when either has a cycle."""
    pairs = match(draft, gold, similarity)
    partners = set(pairs.values())
    ours = {(pairs[a], pairs[b]) for a, b in closure(draft.depends_on) if a in pairs and b in pairs}
    theirs = {(a, b) for a, b in closure(gold.depends_on) if a in partners and b in partners}
    edges, gold_edges = reduction(draft.depends_on), reduction(gold.depends_on)
    kept = sum((pairs.get(a), pairs.get(b)) in gold_edges for a, b in edges)
    chain = longest_chain(gold.depends_on)
    return PlanScore(
        tasks=len(draft.nodes),
        gold_tasks=len(gold.nodes),
        matched=len(pairs),
        node_f1=f1(len(pairs), len(draft.nodes), len(gold.nodes)),
        edge_f1=f1(kept, len(edges), len(gold_edges)),
        ordered=len(ours),
        ordered_falsely=len(ours - theirs),
        gold_ordered=len(theirs),
        order_missed=len(theirs - ours),
        critical_path_ratio=(
            longest_chain(draft.depends_on) / chain if chain and draft.nodes else None
        ),
        argument_f1=_argument_f1(draft, gold, pairs),
    )


def f1(common: int, ours: int, theirs: int) -> float:
    """The harmonic mean of precision and recall (van Rijsbergen 1979); 1 where there is nothing
    on either side."""
    return 2 * common / (ours + theirs) if ours + theirs else 1.0


def _argument_f1(draft: TaskGraph, gold: TaskGraph, pairs: dict[int, int]) -> float | None:
    calls = [node for node in gold.nodes if node.tool]
    if not calls:
        return None
    equal = sum(equal_arguments(draft.nodes[a], gold.nodes[b]) for a, b in pairs.items())
    ours = sum(len(node.arguments) for node in draft.nodes)
    return f1(equal, ours, sum(len(node.arguments) for node in calls))


class ExampleScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one example.

    ``score`` is that of the plan as it would have run, None where it was not valid even after
    the repairs. ``rounds`` counts repairs, ``tokens`` in and out, ``cost`` US dollars, ``seconds``
    the time of all model calls. ``faults`` are the compiler's complaints about the last draft.
    """

    id: str
    valid_before: bool
    valid_after: bool
    score: PlanScore | None = None
    rounds: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    faults: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True):
    """Means over the examples; None where no example has the number.

    A draft that is not valid counts 0 in the F1 scores and nowhere else but in the validity, the
    rounds and the price. ``critical_path_ratio`` is the median; the two shares of dependencies are
    of all pairs of all examples, ``ordered`` and ``gold_ordered`` how many these are.
    """

    examples: int
    valid_before: float | None
    valid_after: float | None
    node_f1: float | None
    edge_f1: float | None
    argument_f1: float | None
    false_dependencies: float | None
    missed_dependencies: float | None
    ordered: int
    gold_ordered: int
    critical_path_ratio: float | None
    rounds: float | None
    calls: float | None
    tokens: float | None
    cost: float | None
    seconds: float | None


def summarise(examples: Sequence[ExampleScore], *, calls_compared: bool) -> Summary:
    """``calls_compared``: the data set's gold tasks are tool calls, so arguments count."""
    scores = [example.score for example in examples]
    ordered = sum(score.ordered for score in scores if score)
    gold_ordered = sum(score.gold_ordered for score in scores if score)
    return Summary(
        examples=len(examples),
        valid_before=_mean(example.valid_before for example in examples),
        valid_after=_mean(example.valid_after for example in examples),
        node_f1=_mean(score.node_f1 if score else 0.0 for score in scores),
        edge_f1=_mean(score.edge_f1 if score else 0.0 for score in scores),
        argument_f1=_mean((score.argument_f1 or 0.0) if score else 0.0 for score in scores)
        if calls_compared
        else None,
        false_dependencies=_share(sum(s.ordered_falsely for s in scores if s), ordered),
        missed_dependencies=_share(sum(s.order_missed for s in scores if s), gold_ordered),
        ordered=ordered,
        gold_ordered=gold_ordered,
        critical_path_ratio=_median(s.critical_path_ratio for s in scores if s),
        rounds=_mean(example.rounds for example in examples),
        calls=_mean(example.calls for example in examples),
        tokens=_mean(example.tokens for example in examples),
        cost=_mean(example.cost for example in examples),
        seconds=_mean(example.seconds for example in examples),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
