"""Bugs in the client of PostgreSQL. They are found in worlds with the model of its server."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from planfold.backends.postgres.wakeup import Generations
from tests.simulation.planting import planted


@planted("writes of other processes not noticed")
def _() -> Any:
    return patch.multiple(Generations, rise=lambda *_: None, rise_all=lambda _: None)


@planted("refusal of the server taken for its answer")
def _() -> Any:
    return patch("planfold.backends.postgres.appends._refused", lambda *_: 1)
