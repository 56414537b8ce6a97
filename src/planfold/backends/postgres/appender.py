"""``Appender``: a connection that appends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from planfold.backends.postgres.address import Address
from planfold.backends.postgres.appends import PendingAppend, answers, arguments
from planfold.backends.postgres.connection import DatabaseClock, ServerConnection, elapsed
from planfold.backends.postgres.faults import is_lost, is_of_replica, is_passing, translate
from planfold.backends.postgres.reader import Backoff
from planfold.errors import PlanfoldError, Transient

PATIENCE_S = 30.0  # how long a batch is sent again and again
AT_LEAST_S = 2.0  # of it are left for what had to wait for others
ANSWER_S = 20.0  # without an answer by then the connection counts as lost


class Appender:
    """One connection that appends a batch of decisions in one round trip. ``patience`` is in
    seconds; ``clock``: None for the server's.

    When the connection breaks after a batch was sent, it is unknown whether it was written; the
    same batch is sent again with the same receipts until there is an answer, so that it has exactly
    one effect.
    """

    def __init__(
        self,
        address: Address,
        heard: DatabaseClock,
        lease_s: float,
        clock: Callable[[], float] | None,
    ) -> None:
        self._address = address
        self._heard = heard
        self._lease_s = lease_s
        self._clock = clock
        self._session: ServerConnection | None = None
        self.patience = PATIENCE_S

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def commit(self, batch: Sequence[PendingAppend]) -> Sequence[int | PlanfoldError]:
        """Commit all decisions in one transaction. If that fails, commit each in its own, so that a
        bad one does not fail the others."""
        try:
            return await self._send(batch)
        except GaveUp as fault:
            return [Transient(str(fault))] * len(batch)
        except Exception as fault:
            if len(batch) == 1:
                return [translate(fault, self._address)]
        return [result for decision in batch for result in await self.commit([decision])]

    async def _send(self, batch: Sequence[PendingAppend]) -> Sequence[int | PlanfoldError]:
        """Send the batch until there is an answer.

        Raises:
            GaveUp: there was none.
            Exception: the answer is an error, and nothing was written.
        """
        backoff = Backoff(self.patience)
        backoff.ends = max(
            batch[0].submitted + self.patience, time.monotonic() + min(AT_LEAST_S, self.patience)
        )
        unknown = False  # whether an earlier attempt was written
        while True:
            session = None
            try:
                session = await self._connected()
                return await self._ask(session, batch)
            except Exception as fault:
                lost = is_lost(fault)
                unknown |= lost and session is not None
                if is_of_replica(fault):
                    self._disconnect()
                if not (lost or unknown or is_passing(fault)):
                    raise
                if lost:
                    self._disconnect()
                if not await backoff.pause():
                    outcome = "it is not known whether it was" if unknown else "nothing was"
                    said = translate(fault, self._address)
                    raise GaveUp(f"{said}; {outcome} written") from fault

    async def _ask(
        self, session: ServerConnection, batch: Sequence[PendingAppend]
    ) -> Sequence[int | PlanfoldError]:
        clock = None if self._clock is None else self._clock()
        given: Sequence[Any]
        if len(batch) == 1 and batch[0].is_plain:
            given = (*batch[0].plain_arguments(), self._lease_s, clock)
            with suppress(LostLease):
                (last,) = await self._call(session, "append_one", given)
                if last is not None:
                    return [last]
        given = arguments(batch, self._lease_s, clock)
        return answers(batch, *await self._call(session, "append", given))

    async def _call(
        self, session: ServerConnection, name: str, given: Sequence[Any]
    ) -> Sequence[Any]:
        """Call a function of the database; returns its answer without the time at the end."""
        asked = elapsed()
        (row,) = await session.rows(name, *given, timeout=ANSWER_S)
        answer: Sequence[Any]
        *answer, at = row if len(row) > 1 else row[0]
        if self._clock is None:
            self._heard.heard(at, asked)
        return answer

    async def _connected(self) -> ServerConnection:
        if self._session is None or self._session.closed:
            self._session = await ServerConnection.open(self._address)
        return self._session

    def _disconnect(self) -> None:
        if self._session is not None:
            with suppress(Exception):
                self._session.terminate()
            self._session = None


class LostLease(asyncpg.PostgresError):
    """What ``append_one`` fails with."""

    sqlstate = "PF001"


class GaveUp(Exception):
    """There was no answer for too long."""
