"""Read-only inspection of a database, for ``planfold doctor``."""

from __future__ import annotations

import apsw
import msgspec

from planfold.backends.findings import Findings
from planfold.backends.sqlite.connection import APPLICATION_ID, BUSY_MS, migrations, translated
from planfold.backends.sqlite.liveness import Liveness, workers_folder
from planfold.backends.sqlite.queries import SQL
from planfold.errors import ConfigurationError


class DatabaseReport(msgspec.Struct):
    """What is in a database file. ``integrity`` is "ok" or says what is damaged; ``owners`` are
    the workers that hold tasks, ``dead_owners`` those whose process has certainly ended."""

    schema: int
    newest_schema: int
    journal_mode: str
    integrity: str
    owners: tuple[str, ...] = ()
    dead_owners: tuple[str, ...] = ()


def inspect(path: str) -> DatabaseReport:
    """Look at the database at ``path``; it is neither created nor migrated.

    Raises:
        ConfigurationError: it cannot be opened, or is not a database of planfold.
    """
    with translated(path):
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            if connection.pragma("application_id") != APPLICATION_ID:
                raise ConfigurationError(f"{path} is not a database of planfold")
            owners = tuple(row[0] for row in connection.execute(SQL["owners"]))
            liveness = Liveness(workers_folder(path))
            return DatabaseReport(
                schema=connection.pragma("user_version"),
                newest_schema=len(migrations()),
                journal_mode=connection.pragma("journal_mode"),
                integrity=_integrity(connection),
                owners=owners,
                dead_owners=tuple(sorted(filter(liveness.is_dead, owners))),
            )
        finally:
            connection.close()


def schemas(path: str) -> tuple[int, int]:
    """The schema of the database at ``path``, and the newest one. Raises as :func:`inspect`."""
    with translated(path):
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            if connection.pragma("application_id") != APPLICATION_ID:
                raise ConfigurationError(f"{path} is not a database of planfold")
            return connection.pragma("user_version"), len(migrations())
        finally:
            connection.close()


def check_writing(path: str) -> None:
    """Write 64 KiB to the write-ahead log and roll them back.

    Raises:
        ConfigurationError: the database may not be written.
        Transient: the disk is full, or another program locks the database.
    """
    with translated(path):
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_MS)
            connection.pragma("cache_size", 1)  # pages: the rest is written before the rollback
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE write_check (data)")
            connection.execute("INSERT INTO write_check VALUES (zeroblob(65536))")
            connection.execute("ROLLBACK")
        finally:
            connection.close()


def _integrity(connection: apsw.Connection) -> str:
    """Of the file; if that is sound, of every event. A log of an older schema has no checksums."""
    said = "; ".join(str(row[0]) for row in connection.execute("PRAGMA quick_check(3)"))
    if said != "ok" or connection.pragma("user_version") != len(migrations()):
        return said
    connection.execute("BEGIN")  # one moment of the log for all of it
    findings = Findings()
    findings.events(connection.execute(SQL["all_events"]))
    findings.streams(connection.execute(SQL["damaged_streams"]))
    findings.positions(connection.execute(SQL["damaged_positions"]))
    connection.execute("COMMIT")
    return str(findings)


def sqlite_version() -> str:
    """Of the SQLite that planfold uses, which need not be the system's."""
    return apsw.sqlite_lib_version()
