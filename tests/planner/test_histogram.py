"""Histograms of durations."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.readmodels.histogram import SHORTEST_S, Histogram

durations = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60)


def histogram(values: list[float]) -> Histogram:
    found = Histogram()
    for value in values:
        found.add(value)
    return found


@given(durations, st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_right_to_two_percent(values: list[float], share: float) -> None:
    ordered = sorted(values)
    place = next(i for i in range(len(ordered)) if i + 1 >= share * len(ordered))
    found = histogram(values).quantile(share)
    assert found == pytest.approx(ordered[place], rel=0.012, abs=SHORTEST_S)


@given(durations, st.integers(0, 99))
def test_the_order_does_not_matter(values: list[float], seed: int) -> None:
    shuffled = random.Random(seed).sample(values, len(values))
    whole = histogram(values[:3])
    whole.merge(histogram(values[3:]))
    assert histogram(values) == histogram(shuffled) == whole


@given(durations, st.integers(-7, 20))
def test_powers_of_two_are_bounds(values: list[float], exponent: int) -> None:
    expected = sum(value <= 2.0**exponent for value in values)
    assert histogram(values).up_to(exponent) == expected


def test_of_nothing() -> None:
    assert (Histogram().mean, Histogram().quantile(0.5)) == (0.0, 0.0)
    assert histogram([1.0, 2.0]).mean == 1.5
