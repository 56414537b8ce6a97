"""The events of one stream from its rows. Every load of a plan pays for it, so many rows are
verified and decoded together, with no Python code for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import call
from struct import error as StructError
from typing import Any, Final

from planfold.backends.names import of_another_kind
from planfold.backends.rows import DAMAGED, is_intact, shown
from planfold.errors import CorruptLog
from planfold.eventstore.codec import UNREADABLE, Codec
from planfold.eventstore.envelope import History
from planfold.eventstore.event_rows import event_checksums, identity_checksum

TOGETHER: Final = 128  # rows


def events_of(
    codec: Codec,
    aggregate_id: str,
    after_version: int,
    rows: Iterable[Any],
    stream_id: str | None = None,
) -> History:
    """The events of one stream from rows of its version as its head has it and the columns of
    :func:`planfold.backends.rows.is_intact`, which are NULL where there are no events to give; see
    :meth:`planfold.eventstore.port.EventStore.load` for what it raises."""
    reading = _HistoryReader(codec, aggregate_id, after_version, stream_id)
    left = iter(rows)
    while some := list(islice(left, TOGETHER)):
        if not reading.take(some):
            for row in some:
                reading.take_alone(row)
    return reading.history()


class _HistoryReader:
    """The events that were read so far."""

    def __init__(
        self, codec: Codec, aggregate_id: str, after_version: int, stream_id: str | None
    ) -> None:
        self._codec = codec
        self._decoders = _Decoders(codec)
        self._aggregate_id = aggregate_id
        self._stream_id = stream_id
        self._after = self._last = after_version
        self._head: int | None = after_version
        self._events: list[Any] = []
        self._times: list[float] = []

    def history(self) -> History:
        head, last = self._head, self._last
        if head != last and (self._events or (head or 0) > self._after):
            raise CorruptLog(
                f"{self._aggregate_id} is at version {head}, but its last event is {last}"
            )
        return History(self._events, self._times, head or 0)

    def take(self, rows: Sequence[Any]) -> bool:
        """Take rows that are as they should be; False, and nothing is taken, where one is not."""
        heads, streams, ids, versions, names, event_versions, data, about, times, checksums = zip(
            *rows, strict=True
        )
        stream, its_id, last = streams[0], ids[0], self._last + len(rows)
        if versions != tuple(range(self._last + 1, last + 1)):
            return False
        if streams.count(stream) != len(rows) or ids.count(its_id) != len(rows):
            return False
        try:
            if self._stream_id is not None and shown(stream) != self._stream_id:
                return False
            if type(stream) is str:
                stream, its_id = stream.encode(), its_id.encode()
                names, data, about = (tuple(map(str.encode, each)) for each in (names, data, about))
            identity = identity_checksum(stream, its_id)
            found = event_checksums(identity, versions, names, event_versions, data, about, times)
            if tuple(found) != checksums:
                return False
            decoders = map(self._decoders.__getitem__, zip(names, event_versions, strict=True))
            events = list(map(call, decoders, data))
        except (StructError, TypeError, AttributeError, CorruptLog, *UNREADABLE):
            return False
        self._events += events
        self._times += times
        self._head, self._last = heads[-1], last
        return True

    def take_alone(self, row: Iterable[Any]) -> None:
        """Take one row, or say what is wrong with it."""
        head, stream, its_id, version, name, event_version, data, about, at, checksum = row
        self._head = head
        if version is None:
            return
        where = f"{self._aggregate_id}#{version}"
        if version != self._last + 1:
            raise CorruptLog(
                f"{self._aggregate_id} lacks its event {self._last + 1}; it is read-only"
            )
        if not is_intact(stream, its_id, version, name, event_version, data, about, at, checksum):
            raise CorruptLog(f"{where}: {DAMAGED}; it is read-only")
        if self._stream_id is not None and shown(stream) != self._stream_id:
            raise of_another_kind(self._aggregate_id, shown(stream), self._stream_id)
        try:
            event = self._codec.decode(shown(name), event_version, data)
        except CorruptLog as fault:
            raise CorruptLog(f"{where}: {fault}; it is read-only") from None
        self._events.append(event)
        self._times.append(at)
        self._last = version


class _Decoders(dict[tuple[bytes, int], Callable[[bytes], Any]]):
    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def __missing__(self, key: tuple[bytes, int]) -> Callable[[bytes], Any]:
        name, version = key
        decoder = self[key] = self._codec.decoder(shown(name), version)
        return decoder
