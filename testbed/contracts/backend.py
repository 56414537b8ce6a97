"""``Backend``: the database under test, and the events that the contracts write into it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from planfold.eventstore.codec import Codec, event_types
from planfold.eventstore.port import Append, EventStore
from planfold.handler import Enqueue, Metadata, QueueChange


class Noted(msgspec.Struct, frozen=True):
    """An event that can hold anything."""

    value: Any = None


class Counted(msgspec.Struct, frozen=True):
    number: int = 0


CODEC = Codec(event_types([Noted, Counted]))


class Backend(ABC):
    """One database for the length of one test.

    ``shared`` says whether further stores can be opened on it, as other processes would;
    ``sees_processes`` whether an owner that has entered keeps its tasks while its process lives,
    also when the clock says that its leases have expired;
    ``concurrent_writers`` whether several transactions can write events at the same time, so that
    a position may become visible after a higher one.
    """

    shared = True
    sees_processes = False
    concurrent_writers = False

    def __init__(self) -> None:
        self._stores: list[EventStore] = []

    async def open(
        self, codec: Codec = CODEC, clock: Callable[[], float] | None = None
    ) -> EventStore:
        """A store on the database. All but the first represent other processes. ``clock`` None:
        the backend's own."""
        if self._stores and not self.shared:
            pytest.skip("no other process can open this database")
        store = await self.connect(codec, clock)
        self._stores.append(store)
        return store

    async def close(self, store: EventStore | None = None) -> None:
        """Close ``store``, or every store that is still open."""
        for each in [store] if store is not None else list(self._stores):
            self._stores.remove(each)
            await each.close()

    @abstractmethod
    async def connect(self, codec: Codec, clock: Callable[[], float] | None) -> EventStore:
        """Open a store on the database, which is made when it is not there."""

    async def open_transaction(self) -> OpenTransaction:
        """Begin to write past the store; only where there are concurrent writers."""
        raise NotImplementedError

    @abstractmethod
    async def lose_event(self, aggregate_id: str, version: int) -> None:
        """Delete one event, as no planfold ever would."""

    @abstractmethod
    async def damage_read_model(self, name: str) -> None:
        """Change some bytes of a read model."""

    @abstractmethod
    async def damage_snapshot(self, aggregate_id: str) -> None:
        """Change some bytes of a snapshot."""

    @abstractmethod
    async def lend_checkpoint(self, name: str) -> None:
        """Make a checkpoint look as if it had been saved for another store."""


class OpenTransaction(ABC):
    """A writer that takes its time."""

    @abstractmethod
    async def write(self, number: int, *, to: str) -> int:
        """Add ``Counted(number)`` to the new stream ``to``; returns the position it has taken."""

    @abstractmethod
    async def commit(self) -> None: ...

    @abstractmethod
    async def roll_back(self) -> None: ...


class Contract:
    """Base of the contracts: ``store`` is the first store on the backend."""

    @pytest.fixture
    async def store(self, backend: Backend) -> EventStore:
        return await backend.open()


def decision(
    *events: Any,
    to: str = "a",
    at: int = 0,
    stream: str = "note",
    metadata: Metadata | None = None,
    **rest: Any,
) -> Append:
    """Append ``events`` to the stream ``to``, which is expected to be ``at`` this version."""
    about = metadata or Metadata("correlation", "cause")
    return Append(stream, to, at, [(event, about) for event in events], **rest)


def dispatch(
    *tasks: int,
    to: str = "a",
    at: int = 0,
    route: str = "r",
    attempt: int = 1,
    tool: str = "t",
    priority: int = 0,
    limits: tuple[str, ...] = (),
    **rest: Any,
) -> Append:
    """One event per task, which enters the queue with it."""
    changes: list[tuple[QueueChange, int]] = [
        (Enqueue(task, attempt, route, tool, priority, limits=limits), version)
        for version, task in enumerate(tasks, at + 1)
    ]
    return decision(*map(Counted, tasks), to=to, at=at, queue=changes, **rest)


async def rows_of(store: EventStore, aggregate_id: str = "a") -> list[int]:
    """The tasks that are in the queue."""
    return [lease.task_id for lease in await store.queue.queued(aggregate_id)]


async def handle_up_to(store: EventStore, consumer: str, position: int) -> None:
    """Let a consumer with one partition handle everything up to ``position``, and leave."""
    consumers = store.checkpoints.consumers
    [share] = (await consumers.attend(consumer, "reader", 1, after=0)).shares
    await consumers.advance(share, position, release=True)
    await consumers.leave(consumer, "reader")


async def handled_by(store: EventStore, consumer: str) -> int:
    """The position that a consumer with one partition has reached."""
    [status] = await store.checkpoints.consumers.statuses(consumer)
    [share] = status.shares
    return share.position
