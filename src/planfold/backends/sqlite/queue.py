"""``SqliteQueue``: dispatched tasks, and who may run them until when."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import apsw
import msgspec

from planfold.backends.sqlite.presence import Presence, workers_folder
from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.reader import Reader
from planfold.backends.sqlite.writer import Writer
from planfold.errors import PlanfoldError
from planfold.eventstore.port import Due, Lease, WorkerRecord
from planfold.eventstore.wakeup import WORK, Wakeup
from planfold.handler import event_id

LEASE_S = 30.0


class SqliteQueue:
    """See :class:`planfold.eventstore.port.TaskQueue`."""

    def __init__(self, reader: Reader, writer: Writer, wakeup: Wakeup) -> None:
        self._reader = reader
        self._writer = writer
        self._wakeup = wakeup
        self._presence = Presence(workers_folder(reader.path))

    async def enter(self, worker: WorkerRecord) -> None:
        """See :meth:`TaskQueue.enter`."""
        self._presence.enter(worker.owner)
        routes = None if worker.routes is None else _json(worker.routes)
        now = self._reader.clock()
        about = (worker.concurrency, worker.host, worker.pid)
        declined = _json(worker.declined)
        row = (worker.owner, routes, *about, now, now, declined)

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["forget_workers"], (now,))
            connection.execute(SQL["enter"], row)

        await self._writer.submit(work)

    async def leave(self, owner: str) -> None:
        """The worker ends. What it could not give back is open to others at once."""
        holds = True
        with suppress(PlanfoldError):
            await self._execute("leave", (owner,))
            holds = bool(await self.owned(owner))
        self._presence.leave(owner, holds=holds)

    async def workers(self) -> list[WorkerRecord]:
        """See :meth:`TaskQueue.workers`."""
        rows = self._reader.rows("workers", (self._reader.clock() - LEASE_S,))
        return [_worker(row) for row in rows if not self._presence.is_dead(row[0])]

    async def dead(self, owners: Iterable[str]) -> frozenset[str]:
        """See :meth:`TaskQueue.dead`."""
        return frozenset(owner for owner in owners if self._presence.is_dead(owner))

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
        self._wakeup.notify(lease.aggregate_id, WORK)

    async def renew(self, owner: str) -> list[Lease]:
        """See :meth:`TaskQueue.renew`."""
        now = self._reader.clock()

        def work(connection: apsw.Connection) -> list[Lease]:
            connection.execute(SQL["seen"], (now, owner))
            connection.execute(SQL["renew"], (now + LEASE_S, owner))
            return [_lease(row) for row in connection.execute(SQL["owned"], (owner,))]

        return await self._writer.submit(work)

    async def owned(self, owner: str) -> list[Lease]:
        """What ``owner`` holds; ``cancel`` is set on what it should stop."""
        return [_lease(row) for row in self._reader.rows("owned", (owner,))]

    async def queued(self, aggregate_id: str) -> list[Lease]:
        """The queue rows of one stream, leased (``epoch`` > 0) or waiting."""
        return [_lease(row) for row in self._reader.rows("queued", (aggregate_id,))]

    async def upcoming(
        self,
        limit: int,
        *,
        stream_ids: Collection[str] | None = None,
        aggregate_id: str | None = None,
    ) -> list[Due]:
        """See :meth:`TaskQueue.upcoming`."""
        kinds = None if stream_ids is None else _json(stream_ids)
        return [Due(*row) for row in self._reader.rows("upcoming", (kinds, aggregate_id, limit))]

    async def _abandon_the_dead(self) -> None:
        owners = [row[0] for row in self._reader.rows("owners", ())]
        for owner in owners:
            if self._presence.is_dead(owner):
                await self._execute("abandon", (owner,))
                await self._execute("leave", (owner,))
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


def _worker(row: tuple[Any, ...]) -> WorkerRecord:
    *about, routes, declined = row
    names = tuple[str, ...]
    served = None if routes is None else msgspec.json.decode(routes, type=names)
    lacking = msgspec.json.decode(declined, type=names)
    owner, concurrency, host, pid, started_at, seen_at = about
    return WorkerRecord(owner, served, concurrency, host, pid, started_at, seen_at, lacking)


def _json(names: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(names)).decode()
