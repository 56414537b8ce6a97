"""The events of one stream from its rows. Every load of a plan pays for it, so it is one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import error as StructError
from typing import Any

from planfold.backends.names import of_another_kind
from planfold.backends.rows import DAMAGED, shown
from planfold.errors import CorruptLog
from planfold.eventstore.codec import UNREADABLE, Codec
from planfold.eventstore.envelope import History
from planfold.eventstore.event_rows import event_checksum, identity_checksum


def events_of(
    codec: Codec,
    aggregate_id: str,
    after_version: int,
    rows: Iterable[Iterable[Any]],
    stream_id: str | None = None,
) -> History:
    """The events of one stream from rows of its version as its head has it and the columns of
    :func:`planfold.backends.rows.is_intact`, which are NULL where there are no events to give; see
    :meth:`planfold.eventstore.port.EventStore.load` for what it raises."""
    decoders = _Decoders(codec)
    events: list[Any] = []
    times: list[float] = []
    head = last = after_version
    kind, owner, identity = None, None, 0
    for stands_at, stream, its_id, version, name, event_version, data, metadata, at, crc in rows:
        head = stands_at
        if version != last + 1:
            if version is not None:
                raise CorruptLog(f"{aggregate_id} lacks its event {last + 1}; it is read-only")
            break
        if type(data) is str:
            name, data, metadata = name.encode(), data.encode(), metadata.encode()
        try:
            if stream != kind or its_id != owner:
                identity = identity_checksum(_encoded(stream), _encoded(its_id))
            found = event_checksum(identity, version, name, event_version, data, metadata, at)
        except (StructError, TypeError, AttributeError):  # a value of another type
            found = None
        if crc is not None and found != crc:
            raise CorruptLog(f"{aggregate_id}#{version}: {DAMAGED}; it is read-only")
        if stream != kind and stream_id is not None and shown(stream) != stream_id:
            raise of_another_kind(aggregate_id, shown(stream), stream_id)
        try:
            events.append(decoders[name, event_version](data))
        except (CorruptLog, *UNREADABLE):
            raise _unreadable(codec, aggregate_id, version, name, event_version, data) from None
        times.append(at)
        last, kind, owner = version, stream, its_id
    if head != last and (events or (head or 0) > after_version):
        raise CorruptLog(f"{aggregate_id} is at version {head}, but its last event is {last}")
    return History(events, times, head or 0)


def _unreadable(
    codec: Codec, aggregate_id: str, version: int, name: bytes, event_version: int, data: bytes
) -> CorruptLog:
    try:
        codec.decode(shown(name), event_version, data)
    except CorruptLog as fault:
        return CorruptLog(f"{aggregate_id}#{version}: {fault}; it is read-only")
    raise AssertionError("what could not be decoded was decoded")


class _Decoders(dict[tuple[bytes, int], Callable[[bytes], Any]]):
    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def __missing__(self, key: tuple[bytes, int]) -> Callable[[bytes], Any]:
        name, version = key
        decoder = self[key] = self._codec.decoder(shown(name), version)
        return decoder


def _encoded(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else name
