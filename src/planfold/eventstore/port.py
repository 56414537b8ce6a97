"""The contract of the log (``EventStore``), of the queue of dispatched tasks that stands beside
it (``TaskQueue``) and of what readers remember (``Checkpoints``).

One decision is one transaction: its events, the stream's head, its queue rows and its command
ids are written together or not at all. Every backend passes ``planfold.testing.contracts``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.wakeup import Wakeup
from planfold.handler import Metadata, QueueChange


class Fence(msgspec.Struct, frozen=True):
    """Accept the decision only while the lease with this epoch still holds."""

    task_id: int
    attempt: int
    epoch: int


class CommandRecord(msgspec.Struct, frozen=True):
    """A command id chosen by its sender, so that sending it again does nothing."""

    command_id: str
    body_hash: str


class Append(msgspec.Struct, frozen=True):
    """One decision on one stream.

    ``expected_version`` is the stream's version before it (0: the stream begins); ``queue``
    holds changes with the version of their event; ``owner`` leases the ``leased`` tasks at once;
    ``due_at`` is when the stream wants to be continued (seconds since the epoch).
    """

    stream_id: str
    aggregate_id: str
    expected_version: int
    events: Sequence[tuple[Any, Metadata]]
    queue: Sequence[tuple[QueueChange, int]] = ()
    fences: Sequence[Fence] = ()
    commands: Sequence[CommandRecord] = ()
    head: dict[str, Any] = {}
    due_at: float | None = None
    owner: str | None = None
    leased: frozenset[int] = frozenset()


class Lease(msgspec.Struct, frozen=True):
    """A row of the task queue: ``owner`` may run the task until ``expires`` (seconds since the
    epoch). ``epoch`` fences its result; ``starts`` counts the claims after which the effect may
    have begun; ``cause`` is the id of the event that dispatched it.
    """

    aggregate_id: str
    task_id: int
    attempt: int
    route: str
    epoch: int
    starts: int
    expires: float
    cause: str
    cancel: bool = False
    owner: str | None = None


class StreamHead(msgspec.Struct, frozen=True):
    """A stream's latest version, with what its handler wants lists to show."""

    stream_id: str
    aggregate_id: str
    version: int
    head: dict[str, Any]
    created_at: float
    updated_at: float
    due_at: float | None = None


class TaskQueue(Protocol):
    """Dispatched tasks and their leases."""

    def enter(self, owner: str) -> None:
        """A worker begins; while it lives nobody takes its tasks before their leases end."""
        ...

    def leave(self, owner: str) -> None:
        """A worker ends."""
        ...

    async def claim(
        self,
        owner: str,
        limit: int,
        *,
        aggregate_id: str | None = None,
        routes: Iterable[str] | None = None,
        without: Iterable[str] = (),
        barred: Iterable[str] = (),
    ) -> list[Lease]:
        """Lease up to ``limit`` tasks that nobody holds, the longest waiting first; each
        (task, epoch) is granted once, however many claim at the same time. ``routes`` None
        means all of them but those in ``without``; ``barred`` are aggregates to leave alone."""
        ...

    async def release(self, owner: str, lease: Lease, *, started: bool) -> None:
        """Give a task back; ``started`` says that its effect may have begun. Does nothing when
        the lease has passed to another."""
        ...

    async def renew(self, owner: str) -> None:
        """Prolong everything that ``owner`` holds."""
        ...

    def owned(self, owner: str) -> list[Lease]:
        """What ``owner`` holds; ``cancel`` is set on what it should stop."""
        ...

    def queued(self, aggregate_id: str) -> list[Lease]:
        """The rows of one stream, leased (``owner``) or waiting."""
        ...

    def due(
        self, now: float, *, stream_id: str | None = None, aggregate_id: str | None = None
    ) -> list[str]:
        """Streams that asked to be continued by ``now``, the longest overdue first."""
        ...

    def next_due(
        self, *, stream_id: str | None = None, aggregate_id: str | None = None
    ) -> float | None:
        """When the first of these streams wants to be continued; None: none does."""
        ...


class Checkpoints(Protocol):
    """How far named consumers have read, and snapshots: a cache of folded state."""

    def load(self, name: str) -> int: ...

    async def save(self, name: str, position: int) -> None: ...

    def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None: ...

    async def save_snapshot(self, aggregate_id: str, version: int, data: bytes | None) -> None: ...


class EventStore(Protocol):
    """Reads answer at once; writes are awaited and are durable when the await returns."""

    codec: Codec
    store_id: str
    wakeup: Wakeup
    clock: Callable[[], float]

    @property
    def queue(self) -> TaskQueue: ...

    @property
    def checkpoints(self) -> Checkpoints: ...

    @property
    def generation(self) -> int:
        """Rises when another process has written."""
        ...

    def append(self, append: Append) -> Awaitable[int]:
        """Write one decision; the awaitable yields the position of its last event.

        Raises:
            Conflict: the stream is not at ``expected_version``, or a command id stands already.
            LeaseLost: a fence does not hold.
            Transient: the database is locked or full; nothing was written.
            ValueError: an event cannot be written as JSON.
        """
        ...

    def flush(self) -> None:
        """A hint: nothing more is about to be appended, so what waits may be committed now."""
        ...

    def read(self, query: Query, *, after: int = 0, limit: int | None = None) -> list[Envelope]:
        """Recorded events that match, by position; unreadable ones as ``Undecoded``."""
        ...

    def load(self, aggregate_id: str, *, after_version: int = 0) -> list[Any]:
        """The events of one stream, oldest first. Raises CorruptLog on one it cannot read."""
        ...

    def subscribe(self, query: Query | None = None, *, after: int = 0) -> AsyncIterator[Envelope]:
        """Matching events after a position, then new ones as they are committed, without end."""
        ...

    def watch_other_processes(self) -> None:
        """From now on notify ``wakeup`` when another process has written."""
        ...

    def version(self, aggregate_id: str) -> int: ...

    def head(self, aggregate_id: str) -> StreamHead | None: ...

    def heads(self, stream_id: str) -> list[StreamHead]: ...

    def metadata_of_first(self, aggregate_id: str) -> Metadata | None: ...

    def find_command(self, command_id: str) -> tuple[str, str] | None:
        """The aggregate and body hash of a command id that was recorded."""
        ...

    async def close(self) -> None: ...
