"""``SqliteStore``: the log and the task queue in one SQLite file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, Self

import apsw
import msgspec

from planfold.backends.history import events_of
from planfold.backends.names import (
    DENSE_KIND,
    DENSE_TYPES,
    of_another_kind,
    require_storable_names,
)
from planfold.backends.rows import envelope_of, head_of
from planfold.backends.sqlite.checkpoints import SqliteCheckpoints
from planfold.backends.sqlite.connection import MEMORY, connect, migrate
from planfold.backends.sqlite.liveness import workers_folder
from planfold.backends.sqlite.queries import SQL, ReadConnection
from planfold.backends.sqlite.queue import SqliteQueue
from planfold.backends.sqlite.stream_lock import StreamLock
from planfold.backends.sqlite.transfer import SqliteTransfer, refusal_to_begin
from planfold.backends.sqlite.turns import Changes, Turns
from planfold.backends.sqlite.writer import SqliteWriter
from planfold.errors import Conflict, CorruptLog, LeaseLost, PlanfoldError
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, History, Query
from planfold.eventstore.event_rows import decode_metadata, new_events
from planfold.eventstore.heads import ALL_HEADS, HeadChoice, newest_first
from planfold.eventstore.port import Append, StreamHead, leaves_work
from planfold.eventstore.positions import subscribe_after
from planfold.eventstore.wakeup import WORK, Wakeup
from planfold.handler import Metadata
from planfold.subscriptions.feed import PAGE as PAGE
from planfold.subscriptions.feed import Feed, Horizon

_POLL_MIN_S, _POLL_MAX_S = 0.001, 0.05


class SqliteStore:
    """See :class:`planfold.eventstore.port.EventStore`. Belongs to one event loop."""

    def __init__(
        self,
        codec: Codec,
        reader: ReadConnection,
        writer: SqliteWriter,
    ) -> None:
        self.codec = codec
        self.path = reader.path
        self.clock = reader.clock
        self.wakeup = Wakeup()
        self.store_id: str = reader.value("meta", ("store_id",))
        self.epoch = int(reader.value("meta", ("epoch",)))
        self._turns = Turns(writer)
        self.queue = SqliteQueue(reader, writer, self.wakeup, self._turns)
        self.checkpoints = SqliteCheckpoints(reader, writer, self.store_id)
        self.transfer = SqliteTransfer(reader, writer, self.wakeup)
        self._lock = StreamLock(workers_folder(reader.path))
        self._reader = reader
        self._writer = writer
        self._encode_json = msgspec.json.Encoder().encode
        self._poller: asyncio.Task[None] | None = None
        self.feed = Feed(_SqliteLog(self), self.wakeup, self.watch_other_processes, self.clock)

    @classmethod
    def open(
        cls,
        path: str,
        codec: Codec,
        *,
        clock: Callable[[], float] = time.time,
        create: bool = True,
    ) -> Self:
        """Open the database at ``path`` and bring its schema up to date.

        Raises:
            ConfigurationError: it cannot be opened, is not planfold's, or is too new.
            CorruptLog: the file is damaged.
        """
        connection = connect(path, create=create)
        try:
            migrate(connection, path)
            in_memory = path == MEMORY
            reader = connection if in_memory else connect(path, create=False, one_thread=True)
            writer = SqliteWriter(connection, path, threads=not in_memory)
            return cls(codec, ReadConnection(reader, path, clock), writer)
        except BaseException:
            connection.close()
            raise

    async def close(self) -> None:
        """Commit what waits and close the file."""
        await self.feed.close()
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
        self._lock.close()
        await self._writer.close()
        if self._reader.connection is not self._writer.connection:
            self._reader.connection.close()

    # --- writing ----------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[int]:
        """See :meth:`EventStore.append`."""
        require_storable_names(append)
        now = self.clock() if append.now is None else append.now
        stream_id, aggregate_id = append.stream_id, append.aggregate_id
        events = new_events(self.codec, append, now)
        rows = [(stream_id, aggregate_id, *event) for event in events]
        head = self._encode_json(append.head).decode()
        changes = Changes(append)

        def work(connection: apsw.Connection) -> int:
            self._check(connection, append)
            version = append.expected_version + len(rows)
            execute = connection.execute
            turn = changes.last_turn(self._turns) if changes.free else None
            about = (version, head, append.due_at, now, turn)
            if append.expected_version:
                key = (aggregate_id, append.expected_version, stream_id)
                execute(SQL["advance_stream"], (*about, *key))
            else:
                execute(SQL["begin_stream"], (*about, now, aggregate_id, stream_id))
            if not connection.changes():
                raise self._conflict(connection, append)
            connection.executemany(SQL["add_event"], rows)
            position = connection.last_insert_rowid()
            changes.make(connection, max(now, self.clock()))
            for record in append.commands:
                execute(
                    SQL["add_command"],
                    (record.command_id, aggregate_id, record.body_hash, version, now),
                )
            return position

        keys = (aggregate_id, WORK) if leaves_work(append) else (aggregate_id,)
        quiet = (aggregate_id,) if append.quiet else ()
        return self._writer.submit(work, lambda: self.wakeup.notify(*keys, quiet=quiet))

    def connections(self) -> dict[str, int]:
        """See :meth:`EventStore.connections`."""
        return {}

    def flush(self) -> None:
        """See :meth:`EventStore.flush`."""
        self._writer.flush()

    @staticmethod
    def _check(connection: apsw.Connection, append: Append) -> None:
        for fence in append.fences:
            key = (append.aggregate_id, fence.task_id, fence.attempt, fence.epoch)
            if connection.execute(SQL["lease_of_task"], key).get is None:
                raise LeaseLost(
                    f"attempt {fence.attempt} of task {fence.task_id} in {append.aggregate_id} "
                    "is no longer leased to this worker",
                    fence.task_id,
                )
        for record in append.commands:
            if connection.execute(SQL["find_command"], (record.command_id,)).get is not None:
                raise Conflict(f"command {record.command_id} is already recorded")

    @staticmethod
    def _conflict(connection: apsw.Connection, append: Append) -> PlanfoldError:
        aggregate_id = append.aggregate_id
        head, last, kind = connection.execute(SQL["versions"], (aggregate_id,)).get
        if kind is not None and kind != append.stream_id:
            return of_another_kind(aggregate_id, kind, append.stream_id)
        if head != last:  # deciding again would never help
            return CorruptLog(f"{aggregate_id} is at version {head}, but its last event is {last}")
        if not append.expected_version and (refusal := refusal_to_begin(connection, aggregate_id)):
            return refusal
        return Conflict(f"{aggregate_id} is not at version {append.expected_version} any more")

    # --- reading ----------------------------------------------------------------------------

    async def lock_stream(self, aggregate_id: str) -> Callable[[], None]:
        """See :meth:`EventStore.lock_stream`: one lock for all streams."""
        return await self._lock.lock()

    async def version(self, aggregate_id: str) -> int:
        """The version of a stream; 0 when there is none."""
        return self._reader.value("version", (aggregate_id,)) or 0

    async def load(
        self, aggregate_id: str, *, after_version: int = 0, stream_id: str | None = None
    ) -> History:
        """See :meth:`EventStore.load`."""
        name = "load_after" if after_version else "load"
        with self._reader.each(name, (aggregate_id, after_version)) as rows:
            return events_of(self.codec, aggregate_id, after_version, rows, stream_id)

    async def read(
        self, query: Query, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """See :meth:`EventStore.read`."""
        if query.aggregate_id is not None:
            name = "read_stream"
        elif query.event_type is not None and query.event_type not in DENSE_TYPES:
            name = "read_type"
        elif query.event_type is None and query.stream_id not in (None, DENSE_KIND):
            name = "read_kind"
        else:
            name = "read_log"
        bindings = (
            query.aggregate_id,
            after,
            query.stream_id,
            query.event_type,
            -1 if limit is None else limit,
        )
        return [self._envelope(row) for row in self._reader.rows(name, bindings)]

    async def read_versions(
        self, aggregate_id: str, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """See :meth:`EventStore.read_versions`."""
        bindings = (aggregate_id, after, -1 if limit is None else limit)
        return [self._envelope(row) for row in self._reader.rows("read_versions", bindings)]

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
        data = self._reader.value("first_metadata", (aggregate_id,))
        return None if data is None else decode_metadata(data, aggregate_id)

    async def heads(
        self, stream_id: str, choice: HeadChoice = ALL_HEADS, *, limit: int | None = None
    ) -> list[StreamHead]:
        """See :meth:`EventStore.heads`."""
        bindings = (stream_id, choice.since, *choice.below, -1 if limit is None else limit)
        if choice.tags:
            pattern = "".join(f'*"{tag}"' for tag in sorted({*choice.tags})) + "*"  # as in heads
            of = (json_or_null(choice.statuses), json_or_null(choice.projects))
            rows = self._reader.rows("heads_of_tags", (*bindings, pattern, *of))
            return [head_of(row) for row in rows]
        if choice.projects:
            among = json_or_null(choice.statuses)
            rows = [
                row
                for project in choice.projects
                for row in self._reader.rows("heads_of_project", (*bindings, project, among))
            ]
            return newest_first(map(head_of, rows), limit)
        if not choice.statuses:
            return [head_of(row) for row in self._reader.rows("heads", bindings)]
        rows = [
            row
            for status in choice.statuses
            for row in self._reader.rows("heads_of_status", (*bindings, status))
        ]
        return newest_first(map(head_of, rows), limit)

    async def find_heads(
        self, stream_id: str, beginning: str, *, limit: int = 10, projects: tuple[str, ...] = ()
    ) -> list[StreamHead]:
        """See :meth:`EventStore.find_heads`."""
        ends = (beginning, beginning + "\U0010ffff")
        bindings = (stream_id, *ends, limit, json_or_null(projects))
        return [head_of(row) for row in self._reader.rows("find_heads", bindings)]

    async def head(self, aggregate_id: str) -> StreamHead | None:
        rows = self._reader.rows("head", (aggregate_id,))
        return head_of(rows[0]) if rows else None

    async def last_position(self) -> int:
        """See :meth:`EventStore.last_position`."""
        position: int = self._reader.value("last_position")
        return position

    async def find_command(self, command_id: str) -> tuple[str, str] | None:
        """See :meth:`EventStore.find_command`."""
        rows = self._reader.rows("find_command", (command_id,))
        return rows[0] if rows else None

    # --- other processes --------------------------------------------------------------------

    def generation(self, aggregate_id: str | None = None) -> int:
        """See :meth:`EventStore.generation`; this store does not distinguish streams."""
        if self._poller is None:
            self._writer.look_for_foreign_writes()
        return self._writer.generation

    def watch_other_processes(self) -> None:
        """From now on wake all waiters when another process has written."""
        if self._poller is None and self.path != MEMORY:
            self._poller = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        pause = _POLL_MIN_S
        while True:
            await asyncio.sleep(pause)
            if self._writer.saw_foreign_write():
                pause = _POLL_MIN_S
                self.wakeup.notify()
            else:
                pause = min(pause * 2, _POLL_MAX_S)


class _SqliteLog:
    """How the feed reads this store: commits are in the order of positions, so that everything
    up to the last one is final."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def horizon(self, after: int) -> Horizon:
        last = await self._store.last_position()
        return Horizon(last, last, last)

    async def read(self, query: Query, *, after: int, upto: int, limit: int) -> list[Envelope]:
        page = await self._store.read(query, after=after, limit=limit)
        return [envelope for envelope in page if envelope.position <= upto]


def json_or_null(values: tuple[str, ...]) -> str | None:
    """As a list for SQL; NULL where there are none."""
    return msgspec.json.encode(values).decode() if values else None
