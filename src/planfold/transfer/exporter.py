"""Export: rows of a store to lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec

from planfold.access.credential import STREAM as CREDENTIALS
from planfold.errors import CorruptLog
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import EventRow, Row, StreamRow, origins_in
from planfold.handler import BELOW
from planfold.transfer.records import FORMAT, End, Header, encode, encode_row

_MOST_BELOW = 1_000_000  # sub-plans of one plan

Progress = Callable[[int], object]
"""Called now and then with the number that is done so far: events of an export, streams of an
archive."""


class Exported(msgspec.Struct):
    """What was exported. ``mentions`` are the first streams whose events held what was looked
    for, of ``mentioning`` in all."""

    streams: int = 0
    events: int = 0
    sha256: str = ""
    mentioning: int = 0
    mentions: tuple[str, ...] = ()


async def export(
    store: EventStore,
    write: Callable[[bytes], object],
    aggregate_ids: Sequence[str] | None = None,
    *,
    look_for: str = "",
    progress: Progress | None = None,
) -> Exported:
    """Write these streams (None: all but credentials) to ``write``, as of one moment; memory is
    bounded by one page of them. ``look_for`` is a text to look for in what the events hold.

    Raises:
        CorruptLog: a stream lacks events. The part written by then is not a valid export.
    """
    counter = _Counter(look_for)
    sha = hashlib.sha256()
    header = encode(Header(FORMAT, store.store_id, store.epoch, store.clock()))
    sha.update(header)
    write(header)
    async with aclosing(store.transfer.rows(aggregate_ids)) as pages:
        async for page in pages:
            lines = b"".join(map(encode_row, map(counter.seen, filter(counter.exported, page))))
            sha.update(lines)
            write(lines)
            if progress is not None:
                progress(counter.done.events)
    counter.check()
    done = counter.done
    done.sha256 = sha.hexdigest()
    write(encode(End(done.streams, done.events, done.sha256)))
    return done


async def with_related(store: EventStore, aggregate_ids: Sequence[str]) -> list[str]:
    """These streams, those below them, and those that they continue: forks cannot be read without
    them, and a plan waits for the end of its sub-plans."""
    found = dict.fromkeys(aggregate_ids)
    for aggregate_id in aggregate_ids:
        head = await store.head(aggregate_id)
        if head is not None:
            below = await store.find_heads(head.stream_id, aggregate_id + BELOW, limit=_MOST_BELOW)
            found |= dict.fromkeys(each.aggregate_id for each in below)
    for aggregate_id in list(found):
        head = await store.head(aggregate_id)
        found |= dict.fromkeys(origins_in(head.head) if head is not None else ())
    return list(found)


class _Counter:
    """Counts rows as they pass, and checks that every stream is complete."""

    def __init__(self, look_for: str) -> None:
        self.done = Exported()
        self._look_for = msgspec.json.encode(look_for).decode()[1:-1]
        self._stream: StreamRow | None = None
        self._version = 0
        self._mentioned = False
        self._left_out = False

    def exported(self, row: Row) -> bool:
        """Whether a stream is exported. Credentials are not, because another database must not
        accept their secrets."""
        if isinstance(row, StreamRow):
            self._left_out = row.stream_id == CREDENTIALS
        return not self._left_out

    def seen(self, row: Row) -> Row:
        if isinstance(row, EventRow):
            self._version += 1
            if row.version != self._version:
                self._lacks(self._version)
            self.done.events += 1
            if self._look_for and not self._mentioned and self._look_for in row.data:
                self._mention()
        elif isinstance(row, StreamRow):
            self.check()
            self._stream, self._version, self._mentioned = row, 0, False
            self.done.streams += 1
        return row

    def check(self) -> None:
        """The stream that is being written has all its events."""
        if self._stream is not None and self._version != self._stream.version:
            self._lacks(self._version + 1)

    def _lacks(self, version: int) -> None:
        assert self._stream is not None
        raise CorruptLog(
            f"{self._stream.aggregate_id} is at version {self._stream.version} but its event "
            f"{version} is not the next one; restore it from a backup, or export the other plans "
            "by name"
        )

    def _mention(self) -> None:
        assert self._stream is not None
        self._mentioned = True
        self.done.mentioning += 1
        if len(self.done.mentions) < 10:
            self.done.mentions += (self._stream.aggregate_id,)
