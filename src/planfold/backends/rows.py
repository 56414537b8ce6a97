"""Converts rows of the tables that both backends have to the port's values and back.

Texts may arrive as bytes: SQLite keeps text that is not UTF-8, and such damage has to be found and
named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import error as StructError
from typing import Any, Final
from zlib import crc32

import msgspec

from planfold.errors import ConfigurationError, CorruptLog
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.eventstore.event_rows import (
    UNREADABLE,
    decode_metadata,
    event_checksum,
    identity_checksum,
)
from planfold.eventstore.port import StreamHead
from planfold.eventstore.transfer import EventRow, TaskRow

DAMAGED: Final = (
    "the row does not match its checksum, so it was damaged or changed; restore the database from "
    "a backup"
)


def checksum_of(stream_id: str, aggregate_id: str, row: EventRow) -> int:
    """The checksum of an event that comes from an export."""
    return event_checksum(
        identity_checksum(stream_id.encode(), aggregate_id.encode()),
        row.version,
        row.event_type.encode(),
        row.event_version,
        row.data.encode(),
        row.metadata.encode(),
        row.recorded_at,
    )


def is_intact(
    stream_id: Any,
    aggregate_id: Any,
    version: Any,
    name: Any,
    event_version: Any,
    data: Any,
    metadata: Any,
    at: Any,
    checksum: Any,
) -> bool:
    """Whether these columns of ``events``, texts or bytes, match the checksum; rows of older
    versions have none."""
    if checksum is None:
        return True
    try:
        if type(data) is not bytes:
            stream_id, aggregate_id, name = stream_id.encode(), aggregate_id.encode(), name.encode()
            data, metadata = data.encode(), metadata.encode()
        identity = identity_checksum(stream_id, aggregate_id)
        found = event_checksum(identity, version, name, event_version, data, metadata, at)
    except (StructError, TypeError, AttributeError):  # a value of another type
        return False
    return bool(found == checksum)


def snapshot_checksum(version: int, data: bytes) -> str:
    """A CRC-32, as event rows have. Snapshots of older versions had another checksum; they count as
    damaged and are rebuilt."""
    return f"{crc32(data, crc32(b'%d:' % version)):08x}"


def read_model_of(row: Iterable[Any] | None) -> tuple[Checkpoint, bytes] | None:
    """From its columns; None where there is none or it is damaged."""
    if row is None:
        return None
    checkpoint, position, checksum, data = row
    if not isinstance(data, bytes) or checksum != snapshot_checksum(position, data):
        return None
    try:
        found = Checkpoint.parse(checkpoint)
    except (ConfigurationError, TypeError):
        return None
    return (found, data) if found.position == position else None


@lru_cache(1024)
def shown(text: str | bytes) -> str:
    """A name as text, even if it is damaged."""
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def envelope_of(codec: Codec, row: Iterable[Any]) -> Envelope:
    """A row of ``events``; an event that cannot be read is ``Undecoded``."""
    position, stream, its_id, version, its_name, event_version, data, metadata, at, crc = row
    aggregate_id, name = shown(its_id), shown(its_name)
    event: Any
    if is_intact(stream, its_id, version, its_name, event_version, data, metadata, at, crc):
        meta = decode_metadata(metadata, aggregate_id)
        try:
            event = codec.decode(name, event_version, data)
        except CorruptLog as fault:
            event = Undecoded(str(fault), _readable(data))
    else:
        event, meta = Undecoded(DAMAGED, _readable(data)), UNREADABLE
    stream_id = shown(stream)
    return Envelope(
        position, stream_id, aggregate_id, version, name, event_version, event, meta, at
    )


def _readable(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode("utf-8", "replace")


def event_row_of(aggregate_id: str, row: Sequence[Any]) -> EventRow:
    """An event to export, from the columns of :func:`is_intact`.

    Raises:
        CorruptLog: it does not match its checksum, or is not text.
    """
    _, _, version, name, event_version, data, metadata, at, _ = row
    if not is_intact(*row):
        raise CorruptLog(f"{aggregate_id}#{version}: {DAMAGED}, or export the others by name")
    try:
        name, data, metadata = (
            text if isinstance(text, str) else text.decode() for text in (name, data, metadata)
        )
    except UnicodeDecodeError as fault:
        raise CorruptLog(f"{aggregate_id}#{version} is not UTF-8: {fault}") from None
    return EventRow(version, name, event_version, data, metadata, at)


Held = tuple[int, int, float | None, int]
"""Epoch, starts, ``started_at`` and crashes of a row of the queue."""


def continuing(row: TaskRow, held: Held | None) -> TaskRow:
    """``row`` with the values of the row that it replaces, so that late results of the replaced row
    stay fenced off."""
    if row.cancel:  # a task that is to be stopped needs no place
        row = msgspec.structs.replace(row, limits="")
    if held is None:
        return row
    epoch, starts, started_at, crashes = held
    begun = [at for at in (row.started_at, started_at) if at is not None]
    return msgspec.structs.replace(
        row,
        epoch=max(epoch, row.epoch),
        starts=max(starts, row.starts),
        started_at=min(begun, default=None),
        crashes=max(crashes, row.crashes),
    )


_HEADS: Final = msgspec.json.Decoder(dict[str, Any])


def head_of(row: Iterable[Any]) -> StreamHead:
    """A stream head from a row of ``streams``. A damaged head is read as empty; it can be rebuilt
    from the log."""
    stream_id, aggregate_id, version, head, created_at, updated_at, due_at = row
    try:
        values = _HEADS.decode(head)
    except (msgspec.DecodeError, RecursionError):
        values = {}
    return StreamHead(stream_id, aggregate_id, version, values, created_at, updated_at, due_at)
