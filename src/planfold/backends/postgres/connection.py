"""Connections to the server. They keep no state beyond a transaction, so a pooler in transaction
mode can be used (``?pooled=true``); only the listener needs a direct connection."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Self

import asyncpg

from planfold.backends.postgres.address import Address
from planfold.backends.postgres.faults import NEEDED, translate
from planfold.backends.postgres.queries import SQL
from planfold.errors import ConfigurationError

CONNECT_S = 10.0
OLDEST_SERVER = 14
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
DatabaseRow = asyncpg.Record


class ServerConnection:
    """One connection. Its errors are asyncpg's; the caller decides whether to try again."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection
        self._prepared: dict[str, asyncpg.prepared_stmt.PreparedStatement[Any]] = {}

    @classmethod
    async def open(cls, address: Address) -> Self:
        """Connect; raises what asyncpg raises, and ConfigurationError for a server that is too
        old or a database that cannot hold every text."""
        connection = await asyncpg.connect(
            address.dsn,
            timeout=CONNECT_S,
            statement_cache_size=0 if address.pooled else 100,
            max_cached_statement_lifetime=0,
        )
        try:
            _require_suitable(connection, address)
        except BaseException:
            connection.terminate()
            raise
        return cls(connection)

    @property
    def closed(self) -> bool:
        return self.connection.is_closed()

    async def rows(
        self, name: str, *arguments: Any, timeout: float | None = None
    ) -> list[DatabaseRow]:
        """All rows of a named statement, in one round trip (two when it is the first time)."""
        statement = self._prepared.get(name)
        if statement is None:
            # Without a name nothing is kept on the server: it is parsed each time it is used.
            statement = await self.connection.prepare(SQL[name], timeout=timeout)
            self._prepared[name] = statement
        return await statement.fetch(*arguments, timeout=timeout)

    async def value(self, name: str, *arguments: Any) -> Any:
        """The first value of a named statement, or None."""
        rows = await self.rows(name, *arguments)
        return rows[0][0] if rows else None

    async def close(self) -> None:
        """Close the connection; errors are ignored."""
        with suppress(Exception):
            await self.connection.close(timeout=1.0)
        self.terminate()

    def terminate(self) -> None:
        with suppress(Exception):
            self.connection.terminate()


async def connect(address: Address) -> ServerConnection:
    """A connection of which the first thing may go wrong.

    Raises:
        ConfigurationError: address, password, database or server are not right.
        Transient: the server cannot be reached or has no connection left.
    """
    try:
        return await ServerConnection.open(address)
    except (Exception, asyncio.CancelledError) as fault:
        if isinstance(fault, asyncio.CancelledError):
            raise
        raise translate(fault, address) from None


def _require_suitable(connection: asyncpg.Connection[Any], address: Address) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise ConfigurationError(
            f"{address.shown} is PostgreSQL {version.major}.{version.minor}; {NEEDED}"
        )
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")
    if encoding.upper() != "UTF8":
        raise ConfigurationError(
            f"{address.shown} has the encoding {encoding}, which cannot hold every text; make the "
            "database with `createdb --encoding=UTF8 --template=template0`"
        )


def elapsed() -> float:
    """Monotonic seconds, including the time that this host slept where the system counts it
    (Linux)."""
    return time.clock_gettime(_CLOCK)


class DatabaseClock:
    """The server's time without asking it: its clock at the last answer, and the time since by
    :func:`elapsed`, because the wall clock of this host may jump."""

    KEEP_S = 60.0

    def __init__(self) -> None:
        self._offset = time.time() - elapsed()
        self._doubt = float("inf")
        self._heard_at = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return elapsed() + self._offset

    def heard(self, at: float, asked: float) -> None:
        """The server said ``at`` in answer to what was ``asked`` at that time of
        ``elapsed()``."""
        now = elapsed()
        doubt = (now - asked) / 2
        offset = at - (asked + now) / 2
        jumped = abs(offset - self._offset) > doubt + self._doubt
        if jumped or doubt <= self._doubt or now - self._heard_at > self.KEEP_S:
            self._offset, self._doubt, self._heard_at = offset, doubt, now
