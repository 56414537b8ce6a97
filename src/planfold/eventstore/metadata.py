"""Metadata as a row holds it: short, because every event has some.

Most events of a stream belong to the request that began it, and were caused by an event of the
same stream. Such a row holds ``cause``, the causation id without the aggregate id in front, and
leaves out the correlation id where it is the aggregate id. All other rows, and those of older
versions, hold both ids in full.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planfold.eventstore.codec import MAX_DEPTH, is_too_deep
from planfold.handler import Metadata

UNREADABLE: Final = Metadata(extra={"unreadable": "true"})
"""In place of metadata that cannot be read."""

_TIME_DIGITS: Final = 4  # 0.1 ms


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
        data = _encode(_shortened(metadata, aggregate_id, recorded_at))
        _decode(data)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as fault:
        raise ValueError(
            f"the metadata of {aggregate_id} cannot be recorded: {fault}; give it values of the "
            "types that planfold.Metadata names"
        ) from None
    if len(data) > 2 * MAX_DEPTH and is_too_deep(data):
        raise ValueError(
            f"the metadata of {aggregate_id} cannot be recorded: it nests deeper than "
            f"{MAX_DEPTH} levels"
        )
    return data


def _shortened(metadata: Metadata, aggregate_id: str, recorded_at: float) -> _Stored:
    correlation_id: str | msgspec.UnsetType = metadata.correlation_id
    causation_id, cause = metadata.causation_id, ""
    if causation_id.startswith(f"{aggregate_id}#"):
        causation_id, cause = "", causation_id[len(aggregate_id) :]
    if correlation_id == (aggregate_id if cause else ""):
        correlation_id = msgspec.UNSET
    return _Stored(
        cause,
        correlation_id,
        causation_id,
        metadata.extra,
        None if metadata.now in (0.0, recorded_at) else metadata.now,
        metadata.jitter,
        metadata.worker,
        round(metadata.claimed_at, _TIME_DIGITS) or None,
        round(metadata.began_at, _TIME_DIGITS) or None,
        metadata.command,
    )


def decode_metadata(data: str | bytes, aggregate_id: str) -> Metadata:
    """Metadata from a row of this aggregate, of this version or an older one, which had the
    worker in ``extra``; :data:`UNREADABLE` where it cannot be read."""
    try:
        stored = _decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return UNREADABLE
    correlation_id = stored.correlation_id
    if isinstance(correlation_id, msgspec.UnsetType):
        correlation_id = aggregate_id if stored.cause else ""
    return Metadata(
        correlation_id,
        aggregate_id + stored.cause if stored.cause else stored.causation_id,
        stored.extra,
        stored.now or 0.0,
        stored.jitter,
        stored.worker or stored.extra.get("worker", ""),
        stored.claimed_at or 0.0,
        stored.began_at or 0.0,
        stored.command,
    )
