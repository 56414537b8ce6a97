"""Stores whose answer does not arrive, once: what was asked has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from planfold.app import App
from planfold.errors import Transient
from planfold.eventstore.port import Append
from planfold.eventstore.queue import Lease

FAULT = "the connection broke; whether it was written is not known"


def lose_append(
    app: App, monkeypatch: pytest.MonkeyPatch, chosen: Callable[[Append], bool]
) -> list[Append]:
    """The next append that is chosen; the list has it once it is lost."""
    append, lost = app.store.append, list[Append]()

    def cut(decision: Append) -> Awaitable[int]:
        if lost or not chosen(decision):
            return append(decision)
        lost.append(decision)

        async def then_fail() -> int:
            await append(decision)
            raise Transient(FAULT)

        return then_fail()

    monkeypatch.setattr(app.store, "append", cut)
    return lost


def lose_append_of(
    app: App, monkeypatch: pytest.MonkeyPatch, event_type: type[Any]
) -> list[Append]:
    """The next append with such an event."""

    def chosen(decision: Append) -> bool:
        return any(isinstance(event, event_type) for event, _ in decision.events)

    return lose_append(app, monkeypatch, chosen)


def lose_claim(
    app: App, monkeypatch: pytest.MonkeyPatch, again: asyncio.Event | None = None
) -> list[Lease]:
    """The next claim that finds a task; the list has what it leased. With ``again`` the
    claim after it returns it, as on PostgreSQL; then the event is set."""
    claim, lost = app.store.queue.claim, list[Lease]()

    async def cut(*args: Any, **options: Any) -> Any:
        if again is not None and lost and not again.is_set():
            again.set()
            return list(lost)
        leases = await claim(*args, **options)
        if leases and not lost:
            lost.extend(leases)
            raise Transient(FAULT)
        return leases

    monkeypatch.setattr(app.store.queue, "claim", cut)
    return lost
