"""Bugs in the client of PostgreSQL. They are found in worlds with the model of its server."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from planfold.backends.postgres.appender import Appender
from planfold.backends.postgres.connection import DatabaseClock
from planfold.backends.postgres.wakeup import Generations
from tests.simulation.planting import planted


@planted("writes of other processes not noticed")
def _() -> Any:
    return patch.multiple(Generations, rise=lambda *_: None, rise_all=lambda _: None)


@planted("refusal of the server taken for its answer")
def _() -> Any:
    return patch("planfold.backends.postgres.appends._refused", lambda *_: 1)


@planted("receipt drawn again for each try")
def _() -> Any:
    """So an append whose answer was lost is refused when it is sent again."""
    right = Appender._ask

    def ask(appender: Any, session: Any, batch: Any) -> Any:
        for decision in batch:
            decision.receipt += 1
        return right(appender, session, batch)

    return patch.object(Appender, "_ask", ask)


@planted("clock of the server not heeded")
def _() -> Any:
    return patch.object(DatabaseClock, "heard", lambda *_: None)
