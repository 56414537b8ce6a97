"""``Readers``: a few connections for everything that need not wait for the writer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast

from planfold.backends.names import is_storable
from planfold.backends.postgres.address import Address
from planfold.backends.postgres.connection import DatabaseRow, ServerConnection
from planfold.backends.postgres.faults import is_lost, is_of_replica, is_passing, translate
from planfold.errors import PlanfoldError, Transient

T = TypeVar("T")

PATIENCE_S = 10.0  # how long a statement is retried while the server cannot be reached
STATEMENT_S = 60.0  # without an answer by then the connection counts as lost
PAUSE_MIN_S, PAUSE_MAX_S = 0.02, 1.0


class Backoff:
    """Pauses between attempts, growing from 0, with jitter, until ``patience`` seconds have
    passed."""

    def __init__(self, patience: float) -> None:
        self.ends = time.monotonic() + patience
        self._pause = 0.0

    async def pause(self) -> bool:
        """Wait before a retry; returns False immediately when the time for retries has passed."""
        pause = random.uniform(0.5, 1.0) * self._pause
        self._pause = min(max(2 * self._pause, PAUSE_MIN_S), PAUSE_MAX_S)
        if time.monotonic() + pause > self.ends:
            return False
        await asyncio.sleep(pause)
        return True


class Readers:
    """At most ``most`` connections, opened when they are needed; the latest used is used next."""

    def __init__(self, address: Address, first: ServerConnection, most: int = 4) -> None:
        self.address = address
        self._idle = [first]
        self._most = most
        self._free = asyncio.Semaphore(most)
        self._used = 0
        self._asking = 0  # calls that have a connection or wait for one
        self._closed = False

    async def rows(self, name: str, *arguments: Any) -> list[DatabaseRow]:
        """All rows of a named statement that may be executed twice; none where an argument is a
        name that no row can have.

        Raises:
            Transient: the server could not be reached during all retries.
        """
        if not all(is_storable(a) for a in arguments if isinstance(a, str)):
            return []

        async def ask(session: ServerConnection) -> list[DatabaseRow]:
            return await session.rows(name, *arguments, timeout=STATEMENT_S)

        return await self.run(ask)

    async def fetch(self, name: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        """As :meth:`rows`, with columns by name."""
        return cast("list[Mapping[str, Any]]", await self.rows(name, *arguments))

    async def row(self, name: str, *arguments: Any) -> DatabaseRow | None:
        rows = await self.rows(name, *arguments)
        return rows[0] if rows else None

    async def value(self, name: str, *arguments: Any) -> Any:
        """The first value of a named statement, or None."""
        rows = await self.rows(name, *arguments)
        return rows[0][0] if rows else None

    async def run(
        self, work: Callable[[ServerConnection], Awaitable[T]], *, again: bool = True
    ) -> T:
        """Do ``work`` with a connection; ``again``: as often as the connection is lost over it.

        Raises:
            PlanfoldError: what ``work`` led to, in planfold's words; without ``again``
                :class:`LostAnswer` when it is unknown whether it was done.
        """
        backoff = Backoff(PATIENCE_S)
        while True:
            asked = False
            try:
                async with self._connection() as session:
                    asked = True
                    try:
                        return await work(session)
                    except asyncio.CancelledError:
                        session.terminate()  # it may be silent: the next caller gets another
                        raise
            except PlanfoldError:
                raise
            except Exception as fault:
                lost = is_lost(fault)
                if asked and (lost or is_of_replica(fault)):
                    session.terminate()
                    if lost and not again:
                        raise LostAnswer(str(translate(fault, self.address))) from fault
                passing = lost or is_passing(fault)
                if self._closed or not passing or not await backoff.pause():
                    raise translate(fault, self.address) from fault

    def use(self) -> dict[str, int]:
        """See :meth:`EventStore.connections`."""
        idle = sum(not session.closed for session in self._idle)
        free = max(self._most - self._used - idle, 0)
        waiting = self._asking - self._used
        return {"used": self._used, "idle": idle, "free": free, "waiting": waiting}

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[ServerConnection]:
        self._asking += 1
        try:
            async with self._free:
                self._used += 1
                try:
                    session = await self._take()
                    try:
                        yield session
                    finally:
                        self._give_back(session)
                finally:
                    self._used -= 1
        finally:
            self._asking -= 1

    async def _take(self) -> ServerConnection:
        while self._idle:
            session = self._idle.pop()
            if not session.closed:
                return session
        return await ServerConnection.open(self.address)

    def _give_back(self, session: ServerConnection) -> None:
        if self._closed or session.closed:
            session.terminate()
        else:
            self._idle.append(session)

    async def close(self) -> None:
        self._closed = True
        idle, self._idle = self._idle, []
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*(session.close() for session in idle))


class LostAnswer(Transient):
    """The connection broke after the statement was sent."""
