"""``PostgresWriter``: the connection that appends, and its group commit.

Decisions that arrive during a commit wait and are committed together, in one round trip. When
the connection breaks after a batch was sent, it is unknown whether it was written; the
same batch is sent again with the same receipts until there is an answer, so that it has exactly
one effect.
"""

from __future__ import annotations

import asyncio
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
from planfold.eventstore.port import leaves_work

PATIENCE_S = 30.0  # how long a batch is sent again and again
AT_LEAST_S = 2.0  # of it are left for what had to wait for others
CLOSING_PATIENCE_S = 5.0
ANSWER_S = 20.0  # without an answer by then the connection counts as lost
MOST_DECISIONS = 64  # of more, this process and the server would take turns
MOST_BYTES = 4_000_000


class PostgresWriter:
    """``clock``: None for the server's. ``committed`` is called after every commit with the new
    versions of streams, and whether workers should look at the queue."""

    def __init__(
        self,
        address: Address,
        heard: DatabaseClock,
        *,
        lease_s: float,
        clock: Callable[[], float] | None,
        committed: Callable[[dict[str, int], bool, set[str]], None],
    ) -> None:
        self._address = address
        self._heard = heard
        self._lease_s = lease_s
        self._clock = clock
        self._committed = committed
        self._session: ServerConnection | None = None
        self._waiting: list[PendingAppend] = []
        self._committing: asyncio.Task[None] | None = None
        self._patience = PATIENCE_S
        self._last: asyncio.Future[int] | None = None

    def submit(self, decision: PendingAppend) -> None:
        """Write it in the next transaction."""
        self._waiting.append(decision)
        self._last = decision.future
        if self._committing is None:
            # It begins in the next round of the event loop, with all that was submitted by then.
            self._committing = asyncio.get_running_loop().create_task(self._commit_all())

    async def settle(self, within: float) -> None:
        """Wait until what was submitted so far is answered, at most ``within`` seconds."""
        if self._last is not None and not self._last.done():
            await asyncio.wait([self._last], timeout=within)

    async def close(self) -> None:
        """Commit what waits, then close the connection."""
        self._patience = CLOSING_PATIENCE_S
        if self._committing is not None:
            await asyncio.wait([self._committing])
        if self._session is not None:
            await self._session.close()

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                try:
                    results = await self._commit(batch)
                except BaseException as fault:
                    self._fail(batch, fault)
                    raise
                self._deliver(batch, results)
        finally:
            self._committing = None

    def _deliver(
        self, batch: Sequence[PendingAppend], results: Sequence[int | PlanfoldError]
    ) -> None:
        streams: dict[str, int] = {}
        quiet: set[str] = set()
        work = False
        for decision, result in zip(batch, results, strict=True):
            decision.answer(result)
            if isinstance(result, int):
                append = decision.append
                streams[append.aggregate_id] = append.expected_version + len(append.events)
                work = work or leaves_work(append)
                if append.quiet:
                    quiet.add(append.aggregate_id)
        if streams:
            self._committed(streams, work, quiet)

    def _fail(self, batch: Sequence[PendingAppend], fault: BaseException) -> None:
        waiting, self._waiting = self._waiting, []
        for decision in (*batch, *waiting):
            decision.answer(Transient(f"it is not known whether it was written: {fault!r}"))

    def _next_batch(self) -> list[PendingAppend]:
        """What waits, up to the first that depends on one before it: so positions rise in the
        order of submission."""
        waiting = self._waiting
        if len(waiting) == 1:
            self._waiting = []
            return waiting
        aggregates: set[str] = set()
        commands: set[str] = set()
        size = count = 0
        for decision in waiting[:MOST_DECISIONS]:
            append = decision.append
            size += decision.size
            ids = {record.command_id for record in append.commands}
            if append.aggregate_id in aggregates or ids & commands or (count and size > MOST_BYTES):
                break
            aggregates.add(append.aggregate_id)
            commands |= ids
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    async def _commit(self, batch: Sequence[PendingAppend]) -> Sequence[int | PlanfoldError]:
        """One transaction for all; if it fails as a whole, one for each, so that a bad one cannot
        take the others with it."""
        try:
            return await self._send(batch)
        except GaveUp as fault:
            return [Transient(str(fault))] * len(batch)
        except Exception as fault:
            if len(batch) == 1:
                return [translate(fault, self._address)]
        return [result for decision in batch for result in await self._commit([decision])]

    async def _send(self, batch: Sequence[PendingAppend]) -> Sequence[int | PlanfoldError]:
        """Send it until there is an answer.

        Raises:
            GaveUp: there was none.
            Exception: the answer is an error, and nothing was written.
        """
        backoff = Backoff(self._patience)
        backoff.ends = max(
            batch[0].submitted + self._patience, time.monotonic() + min(AT_LEAST_S, self._patience)
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
        """What a function of the database answers, without the time at its end."""
        asked = elapsed()
        (row,) = await session.rows(name, *given, timeout=ANSWER_S)
        answer: Sequence[Any]
        *answer, at = row[0]
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
