"""The export format: JSON lines, one for every row, between a header and a closing line.

A line holds what the database holds. Stored JSON is embedded unchanged, so that event types that
this version does not know survive. A value that is not JSON, or that contains a line break, is
written as a string and named in ``as_text``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.codec import MAX_DEPTH, is_too_deep
from planfold.eventstore.transfer import CommandRow, EventRow, Row, StreamRow, TaskRow

FORMAT: Final = 2  # 1 said less of a task


class Header(msgspec.Struct, frozen=True, tag_field="planfold", tag="export"):
    """The first line. ``exported_at``: seconds since the epoch."""

    format: int
    store_id: str
    epoch: int
    exported_at: float


class _TaggedLine(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    pass


class StreamLine(_TaggedLine, frozen=True, tag="stream", omit_defaults=True):
    stream_id: str
    aggregate_id: str
    version: int
    head: msgspec.Raw
    created_at: float
    updated_at: float
    due_at: float | None = None
    as_text: tuple[str, ...] = ()


class CommandLine(_TaggedLine, frozen=True, tag="command"):
    command_id: str
    body_hash: str
    version: int
    recorded_at: float


class TaskLine(_TaggedLine, frozen=True, tag="task", omit_defaults=True):
    task_id: int
    attempt: int
    route: str
    cause: int
    epoch: int
    starts: int
    cancel: bool = False
    tool: str | msgspec.UnsetType = msgspec.UNSET
    priority: int = 0
    started_at: float | None = None
    crashes: int = 0
    limits: str = ""


class EventLine(_TaggedLine, frozen=True, tag="event", omit_defaults=True):
    version: int
    event_type: str
    event_version: int
    data: msgspec.Raw
    metadata: msgspec.Raw
    recorded_at: float
    as_text: tuple[str, ...] = ()


class End(_TaggedLine, frozen=True, tag="end"):
    """The last line; ``sha256`` is of all bytes before it."""

    streams: int
    events: int
    sha256: str


ExportLine = StreamLine | CommandLine | TaskLine | EventLine | End

_encode = msgspec.json.Encoder().encode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_line: msgspec.json.Decoder[ExportLine] = msgspec.json.Decoder(ExportLine)


def encode(value: Header | End) -> bytes:
    """A header or closing line."""
    return _encode(value) + b"\n"


def encode_row(row: Row) -> bytes:
    """The line of a row; the same row gives the same bytes in every store."""
    line: ExportLine
    match row:
        case EventRow(version, event_type, event_version, data, metadata, recorded_at):
            data_json, metadata_json = _embedded(data), _embedded(metadata)
            line = EventLine(
                version,
                event_type,
                event_version,
                _as_string(data) if data_json is None else data_json,
                _as_string(metadata) if metadata_json is None else metadata_json,
                recorded_at,
                _named(data=data_json, metadata=metadata_json),
            )
        case StreamRow():
            head = _embedded(row.head)
            line = StreamLine(
                row.stream_id,
                row.aggregate_id,
                row.version,
                _as_string(row.head) if head is None else head,
                row.created_at,
                row.updated_at,
                row.due_at,
                _named(head=head),
            )
        case CommandRow():
            line = CommandLine(*msgspec.structs.astuple(row))
        case TaskRow():
            line = TaskLine(*msgspec.structs.astuple(row))
    return _encode(line) + b"\n"


def _embedded(text: str) -> msgspec.Raw | None:
    data = text.encode()
    try:
        raw = _decode_raw(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    if b"\n" in data or data[:1].isspace() or data[-1:].isspace():
        return None
    return None if len(data) > 2 * MAX_DEPTH and is_too_deep(data) else raw


def _as_string(text: str) -> msgspec.Raw:
    return msgspec.Raw(_encode(text))


def _named(**fields: msgspec.Raw | None) -> tuple[str, ...]:
    if None not in fields.values():
        return ()
    return tuple(name for name, value in fields.items() if value is None)


def decode_header(line: bytes) -> Header:
    """Raises CorruptLog where ``line`` is not the first line of an export that this version
    understands."""
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise CorruptLog("this is not an export of planfold; name a file that it wrote") from None
    if not 1 <= header.format <= FORMAT:
        raise CorruptLog(
            f"its format is {header.format}, this planfold knows 1 to {FORMAT}; upgrade planfold"
        )
    return header


def decode_line(line: bytes) -> Row | End:
    """Raises CorruptLog where ``line`` is none that :func:`encode_row` makes."""
    try:
        found = _decode_line.decode(line)
        match found:
            case EventLine():
                return EventRow(
                    found.version,
                    found.event_type,
                    found.event_version,
                    _text(found.data, "data", found.as_text),
                    _text(found.metadata, "metadata", found.as_text),
                    found.recorded_at,
                )
            case StreamLine():
                return StreamRow(
                    found.stream_id,
                    found.aggregate_id,
                    found.version,
                    _text(found.head, "head", found.as_text),
                    found.due_at,
                    found.created_at,
                    found.updated_at,
                )
            case CommandLine():
                return CommandRow(*msgspec.structs.astuple(found))
            case TaskLine():
                row = TaskRow(*msgspec.structs.astuple(found))
                unset = isinstance(found.tool, msgspec.UnsetType)  # format 1
                return msgspec.structs.replace(row, tool=row.route) if unset else row
            case End():
                return found
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as fault:
        raise CorruptLog(f"it is damaged ({fault}); copy or export the file again") from None


def _text(raw: msgspec.Raw, name: str, as_text: tuple[str, ...]) -> str:
    return _decode_text(raw) if name in as_text else bytes(raw).decode()


class Digest:
    """SHA-256 over the lines of a stream's first events: equal for equal histories, in
    any store or file."""

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self._sha: Any = hashlib.sha256()
        for line in lines:
            self.add(line)

    def add(self, line: bytes) -> None:
        self._sha.update(line)

    def __str__(self) -> str:
        return str(self._sha.hexdigest())
