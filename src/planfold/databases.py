"""Databases by their address: the only module that knows the backends.

A backend is imported when an address asks for it: PostgreSQL's driver is an extra.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from planfold.errors import ConfigurationError
from planfold.eventstore.codec import Codec
from planfold.eventstore.port import EventStore

if TYPE_CHECKING:
    from planfold.backends.postgres.inspection import ServerReport as ServerReport
    from planfold.backends.sqlite.inspection import DatabaseReport as DatabaseReport


async def open_store(
    database: str, codec: Codec, clock: Callable[[], float] | None, create: bool
) -> EventStore:
    """The store at an address; ``create`` False: it must be there. ``clock`` None: the database
    server's, or this host's.

    Raises:
        ConfigurationError: the address or the database is not right.
        Transient: its server cannot be reached, or it is locked.
    """
    if is_postgres(database):
        from planfold.backends.postgres.store import PostgresStore

        return await PostgresStore.open(database, codec, clock=clock, create=create)
    from planfold.backends.sqlite.store import SqliteStore

    path = sqlite_path(database)
    return SqliteStore.open(path, codec, clock=clock or time.time, create=create)


def is_postgres(database: str) -> bool:
    """Whether an address is that of a PostgreSQL server."""
    return database.startswith(("postgresql://", "postgres://"))


def sqlite_path(database: str) -> str:
    """The file behind an address. Raises ConfigurationError if it is not an SQLite address."""
    prefix = "sqlite:///"
    if not database.startswith(prefix) or len(database) == len(prefix):
        shown = "this" if "@" in database else repr(database)  # there may be a password in it
        raise ConfigurationError(
            f"{shown} is not a database address; write sqlite:///path/to/file.db, or "
            "postgresql://user:password@host:port/database"
        )
    return database.removeprefix(prefix)


def database_path(database: str) -> Path | None:
    """The file behind an address, which need not exist; None: there is none (a database in
    memory, or on a server). Raises ConfigurationError if the address is invalid."""
    if is_postgres(database):
        return None
    path = sqlite_path(database)
    return None if path == ":memory:" else Path(path)


async def inspect_database(database: str) -> DatabaseReport | ServerReport:
    """Inspect an existing database; it is neither created nor migrated.

    Raises:
        ConfigurationError: it cannot be opened, or is not a database of planfold.
        Transient: its server cannot be reached.
    """
    if is_postgres(database):
        from planfold.backends.postgres.inspection import inspect as inspect_server

        return await inspect_server(database)
    from planfold.backends.sqlite.inspection import inspect

    return inspect(sqlite_path(database))


async def schemas_of(database: str) -> tuple[int, int]:
    """The schema of an existing database, which is not migrated, and the newest one.

    Raises:
        ConfigurationError: it cannot be opened, or is not a database of planfold.
        Transient: its server cannot be reached.
    """
    if is_postgres(database):
        from planfold.backends.postgres.inspection import schemas as schemas_of_server

        return await schemas_of_server(database)
    from planfold.backends.sqlite.inspection import schemas

    return schemas(sqlite_path(database))


async def check_writing(database: str) -> None:
    """Find out whether an existing database can record: a write that is rolled back.

    Raises:
        ConfigurationError: it may not be written.
        Transient: its disk is full, it is locked, or its server cannot be reached.
    """
    if is_postgres(database):
        from planfold.backends.postgres.inspection import check_writing as check_server

        await check_server(database)
    else:
        from planfold.backends.sqlite.inspection import check_writing as check_file

        check_file(sqlite_path(database))


def shown_address(database: str) -> str:
    """An address as people may see it: without a password. Raises ConfigurationError."""
    if not is_postgres(database):
        sqlite_path(database)
        return database
    from planfold.backends.postgres.address import parse_address

    return parse_address(database).shown


def sqlite_version() -> str:
    """Of the SQLite that planfold uses, which need not be the system's."""
    from planfold.backends.sqlite.inspection import sqlite_version

    return sqlite_version()
