"""``PostgresTransfer``: streams out of the database and into it, row by row."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

import msgspec

from planfold.backends.names import is_storable
from planfold.backends.postgres.connection import ServerConnection, connect
from planfold.backends.postgres.faults import translate
from planfold.backends.postgres.incoming import write_streams
from planfold.backends.postgres.queries import SQL
from planfold.backends.postgres.reader import Readers
from planfold.backends.rows import event_row_of
from planfold.eventstore.transfer import (
    CommandRow,
    Footing,
    Incoming,
    Row,
    StreamRow,
    TaskRow,
    Tombstone,
    hindrance,
)

EVENTS_AT_ONCE: Final = 1_000  # of small streams together, or of one large one
BYTES_AT_ONCE: Final = 1_000_000
LARGEST_TEXT: Final = "\U0010ffff"


class PostgresTransfer:
    """See :class:`planfold.eventstore.transfer.Transfer`. ``moved`` is called when streams were
    written or archived."""

    def __init__(
        self,
        readers: Readers,
        moved: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._readers = readers
        self._moved = moved
        self._clock = clock

    async def rows(
        self, aggregate_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[Sequence[Row], None]:
        """See :meth:`Transfer.rows`: one transaction, like that of pg_dump."""
        address = self._readers.address
        session = await connect(address)
        try:
            async with session.connection.transaction(isolation="repeatable_read", readonly=True):
                async for page in _pages(session, aggregate_ids):
                    yield page
        except GeneratorExit:
            raise
        except Exception as fault:
            raise translate(fault, address) from fault
        finally:
            session.terminate()

    async def versions(self, aggregate_ids: Sequence[str]) -> dict[str, int]:
        return {row[0]: row[1] for row in await self._among("versions_of", aggregate_ids)}

    async def owners(self, command_ids: Sequence[str]) -> dict[str, str]:
        return {row[0]: row[1] for row in await self._among("owners_of_commands", command_ids)}

    async def tombstones(self, aggregate_ids: Sequence[str]) -> list[Tombstone]:
        return [Tombstone(*row) for row in await self._among("tombstones", aggregate_ids)]

    async def find_tombstones(self, beginning: str, *, limit: int = 10) -> list[Tombstone]:
        ends = (beginning, beginning + LARGEST_TEXT)
        rows = await self._readers.rows("find_tombstones", *ends, limit)
        return [Tombstone(*row) for row in rows]

    async def _among(self, name: str, keys: Sequence[str]) -> Sequence[Any]:
        storable = list(filter(is_storable, keys))
        return await self._readers.rows(name, storable) if storable else []

    async def unchanged_since(
        self, stream_id: str, before: float, *, after_id: str, limit: int
    ) -> list[StreamRow]:
        rows = await self._readers.rows("unchanged_since", stream_id, before, after_id, limit)
        return [StreamRow(*row) for row in rows]

    async def footing(self, aggregate_id: str) -> Footing | None:
        row = await self._readers.row("footing", aggregate_id)
        return None if row is None else Footing(*row)

    # --- writing ----------------------------------------------------------------------------

    async def write(self, streams: Sequence[Incoming]) -> None:
        """See :meth:`Transfer.write`."""

        async def work(session: ServerConnection) -> None:
            async with session.connection.transaction():
                await write_streams(session, streams, self._clock())

        await self._readers.run(work, again=False)
        self._moved()

    async def archive(
        self, tombstones: Sequence[Tombstone], statuses: Collection[str]
    ) -> list[str]:
        """See :meth:`Transfer.archive`."""
        try:
            return [
                await self._readers.run(partial(_archive, tombstone, statuses), again=False)
                for tombstone in tombstones
            ]
        finally:
            self._moved()


async def _archive(
    tombstone: Tombstone, statuses: Collection[str], session: ServerConnection
) -> str:
    key = tombstone.aggregate_id
    async with session.connection.transaction():
        await session.rows("lock_streams", [key])  # then nothing can be appended to it
        rows = await session.rows("footing", key)
        reason = hindrance(Footing(*rows[0]) if rows else None, tombstone.version, statuses)
        if not reason:
            await session.rows("archive", *msgspec.structs.astuple(tombstone))
    return reason


# --- reading ------------------------------------------------------------------------------------


async def _pages(
    session: ServerConnection, aggregate_ids: Sequence[str] | None
) -> AsyncGenerator[Sequence[Row], None]:
    if aggregate_ids is None:
        await session.connection.execute(
            "DECLARE streams NO SCROLL CURSOR FOR " + SQL["all_streams"]
        )
    else:
        found = await session.rows("some_streams", list(aggregate_ids))
        for batch in _batches([StreamRow(*row) for row in found]):
            async for page in _pages_of(session, batch):
                yield page
        return
    while rows := await session.rows("next_streams"):
        for batch in _batches([StreamRow(*row) for row in rows]):
            async for page in _pages_of(session, batch):
                yield page


def _batches(streams: Sequence[StreamRow]) -> list[list[StreamRow]]:
    """Small streams that are read together; a large one is a batch of its own."""
    batches: list[list[StreamRow]] = []
    events = 0
    for stream in streams:
        if not batches or events + stream.version > EVENTS_AT_ONCE:
            batches.append([])
            events = 0
        batches[-1].append(stream)
        events += stream.version
    return batches


async def _pages_of(
    session: ServerConnection, streams: Sequence[StreamRow]
) -> AsyncGenerator[list[Row], None]:
    ids = [stream.aggregate_id for stream in streams]
    commands = _grouped(await session.rows("commands_of", ids))
    tasks = _grouped(await session.rows("tasks_of", ids))
    page: list[Row] = []
    begun = 0  # streams whose own rows are in a page

    def begin(upto: int) -> None:
        nonlocal begun
        for stream in streams[begun:upto]:
            page.append(stream)
            page.extend(CommandRow(*row[1:]) for row in commands.get(stream.aggregate_id, ()))
            page.extend(TaskRow(*row[1:]) for row in tasks.get(stream.aggregate_id, ()))
        begun = max(begun, upto)

    async for events in _events(session, ids):
        for place, *event in events:
            begin(place)
            page.append(event_row_of(ids[place - 1], event))
        yield page
        page = []
    begin(len(streams))
    if page:
        yield page


async def _events(
    session: ServerConnection, ids: Sequence[str]
) -> AsyncGenerator[Sequence[Any], None]:
    """Events with the place of their stream among ``ids``, from 1; bounded in rows and bytes."""
    place, version = 1, 0
    while True:
        limits = (EVENTS_AT_ONCE, BYTES_AT_ONCE)
        if len(ids) == 1:
            rows = await session.rows("events_of_stream", ids[0], version, *limits)
        else:
            rows = await session.rows("events_of_streams", list(ids), place, version, *limits)
        if not rows:
            return
        yield rows
        place, version = rows[-1][0], rows[-1][3]


def _grouped(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows, sorted by their first column, by that column."""
    return {key: list(group) for key, group in groupby(rows, key=lambda row: row[0])}
