"""The statements of this backend, by name, and a connection that runs those that only read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apsw

from planfold.backends.named_sql import load_queries
from planfold.backends.sqlite.connection import translate, translated

SQL = load_queries(__file__)


class ReadConnection:
    """Runs named queries; ``clock`` is the store's."""

    def __init__(self, connection: apsw.Connection, path: str, clock: Callable[[], float]) -> None:
        self.connection = connection
        self.path = path
        self.clock = clock

    def rows(self, name: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a named query; none for a name that is not valid Unicode."""
        try:
            return list(self.connection.execute(SQL[name], bindings))
        except UnicodeEncodeError:
            return []
        except (apsw.Error, UnicodeDecodeError) as fault:
            raise translate(fault, self.path) from fault

    @contextmanager
    def each(self, name: str, bindings: Sequence[Any]) -> Iterator[Iterable[tuple[Any, ...]]]:
        """Iterate over the rows of a named query, inside a block that reads nothing else."""
        cursor = self.connection.cursor()
        try:
            with translated(self.path):
                rows: Iterable[tuple[Any, ...]] = ()
                with suppress(UnicodeEncodeError):
                    rows = cursor.execute(SQL[name], bindings)
                yield rows
        finally:  # an open one keeps all later reads of the connection where it began
            cursor.close(True)

    def value(self, name: str, bindings: Sequence[Any] = ()) -> Any:
        """The first value of a named query, or None."""
        try:
            return self.connection.execute(SQL[name], bindings).get
        except UnicodeEncodeError:
            return None
        except (apsw.Error, UnicodeDecodeError) as fault:
            raise translate(fault, self.path) from fault
