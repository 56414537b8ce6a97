"""Bugs in the client of PostgreSQL. They are found in worlds with the model of its server."""

from __future__ import annotations

import secrets
from typing import Any
from unittest.mock import patch

from planfold.backends.postgres.appends import PendingAppend
from planfold.backends.postgres.connection import DatabaseClock
from planfold.backends.postgres.horizon import TransactionHorizon
from planfold.backends.postgres.wakeup import Generations
from planfold.subscriptions.feed import Horizon
from tests.simulation.planting import planted


@planted("poll skips what is not final")
def _() -> Any:
    """What was committed after a later position is never noticed."""
    right = TransactionHorizon.look

    async def look(horizon: Any, after: int) -> Horizon:
        found = await right(horizon, after)
        return Horizon(found.highest, found.highest, found.highest)

    return patch.object(TransactionHorizon, "look", look)


@planted("writes of other processes not noticed")
def _() -> Any:
    return patch.multiple(Generations, rise=lambda *_: None, rise_all=lambda _: None)


@planted("time of the server not heard")
def _() -> Any:
    return patch.object(DatabaseClock, "heard", lambda *_: None)


@planted("batch sent again without its receipt")
def _() -> Any:
    """What was written counts as refused where its answer was lost."""

    class Forgetful(PendingAppend):
        __slots__ = ()

        @property
        def receipt(self) -> int:
            return secrets.randbits(63)

        @receipt.setter
        def receipt(self, _: int) -> None: ...

    return patch("planfold.backends.postgres.store.PendingAppend", Forgetful)
