"""``Faults``: what goes wrong in a simulation, when and how often, drawn from its seed."""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Final

KINDS: Final = (
    "away",  # the store cannot write or read, and has not
    "lost answer",  # it has written, and its answer is lost
    "conflict",  # it says that another writer was first
    "delay",  # its answers take time
    "crash",  # a process ends
    "stop",  # a worker is stopped and starts again
    "stall",  # a process is suspended
    "clock",  # the clock is set
    "hint",  # a wake-up is lost
    "person",  # a person changes an answer, cancels, retries, revises
    "tool",  # a tool fails
    "slow",  # a tool takes long
)


class Faults:
    """Each kind has numbers of its own, so that leaving one out changes the others little.
    ``without`` are kinds that never happen; nothing happens any more after the ``end``. By the
    ``pace`` of tools people do more or less in that time."""

    def __init__(self, seed: int, without: Collection[str] = ()) -> None:
        self._over = False
        self.pace = Random(f"{seed}/pace").choice((1.0, 1.0, 20.0, 100.0))  # of tools
        self.without = frozenset(without)
        self._random = {kind: Random(f"{seed}/{kind}") for kind in KINDS}
        self._rate: dict[str, float] = {}
        for kind in KINDS:
            rate = self._random[kind].choice((0.0, 0.02, 0.1, 0.3))
            self._rate[kind] = 0.0 if kind in self.without else rate

    def of(self, kind: str) -> Random:
        return self._random[kind]

    @property
    def over(self) -> bool:
        return self._over

    def end(self) -> None:
        self._over = True
        self._rate = dict.fromkeys(KINDS, 0.0)

    def happens(self, kind: str, weight: float = 1.0) -> bool:
        rate = self._rate[kind]
        return rate > 0.0 and self._random[kind].random() < rate * weight

    def may(self, kind: str) -> bool:
        """Whether it may happen now."""
        return self._rate[kind] > 0.0

    @property
    def delays(self) -> bool:
        return self._rate["delay"] > 0.0

    def turns(self) -> int:
        """For how many turns of the event loop an answer is on its way."""
        random = self._random["delay"]
        return random.randrange(1, 8) if self.happens("delay", 2.0) else 0

    def seconds(self) -> float:
        """How long it is on its way besides."""
        if not self.happens("delay"):
            return 0.0
        random = self._random["delay"]
        return random.choice((0.0005, 0.003, 0.003, 0.02, 0.2, 2.0, 12.0)) * random.random()
