"""``PostgresQueue``: dispatched tasks, and who may run them until when.

Every statement is a transaction of its own. Rows are locked in the order of their streams and
tasks, as in ``planfold.append``. Times are the server's unless a clock was given.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from planfold.backends.names import is_storable, require_storable
from planfold.backends.postgres.connection import DatabaseRow, ServerConnection
from planfold.backends.postgres.reader import STATEMENT_S, LostAnswer, Readers
from planfold.backends.postgres.writer import PostgresWriter
from planfold.errors import PlanfoldError
from planfold.eventstore.queue import Due, Lease, LimitState, QueueSize, Suspects, WorkerRecord
from planfold.eventstore.wakeup import WORK, Wakeup
from planfold.handler import event_id
from planfold.runtime.machine import has_ended
from planfold.shared_limits import LONGEST_CLOSED_S, START_WITHIN_S, SharedLimit, split

LEASE_S = 30.0
ARRIVE_S = 5.0  # how long a renewal waits for appends that lease tasks
SMALL = 500  # rows of a stream that are sorted faster than found among the others
DOUBTFUL_S = 300.0  # how long a claim whose answer was lost may take effect


class PostgresQueue:
    """See :class:`planfold.eventstore.queue.TaskQueue`."""

    def __init__(
        self,
        readers: Readers,
        writer: PostgresWriter,
        wakeup: Wakeup,
        clock: Callable[[], float] | None,
    ) -> None:
        self._readers = readers
        self._writer = writer
        self._wakeup = wakeup
        self._clock = clock
        self._doubtful: list[tuple[str, int, float]] = []  # owner, claim, until when
        self._closed = False  # tasks under limits were among those of the last claim

    def _now(self) -> float | None:
        return None if self._clock is None else self._clock()

    async def enter(self, worker: WorkerRecord) -> None:
        """See :meth:`TaskQueue.enter`."""
        require_storable([("owner", worker.owner), ("host", worker.host)])
        routes = None if worker.routes is None else sorted(worker.routes)
        about = (worker.concurrency, worker.host, worker.pid)
        await self._readers.rows(
            "enter",
            *(worker.owner, routes, *about, self._now()),
            *(sorted(worker.declined), worker.plan_id),
        )
        for former in await self._readers.rows("all_workers"):
            if has_ended(former["host"], former["pid"]):
                with suppress(PlanfoldError):
                    await self._readers.rows("abandon", former["owner"])
                self._wakeup.notify(WORK)

    async def leave(self, owner: str) -> None:
        """See :meth:`TaskQueue.leave`."""
        with suppress(PlanfoldError):
            await self._readers.rows("leave", owner)

    async def workers(self) -> list[WorkerRecord]:
        """See :meth:`TaskQueue.workers`."""
        return [_worker(row) for row in await self._readers.rows("workers", self._now(), LEASE_S)]

    async def dead(self, owners: Iterable[str]) -> frozenset[str]:
        """See :meth:`TaskQueue.dead`: here those whose leases have run out, and those that are
        known to have ended because they ran on this machine."""
        names = _storable(owners)
        expired = {row[0] for row in await self._readers.rows("dead", names, self._now())}
        known = await self._readers.rows("all_workers") if names else []
        ended = {row["owner"] for row in known if has_ended(row["host"], row["pid"])}
        return frozenset(expired | (ended & set(names)))

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
        require_storable([("owner", owner)])
        only = None if routes is None else _storable(routes)
        if limit < 1 or only == [] or (aggregate_id is not None and not is_storable(aggregate_id)):
            return []
        if found := await self._come_to_light(owner):
            return found
        token = secrets.randbits(63)
        lists = (_storable(without_tools), _storable(barred))
        wanted = [owner, self._now(), LEASE_S, limit, *lists, token, only]
        asked = [*wanted, aggregate_id, suspects == "no"]
        if suspects == "only":
            name, asked = "claim_suspect", [*wanted[:3], aggregate_id, *wanted[4:8]]
        elif aggregate_id is not None and await self._is_small(aggregate_id):
            name = "claim_of_stream"
        else:
            name = "claim"

        limited = (*wanted, aggregate_id, suspects, START_WITHIN_S)

        try:
            return await self._grant(name, asked, limited)
        except LostAnswer:
            self._doubtful.append((owner, token, time.monotonic() + DOUBTFUL_S))
            raise

    async def _grant(self, name: str, asked: Sequence[Any], limited: Sequence[Any]) -> list[Lease]:
        """Claim with this statement. If tasks under limits are among those that it may take, claim
        with the statement for limits and the arguments ``limited``."""

        async def ask(session: ServerConnection) -> Iterable[Iterable[Any]]:
            rows = await session.rows(name, *asked, timeout=STATEMENT_S)
            self._closed = rows[0]["limited"]
            if self._closed:
                found = list(await session.rows("claim_limited", *limited, timeout=STATEMENT_S))
                if len(found) < limited[3]:  # a clock that was set back delays for a period at most
                    clock = (limited[1], START_WITHIN_S)
                    await session.rows("starts_in_the_future", *clock, timeout=STATEMENT_S)
                return found
            return [tuple(row)[1:] for row in rows if row["id"] is not None]

        return _claimed(await self._readers.run(ask, again=False))

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
        only = None if routes is None else _storable(routes)
        without = (_storable(without_tools), _storable(barred))
        asked = (owner, self._now(), *without, only, aggregate_id, START_WITHIN_S)
        return bool(await self._readers.value("waiting_suspects", *asked))

    async def declare(self, limits: Mapping[str, SharedLimit]) -> None:
        """See :meth:`TaskQueue.declare`."""
        if not limits:
            return
        rows = [(name, of.starts, of.period, of.concurrency) for name, of in limits.items()]
        await self._readers.rows("declare_limits", *map(list, zip(*rows, strict=True)))
        self._wakeup.notify(WORK)

    async def limits(self) -> list[LimitState]:
        """See :meth:`TaskQueue.limits`."""
        rows = await self._readers.rows("limits", self._now(), START_WITHIN_S)
        return [LimitState(*tuple(row)[:8]) for row in rows]

    async def close(self, names: Iterable[str], seconds: float) -> None:
        """See :meth:`TaskQueue.close`."""
        about = (self._now(), min(seconds, LONGEST_CLOSED_S))
        await self._readers.rows("close_limits", _storable(names), *about)

    async def reopen(self, names: Iterable[str]) -> None:
        """See :meth:`TaskQueue.reopen`."""
        await self._readers.rows("reopen_limits", _storable(names))
        self._wakeup.notify(WORK)

    async def opens_in(self) -> float | None:
        """See :meth:`TaskQueue.opens_in`."""
        if not self._closed:
            return None
        rows = await self._readers.rows("limits", self._now(), START_WITHIN_S)
        opens = [(LimitState(*tuple(row)[:8]).opens, row["at"]) for row in rows]
        return min((max(at - now, 0.0) for at, now in opens if at is not None), default=None)

    async def _is_small(self, aggregate_id: str) -> bool:
        rows = await self._readers.value("rows_upto", aggregate_id, SMALL + 1)
        return bool(rows <= SMALL)

    async def _come_to_light(self, owner: str) -> list[Lease]:
        """Tasks of an earlier claim whose answer was lost; they do not run yet."""
        if not self._doubtful:
            return []
        now = time.monotonic()
        self._doubtful = [claim for claim in self._doubtful if claim[2] > now]
        for claim in [claim for claim in self._doubtful if claim[0] == owner]:
            rows = await self._readers.rows("claimed", owner, claim[1])
            if rows:
                self._doubtful.remove(claim)
                return _claimed(rows)
        return []

    async def release(
        self, owner: str, lease: Lease, *, started: bool, counts: bool = True
    ) -> None:
        """See :meth:`TaskQueue.release`."""
        uncounted = 0 if started else 1
        of = (lease.aggregate_id, lease.task_id, owner, lease.epoch)
        await self._readers.rows("release", uncounted, *of, counts)
        self._wakeup.notify(lease.aggregate_id, WORK)

    async def renew(self, owner: str) -> list[Lease]:
        """See :meth:`TaskQueue.renew`."""
        await self._writer.settle(ARRIVE_S)  # a running append may lease tasks to this owner
        return _leases(await self._readers.rows("renew", owner, self._now(), LEASE_S))

    async def owned(self, owner: str) -> list[Lease]:
        """What ``owner`` holds; ``cancel`` is set on what it should stop."""
        return _leases(await self._readers.rows("owned", owner))

    async def queued(self, aggregate_id: str) -> list[Lease]:
        """The queue rows of one stream, leased (``epoch`` > 0) or waiting."""
        return _leases(await self._readers.rows("queued", aggregate_id))

    async def orphans(self) -> list[Lease]:
        """See :meth:`TaskQueue.orphans`."""
        return _leases(await self._readers.rows("orphans"))

    async def discard(self, aggregate_id: str) -> None:
        """See :meth:`TaskQueue.discard`."""
        await self._readers.rows("discard", aggregate_id)

    async def size(self) -> QueueSize:
        """See :meth:`TaskQueue.size`."""
        (row,) = await self._readers.rows("queue_size", self._now())
        return QueueSize(*row)

    async def waiting(self, upto: int) -> int:
        """See :meth:`TaskQueue.waiting`."""
        return int(await self._readers.value("waiting", upto))

    async def upcoming(
        self,
        limit: int,
        *,
        stream_ids: Collection[str] | None = None,
        aggregate_id: str | None = None,
    ) -> list[Due]:
        """See :meth:`TaskQueue.upcoming`."""
        kinds = None if stream_ids is None else _storable(stream_ids)
        if aggregate_id is None:
            rows = await self._readers.rows("upcoming", limit, kinds)
        else:
            rows = await self._readers.rows("upcoming_of_stream", limit, kinds, aggregate_id)
        return [Due(*row) for row in rows]


def _claimed(rows: Iterable[Iterable[Any]]) -> list[Lease]:
    """The claimed tasks by priority, turn and id."""
    return [_lease(*row[3:]) for row in sorted(map(tuple, rows))]


def _leases(rows: Iterable[DatabaseRow]) -> list[Lease]:
    """The leases by the order in which their tasks entered the queue."""
    return [_lease(*row[3:]) for row in sorted(map(tuple, rows), key=lambda row: row[2])]


def _lease(
    aggregate_id: str,
    task_id: int,
    attempt: int,
    route: str,
    epoch: int,
    starts: int,
    expires: float | None,
    cancel: bool,
    cause: int,
    owner: str | None,
    tool: str,
    priority: int,
    claimed_at: float | None,
    started_at: float | None,
    crashes: int,
    limits: str,
) -> Lease:
    return Lease(
        aggregate_id=aggregate_id,
        task_id=task_id,
        attempt=attempt,
        route=route,
        epoch=epoch,
        starts=starts,
        expires=expires or 0.0,
        cause=event_id(aggregate_id, cause),
        cancel=cancel,
        owner=owner,
        tool=tool,
        priority=priority,
        claimed_at=claimed_at or 0.0,
        started_at=started_at,
        crashes=crashes,
        limits=split(limits),
    )


def _worker(row: DatabaseRow) -> WorkerRecord:
    owner, routes, concurrency, host, pid, started_at, seen_at, declined, plan_id, leased = row
    served = None if routes is None else tuple(routes)
    about = (owner, served, concurrency, host, pid, started_at, seen_at)
    return WorkerRecord(*about, tuple(declined), plan_id, leased)


def _storable(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if is_storable(name))
