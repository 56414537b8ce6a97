"""``LoggingObserver``: the default observer of a worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from planfold.errors import PlanfoldError

FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
MOST_FAULTS = 100  # that are remembered

_log = logging.getLogger("planfold")


class LoggingObserver:
    """Logs what does not work as a warning: each distinct fault once, then again only after a
    pause that doubles from a minute to an hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._faults: dict[tuple[type[PlanfoldError], str], tuple[float, float]] = {}

    def reported(self, aggregate_id: str, events: Sequence[Any]) -> None:
        """See :class:`Observer`."""

    def trouble(self, fault: PlanfoldError) -> None:
        """See :class:`Observer`."""
        key, now = (type(fault), str(fault)), self._clock()
        quiet_until, pause = self._faults.pop(key, (now, FIRST_PAUSE_S))
        if now >= quiet_until:
            _log.warning("%s: %s", type(fault).__name__, fault)
            quiet_until, pause = now + pause, min(pause * 2, LONGEST_PAUSE_S)
        self._faults[key] = (quiet_until, pause)
        if len(self._faults) > MOST_FAULTS:
            del self._faults[next(iter(self._faults))]
