"""``Reader``: named queries on a connection that only reads, and the store's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import apsw

from planfold.backends.sqlite.connection import translated
from planfold.backends.sqlite.queries import SQL


class Reader:
    def __init__(self, connection: apsw.Connection, path: str, clock: Callable[[], float]) -> None:
        self.connection = connection
        self.path = path
        self.clock = clock

    def rows(self, name: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a named query; none for a name that is not valid Unicode."""
        with translated(self.path), suppress(UnicodeEncodeError):
            return list(self.connection.execute(SQL[name], bindings))
        return []

    def value(self, name: str, bindings: Sequence[Any] = ()) -> Any:
        """The first value of a named query, or None."""
        with translated(self.path), suppress(UnicodeEncodeError):
            return self.connection.execute(SQL[name], bindings).get
        return None
