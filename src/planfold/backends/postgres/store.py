"""``PostgresStore``: the log and the task queue in one PostgreSQL database.

A process has up to seven connections, each opened when it is needed first: two that append, up to
four for everything else, and one that listens for what other processes write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Self

import asyncpg

from planfold.backends.history import events_of
from planfold.backends.postgres.address import Address, parse_address
from planfold.backends.postgres.appends import PendingAppend
from planfold.backends.postgres.checkpoints import PostgresCheckpoints
from planfold.backends.postgres.connection import (
    CONNECT_S,
    DatabaseClock,
    ServerConnection,
    connect,
    elapsed,
)
from planfold.backends.postgres.faults import translate
from planfold.backends.postgres.horizon import TransactionHorizon
from planfold.backends.postgres.log import PostgresLog
from planfold.backends.postgres.migration import Meta, migrate, read_meta
from planfold.backends.postgres.queue import LEASE_S, PostgresQueue
from planfold.backends.postgres.reader import Readers
from planfold.backends.postgres.stream_locks import StreamLocks
from planfold.backends.postgres.transfer import LARGEST_TEXT, PostgresTransfer
from planfold.backends.postgres.wakeup import OtherProcesses
from planfold.backends.postgres.writer import PostgresWriter
from planfold.backends.rows import envelope_of, head_of
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, History, Query
from planfold.eventstore.event_rows import decode_metadata
from planfold.eventstore.heads import ALL_HEADS, HeadChoice
from planfold.eventstore.port import Append, StreamHead
from planfold.eventstore.positions import subscribe_after
from planfold.eventstore.wakeup import Wakeup
from planfold.handler import Metadata
from planfold.subscriptions.feed import Feed


class PostgresStore:
    """See :class:`planfold.eventstore.port.EventStore`. Belongs to one event loop."""

    def __init__(
        self,
        codec: Codec,
        address: Address,
        first: ServerConnection,
        meta: Meta,
        heard: DatabaseClock,
        clock: Callable[[], float] | None,
    ) -> None:
        self.codec = codec
        self.address = address
        self.clock: Callable[[], float] = clock or heard
        self.wakeup = Wakeup()
        self.store_id = meta.store_id
        self.epoch = meta.epoch
        self._readers = readers = Readers(address, first)
        self.horizon = TransactionHorizon(readers.fetch)
        self.others = OtherProcesses(
            readers.fetch,
            self.horizon,
            self.wakeup,
            connect=None if address.listen_dsn is None else self._connect_listener,
            notify_s=address.notify_s,
        )
        committed = self.others.committed
        self._writer = PostgresWriter(
            address, heard, lease_s=LEASE_S, clock=clock, committed=committed
        )
        self.queue = PostgresQueue(readers, self._writer, self.wakeup, clock)
        self._locks = StreamLocks(readers)
        self.checkpoints = PostgresCheckpoints(readers, self.store_id, clock)
        self.transfer = PostgresTransfer(readers, self.others.moved, self.clock)
        log = PostgresLog(readers.fetch, self.horizon, self._envelope)
        self.feed = Feed(log, self.wakeup, self.others.watch, self.clock)

    @classmethod
    async def open(
        cls,
        database: str,
        codec: Codec,
        *,
        clock: Callable[[], float] | None = None,
        create: bool = True,
    ) -> Self:
        """Open the database at an address and bring its schema up to date. ``clock`` None: the
        server's.

        Raises:
            ConfigurationError: it cannot be opened, is not planfold's, or is too new.
            Transient: the server cannot be reached.
        """
        address = parse_address(database)
        session = await connect(address)
        try:
            await migrate(session, address, create=create)
            meta = await read_meta(session, address)
            heard = DatabaseClock()
            asked = elapsed()
            heard.heard(await session.value("clock"), asked)
            return cls(codec, address, session, meta, heard, clock)
        except BaseException:
            session.terminate()
            raise

    async def close(self) -> None:
        """Commit what waits, and close all connections."""
        await self.feed.close()
        await self._writer.close()
        await self.others.close()
        await self._locks.close()
        await self._readers.close()

    async def _connect_listener(self) -> asyncpg.Connection[asyncpg.Record]:
        try:
            return await asyncpg.connect(self.address.listen_dsn, timeout=CONNECT_S)
        except Exception as fault:
            raise translate(fault, self.address) from fault

    # --- writing ----------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[int]:
        """See :meth:`EventStore.append`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._writer.submit(PendingAppend(append, self.codec, future, self.clock()))
        return future

    def connections(self) -> dict[str, int]:
        """See :meth:`EventStore.connections`."""
        return self._readers.use()

    def flush(self) -> None:
        """See :meth:`EventStore.flush`: here what waits is sent at once anyway."""

    # --- reading ----------------------------------------------------------------------------

    async def lock_stream(self, aggregate_id: str) -> Callable[[], None]:
        """See :meth:`EventStore.lock_stream`."""
        return await self._locks.lock(aggregate_id)

    async def version(self, aggregate_id: str) -> int:
        """The version of a stream; 0 when there is none."""
        return await self._readers.value("version", aggregate_id) or 0

    async def load(
        self, aggregate_id: str, *, after_version: int = 0, stream_id: str | None = None
    ) -> History:
        """See :meth:`EventStore.load`."""
        name = "load_after" if after_version else "load"
        rows = await self._readers.rows(name, aggregate_id, after_version)
        return events_of(self.codec, aggregate_id, after_version, rows, stream_id)

    async def read(
        self, query: Query, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """See :meth:`EventStore.read`."""
        filters = (query.stream_id, query.event_type, query.aggregate_id)
        rows = await self._readers.rows("feed_page", after, None, *filters, limit)
        return [self._envelope(row) for row in rows]

    async def read_versions(
        self, aggregate_id: str, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """See :meth:`EventStore.read_versions`."""
        rows = await self._readers.rows("read_versions", aggregate_id, after, limit)
        return [self._envelope(row) for row in rows]

    def _envelope(self, row: Iterable[Any]) -> Envelope:
        return envelope_of(self.codec, row)

    def subscribe(
        self, query: Query | None = None, *, after: int | Checkpoint = 0
    ) -> AsyncIterator[Envelope]:
        """See :meth:`EventStore.subscribe`."""
        if isinstance(after, Checkpoint):
            return subscribe_after(self, query, after)
        return self.feed.subscribe(query or Query(), after)

    async def metadata_of_first(self, aggregate_id: str) -> Metadata | None:
        """The metadata with which a stream began."""
        text = await self._readers.value("first_metadata", aggregate_id)
        return None if text is None else decode_metadata(text, aggregate_id)

    async def heads(
        self, stream_id: str, choice: HeadChoice = ALL_HEADS, *, limit: int | None = None
    ) -> list[StreamHead]:
        """See :meth:`EventStore.heads`."""
        arguments = (stream_id, choice.since, *choice.below, limit)
        if choice.tags:
            marks = "%".join(f'"{tag}"' for tag in sorted({*choice.tags}))  # as in heads
            among = (choice.statuses or None, choice.projects or None)
            pattern = f"%{marks}%".replace("_", r"\_")
            rows = await self._readers.rows("heads_of_tags", *arguments, pattern, *among)
        elif choice.projects:
            wanted = (choice.projects, choice.statuses or None)
            rows = await self._readers.rows("heads_of_project", *arguments, *wanted)
        elif choice.statuses:
            rows = await self._readers.rows("heads_of_status", *arguments, choice.statuses)
        else:
            rows = await self._readers.rows("heads", *arguments)
        return [head_of(row) for row in rows]

    async def find_heads(
        self, stream_id: str, beginning: str, *, limit: int = 10, projects: tuple[str, ...] = ()
    ) -> list[StreamHead]:
        """See :meth:`EventStore.find_heads`."""
        ends = (beginning, beginning + LARGEST_TEXT)
        rows = await self._readers.rows("find_heads", stream_id, *ends, limit, projects or None)
        return [head_of(row) for row in rows]

    async def head(self, aggregate_id: str) -> StreamHead | None:
        row = await self._readers.row("head", aggregate_id)
        return None if row is None else head_of(row)

    async def last_position(self) -> int:
        """See :meth:`EventStore.last_position`."""
        position: int = await self._readers.value("last_position")
        return position

    async def find_command(self, command_id: str) -> tuple[str, str] | None:
        """See :meth:`EventStore.find_command`."""
        row = await self._readers.row("find_command", command_id)
        return None if row is None else (row[0], row[1])

    # --- other processes --------------------------------------------------------------------

    def generation(self, aggregate_id: str | None = None) -> int:
        """See :meth:`EventStore.generation`."""
        return self.others.generation(aggregate_id)

    def watch_other_processes(self) -> None:
        """From now on wake who waits for what another process has written."""
        self.others.watch()
