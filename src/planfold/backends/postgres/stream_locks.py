"""``StreamLocks``: processes that decide on the same stream take turns, by an advisory lock of the
server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import asyncpg

from planfold.backends.postgres.connection import ServerConnection
from planfold.backends.postgres.reader import STATEMENT_S, Readers
from planfold.eventstore.stream_lock import WAIT_S, WITHOUT_S, not_locked

HOLD_S: Final = 2.0  # no decision takes longer; a lock that is not released ends then


class StreamLocks:
    """A process holds one lock at a time, on a connection for reading. Behind a pooler in
    transaction mode there are none, because a lock would end with its statement."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._one = asyncio.Lock()
        self._holding: set[asyncio.Task[None]] = set()
        self._not_before = 0.0  # loop time
        self._pooled = readers.address.pooled

    async def lock(self, aggregate_id: str) -> Callable[[], None]:
        """See :meth:`EventStore.lock_stream`."""
        loop = asyncio.get_running_loop()
        if self._pooled or loop.time() < self._not_before:
            return not_locked
        granted: asyncio.Future[bool] = loop.create_future()
        over = asyncio.Event()
        holding = loop.create_task(self._hold(aggregate_id, granted, over))
        self._holding.add(holding)
        holding.add_done_callback(self._holding.discard)
        if await granted:
            return over.set
        self._not_before = loop.time() + WITHOUT_S
        return not_locked

    async def close(self) -> None:
        """Release what is held."""
        for holding in self._holding:
            holding.cancel()
        await asyncio.gather(*self._holding, return_exceptions=True)

    async def _hold(
        self, aggregate_id: str, granted: asyncio.Future[bool], over: asyncio.Event
    ) -> None:
        name = f"planfold stream {aggregate_id}".encode()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)

        async def hold(session: ServerConnection) -> None:
            if self._pooled:
                return
            try:
                await session.rows("lock_stream", key, f"{WAIT_S}s", timeout=STATEMENT_S)
            except asyncpg.LockNotAvailableError:
                return
            if not granted.done():
                granted.set_result(True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(HOLD_S):
                        await over.wait()
            (released,) = (await session.rows("unlock_stream", key, timeout=STATEMENT_S))[0]
            # Else another session holds it, and keeps it: a pooler in transaction mode that the
            # address does not mention.
            self._pooled = not released

        try:
            with suppress(Exception):  # the lock only avoids conflicts
                async with self._one:
                    await self._readers.run(hold, again=False)
        finally:
            if not granted.done():
                granted.set_result(False)
