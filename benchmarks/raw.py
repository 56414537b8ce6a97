"""The physical limit: bare apsw on the same disk, WAL, synchronous=FULL, one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from planfold.backends.sqlite.connection import connect, migrate

INSERT = (
    "INSERT INTO events (stream_id, aggregate_id, version, event_type, event_version, data, "
    "metadata, recorded_at) VALUES ('plan', 'raw', ?, 'TaskStatusUpdated', 1, ?, ?, 0.0)"
)
METADATA = '{"correlation_id":"plan-0123456789","causation_id":"plan-0123456789#1/TaskCompleted"}'


@contextmanager
def database(folder: Path) -> Iterator[apsw.Connection]:
    """An empty database with planfold's own tables, so that rows and indexes are the same."""
    path = str(folder / f"raw-{time.monotonic_ns()}.db")
    connection = connect(path)
    migrate(connection, path)
    try:
        yield connection
    finally:
        connection.close()


def commits_per_second(folder: Path, commits: int = 1_000, rows: int = 1, size: int = 200) -> float:
    """Transactions/s that insert ``rows`` event rows with ``size`` bytes of data each."""
    data = "x" * size
    with database(folder) as connection:
        execute = connection.execute
        begun = time.perf_counter()
        for i in range(commits):
            execute("BEGIN IMMEDIATE")
            if rows == 1:
                execute(INSERT, (i, data, METADATA))
            else:
                values = [(i * rows + k, data, METADATA) for k in range(rows)]
                connection.executemany(INSERT, values)
            execute("COMMIT")
        return commits / (time.perf_counter() - begun)
