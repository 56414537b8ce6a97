"""Rows of the tables that both backends have, as the port's values and back.

Texts may come as bytes: SQLite keeps what is not UTF-8, which must be found and named too.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import error as StructError
from typing import Any, Final

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.checksum import event_checksum, identity_checksum
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.eventstore.metadata import UNREADABLE, decode_metadata, encode_metadata
from planfold.eventstore.port import Append, StreamHead
from planfold.eventstore.transfer import EventRow
from planfold.handler import Metadata

DAMAGED: Final = (
    "the row does not match its checksum, so it was damaged or changed; restore the database from "
    "a backup"
)

NewEvent = tuple[int, str, int, str, str, float, int]
"""Version, type, event version, data, metadata, recorded_at, checksum."""


def new_events(codec: Codec, append: Append, recorded_at: float) -> list[NewEvent]:
    """The events of a decision as columns.

    Raises:
        ConfigurationError: the type of one is not registered.
        ValueError: one, or its metadata, could not be read back.
    """
    aggregate_id = append.aggregate_id
    identity = identity_checksum(append.stream_id.encode(), aggregate_id.encode())
    rows: list[NewEvent] = []
    known: Metadata | None = None
    about = b""
    text = ""
    for version, (event, metadata) in enumerate(append.events, append.expected_version + 1):
        if metadata is not known:
            about = encode_metadata(metadata, aggregate_id, recorded_at)
            known, text = metadata, about.decode()
        name, event_version, data = codec.encode_bytes(event)
        checksum = event_checksum(
            identity, version, name.encode(), event_version, data, about, recorded_at
        )
        rows.append((version, name, event_version, data.decode(), text, recorded_at, checksum))
    return rows


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
    stream_id: str | bytes,
    aggregate_id: str | bytes,
    version: int,
    name: str | bytes,
    event_version: int,
    data: str | bytes,
    metadata: str | bytes,
    recorded_at: float,
    checksum: int | None,
) -> bool:
    """Whether these columns of ``events`` match the checksum; rows of older versions have none."""
    if checksum is None:
        return True
    try:
        identity = identity_checksum(_raw(stream_id), _raw(aggregate_id))
        about = (_raw(name), event_version, _raw(data), _raw(metadata))
        return event_checksum(identity, version, *about, recorded_at) == checksum
    except (StructError, TypeError, AttributeError):  # a value of another type
        return False


def _raw(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def events_of(
    codec: Codec, aggregate_id: str, after_version: int, rows: Iterable[Iterable[Any]]
) -> list[Any]:
    """The events of one stream from rows of (head, stream id, version, type, event version,
    data, metadata, recorded_at, checksum), where ``head`` is the version in the stream's head.

    Raises:
        CorruptLog: a version is missing, or an event cannot be read.
    """
    decode = codec.decode
    last = after_version
    events: list[Any] = []
    head: int | None = after_version
    for stands_at, stream_id, version, name, event_version, data, metadata, at, checksum in rows:
        head = stands_at
        last += 1
        if version != last:
            raise CorruptLog(f"{aggregate_id} lacks its event {last}; it is read-only")
        if not is_intact(
            stream_id, aggregate_id, version, name, event_version, data, metadata, at, checksum
        ):
            raise CorruptLog(f"{aggregate_id}#{version}: {DAMAGED}; it is read-only")
        try:
            events.append(decode(_text(name), event_version, data))
        except CorruptLog as fault:
            raise CorruptLog(f"{aggregate_id}#{version}: {fault}; it is read-only") from None
    if head != last:
        raise CorruptLog(f"{aggregate_id} stands at {head}, its last event is {last}")
    return events


def envelope_of(codec: Codec, row: Iterable[Any]) -> Envelope:
    """A row of ``events``; an event that cannot be read is ``Undecoded``."""
    position, stream_id, aggregate_id, version, name, event_version, data, metadata, at, crc = row
    owner = _text(aggregate_id)
    event: Any
    if is_intact(stream_id, aggregate_id, version, name, event_version, data, metadata, at, crc):
        meta = decode_metadata(metadata, owner)
        try:
            event = codec.decode(_text(name), event_version, data)
        except CorruptLog as fault:
            event = Undecoded(str(fault), _text(data))
    else:
        event, meta = Undecoded(DAMAGED, _text(data)), UNREADABLE
    return Envelope(
        position, _text(stream_id), owner, version, _text(name), event_version, event, meta, at
    )


def event_row_of(aggregate_id: str, row: Iterable[Any]) -> EventRow:
    """An event to export, from a row of (version, type, event version, data, metadata,
    recorded_at, checksum, stream id).

    Raises:
        CorruptLog: it does not match its checksum, or is not text.
    """
    version, name, event_version, data, metadata, at, checksum, its_stream = row
    try:
        if not is_intact(
            its_stream, aggregate_id, version, name, event_version, data, metadata, at, checksum
        ):
            raise CorruptLog(f"{aggregate_id}#{version}: {DAMAGED}, or export the others by name")
        texts = [_raw(text).decode() for text in (name, data, metadata)]
    except UnicodeDecodeError as fault:
        raise CorruptLog(
            f"{aggregate_id}#{version} holds text that is not UTF-8: {fault}"
        ) from None
    return EventRow(version, texts[0], event_version, texts[1], texts[2], at)


def head_of(row: Iterable[Any]) -> StreamHead:
    """A row of ``streams``."""
    stream_id, aggregate_id, version, head, created_at, updated_at, due_at = row
    values = msgspec.json.decode(head, type=dict[str, Any])
    return StreamHead(stream_id, aggregate_id, version, values, created_at, updated_at, due_at)
