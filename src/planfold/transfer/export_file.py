"""``ExportFile``: an export that is read, every line of it checked before any is used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Final

import msgspec

from planfold.errors import CorruptLog, Transient
from planfold.eventstore.transfer import CommandRow, EventRow, OwnRow, StreamRow, TaskRow
from planfold.transfer.records import (
    Digest,
    End,
    Header,
    decode_header,
    decode_line,
    encode,
    encode_row,
)

HEADER_BYTES: Final = 4096
LINE_BYTES: Final = 2**31 - 1  # more than either database takes for a single value
_ORDER: Final = {CommandRow: 1, TaskRow: 2, EventRow: 3}


class StreamSection(msgspec.Struct, frozen=True):
    """A stream of the file: the bytes from ``start`` to ``end``. ``digest`` is that of its
    events."""

    stream: StreamRow
    start: int
    end: int
    digest: str
    command_ids: tuple[str, ...] = ()


class ExportFile:
    """Reads the binary file ``file``, which must be one that can be sought in; ``name`` is for
    messages."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name
        self.size = os.fstat(file.fileno()).st_size
        self.header: Header | None = None
        self.events = 0

    def sections(self) -> Iterator[StreamSection]:
        """All streams. The file is valid only when this iterator has ended.

        Raises:
            CorruptLog: it is not an export, damaged, or truncated; with the number of the line.
        """
        return _Verification(self).sections()

    def stream_at(self, start: int) -> StreamRow:
        """The row of the stream whose section begins at ``start``."""
        row = self._row(self.line(start))
        assert isinstance(row, StreamRow)
        return row

    def rows(self, start: int, end: int, *, after: int = 0) -> Iterator[OwnRow]:
        """The rows of the section between ``start`` and ``end``, without the stream's own, and
        without events up to the version ``after``."""
        at = start + len(self.line(start))
        while at < end:
            line = self.line(at)
            at += len(line)
            row = self._row(line)
            assert not isinstance(row, StreamRow)
            if not (isinstance(row, EventRow) and row.version <= after):
                yield row

    def digest(self, start: int, end: int, versions: int) -> str:
        """The digest of the first ``versions`` events of a section."""
        events = (row for row in self.rows(start, end) if isinstance(row, EventRow))
        return str(Digest(map(encode_row, islice(events, versions))))

    def line(self, start: int, most: int = LINE_BYTES) -> bytes:
        """The line that begins at ``start``. Raises Transient when it cannot be read."""
        try:
            self._file.seek(start)  # another reader may have moved the position
            return self._file.readline(most)
        except OSError as fault:
            raise Transient(f"cannot read {self.name}: {fault.strerror}") from None

    def _row(self, line: bytes) -> StreamRow | OwnRow:
        row = decode_line(line)
        if isinstance(row, End):
            raise CorruptLog(f"{self.name} was changed while it was read; try again")
        return row


class _Verification:
    """One reading of the file from its first byte to its last."""

    def __init__(self, export: ExportFile) -> None:
        self._export = export
        self._sha = hashlib.sha256()
        self._number = 0  # of the line
        self._at = 0  # where the next line begins
        self._ids: set[int] = set()  # hashes: the ids of a million streams would be large
        self._streams = 0
        self._events = 0

    def sections(self) -> Iterator[StreamSection]:
        self._export.header = self._header()
        reading: _StreamVerification | None = None
        while True:
            start = self._at
            line = self._line()
            try:
                row = decode_line(line)
                if isinstance(row, StreamRow | End):
                    if reading is not None:
                        yield reading.section(start)
                        self._streams += 1
                    if isinstance(row, End):
                        break
                    self._once("stream", row.aggregate_id)
                    reading = _StreamVerification(row, start)
                elif reading is None:
                    raise CorruptLog("it belongs to no stream")
                else:
                    self._take(reading, row, line)
            except CorruptLog as fault:
                raise self._fault(str(fault)) from None
            self._sha.update(line)
        self._check_end(line)

    def _header(self) -> Header:
        line = self._line(HEADER_BYTES)
        self._sha.update(line)
        try:
            return decode_header(line)
        except CorruptLog as fault:
            raise self._fault(str(fault)) from None

    def _take(self, reading: _StreamVerification, row: OwnRow, line: bytes) -> None:
        reading.take(row, line)
        if isinstance(row, EventRow):
            self._events += 1
            self._export.events = self._events
        elif isinstance(row, CommandRow):
            self._once("command", row.command_id)

    def _once(self, kind: str, name: str) -> None:
        key = hash((kind, name))
        if key in self._ids:
            raise CorruptLog(f"{kind} {name!r} occurs twice in the file; export it again")
        self._ids.add(key)

    def _line(self, most: int = LINE_BYTES) -> bytes:
        self._number += 1
        line = self._export.line(self._at, most)
        self._at += len(line)
        if not line.endswith(b"\n") and self._number > 1:
            raise self._fault("the file ends before its closing line; copy or export it again")
        return line

    def _check_end(self, line: bytes) -> None:
        found = self._sha.hexdigest()
        if line != encode(End(self._streams, self._events, found)):
            raise self._fault(
                f"the file is damaged: it has {self._streams} streams, {self._events} events and "
                f"the sha256 {found}, which differs from this line; copy or export it again"
            )
        if self._export.line(self._at, 1):
            self._number += 1
            raise self._fault("there is more after the closing line; import one file at a time")

    def _fault(self, message: str) -> CorruptLog:
        return CorruptLog(
            f"{self._export.name}, line {self._number}: {message}. Nothing was imported."
        )


class _StreamVerification:
    """The stream that is being read: its lines must come in order and without gaps."""

    def __init__(self, row: StreamRow, start: int) -> None:
        self._row = row
        self._start = start
        self._version = 0
        self._kind = 0
        self._tasks: set[int] = set()
        self._command_ids: list[str] = []
        self._digest = Digest()
        _check_names(row.aggregate_id, row.stream_id)
        if row.version < 1:
            raise CorruptLog("a stream's version is at least 1")
        if not isinstance(_json(row.head), dict):
            raise CorruptLog("a stream's head is a JSON object")

    def take(self, row: OwnRow, line: bytes) -> None:
        kind = _ORDER[type(row)]
        if kind < self._kind:
            raise CorruptLog("it is out of order")
        self._kind = kind
        match row:
            case EventRow():
                self._version += 1
                if row.version != self._version or row.version > self._row.version:
                    raise CorruptLog(
                        f"event {min(self._version, self._row.version)} of "
                        f"{self._row.aggregate_id} was expected here, not {row.version}"
                    )
                _check_names(row.event_type)
                self._digest.add(line)
            case TaskRow():
                _check_names(row.route)
                if row.task_id in self._tasks or not 1 <= row.cause <= self._row.version:
                    raise CorruptLog(f"task {row.task_id} occurs twice or has no cause")
                self._tasks.add(row.task_id)
            case CommandRow():
                _check_names(row.command_id)
                self._command_ids.append(row.command_id)

    def section(self, end: int) -> StreamSection:
        """The whole stream. Raises CorruptLog when it is not whole."""
        if self._version != self._row.version:
            raise CorruptLog(
                f"{self._row.aggregate_id} has {self._version} events before this line, not "
                f"{self._row.version}"
            )
        ids = tuple(self._command_ids)
        return StreamSection(self._row, self._start, end, str(self._digest), ids)


def _check_names(*names: str) -> None:
    for name in names:
        if not name or "\0" in name:
            raise CorruptLog(f"{name!r} is not a name: it is empty or contains NUL")


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
