"""The checksum of a row of the log, over all that it says: written with it, compared whenever it
is read, so that a changed bit is found and not folded.

It is a CRC-32, kept as a signed 32-bit integer: that is what both databases store in four bytes.
Numbers enter it at a fixed width and texts between NULs, which no valid name or JSON text holds.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

_numbers = Struct(">qqd").pack  # version, event version, recorded_at


def identity_checksum(stream_id: bytes, aggregate_id: bytes) -> int:
    """What the checksums of all events of a stream begin with."""
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
    begun = crc32(_numbers(version, event_version, recorded_at) + event_type, identity)
    checksum = crc32(data, crc32(b"\0%b\0" % metadata, begun))
    return checksum - (checksum >> 31 << 32)
