"""``PostgresWriter``: group commit over the connections that append.

Decisions that arrive during a commit wait and are committed together. A full batch does not wait:
it goes over the second connection, so that the server works on one batch while this process
decides the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from planfold.backends.postgres.address import Address
from planfold.backends.postgres.appender import Appender
from planfold.backends.postgres.appends import PendingAppend
from planfold.backends.postgres.connection import DatabaseClock
from planfold.errors import PlanfoldError, Transient
from planfold.eventstore.port import leaves_work

CONNECTIONS = 2
CLOSING_PATIENCE_S = 5.0
FULL = 32  # decisions in a batch
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
        self._committed = committed
        self._waiting: list[PendingAppend] = []
        self._appenders = [Appender(address, heard, lease_s, clock) for _ in range(CONNECTIONS)]
        self._idle = list(self._appenders)
        self._committing: set[asyncio.Task[None]] = set()
        self._sent: dict[PendingAppend, None] = {}  # and not answered

    def submit(self, decision: PendingAppend) -> None:
        """Write this decision in the next transaction."""
        self._waiting.append(decision)
        begins = len(self._idle) == CONNECTIONS
        if begins or (self._idle and len(self._waiting) >= FULL):
            # It begins in the next round of the event loop, with all that was submitted by then.
            task = asyncio.get_running_loop().create_task(self._commit_all(self._idle.pop()))
            self._committing.add(task)
            task.add_done_callback(self._committing.discard)

    async def settle(self, within: float) -> None:
        """Wait until all decisions submitted so far are answered, at most ``within`` seconds."""
        submitted = [decision.future for decision in (*self._sent, *self._waiting)]
        if submitted:
            await asyncio.wait(submitted, timeout=within)

    async def close(self) -> None:
        """Commit what waits, then close the connections."""
        for appender in self._appenders:
            appender.patience = CLOSING_PATIENCE_S
        while self._committing:
            await asyncio.wait(self._committing)
        for appender in self._appenders:
            await appender.close()

    async def _commit_all(self, appender: Appender) -> None:
        try:
            while self._waiting:
                if self._sent and len(self._waiting) < FULL:
                    break  # the other connection sends them
                batch = self._next_batch()
                if not batch:
                    break
                self._sent.update(dict.fromkeys(batch))
                try:
                    results = await appender.commit(batch)
                except BaseException as fault:
                    self._fail(batch, fault)
                    raise
                finally:
                    for decision in batch:
                        del self._sent[decision]
                self._deliver(batch, results)
        finally:
            self._idle.append(appender)

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
        """The next waiting decisions, up to the first that depends on one before it. So positions
        of a stream, and of commands with one id, rise in the order of submission."""
        waiting = self._waiting
        if len(waiting) == 1 and not self._sent:
            self._waiting = []
            return waiting
        aggregates = {decision.append.aggregate_id for decision in self._sent}
        commands = {record.command_id for sent in self._sent for record in sent.append.commands}
        size = count = 0
        for decision in waiting[:FULL]:
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
