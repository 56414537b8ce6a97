"""The work to do, and how a script of this folder is called: ADDRESS SHAPE.

It prints one JSON line: tasks per second from the submission of the first plan to the last result
that is durable, after a plan of ten tasks that does not count; and the version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple


class Work(NamedTuple):
    """``plans`` plans: a chain, then ``width`` tasks side by side and one that waits for them."""

    plans: int
    chain: int
    width: int

    @property
    def tasks(self) -> int:
        """Of all plans together."""
        return self.plans * (self.chain + self.width + bool(self.width))


SHAPES = {"chain": Work(1, 100, 0), "independent": Work(1, 0, 100), "many": Work(100, 10, 0)}


def main(measure: Callable[[str, Work], float], package: str) -> None:
    """``measure`` returns the seconds that the work took."""
    address, shape = sys.argv[1:]
    work = SHAPES[shape]
    seconds = measure(address, work)
    print(json.dumps({"rate": work.tasks / seconds, "version": version(package)}))
