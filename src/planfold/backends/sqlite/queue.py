"""``SqliteQueue``: dispatched tasks, and who may run them until when."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import apsw
import msgspec

from planfold.backends.sqlite.claimable import Claimable
from planfold.backends.sqlite.liveness import Liveness, workers_folder
from planfold.backends.sqlite.places import LimitPlaces, Rows
from planfold.backends.sqlite.queries import SQL, ReadConnection
from planfold.backends.sqlite.turns import LEASE_S, Turns
from planfold.backends.sqlite.writer import SqliteWriter
from planfold.errors import PlanfoldError
from planfold.eventstore.queue import Due, Lease, LimitState, QueueSize, Suspects, WorkerRecord
from planfold.eventstore.wakeup import WORK, Wakeup
from planfold.handler import event_id
from planfold.shared_limits import LONGEST_CLOSED_S, SharedLimit, joined, split


class SqliteQueue:
    """See :class:`planfold.eventstore.queue.TaskQueue`."""

    def __init__(
        self, reader: ReadConnection, writer: SqliteWriter, wakeup: Wakeup, turns: Turns
    ) -> None:
        self._turns = turns
        self._reader = reader
        self._writer = writer
        self._wakeup = wakeup
        self._liveness = Liveness(workers_folder(reader.path))
        self._shut: list[str] = []  # limits that the last claim found without a place

    async def enter(self, worker: WorkerRecord) -> None:
        """See :meth:`TaskQueue.enter`."""
        self._liveness.enter(worker.owner)
        routes = None if worker.routes is None else _json(worker.routes)
        now = self._reader.clock()
        about = (worker.concurrency, worker.host, worker.pid)
        declined = _json(worker.declined)
        row = (worker.owner, routes, *about, now, now, declined, worker.plan_id)

        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL["forget_workers"], (now,))
            connection.execute(SQL["enter"], row)

        await self._writer.submit(work)

    async def leave(self, owner: str) -> None:
        """See :meth:`TaskQueue.leave`."""
        holds = True
        try:
            with suppress(PlanfoldError):
                await self._writer.submit(lambda connection: self._release_all(connection, owner))
                holds = False
        finally:  # also where the caller waits no longer: others must see that it has ended
            self._liveness.leave(owner, holds=holds)

    async def workers(self) -> list[WorkerRecord]:
        """See :meth:`TaskQueue.workers`."""
        rows = self._reader.rows("workers", (self._reader.clock() - LEASE_S,))
        return [_worker(row) for row in rows if not self._liveness.is_dead(row[0])]

    async def dead(self, owners: Iterable[str]) -> frozenset[str]:
        """See :meth:`TaskQueue.dead`."""
        return frozenset(owner for owner in owners if self._liveness.is_dead(owner))

    async def claim(
        self,
        owner: str,
        limit: int,
        *,
        aggregate_id: str | None = None,
        routes: Iterable[str] | None = None,
        without_tools: Iterable[str] = (),
        barred: Iterable[str] = (),
        suspects: Suspects | None = None,
    ) -> list[Lease]:
        """See :meth:`TaskQueue.claim`."""
        if limit < 1:
            return []
        lost = await self._lost_owners(owner)
        now = self._reader.clock()
        wanted = Claimable(aggregate_id, routes, without_tools, barred, lost, now)
        places = wanted.places(self._reader.rows)
        if not wanted.exist(self._reader.rows, places):
            self._shut = places.shut
            for name in places.set_back:  # so that they are over after a period
                await self._execute("starts_in_the_future", (name, now))
            return []

        def work(connection: apsw.Connection) -> list[Lease]:
            self._turns.forget()
            ids, places = wanted.ids(_rows_of(connection), owner, limit, suspects)
            places.record(connection)
            self._shut = places.shut
            bindings = (owner, now + LEASE_S, now, msgspec.json.encode(ids).decode())
            return [_lease(row[3:]) for row in sorted(connection.execute(SQL["claim"], bindings))]

        return await self._writer.submit(work)

    async def waiting_suspects(
        self,
        owner: str,
        *,
        aggregate_id: str | None = None,
        routes: Iterable[str] | None = None,
        without_tools: Iterable[str] = (),
        barred: Iterable[str] = (),
    ) -> bool:
        """See :meth:`TaskQueue.waiting_suspects`."""
        lost = await self._lost_owners(owner)
        now = self._reader.clock()
        wanted = Claimable(aggregate_id, routes, without_tools, barred, lost, now)
        return bool(wanted.suspects(self._reader.rows))

    async def declare(self, limits: Mapping[str, SharedLimit]) -> None:
        """See :meth:`TaskQueue.declare`."""
        known = {row[0]: row[1:4] for row in self._reader.rows("limits", ())}
        wanted = {name: (of.starts, of.period, of.concurrency) for name, of in limits.items()}
        rows = [(name, *of) for name, of in wanted.items() if known.get(name) != of]
        if rows:
            await self._writer.submit(lambda c: c.executemany(SQL["declare_limit"], rows) and None)
            self._wakeup.notify(WORK)

    async def limits(self) -> list[LimitState]:
        """See :meth:`TaskQueue.limits`."""
        return list(self._places().states().values())

    async def close(self, names: Iterable[str], seconds: float) -> None:
        """See :meth:`TaskQueue.close`."""
        until = self._reader.clock() + min(seconds, LONGEST_CLOSED_S)
        for name in names:
            await self._execute("close_limit", (name, until))

    async def reopen(self, names: Iterable[str]) -> None:
        """See :meth:`TaskQueue.reopen`."""
        for name in names:
            await self._execute("reopen_limit", (name,))
        self._wakeup.notify(WORK)

    async def opens_in(self) -> float | None:
        """See :meth:`TaskQueue.opens_in`."""
        if not self._shut:
            return None
        states, now = self._places().states(), self._reader.clock()
        opens = [states[name].opens for name in self._shut if name in states]
        return min((max(at - now, 0.0) for at in opens if at is not None), default=None)

    def _places(self) -> LimitPlaces:
        owners = [owner for (owner,) in self._reader.rows("owners", ())]
        lost = [owner for owner in owners if not self._liveness.is_alive(owner)]
        return LimitPlaces(self._reader.rows, self._reader.clock(), lost)

    async def release(
        self, owner: str, lease: Lease, *, started: bool, counts: bool = True
    ) -> None:
        """See :meth:`TaskQueue.release`."""
        await self._writer.submit(
            lambda connection: self._release(connection, owner, lease, started, counts)
        )
        self._wakeup.notify(lease.aggregate_id, WORK)

    def _release(
        self,
        connection: apsw.Connection,
        owner: str,
        lease: Lease,
        started: bool,
        counts: bool = True,
    ) -> None:
        turn = self._turns.first((lease.priority, lease.route, lease.tool, joined(lease.limits)))
        of = (lease.aggregate_id, lease.task_id, owner, lease.epoch)
        for name in () if counts else lease.limits:
            connection.execute(SQL["take_back_start"], (name, *of))
        connection.execute(SQL["release"], (0 if started else 1, turn, *of))
        self._turns.forget()

    def _release_all(self, connection: apsw.Connection, owner: str) -> None:
        for row in connection.execute(SQL["owned"], (owner,)).fetchall():
            self._release(connection, owner, _lease(row), started=True)
        connection.execute(SQL["leave"], (owner,))

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

    async def orphans(self) -> list[Lease]:
        """See :meth:`TaskQueue.orphans`."""
        return [_lease(row) for row in self._reader.rows("orphans", ())]

    async def discard(self, aggregate_id: str) -> None:
        """See :meth:`TaskQueue.discard`."""
        await self._execute("discard", (aggregate_id,))

    async def size(self) -> QueueSize:
        """See :meth:`TaskQueue.size`."""
        (row,) = self._reader.rows("queue_size", (self._reader.clock(),))
        return QueueSize(*row)

    async def waiting(self, upto: int) -> int:
        """See :meth:`TaskQueue.waiting`."""
        (row,) = self._reader.rows("waiting", (upto,))
        return int(row[0])

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

    async def _lost_owners(self, owner: str) -> list[str]:
        """Owners whose tasks ``owner`` may get when their leases expire; a dead owner's have."""
        lost: list[str] = []
        for other in [row[0] for row in self._reader.rows("owners", ())]:
            alive = self._liveness.is_alive(other)
            if other == owner or alive:
                continue
            lost.append(other)
            if alive is False:
                await self._execute("abandon", (other,))
                await self._execute("leave", (other,))
                self._liveness.forget(other)
        return lost

    def _execute(self, name: str, bindings: Sequence[Any]) -> asyncio.Future[None]:
        def work(connection: apsw.Connection) -> None:
            connection.execute(SQL[name], bindings)

        return self._writer.submit(work)


def _rows_of(connection: apsw.Connection) -> Rows:
    return lambda name, bindings: connection.execute(SQL[name], bindings).fetchall()


def _lease(row: tuple[Any, ...]) -> Lease:
    aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, *rest = row
    tool, priority, claimed_at, started_at, crashes, limits = rest
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
        tool=tool,
        priority=priority,
        claimed_at=claimed_at or 0.0,
        started_at=started_at,
        crashes=crashes,
        limits=split(limits),
    )


def _worker(row: tuple[Any, ...]) -> WorkerRecord:
    *about, routes, declined, plan_id, leased = row
    names = tuple[str, ...]
    served = None if routes is None else msgspec.json.decode(routes, type=names)
    lacking = msgspec.json.decode(declined, type=names)
    owner, concurrency, host, pid, started_at, seen_at = about
    times = (started_at, seen_at)
    return WorkerRecord(owner, served, concurrency, host, pid, *times, lacking, plan_id, leased)


def _json(names: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(names)).decode()
