"""The contract of the log (``EventStore``), of the queue of dispatched tasks that stands beside
it (``TaskQueue``) and of what readers remember (``Checkpoints``).

One decision is one transaction: its events, the stream's head, its queue rows and its command
ids are written together or not at all. Every backend passes ``planfold.testing.contracts``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.codec import Codec
from planfold.eventstore.consumers import Consumers
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.transfer import Transfer
from planfold.eventstore.wakeup import Wakeup
from planfold.handler import Enqueue, Metadata, QueueChange, Signal


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

    ``now`` is the time that the decision was made at: its events are recorded at it, and leases
    count from it unless the store's clock is later. None: the store's clock.
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
    now: float | None = None


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
    claimed_at: float = 0.0


class StreamHead(msgspec.Struct, frozen=True):
    """A stream's latest version, with what its handler wants lists to show."""

    stream_id: str
    aggregate_id: str
    version: int
    head: dict[str, Any]
    created_at: float
    updated_at: float
    due_at: float | None = None


class Due(msgspec.Struct, frozen=True):
    """A stream that asked, when it was last written (``since``), to be continued at ``at``; both
    in seconds since the epoch."""

    stream_id: str
    aggregate_id: str
    at: float
    since: float


def leaves_work(append: Append) -> bool:
    """Whether workers should look at the queue after it: for tasks to claim or to stop, or for
    a stream to continue."""
    return append.due_at is not None or any(
        isinstance(change, Signal)
        or (isinstance(change, Enqueue) and change.task_id not in append.leased)
        for change, _ in append.queue
    )


class WorkerRecord(msgspec.Struct, frozen=True):
    """A worker that lives, for people to look at; nothing is recovered from it.

    ``routes`` None: all of them but ``declined``, for which it has no tool. ``started_at`` and
    ``seen_at`` are seconds since the epoch; ``seen_at`` moves on with every renewal. ``host`` may
    end with a mark that says in which boot and container ``pid`` means something.
    """

    owner: str
    routes: tuple[str, ...] | None = None
    concurrency: int = 1
    host: str = ""
    pid: int = 0
    started_at: float = 0.0
    seen_at: float = 0.0
    declined: tuple[str, ...] = ()

    def serves(self, route: str) -> bool:
        return route not in self.declined and (self.routes is None or route in self.routes)


class TaskQueue(Protocol):
    """Dispatched tasks and their leases. Times are by the store's clock."""

    async def enter(self, worker: WorkerRecord) -> None:
        """A worker begins, or says something new of itself; while it lives nobody takes its
        tasks before their leases end."""
        ...

    async def leave(self, owner: str) -> None:
        """A worker ends."""
        ...

    async def workers(self) -> list[WorkerRecord]:
        """Those that were seen during the last lease time, the longest at work first."""
        ...

    async def dead(self, owners: Iterable[str]) -> frozenset[str]:
        """Those whose process has certainly ended: their tasks are free for the next claim."""
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

    async def renew(self, owner: str) -> list[Lease]:
        """Prolong everything that ``owner`` holds, and return it."""
        ...

    async def owned(self, owner: str) -> list[Lease]:
        """What ``owner`` holds; ``cancel`` is set on what it should stop."""
        ...

    async def queued(self, aggregate_id: str) -> list[Lease]:
        """The rows of one stream, leased (``owner``) or waiting."""
        ...

    async def upcoming(
        self,
        limit: int,
        *,
        stream_ids: Collection[str] | None = None,
        aggregate_id: str | None = None,
    ) -> list[Due]:
        """Streams of these kinds that asked to be continued, the earliest first."""
        ...


class Checkpoints(Protocol):
    """What readers of the log remember, and snapshots: a cache of folded state."""

    @property
    def consumers(self) -> Consumers: ...

    async def load(self, name: str) -> int:
        """The position that was saved under ``name``; 0 when there is none.

        Raises:
            ConfigurationError: it was saved in another store or epoch, lies beyond the end of
                the log, or is that of a consumer with several partitions.
        """
        ...

    async def save(self, name: str, position: int) -> None: ...

    async def raise_epoch(self) -> int:
        """Tell this store from the one that it was restored from: every checkpoint that was made
        before is refused from now on. Stores that are open must be opened again."""
        ...

    async def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None: ...

    async def save_snapshot(self, aggregate_id: str, version: int, data: bytes | None) -> None: ...


class EventStore(Protocol):
    """What is written is durable when its await returns. Belongs to one event loop."""

    codec: Codec
    store_id: str
    epoch: int
    wakeup: Wakeup
    clock: Callable[[], float]

    @property
    def queue(self) -> TaskQueue: ...

    @property
    def checkpoints(self) -> Checkpoints: ...

    @property
    def transfer(self) -> Transfer: ...

    def generation(self, aggregate_id: str | None = None) -> int:
        """Rises when another process may have written to the stream, or (None) to any."""
        ...

    def append(self, append: Append) -> Awaitable[int]:
        """Write one decision; the awaitable yields the position of its last event.

        Raises:
            Conflict: the stream is not at ``expected_version``, or a command id stands already.
            CommandRejected: the stream would begin, but was archived; or it is of another kind
                (``stream_id``).
            LeaseLost: a fence does not hold.
            Transient: the database is locked, full or away; nothing was written, unless the
                message says that this is not known.
            ValueError: an event or its metadata could not be read back, or a name holds NUL.
        """
        ...

    def flush(self) -> None:
        """A hint: nothing more is about to be appended, so what waits may be committed now."""
        ...

    async def read(
        self, query: Query, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """Recorded events that match, by position; unreadable ones as ``Undecoded``. Only
        :meth:`subscribe` promises that nothing comes to stand below what was read."""
        ...

    async def last_position(self) -> int:
        """The position of the newest event, even if it was archived; 0 in an empty store."""
        ...

    async def load(self, aggregate_id: str, *, after_version: int = 0) -> list[Any]:
        """The events of one stream, oldest first. Raises CorruptLog on one it cannot read."""
        ...

    def subscribe(
        self, query: Query | None = None, *, after: int | Checkpoint = 0
    ) -> AsyncIterator[Envelope]:
        """Matching events after a position, then new ones as they are committed, without end:
        each once, by position, none left out.

        Raises:
            ConfigurationError: the checkpoint is of another store, or of a time before this one
                was restored from a backup; on the first step.
        """
        ...

    def watch_other_processes(self) -> None:
        """From now on notify ``wakeup`` when another process has written."""
        ...

    async def version(self, aggregate_id: str) -> int: ...

    async def head(self, aggregate_id: str) -> StreamHead | None: ...

    async def heads(self, stream_id: str) -> list[StreamHead]: ...

    async def metadata_of_first(self, aggregate_id: str) -> Metadata | None: ...

    async def find_command(self, command_id: str) -> tuple[str, str] | None:
        """The aggregate and body hash of a command id that was recorded."""
        ...

    async def close(self) -> None: ...
