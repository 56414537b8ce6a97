"""Tickets of the wake-up."""

from __future__ import annotations

import asyncio
import gc

import pytest

from planfold.eventstore.wakeup import Wakeup


async def test_a_ticket_is_woken_by_its_key_and_by_everything() -> None:
    wakeup = Wakeup()
    a, b, anything = wakeup.ticket("a"), wakeup.ticket("b"), wakeup.ticket()
    assert wakeup.ticket("a") is a
    wakeup.notify("a")
    assert (a.is_set(), b.is_set(), anything.is_set()) == (True, False, True)
    assert not wakeup.ticket("a").is_set()
    wakeup.notify()
    assert b.is_set()


async def test_tickets_are_forgotten_when_no_caller_waits() -> None:
    wakeup = Wakeup()
    held = wakeup.ticket("held")
    for number in range(1_000):
        wakeup.ticket(f"plan-{number}")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wakeup.ticket(f"late-{number}").wait(), 0)
    gc.collect()
    assert len(wakeup._keyed) == 1
    wakeup.notify("held")
    assert held.is_set()
