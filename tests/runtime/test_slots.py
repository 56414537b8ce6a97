"""Which dispatched tasks get a place in the commit that dispatches them."""

from __future__ import annotations

from planfold.handler import Enqueue
from planfold.runtime.slots import Slots


def test_a_task_that_got_no_place_is_known_to_wait() -> None:
    slots = Slots("me", 1, routes=frozenset({"r"}))
    slots.open = True
    assert slots.reserve("a", Enqueue(1, 1, "r"))
    assert not slots.reserve("a", Enqueue(2, 1, "other"))
    assert not slots.waiting, "it does not serve that route"
    assert not slots.reserve("a", Enqueue(3, 1, "r"))
    assert slots.waiting
