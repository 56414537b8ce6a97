"""The checksum of a row of the log, over all that it says: written with it, compared whenever it
is read, so that a changed bit is found and not folded.

It is a CRC-32, kept as a signed 32-bit integer: that is what both databases store in four bytes.
Numbers enter it at a fixed width and texts between NULs, which no valid name or JSON text holds.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from zlib import crc32

_numbers = Struct(">qqd").pack  # version, event version, recorded_at
_join = b"\0".join


@lru_cache(4096)
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
    numbers = _numbers(version, event_version, recorded_at)
    checksum = crc32(_join((numbers, event_type, metadata, data)), identity)
    return checksum if checksum < 0x80000000 else checksum - 0x100000000
