"""``SqliteTransfer``: streams out of the file and into it, row by row."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

import apsw
import msgspec

from planfold.backends.names import is_storable
from planfold.backends.rows import checksum_of, continuing, event_row_of
from planfold.backends.sqlite.connection import MEMORY, connect, translated
from planfold.backends.sqlite.queries import SQL, ReadConnection
from planfold.backends.sqlite.turns import Turns
from planfold.backends.sqlite.writer import SqliteWriter
from planfold.errors import Conflict, PlanfoldError
from planfold.eventstore.transfer import (
    CommandRow,
    EventRow,
    Footing,
    Incoming,
    OwnRow,
    Row,
    StreamRow,
    TaskRow,
    Tombstone,
    archived,
    hindrance,
)
from planfold.eventstore.wakeup import Wakeup

T = TypeVar("T")
PAGE_ROWS: Final = 1_000
PAGE_CHARACTERS: Final = 1_000_000


class SqliteTransfer:
    """See :class:`planfold.eventstore.transfer.Transfer`."""

    def __init__(self, reader: ReadConnection, writer: SqliteWriter, wakeup: Wakeup) -> None:
        self._reader = reader
        self._writer = writer
        self._wakeup = wakeup

    async def rows(
        self, aggregate_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[Sequence[Row], None]:
        """See :meth:`Transfer.rows`. The file's log (WAL) grows while others write."""
        path = self._reader.path
        if path == MEMORY:  # no other process can open it, and it is in memory anyway
            for page in list(_pages(_rows(self._reader.connection, aggregate_ids))):
                yield page
            return
        connection = connect(path, create=False)
        try:
            with translated(path):
                connection.execute("BEGIN")
            pages = _pages(_rows(connection, aggregate_ids))
            while True:
                with translated(path):
                    page = next(pages, [])
                if not page:
                    return
                yield page
        finally:
            connection.close(True)

    async def versions(self, aggregate_ids: Sequence[str]) -> dict[str, int]:
        return dict(self._among("versions_of", aggregate_ids))

    async def owners(self, command_ids: Sequence[str]) -> dict[str, str]:
        return dict(self._among("owners_of_commands", command_ids))

    async def tombstones(self, aggregate_ids: Sequence[str]) -> list[Tombstone]:
        return [Tombstone(*row) for row in self._among("tombstones", aggregate_ids)]

    async def find_tombstones(self, beginning: str, *, limit: int = 10) -> list[Tombstone]:
        bindings = (beginning, beginning + "\U0010ffff", limit)
        return [Tombstone(*row) for row in self._reader.rows("find_tombstones", bindings)]

    def _among(self, name: str, keys: Sequence[str]) -> list[tuple[Any, ...]]:
        storable = list(filter(is_storable, keys))
        return self._reader.rows(name, (_json(storable),)) if storable else []

    async def unchanged_since(
        self, stream_id: str, before: float, *, after_id: str, limit: int
    ) -> list[StreamRow]:
        bindings = (stream_id, before, after_id, limit)
        return [StreamRow(*row) for row in self._reader.rows("unchanged_since", bindings)]

    async def footing(self, aggregate_id: str) -> Footing | None:
        rows = self._reader.rows("footing", (aggregate_id,))
        return Footing(*rows[0]) if rows else None

    # --- writing ----------------------------------------------------------------------------

    async def write(self, streams: Sequence[Incoming]) -> None:
        """See :meth:`Transfer.write`."""

        def work(connection: apsw.Connection) -> None:
            turns = Turns(self._writer)
            for incoming in streams:
                _write(connection, incoming, self._reader.clock(), turns)

        await self._writer.submit(_all_or_nothing(work))
        self._tell()

    async def archive(
        self, tombstones: Sequence[Tombstone], statuses: Collection[str]
    ) -> list[str]:
        """See :meth:`Transfer.archive`; they share a commit."""

        def work(connection: apsw.Connection) -> list[str]:
            return [_archive(connection, each, statuses) for each in tombstones]

        reasons = await self._writer.submit(_all_or_nothing(work))
        self._tell()
        return reasons

    def _tell(self) -> None:
        """Mark the cached state of these streams as outdated, as if another process had written to
        them."""
        self._writer.generation += 1
        self._wakeup.notify()


def _all_or_nothing(work: Callable[[apsw.Connection], T]) -> Callable[[apsw.Connection], T]:
    """Undo a refused operation completely, because other work is committed in the same
    transaction."""

    def guarded(connection: apsw.Connection) -> T:
        connection.execute("SAVEPOINT work")
        try:
            result = work(connection)
        except PlanfoldError:
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
            raise  # after an error of SQLite's the whole transaction is rolled back
        connection.execute("RELEASE work")
        return result

    return guarded


# --- reading ------------------------------------------------------------------------------------


def _rows(connection: apsw.Connection, aggregate_ids: Sequence[str] | None) -> Iterator[Row]:
    execute = connection.execute
    if aggregate_ids is None:
        streams = execute(SQL["all_streams"])
    else:
        streams = execute(SQL["some_streams"], (_json(aggregate_ids),))
    for row in streams:
        stream = StreamRow(*row)
        key = (stream.aggregate_id,)
        yield stream
        for command in execute(SQL["commands_of"], key):
            yield CommandRow(*command)
        for task in execute(SQL["tasks_of"], key):
            yield _task(task)
        for event in execute(SQL["events_of"], key):
            yield event_row_of(stream.aggregate_id, event)


