"""What a row of the log says of an event: its type and JSON, its metadata, and a checksum.

The checksum is over the row's content. It is written with the row and compared whenever the
row is read, so that a changed bit is found and not folded. It is a CRC-32, kept as a signed 32-bit
integer: that is what both databases store in four bytes. Numbers enter it at a fixed width and
texts between NULs, which no valid name or JSON text holds.

Metadata is short, because every event has some. Most events of a stream belong to the request that
began it, and were caused by an event of the same stream. Such a row holds ``cause``, the causation
id without the aggregate id in front, and leaves out the correlation id where it is the aggregate
id. All other rows, and those of older versions, hold both ids in full.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat
from math import floor
from struct import Struct
from typing import Any, Final
from zlib import crc32

import msgspec

from planfold.eventstore.codec import MAX_DEPTH, Codec, is_too_deep, require_finite
from planfold.eventstore.port import Append
from planfold.handler import Metadata

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
    times = append.times
    for place, (event, metadata) in enumerate(append.events):
        version = append.expected_version + place + 1
        if times and times[place] != recorded_at:
            recorded_at, known = times[place], None
        if metadata is not known:
            about = encode_metadata(metadata, aggregate_id, recorded_at)
            known, text = metadata, about.decode()
        name, event_version, data = codec.encode_bytes(event)
        checksum = event_checksum(
            identity, version, name.encode(), event_version, data, about, recorded_at
        )
        rows.append((version, name, event_version, data.decode(), text, recorded_at, checksum))
    return rows


_numbers = Struct(">qqd").pack  # version, event version, recorded_at
_join = b"\0".join


@lru_cache(4096)
def identity_checksum(stream_id: bytes, aggregate_id: bytes) -> int:
    """The checksum of the fields that all events of a stream share; the checksum of each event
    continues it."""
    return crc32(b"%b\0%b\0" % (stream_id, aggregate_id))


def event_checksum(
    identity: int,
    version: int,
    event_type: bytes,
    event_version: int,
    data: bytes,
    metadata: bytes,
    recorded_at: float,
) -> int:
    """The checksum of one event; ``identity`` is that of its stream."""
    numbers = _numbers(version, event_version, recorded_at)
    checksum = crc32(_join((numbers, event_type, metadata, data)), identity)
    return checksum if checksum < 0x80000000 else checksum - 0x100000000


def event_checksums(
    identity: int,
    versions: Iterable[int],
    event_types: Iterable[bytes],
    event_versions: Iterable[int],
    data: Iterable[bytes],
    metadata: Iterable[bytes],
    recorded_at: Iterable[float],
) -> list[int]:
    """:func:`event_checksum` of many events of a stream, with less Python code for each."""
    numbers = map(_numbers, versions, event_versions, recorded_at)
    contents = map(_join, zip(numbers, event_types, metadata, data, strict=True))
    found = map(crc32, contents, repeat(identity))
    return [c if c < 0x80000000 else c - 0x100000000 for c in found]


UNREADABLE: Final = Metadata(extra={"unreadable": "true"})
"""In place of metadata that cannot be read."""


def clock_time(at: float) -> float:
    """A time in seconds to 0.1 ms, as the log holds times."""
    return floor(at * 10_000 + 0.5) / 10_000


class _Provenance(msgspec.Struct, omit_defaults=True, gc=False):
    cause: str
    now: float | None = None
    worker: str = ""
    claimed_at: float | None = None
    began_at: float | None = None


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    cause: str = ""
    correlation_id: str | msgspec.UnsetType = msgspec.UNSET
    causation_id: str = ""
    extra: dict[str, str] = {}
    now: float | None = None
    jitter: float | None = None
    worker: str = ""
    claimed_at: float | None = None
    began_at: float | None = None
    command: Any = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Stored).decode


def encode_metadata(metadata: Metadata, aggregate_id: str, recorded_at: float) -> bytes:
    """The JSON of ``metadata`` in a row of this aggregate.

    Raises:
        ValueError: it holds something that could not be read back.
    """
    try:
        if (provenance := _brief(metadata, aggregate_id, recorded_at)) is not None:
            return provenance
        data = _encode(_shortened(metadata, aggregate_id, recorded_at))
        _decode(data)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as fault:
        raise ValueError(
            f"the metadata of {aggregate_id} cannot be recorded: {fault}; give it values of the "
            "types that planfold.log.Metadata names"
        ) from None
    if len(data) > 2 * MAX_DEPTH and is_too_deep(data):
        raise ValueError(
            f"the metadata of {aggregate_id} cannot be recorded: it nests deeper than "
            f"{MAX_DEPTH} levels"
        )
    if b"null" in data:
        require_finite(f"the metadata of {aggregate_id}", metadata)
    return data


def _brief(metadata: Metadata, aggregate_id: str, recorded_at: float) -> bytes | None:
    """The JSON of metadata that has only a cause within its stream and the times of an attempt, as
    nearly all metadata has. None: it has more, or could not be read back."""
    cause, size = metadata.causation_id, len(aggregate_id)
    if (
        metadata.extra
        or metadata.command is not None
        or metadata.jitter is not None
        or metadata.correlation_id != aggregate_id
        or cause[size : size + 1] != "#"
        or not cause.startswith(aggregate_id)
    ):
        return None
    now, claimed_at, began_at = metadata.now, metadata.claimed_at, metadata.began_at
    if metadata.worker:
        provenance = _Provenance(
            cause[size:],
            None if now == 0.0 or now == recorded_at else now,
            metadata.worker,
            clock_time(claimed_at) if claimed_at else None,
            clock_time(began_at) if began_at else None,
        )
    elif now or claimed_at or began_at:
        return None
    else:
        provenance = _Provenance(cause[size:])
    data = _encode(provenance)
    _decode(data)
    return None if b"null" in data else data


def _shortened(metadata: Metadata, aggregate_id: str, recorded_at: float) -> _Stored:
    correlation_id: str | msgspec.UnsetType = metadata.correlation_id
    causation_id, cause = metadata.causation_id, ""
    if causation_id.startswith(aggregate_id) and causation_id[len(aggregate_id) :][:1] == "#":
        causation_id, cause = "", causation_id[len(aggregate_id) :]
    if correlation_id == (aggregate_id if cause else ""):
        correlation_id = msgspec.UNSET
    now, claimed_at, began_at = metadata.now, metadata.claimed_at, metadata.began_at
    return _Stored(
        cause,
        correlation_id,
        causation_id,
        metadata.extra,
        None if now in (0.0, recorded_at) else now + 0.0,
        metadata.jitter,
        metadata.worker,
        clock_time(claimed_at) if claimed_at != 0.0 else None,
        clock_time(began_at) if began_at != 0.0 else None,
        metadata.command,
    )


def _worker_of_old_row(extra: dict[str, str]) -> str:
    """Older versions had it in ``extra``, alone."""
    worker = extra.get("worker", "") if len(extra) == 1 else ""
    return worker if worker.startswith("worker-") else ""


def decode_metadata(data: str | bytes, aggregate_id: str) -> Metadata:
    """Metadata from a row of this aggregate, of this version or an older one, which had the
    worker in ``extra``; :data:`UNREADABLE` where it cannot be read."""
    try:
        stored = _decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return UNREADABLE
    cause, correlation_id, extra = stored.cause, stored.correlation_id, stored.extra
    if correlation_id is msgspec.UNSET:
        correlation_id = aggregate_id if cause else ""
    return Metadata(
        correlation_id,
        aggregate_id + cause if cause else stored.causation_id,
        extra,
        stored.now or 0.0,
        stored.jitter,
        stored.worker or _worker_of_old_row(extra),
        stored.claimed_at or 0.0,
        stored.began_at or 0.0,
        stored.command,
    )
