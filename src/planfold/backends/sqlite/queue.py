"""``SqliteQueue``: dispatched tasks, and who may run them until when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import apsw
import msgspec

from planfold.backends.sqlite.presence import Presence, workers_folder
from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.reader import Reader
from planfold.backends.sqlite.writer import Writer
from planfold.errors import PlanfoldError
from planfold.eventstore.envelope import event_id
from planfold.eventstore.port import Lease
from planfold.eventstore.wakeup import Wakeup

LEASE_S = 30.0


class SqliteQueue:
    """See :class:`planfold.eventstore.port.TaskQueue`."""

    def __init__(self, reader: Reader, writer: Writer, wakeup: Wakeup) -> None:
        self._reader = reader
        self._writer = writer
        self._wakeup = wakeup
        self._presence = Presence(workers_folder(reader.path))

    def enter(self, owner: str) -> None:
        """A worker begins; while it lives nobody takes its tasks before their leases end."""
        self._presence.enter(owner)

    def leave(self, owner: str) -> None:
        """The worker ends. What it could not give back is open to others at once."""
        holds = True
        with suppress(PlanfoldError):
            holds = bool(self.owned(owner))
        self._presence.leave(owner, holds=holds)

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
        """See :meth:`TaskQueue.claim`."""
        await self._abandon_the_dead()
        only = None if routes is None else _json(routes)
        wanted = (aggregate_id, only, _json(without), _json(barred))
        now = self._reader.clock()
        if limit < 1 or not self._reader.value("claimable", (now, *wanted)):
            return []

        def work(connection: apsw.Connection) -> list[Lease]:
            bindings = (owner, now + LEASE_S, now, *wanted, limit)
            rows = sorted(connection.execute(SQL["claim"], bindings))
            return [_lease(row[1:]) for row in rows]

        return await self._writer.submit(work)

    async def release(self, owner: str, lease: Lease, *, started: bool) -> None:
        """Give a task back; ``started`` says that its effect may have begun."""
        bindings = (0 if started else 1, lease.aggregate_id, lease.task_id, owner, lease.epoch)
        await self._execute("release", bindings)
        self._wakeup.notify()

    async def renew(self, owner: str) -> None:
        """Prolong everything that ``owner`` holds."""
        await self._execute("renew", (self._reader.clock() + LEASE_S, owner))

    def owned(self, owner: str) -> list[Lease]:
        """What ``owner`` holds; ``cancel`` is set on what it should stop."""
        return [_lease(row) for row in self._reader.rows("owned", (owner,))]

    def queued(self, aggregate_id: str) -> list[Lease]:
        """The queue rows of one stream, leased (``epoch`` > 0) or waiting."""
        return [_lease(row) for row in self._reader.rows("queued", (aggregate_id,))]

    def due(
        self, now: float, *, stream_id: str | None = None, aggregate_id: str | None = None
    ) -> list[str]:
        """Streams that asked to be continued by ``now``, the longest overdue first."""
        return [row[0] for row in self._reader.rows("due", (now, aggregate_id, stream_id))]

    def next_due(
        self, *, stream_id: str | None = None, aggregate_id: str | None = None
    ) -> float | None:
        """When the first of these streams wants to be continued; None: none does."""
        at: float | None = self._reader.value("next_due", (aggregate_id, stream_id))
        return at

    async def _abandon_the_dead(self) -> None:
        owners = [row[0] for row in self._reader.rows("owners", ())]
        for owner in owners:
            if self._presence.is_dead(owner):
                await self._execute("abandon", (owner,))
                self._presence.forget(owner)

    def _execute(self, name: str, bindings: Sequence[Any]) -> asyncio.Future[None]:
        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL[name], bindings)

        return self._writer.submit(work)


def _lease(row: tuple[Any, ...]) -> Lease:
    aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner = row
    return Lease(
        aggregate_id=aggregate_id,
        task_id=task_id,
        attempt=attempt,
        route=route,
        epoch=epoch,
        starts=starts,
        expires=expires or 0.0,
        cause=event_id(aggregate_id, cause),
        cancel=bool(cancel),
        owner=owner,
    )


def _json(names: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(names)).decode()
