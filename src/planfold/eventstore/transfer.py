"""``Transfer``: streams as rows, as they leave one store and come into another.

JSON stays the text that was stored, so what this version cannot decode is carried as well.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from planfold.errors import CommandRejected


class StreamRow(msgspec.Struct, frozen=True, gc=False):
    """The head of a stream; ``head`` is JSON. Times are seconds since the epoch."""

    stream_id: str
    aggregate_id: str
    version: int
    head: str
    due_at: float | None
    created_at: float
    updated_at: float


class CommandRow(msgspec.Struct, frozen=True, gc=False):
    """A command id that was recorded; ``version`` is the stream's after it."""

    command_id: str
    body_hash: str
    version: int
    recorded_at: float


class TaskRow(msgspec.Struct, frozen=True, gc=False):
    """A row of the task queue without its lease; ``cause`` is the version of the event that
    dispatched it. ``starts`` counts a lease that was held, so that a ``once`` effect which may
    have begun is not repeated automatically. ``limits`` has commas between its names. The rest is
    as in :class:`Lease`."""

    task_id: int
    attempt: int
    route: str
    cause: int
    epoch: int
    starts: int
    cancel: bool
    tool: str = ""
    priority: int = 0
    started_at: float | None = None
    crashes: int = 0
    limits: str = ""


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """An event; ``data`` and ``metadata`` are JSON."""

    version: int
    event_type: str
    event_version: int
    data: str
    metadata: str
    recorded_at: float


Row = StreamRow | CommandRow | TaskRow | EventRow
OwnRow = CommandRow | TaskRow | EventRow
"""A row that belongs to the stream whose row came before it."""


class Incoming(msgspec.Struct, frozen=True):
    """A stream to write, or to extend ``after`` the version at which the store has it (0: not at
    all). ``rows`` are all of its commands and tasks, and its events beyond ``after``; it
    may be iterated more than once."""

    stream: StreamRow
    after: int
    rows: Iterable[OwnRow]


class Tombstone(msgspec.Struct, frozen=True):
    """What is left of a stream that was moved to an archive: its head, the file that it was
    moved to, and the digest of its events in that file (``transfer.records.Digest``)."""

    stream_id: str
    aggregate_id: str
    version: int
    head: str
    created_at: float
    updated_at: float
    archived_at: float
    file: str
    sha256: str


def origins_in(head: str | bytes | dict[str, Any]) -> list[str]:
    """The ids of the streams without which a stream with this head (or its JSON) cannot be
    folded."""
    origins = _decoded(head).get("origins")
    return [name for name in origins if isinstance(name, str)] if isinstance(origins, list) else []


def status_in(head: str | bytes | dict[str, Any]) -> str:
    """The status of a plan with this head; empty where it has none."""
    status = _decoded(head).get("status")
    return status if isinstance(status, str) else ""


def _decoded(head: str | bytes | dict[str, Any]) -> dict[str, Any]:
    if isinstance(head, dict):
        return head
    try:
        return msgspec.json.decode(head, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {}


def where_archived(tombstone: Tombstone) -> str:
    """Where an archived stream is, and how to bring it back."""
    return (
        f"{tombstone.stream_id} {tombstone.aggregate_id} was archived; import "
        f"{tombstone.file} to bring it back"
    )


def archived(tombstone: Tombstone) -> CommandRejected:
    """The refusal to begin a stream that was archived. Not a Conflict: deciding again would not
    help."""
    return CommandRejected(where_archived(tombstone)).about("archived")


class Footing(msgspec.Struct, frozen=True):
    """What decides whether a stream may be archived: ``consumer`` has not read all of it yet,
    ``parked_by`` has parked it."""

    version: int
    head: str
    events: int
    tasks: int
    consumer: str | None
    parked_by: str | None


def hindrance(footing: Footing | None, version: int, statuses: Collection[str]) -> str:
    """Why a stream that was at ``version`` may not be archived; "" when it may."""
    if footing is None:
        return "it is no longer in the database"
    if footing.version != version:
        return "it has new events"
    head = msgspec.json.decode(footing.head, type=dict[str, object])
    if head.get("status") not in statuses:
        return f"it is {head.get('status')}"
    if footing.events != version:
        return f"its log is damaged: it is at version {version} and has {footing.events} events"
    if footing.tasks:
        return "it has tasks in the queue"
    if footing.consumer is not None:
        return f"consumer {footing.consumer!r} has not read all of it"
    if footing.parked_by is not None:
        return f"consumer {footing.parked_by!r} has parked it"
    return ""


class Transfer(Protocol):
    """Moves streams between stores, and to archives."""

    def rows(
        self, aggregate_ids: Sequence[str] | None = None
    ) -> AsyncGenerator[Sequence[Row], None]:
        """These streams (None: all of them), the oldest first, in pages, as of one moment. A
        stream's own row is followed by its commands, its tasks and its events. Ids that do
        not exist are left out."""
        ...

    async def versions(self, aggregate_ids: Sequence[str]) -> dict[str, int]:
        """The versions of those streams that exist."""
        ...

    async def owners(self, command_ids: Sequence[str]) -> dict[str, str]:
        """The streams for which these command ids were recorded."""
        ...

    async def write(self, streams: Sequence[Incoming]) -> None:
        """Write streams in one transaction; a tombstone of theirs is lifted. Blocks other
        writers while it lasts.

        Raises:
            Conflict: one is no longer at ``after``, a worker holds a task of it, or a command id
                is already used; nothing was written.
            Transient: as for ``EventStore.append``.
        """
        ...

    async def unchanged_since(
        self, stream_id: str, before: float, *, after_id: str, limit: int
    ) -> list[StreamRow]:
        """Streams of one kind that were last written at or before a time, by id, those beyond
        ``after_id``."""
        ...

    async def footing(self, aggregate_id: str) -> Footing | None:
        """For :func:`hindrance`."""
        ...

    async def archive(
        self, tombstones: Sequence[Tombstone], statuses: Collection[str]
    ) -> list[str]:
        """Replace streams by their tombstones, each in one transaction in which it is made sure
        that nothing hinders it; the answers are those of :func:`hindrance`."""
        ...

    async def tombstones(self, aggregate_ids: Sequence[str]) -> list[Tombstone]:
        """Those of these streams."""
        ...

    async def find_tombstones(self, beginning: str, *, limit: int = 10) -> list[Tombstone]:
        """Those of streams whose id begins so."""
        ...
