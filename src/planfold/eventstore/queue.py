"""The contract of the queue of dispatched tasks, and of the leases on them (``TaskQueue``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from planfold.handler import is_within
from planfold.shared_limits import SharedLimit

SUSPECT_CRASHES = 2  # owners that lost a task before it has to run alone

Suspects = Literal["only", "no"]
"""Which tasks a claim takes, see :meth:`TaskQueue.claim`."""


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A row of the task queue: ``owner`` got the task at ``claimed_at`` and may run it until
    ``expires`` (seconds since the epoch; 0 where no worker holds it). ``epoch`` fences its result;
    ``cause`` is the id of the event that dispatched it.

    ``starts`` counts the claims after which the effect may have begun; the first of them was at
    ``started_at``. ``crashes`` counts the owners that it was taken from because they had died or
    let their leases run out: with two of them the task is a :attr:`suspect`. ``limits`` are the
    names of those that it is under.
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
    tool: str = ""
    priority: int = 0
    claimed_at: float = 0.0
    started_at: float | None = None
    crashes: int = 0
    limits: tuple[str, ...] = ()

    @property
    def suspect(self) -> bool:
        """Whether the task may be what killed a worker, so that it should run alone."""
        return self.crashes >= SUSPECT_CRASHES


class WorkerRecord(msgspec.Struct, frozen=True):
    """A live worker, as people see it; recovery does not use it.

    ``routes`` None: all of them. ``declined`` are tools that it found it does not have.
    ``plan_id``: it serves only this plan and the streams below it; None: all. It holds ``leased``
    tasks. ``started_at`` and ``seen_at`` are seconds since the epoch; ``seen_at`` is updated with
    every renewal. ``host`` may end with a mark of the boot and container in which ``pid`` is valid.
    """

    owner: str
    routes: tuple[str, ...] | None = None
    concurrency: int = 1
    host: str = ""
    pid: int = 0
    started_at: float = 0.0
    seen_at: float = 0.0
    declined: tuple[str, ...] = ()
    plan_id: str | None = None
    leased: int = 0

    def serves(self, route: str, tool: str = "", plan_id: str | None = None) -> bool:
        """Whether it would claim a task of this route, tool and plan (None: any plan)."""
        if None not in (plan_id, self.plan_id) and not is_within(str(plan_id), str(self.plan_id)):
            return False
        if tool in self.declined:
            return False
        return self.routes is None or route in self.routes


class LimitState(msgspec.Struct, frozen=True):
    """A limit by name over all workers, as a claim finds it.

    At most ``starts`` tasks may start in any ``period`` (seconds), and ``concurrency`` may run at
    once (None: any number). ``started`` counts the starts that count now, ``held`` the tasks that
    workers hold. ``opens_at`` is when the next start is allowed after too many, ``closed_until``
    until when a server has asked to wait (seconds since the epoch; 0.0: neither).
    """

    name: str
    starts: int | None
    period: float
    concurrency: int | None
    started: int = 0
    held: int = 0
    opens_at: float = 0.0
    closed_until: float = 0.0

    @property
    def places(self) -> int:
        """How many tasks may start."""
        if self.closed_until:
            return 0
        left = [2**31]
        if self.starts is not None:
            left.append(self.starts - self.started)
        if self.concurrency is not None:
            left.append(self.concurrency - self.held)
        return max(min(left), 0)

    @property
    def opens(self) -> float | None:
        """When time gives it a place; None where it has one, or where a task has to end first."""
        if self.places or (self.concurrency is not None and self.held >= self.concurrency):
            return None
        return max(self.closed_until, self.opens_at)


class QueueSize(msgspec.Struct, frozen=True):
    """Rows of the whole task queue: ``waiting`` for a worker, ``leased``, and ``expired``: leased
    to an owner that let the lease run out."""

    waiting: int = 0
    leased: int = 0
    expired: int = 0


class Due(msgspec.Struct, frozen=True):
    """A stream that asked, when it was last written (``since``), to be continued at ``at``; both
    in seconds since the epoch."""

    stream_id: str
    aggregate_id: str
    at: float
    since: float


class TaskQueue(Protocol):
    """Dispatched tasks and their leases. Times are by the store's clock."""

    async def enter(self, worker: WorkerRecord) -> None:
        """A worker begins, or updates what it declines; calling it again is harmless. While the
        worker lives no other takes its tasks before their leases end; where the store can see
        that the process lives (SQLite on one machine), not even after that."""
        ...

    async def leave(self, owner: str) -> None:
        """A worker ends; what it still holds is free at once, with its start counted."""
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
        without_tools: Iterable[str] = (),
        barred: Iterable[str] = (),
        suspects: Suspects | None = None,
    ) -> list[Lease]:
        """Lease up to ``limit`` tasks: those that no owner holds, and those whose owner has died
        or let the lease run out. Each (task, epoch) is granted once, however many claim at the
        same time; what ``owner`` itself holds is never granted to it again.

        Higher priorities come first. Within one, streams take turns, each with its oldest task:
        a stream that has just come waits for one task at most of every other. ``aggregate_id`` is
        the only stream, with those below it (:func:`is_within`); ``routes`` None means all;
        ``without_tools`` and ``barred`` (aggregates) are excluded.

        Tasks under limits are granted as far as each of their limits has a place, which they occupy
        from the same transaction on. Others pass a task that waits for a limit.

        ``suspects`` keeps tasks apart that may have killed a worker: those that two owners have
        lost. One does not count, because when a machine ends, all that ran on it is lost once.
        "no": no suspects, and nothing while ``owner`` holds a suspect. "only": one suspect
        (``limit`` counts as 1), and only while ``owner``
        holds nothing. None: both kinds in one line. So that a suspect takes no neighbour with it,
        and neither kind waits for ever, a worker

        - claims "only" when it runs nothing, and runs what it gets alone: until it has ended,
          the worker claims nothing and takes nothing in the commit that dispatches it;
        - else claims "no"; when :meth:`waiting_suspects` says that one waits, it takes no more
          tasks until those that run have ended, then claims "only" once, then "no" again.
        """
        ...

    async def waiting_suspects(
        self,
        owner: str,
        *,
        aggregate_id: str | None = None,
        routes: Iterable[str] | None = None,
        without_tools: Iterable[str] = (),
        barred: Iterable[str] = (),
    ) -> bool:
        """Whether there is a suspect that ``owner`` could claim if it held nothing; see
        :meth:`claim`."""
        ...

    async def declare(self, limits: Mapping[str, SharedLimit]) -> None:
        """Set these limits; they replace earlier declarations. Claims of every worker apply them. A
        task under a limit that no worker has declared is not granted."""
        ...

    async def limits(self) -> list[LimitState]:
        """The limits that were declared, by name."""
        ...

    async def close(self, names: Iterable[str], seconds: float) -> None:
        """Grant no task under these limits for so many seconds, because a server asked for it.
        Limits without a rate stay open."""
        ...

    async def reopen(self, names: Iterable[str]) -> None:
        """Open limits that :meth:`close` closed."""
        ...

    async def opens_in(self) -> float | None:
        """The seconds until time gives a place to a limit that the last claim of this process found
        without one; None where there is none."""
        ...

    async def release(
        self, owner: str, lease: Lease, *, started: bool, counts: bool = True
    ) -> None:
        """Release a task: it returns to the head of the queue. ``started``: its effect may have
        begun. ``counts`` False: no attempt began, so its start does not count under its limits.
        Does nothing if another owner has the lease."""
        ...

    async def renew(self, owner: str) -> list[Lease]:
        """Prolong all leases of ``owner``, and return them. This includes leases that have run out,
        as long as no other owner has claimed the tasks."""
        ...

    async def owned(self, owner: str) -> list[Lease]:
        """What ``owner`` holds; ``cancel`` is set on what it should stop."""
        ...

    async def queued(self, aggregate_id: str) -> list[Lease]:
        """The rows of one stream, leased (``owner``) or waiting."""
        ...

    async def orphans(self) -> list[Lease]:
        """Rows of streams that are not there, which a repair of the database may leave behind."""
        ...

    async def discard(self, aggregate_id: str) -> None:
        """Delete the rows of a stream that is not there; of another one, nothing."""
        ...

    async def size(self) -> QueueSize:
        """How many tasks of all streams wait and are leased."""
        ...

    async def waiting(self, upto: int) -> int:
        """How many tasks wait for a worker, counted up to so many."""
        ...

    async def upcoming(
        self,
        limit: int,
        *,
        stream_ids: Collection[str] | None = None,
        aggregate_id: str | None = None,
    ) -> list[Due]:
        """Streams of these kinds that asked to be continued, the earliest first; of one
        ``aggregate_id`` and the streams below it."""
        ...
