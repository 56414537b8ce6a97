"""Rows of the tables that both backends have, as the port's values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.eventstore.port import StreamHead
from planfold.handler import Metadata


def events_of(
    codec: Codec, aggregate_id: str, after_version: int, rows: Iterable[Iterable[Any]]
) -> list[Any]:
    """The events of one stream from rows of (version, type, event version, data).

    Raises:
        CorruptLog: a version is missing, or an event cannot be read.
    """
    decode = codec.decode
    expected = after_version
    events: list[Any] = []
    for version, name, event_version, data in rows:
        expected += 1
        if version != expected:
            raise CorruptLog(f"{aggregate_id} lacks its event {expected}; it is read-only")
        try:
            events.append(decode(name, event_version, data))
        except CorruptLog as fault:
            raise CorruptLog(f"{aggregate_id}#{version}: {fault}; it is read-only") from None
    return events


def envelope_of(codec: Codec, row: Iterable[Any]) -> Envelope:
    """A row of ``events``; an event that cannot be read is ``Undecoded``."""
    position, stream_id, aggregate_id, version, name, event_version, data, meta, at = row
    try:
        event = codec.decode(name, event_version, data)
    except CorruptLog as fault:
        event = Undecoded(str(fault), data)
    try:
        metadata = msgspec.json.decode(meta, type=Metadata)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        metadata = Metadata(extra={"unreadable": "true"})
    return Envelope(
        position, stream_id, aggregate_id, version, name, event_version, event, metadata, at
    )


def head_of(row: Iterable[Any]) -> StreamHead:
    """A row of ``streams``."""
    stream_id, aggregate_id, version, head, created_at, updated_at, due_at = row
    values = msgspec.json.decode(head, type=dict[str, Any])
    return StreamHead(stream_id, aggregate_id, version, values, created_at, updated_at, due_at)
