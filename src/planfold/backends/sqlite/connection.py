"""Opening the database: pragmas, schema, and SQLite's errors in planfold's words.

The file is only ever opened through SQLite: closing any other descriptor on it would drop this
process's POSIX locks.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from planfold.backends.named_sql import load_steps
from planfold.errors import (
    ConfigurationError,
    CorruptLog,
    Permanent,
    PlanfoldError,
    Transient,
)

APPLICATION_ID = 0x706C6664  # "plfd": marks a planfold database among other SQLite files
BUSY_MS = 10_000
MEMORY = ":memory:"
FRAME_BYTES = 24  # before each page in the write-ahead log
SMALL_CACHE = 10  # pages
PAGE_BYTES = 2048  # of a new file: a commit changes a few bytes on each of about seven pages


def connect(path: str, *, create: bool = True, one_thread: bool = False) -> apsw.Connection:
    """A connection with planfold's pragmas; the schema is brought up to date by :func:`migrate`.
    ``one_thread``: no other thread ever uses it, so that SQLite needs no lock for each value.

    Raises:
        ConfigurationError: the path cannot be opened, is not planfold's, or is too new.
        Transient: another program locks it.
    """
    if path != MEMORY and create:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as fault:
            raise ConfigurationError(f"cannot create the folder of {path!a}: {fault}") from None
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    flags |= apsw.SQLITE_OPEN_NOMUTEX if one_thread else 0
    with translated(path):
        try:
            connection = apsw.Connection(path, flags=flags)
        except ValueError as fault:  # NUL or lone surrogates
            raise ConfigurationError(f"cannot open {path!a}: {fault}") from None
        connection.set_busy_timeout(BUSY_MS)
        connection.execute("PRAGMA synchronous = FULL")
        if path != MEMORY:
            _use_wal(connection, path)
        return connection


def _use_wal(connection: apsw.Connection, path: str) -> None:
    # The journal mode is written into the file, so first make sure that the file is ours.
    _schema_version(connection, path)
    connection.pragma("page_size", PAGE_BYTES)
    deadline = time.monotonic() + BUSY_MS / 1000
    while connection.pragma("journal_mode") != "wal":
        try:
            if connection.pragma("journal_mode", "wal") != "wal":
                raise ConfigurationError(f"{path} is on a file system that does not support WAL")
            return
        except apsw.BusyError:  # SQLite does not wait when two connections switch at the same time
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def grow_log(connection: apsw.Connection, path: str) -> None:
    """Give the write-ahead log of ``path`` the size at which SQLite begins it again from the front.
    A commit that makes the file longer waits for the disk twice. Raises apsw.Error; then nothing
    has changed."""
    size = connection.pragma("wal_autocheckpoint") * (connection.pragma("page_size") + FRAME_BYTES)
    missing = size - os.path.getsize(f"{path}-wal")
    if missing <= 0:
        return
    cached = connection.pragma("cache_size")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.pragma("cache_size", SMALL_CACHE)  # so that pages are written before a commit
        connection.execute("INSERT INTO snapshots VALUES ('', 0, '', zeroblob(?))", (missing,))
    finally:
        connection.pragma("cache_size", cached)
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def migrate(connection: apsw.Connection, path: str) -> int:
    """Bring the schema up to date, one transaction for all steps; returns how many were applied.
    Safe to call from several processes at once.

    Raises:
        ConfigurationError: not a planfold database, or one of a newer planfold.
    """
    steps = migrations()
    with translated(path):
        if _schema_version(connection, path) == len(steps):
            return 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _schema_version(connection, path)
            for _name, sql in steps[version:]:
                connection.execute(sql)
            if version == 0:
                identity = (("store_id", os.urandom(8).hex()), ("created_at", repr(time.time())))
                connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", identity)
                connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", len(steps))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return len(steps) - version


@functools.cache
def migrations() -> list[tuple[str, str]]:
    """Name and SQL of every schema step, in order."""
    return load_steps(__file__)


def _schema_version(connection: apsw.Connection, path: str) -> int:
    # One statement, so that another process's first migration is seen as a whole or not at all.
    found = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) "
        "FROM pragma_application_id, pragma_user_version"
    ).get
    application_id, version, objects = found
    if application_id != APPLICATION_ID and objects:
        raise ConfigurationError(
            f"{path} is an SQLite database of another program; name another file"
        ).about("other database")
    known = len(migrations())
    if version > known:
        raise ConfigurationError(
            f"{path} has schema {version}; this planfold knows up to {known}: upgrade planfold"
        )
    return int(version)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise SQLite's errors as planfold's, with the file and the remedy."""
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as fault:
        raise translate(fault, path) from fault


def translate(fault: apsw.Error | UnicodeDecodeError, path: str) -> PlanfoldError:
    match fault:
        case UnicodeDecodeError():
            return CorruptLog(f"{path} is damaged: it holds text that is not UTF-8 ({fault})")
        case apsw.FullError():
            return Transient(f"the disk of {path} is full; nothing was written, free some space")
        case apsw.BusyError() | apsw.LockedError():
            return Transient(f"{path} is locked by another program; try again")
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return ConfigurationError(f"{path} is read-only; planfold needs to write it")
        case apsw.CantOpenError():
            return ConfigurationError(f"cannot open {path}: {fault}; is it a file you may write?")
        case apsw.NotADBError():
            return ConfigurationError(f"{path} is not an SQLite database; name another file").about(
                "other database"
            )
        case apsw.CorruptError():
            return CorruptLog(f"{path} is damaged ({fault}); restore it from a backup")
        case apsw.ConstraintError() | apsw.SQLError() | apsw.MismatchError():
            return CorruptLog(f"{path} contains data that planfold did not write ({fault})")
        case apsw.TooBigError():
            return Permanent(f"{path}: {fault}; this value is too large for SQLite")
        case _:
            return Transient(f"{path}: {fault}")
