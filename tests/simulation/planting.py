"""Bugs that are planted in the code, to prove that the simulation finds them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Bug = Callable[[], AbstractContextManager[Any]]
BUGS: dict[str, Bug] = {}


def planted(name: str) -> Callable[[Bug], Bug]:
    def add(bug: Bug) -> Bug:
        BUGS[name] = bug
        return bug

    return add