def _task(row: tuple[Any, ...]) -> TaskRow:
    task_id, attempt, route, cause, epoch, starts, cancel, *rest = row
    return TaskRow(task_id, attempt, route, cause, epoch, starts, bool(cancel), *rest)


def _pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    page: list[Row] = []
    characters = 0
    for row in rows:
        page.append(row)
        characters += len(row.data) if isinstance(row, EventRow) else 0
        if len(page) >= PAGE_ROWS or characters >= PAGE_CHARACTERS:
            yield page
            page, characters = [], 0
    if page:
        yield page


# --- writing ------------------------------------------------------------------------------------


def _write(connection: apsw.Connection, incoming: Incoming, now: float, turns: Turns) -> None:
    row, after = incoming.stream, incoming.after
    execute = connection.execute
    version = execute(SQL["version"], (row.aggregate_id,)).get or 0
    if version != after:
        raise Conflict(f"{row.aggregate_id} changed while it was imported; import again")
    old = _old_tasks(connection, row.aggregate_id, now) if after else {}
    head = (row.version, row.head, row.due_at, row.updated_at, None)
    if after:
        execute(SQL["advance_stream"], (*head, row.aggregate_id, after, row.stream_id))
    else:
        execute(SQL["lift_tombstone"], (row.aggregate_id,))
        execute(SQL["begin_stream"], (*head, row.created_at, row.aggregate_id, row.stream_id))
    _write_rows(connection, row, incoming.rows, old, turns)


def _old_tasks(connection: apsw.Connection, aggregate_id: str, now: float) -> _StreamTaskRows:
    """Delete the queue rows of a stream, and return what has to be kept of them."""
    old: _StreamTaskRows = {}
    for task_id, attempt, expires, *held in connection.execute(SQL["held_tasks"], (aggregate_id,)):
        if expires is not None and expires > now:
            raise Conflict(
                f"a worker holds task {task_id} of {aggregate_id}; stop the workers first"
            )
        old[task_id, attempt] = tuple(held)
    connection.execute(SQL["drop_tasks"], (aggregate_id,))
    return old


_StreamTaskRows = dict[tuple[int, int], Any]


def _write_rows(
    connection: apsw.Connection,
    stream: StreamRow,
    rows: Iterable[OwnRow],
    old: _StreamTaskRows,
    turns: Turns,
) -> None:
    aggregate_id = stream.aggregate_id

    def events(first: EventRow, rest: Iterator[OwnRow]) -> Iterator[tuple[Any, ...]]:
        for row in chain([first], rest):
            assert isinstance(row, EventRow)
            checksum = checksum_of(stream.stream_id, aggregate_id, row)
            yield (stream.stream_id, aggregate_id, *msgspec.structs.astuple(row), checksum)

    remaining = iter(rows)
    for row in remaining:
        match row:
            case EventRow():  # nothing but events follows
                connection.executemany(SQL["add_event"], events(row, remaining))
            case CommandRow():
                _add_command(connection, aggregate_id, row)
            case TaskRow():
                task = continuing(row, old.get((row.task_id, row.attempt)))
                lane = (task.priority, task.route, task.tool, task.limits)
                turn = turns.take(aggregate_id, [lane], 1)
                about = (aggregate_id, *msgspec.structs.astuple(task), turn)
                connection.execute(SQL["add_task"], about)
                connection.execute(SQL["set_turn"], (turn, aggregate_id))


def _add_command(connection: apsw.Connection, aggregate_id: str, row: CommandRow) -> None:
    found = connection.execute(SQL["find_command"], (row.command_id,)).get
    if found is None:
        bindings = (row.command_id, aggregate_id, row.body_hash, row.version, row.recorded_at)
        connection.execute(SQL["add_command"], bindings)
    elif found != (aggregate_id, row.body_hash):
        raise Conflict(
            f"command id {row.command_id!r} was already used for a command to {found[0]}"
        )


def _archive(
    connection: apsw.Connection,
    tombstone: Tombstone,
    statuses: Collection[str],
) -> str:
    key = tombstone.aggregate_id
    row = connection.execute(SQL["footing"], (key,)).fetchone()
    reason = hindrance(Footing(*row) if row else None, tombstone.version, statuses)
    if not reason:
        for name in ("events", "commands", "snapshot", "stream"):
            connection.execute(SQL[f"drop_{name}"], (key,))
        connection.execute(SQL["add_tombstone"], msgspec.structs.astuple(tombstone))
    return reason


def refusal_to_begin(connection: apsw.Connection, aggregate_id: str) -> PlanfoldError | None:
    """The error for a stream that does not exist and may not begin, because it was archived; else
    None."""
    row = connection.execute(SQL["tombstones"], (_json([aggregate_id]),)).fetchone()
    return archived(Tombstone(*row)) if row else None


def _json(keys: Sequence[str]) -> str:
    return msgspec.json.encode(list(keys)).decode()
