"""The contract of the log (``EventStore``) and of what consumers remember (``Checkpoints``); that
of the queue of dispatched tasks beside it (``TaskQueue``) is in ``queue.py``.

One decision is one transaction: its events, the stream's head, its queue rows and its command
ids are written together or not at all. Every backend passes the contract suite
(``testbed/contracts`` in the repository).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, History, Query
from planfold.eventstore.heads import ALL_HEADS, HeadChoice
from planfold.eventstore.heads import StreamHead as StreamHead
from planfold.eventstore.queue import Lease as Lease
from planfold.eventstore.queue import TaskQueue as TaskQueue
from planfold.eventstore.queue import WorkerRecord as WorkerRecord
from planfold.eventstore.transfer import Transfer
from planfold.eventstore.wakeup import Wakeup
from planfold.handler import Enqueue, Metadata, QueueChange, Signal

if TYPE_CHECKING:
    from planfold.eventstore.consumers import Consumers


class Fence(msgspec.Struct, frozen=True, gc=False):
    """Accept the decision only while the lease with this epoch still holds."""

    task_id: int
    attempt: int
    epoch: int


class CommandRecord(msgspec.Struct, frozen=True, gc=False):
    """A command id chosen by its sender, so that sending it again does nothing."""

    command_id: str
    body_hash: str


class Append(msgspec.Struct, frozen=True, gc=False):
    """One decision on one stream.

    ``expected_version`` is the stream's version before it (0: the stream begins); ``queue``
    holds changes with the version of their event; ``owner`` leases the ``leased`` tasks at once;
    ``due_at`` is when the stream wants to be continued (seconds since the epoch).

    ``now`` is the time that the decision was made at: its events are recorded at it, and leases
    count from it unless the store's clock is later. None: the store's clock. ``times``: when each
    event is recorded instead, where that differs.

    Without events it changes the queue and the head at that version: a repair does.

    ``quiet``: the ``status`` in ``head`` is the one before, so those who wait for another status
    need not look.
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
    quiet: bool = False
    times: Sequence[float] = ()


def leaves_work(append: Append) -> bool:
    """Whether workers should look at the queue after it: for tasks to claim or to stop, or for
    a stream to continue."""
    if append.due_at is not None:
        return True
    for change, _ in append.queue:
        if isinstance(change, Enqueue):
            if change.task_id not in append.leased:
                return True
        elif isinstance(change, Signal):
            return True
    return False


class Checkpoints(Protocol):
    """What consumers of the log remember, and snapshots: a cache of folded state."""

    @property
    def consumers(self) -> Consumers:
        """What consumers remember, by their names."""
        ...

    async def raise_epoch(self) -> int:
        """Mark this store as restored from a backup: every earlier checkpoint is refused from now
        on. Stores that are open must be opened again."""
        ...

    async def snapshot(self, aggregate_id: str) -> tuple[int, bytes] | None:
        """The version and the bytes of the saved snapshot; None where there is none, or its
        version is one that the stream does not have."""
        ...

    async def save_snapshot(self, aggregate_id: str, version: int, data: bytes | None) -> None:
        """Save a snapshot; it replaces an older one. None removes it."""
        ...

    async def read_model(self, name: str) -> tuple[Checkpoint, bytes] | None:
        """The data saved under a name, and the checkpoint up to which it was counted; None if there
        is none or it is damaged."""
        ...

    async def save_read_model(self, name: str, checkpoint: Checkpoint, data: bytes) -> None:
        """Save data that was counted from the log; it replaces earlier data of that name."""
        ...

    async def forget_read_models(self) -> None:
        """Remove all of this data, so that it is counted again from the log."""
        ...

    async def times_forgotten(self) -> int:
        """How often the data was removed. Data that was counted before the last removal may include
        events that are no longer in the log."""
        ...


class EventStore(Protocol):
    """What is written is durable when its await returns. Belongs to one event loop."""

    codec: Codec
    store_id: str
    epoch: int
    wakeup: Wakeup
    clock: Callable[[], float]

    @property
    def queue(self) -> TaskQueue:
        """The queue of dispatched tasks."""
        ...

    @property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints of consumers, and snapshots."""
        ...

    @property
    def transfer(self) -> Transfer:
        """Export, import and archive of whole streams."""
        ...

    def generation(self, aggregate_id: str | None = None) -> int:
        """Rises when another process may have written to the stream, or (None) to any."""
        ...

    def append(self, append: Append) -> Awaitable[int]:
        """Write one decision; the awaitable yields the position of its last event.

        Raises:
            Conflict: the stream is not at ``expected_version``, or a command id is already used.
            CommandRejected: the stream would begin, but was archived; or it is of another kind
                (``stream_id``).
            LeaseLost: a fence does not hold.
            Transient: the database is locked, full or away; nothing was written, unless the
                message says that this is not known.
            ValueError: an event or its metadata could not be read back, or a name holds NUL.
        """
        ...

    def connections(self) -> dict[str, int]:
        """Connections of this process for reading from a database server: ``used``, ``idle``, and
        ``free``: those that may be opened; and calls ``waiting`` for one. Empty without a
        server."""
        ...

    def flush(self) -> None:
        """A hint that no further append follows soon, so a waiting commit need not wait longer."""
        ...

    async def read(
        self, query: Query, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """Recorded events that match, by position; unreadable ones as ``Undecoded``. Only
        :meth:`subscribe` promises that no event appears later below the last one read."""
        ...

    async def read_versions(
        self, aggregate_id: str, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """The recorded events of one stream after a version, at most ``limit``; unreadable ones as
        ``Undecoded``."""
        ...

    async def last_position(self) -> int:
        """The position of the newest event, even if it was archived; 0 in an empty store."""
        ...

    async def load(
        self, aggregate_id: str, *, after_version: int = 0, stream_id: str | None = None
    ) -> History:
        """The events of one stream after a version, and the version that the stream has: it may be
        less than ``after_version`` where the stream was archived.

        Raises:
            CorruptLog: one cannot be read, is missing or does not match its checksum.
            CommandRejected: the stream is of another kind than ``stream_id``.
        """
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

    async def lock_stream(self, aggregate_id: str) -> Callable[[], None]:
        """Wait until no other process holds the lock of this stream, and take it; returns a
        function that releases it. The lock only avoids conflicts between processes that decide on
        the same stream: if it cannot be had soon, the call returns without it."""
        ...

    async def version(self, aggregate_id: str) -> int:
        """The version of a stream; 0 where there is none."""
        ...

    async def head(self, aggregate_id: str) -> StreamHead | None:
        """The head of a stream, or None where there is none."""
        ...

    async def heads(
        self, stream_id: str, choice: HeadChoice = ALL_HEADS, *, limit: int | None = None
    ) -> list[StreamHead]:
        """The heads of streams of a kind, the newest first, those of the same age by id: all of
        them, or at most ``limit`` of ``choice``."""
        ...

    async def find_heads(
        self, stream_id: str, beginning: str, *, limit: int = 10, projects: tuple[str, ...] = ()
    ) -> list[StreamHead]:
        """The heads of streams of a kind whose ids begin so, by id, at most ``limit``; only those
        of these projects (none given: of any)."""
        ...

    async def metadata_of_first(self, aggregate_id: str) -> Metadata | None:
        """The metadata of a stream's first event, or None where there is none."""
        ...

    async def find_command(self, command_id: str) -> tuple[str, str] | None:
        """The aggregate and body hash of a command id that was recorded."""
        ...

    async def close(self) -> None:
        """Close the connections; the store cannot be used after it."""
        ...
