"""Lanes: an ordered set that is cheap to change."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from planfold.planner.lanes import Lane


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9))))
def test_a_lane_is_a_set_in_order(changes: list[tuple[bool, int]]) -> None:
    lane, expected = Lane(), set[int]()
    for comes, task_id in changes:
        if comes:
            lane.add(task_id)
            expected.add(task_id)
        else:
            lane.discard(task_id)
            expected.discard(task_id)
        assert list(lane) == sorted(expected)
        assert list(islice(lane, 2)) == sorted(expected)[:2]
        assert len(lane) == len(expected)
