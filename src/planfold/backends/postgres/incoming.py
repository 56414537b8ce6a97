"""Writing whole streams, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from planfold.backends.postgres.connection import ServerConnection
from planfold.backends.rows import checksum_of, continuing
from planfold.errors import Conflict
from planfold.eventstore.transfer import CommandRow, EventRow, Incoming, OwnRow, TaskRow

ROWS_AT_ONCE: Final = 2_000
BYTES_AT_ONCE: Final = 4_000_000


async def write_streams(session: ServerConnection, streams: Sequence[Incoming], now: float) -> None:
    """Raises Conflict; see :meth:`planfold.eventstore.transfer.Transfer.write`."""
    ids = [incoming.stream.aggregate_id for incoming in streams]
    standing = {row[0]: row[1] for row in await session.rows("lock_streams", ids)}
    for incoming in streams:
        aggregate_id = incoming.stream.aggregate_id
        if standing.get(aggregate_id, 0) != incoming.after:
            raise _changed(aggregate_id)
    old = await _old_tasks(session, [each for each in streams if each.after], now)
    await _begin(session, [each for each in streams if not each.after])
    for incoming in streams:
        if incoming.after:
            row = incoming.stream
            head = (row.version, row.head, row.due_at, row.updated_at)
            await session.rows("advance_stream", row.aggregate_id, *head)
    writing = _Writing(session, old)
    for incoming in streams:
        for own in incoming.rows:
            await writing.add(incoming, own)
    await writing.flush()


def _changed(aggregate_id: str) -> Conflict:
    return Conflict(f"{aggregate_id} changed while it was imported; import again")


_TaskRows = dict[tuple[str, int, int], Any]


async def _old_tasks(
    session: ServerConnection, streams: Sequence[Incoming], now: float
) -> _TaskRows:
    """Delete the queue rows of these streams, and return what has to be kept of them."""
    if not streams:
        return {}
    old: _TaskRows = {}
    ids = [incoming.stream.aggregate_id for incoming in streams]
    for aggregate_id, task_id, attempt, expires, *held in await session.rows("drop_tasks", ids):
        if expires is not None and expires > now:
            raise Conflict(
                f"a worker holds task {task_id} of {aggregate_id}; stop the workers first"
            )
        old[aggregate_id, task_id, attempt] = tuple(held)
    return old


async def _begin(session: ServerConnection, streams: Sequence[Incoming]) -> None:
    if not streams:
        return
    rows = [incoming.stream for incoming in streams]
    columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
    begun = {row[0] for row in await session.rows("begin_streams", *map(list, columns))}
    for row in rows:
        if row.aggregate_id not in begun:
            raise _changed(row.aggregate_id)
    await session.rows("lift_tombstones", [row.aggregate_id for row in rows])


class _Writing:
    """Gathers rows of several streams and writes them by table."""

    def __init__(self, session: ServerConnection, old: _TaskRows) -> None:
        self._session = session
        self._old = old
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._count = 0
        self._bytes = 0

    async def add(self, incoming: Incoming, row: OwnRow) -> None:
        stream = incoming.stream
        aggregate_id = stream.aggregate_id
        match row:
            case EventRow():
                checksum = checksum_of(stream.stream_id, aggregate_id, row)
                about = (stream.stream_id, aggregate_id, *_fields(row), checksum)
                self._put("add_events", about)
                self._bytes += len(row.data) + len(row.metadata)
            case CommandRow():
                self._put("add_commands", (aggregate_id, *_fields(row)))
            case TaskRow():
                task = continuing(row, self._old.get((aggregate_id, row.task_id, row.attempt)))
                self._put("add_tasks", (aggregate_id, *_fields(task)))
        if self._count >= ROWS_AT_ONCE or self._bytes >= BYTES_AT_ONCE:
            await self.flush()

    def _put(self, table: str, row: tuple[Any, ...]) -> None:
        self._rows.setdefault(table, []).append(row)
        self._count += 1

    async def flush(self) -> None:
        for name, rows in self._rows.items():
            added = await self._session.rows(name, *map(list, zip(*rows, strict=True)))
            if name == "add_commands" and len(added) < len(rows):
                await self._require_same(rows, {row[0] for row in added})
            if name == "add_tasks":
                await self._session.rows("set_turns", list({row[0] for row in rows}))
        self._rows.clear()
        self._count = self._bytes = 0

    async def _require_same(self, rows: list[tuple[Any, ...]], added: set[str]) -> None:
        """Raises Conflict where a command id was already used for a different command."""
        for aggregate_id, command_id, body_hash, *_ in rows:
            if command_id in added:
                continue
            [(owner, known)] = await self._session.rows("find_command", command_id)
            if (owner, known) != (aggregate_id, body_hash):
                raise Conflict(
                    f"command id {command_id!r} was already used for a command to {owner}"
                )


def _fields(row: msgspec.Struct) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)
