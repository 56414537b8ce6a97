"""What the model of a PostgreSQL server does with statements about the task queue. Each method is a
statement of ``queries.sql``, with its arguments and rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from planfold.backends.sqlite.liveness import Liveness
from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.envelope import version_of
from planfold.eventstore.queue import Lease, WorkerRecord
from planfold.shared_limits import joined
from tests.simulation.stores import Database, SharedWriter, ran

_IN_LEASE = 19  # values of a row of the queue


class NamedRow(tuple[Any, ...]):
    """As asyncpg gives rows: by place and by name."""

    names: Sequence[str]

    @classmethod
    def of(cls, names: Sequence[str], values: Iterable[Any]) -> NamedRow:
        row = cls(values)
        row.names = names
        return row

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


Rows = list[NamedRow]


class ServerClock:
    """That of the server, or for one statement the one ``given`` by the client."""

    def __init__(self, own: Callable[[], float]) -> None:
        self.own = own
        self.given: float | None = None

    def __call__(self) -> float:
        return self.own() if self.given is None else self.given


class ServerLiveness(Liveness):
    """The server does not see whether a worker lives: leases decide."""

    def __init__(self) -> None:
        super().__init__(None)

    def is_alive(self, owner: str) -> bool | None:
        return None


class QueueStatements:
    """``locked`` are streams with rows that an open transaction has locked."""

    def __init__(
        self,
        database: Database,
        store: SqliteStore,
        writer: SharedWriter,
        clock: ServerClock,
        locked: Callable[[], Collection[str]],
    ) -> None:
        self._connection = database.connection
        self._queue = store.queue
        self._queue._liveness = ServerLiveness()
        self._reader = store._reader
        self._writer = writer
        self._clock = clock
        self._locked = locked
        self._claims: dict[tuple[str, int], tuple[int, int]] = {}  # epoch and number of the claim

    # --- claims -------------------------------------------------------------------------------

    def claim(self, *asked: Any) -> Rows:
        owner, self._clock.given, _, limit, without, barred, token, routes, stream, apart = asked
        if self._is_limited(routes, without, stream):
            return _claim_rows([], limited=True)
        about = {"routes": routes, "without_tools": without, "aggregate_id": stream}
        suspects = "no" if apart else None
        return _claim_rows(self._grant(owner, limit, token, barred, suspects=suspects, **about))

    claim_of_stream = claim

    def claim_suspect(self, *asked: Any) -> Rows:
        owner, self._clock.given, _, stream, without, barred, token, routes = asked
        if self._is_limited(routes, without, stream):
            return _claim_rows([], limited=True)
        about = {"routes": routes, "without_tools": without, "aggregate_id": stream}
        return _claim_rows(self._grant(owner, 1, token, barred, suspects="only", **about))

    def claim_limited(self, *asked: Any) -> Rows:
        owner, self._clock.given, _, limit, without, barred, token, routes, *rest = asked
        stream, suspects, _ = rest
        about = {"routes": routes, "without_tools": without, "aggregate_id": stream}
        return self._grant(owner, limit, token, barred, suspects=suspects, **about)

    def _grant(
        self, owner: str, limit: int, token: int, barred: Sequence[str], **about: Any
    ) -> Rows:
        claim = self._queue.claim(owner, limit, barred={*barred, *self._locked()}, **about)
        leases: list[Lease] = ran(claim)
        for lease in leases:
            self._claims[lease.aggregate_id, lease.task_id] = (lease.epoch, token)
        return _rows(leases)

    def _is_limited(self, routes: Any, without: Sequence[str], stream: str | None) -> bool:
        """Whether rows under limits are among those that a claim may take."""
        found = self._connection.execute(
            "SELECT route, tool, expires, owner FROM task_queue WHERE limits <> '' "
            "AND (?1 IS NULL OR aggregate_id = ?1 "
            "OR (aggregate_id > ?1 || '.' AND aggregate_id < ?1 || '/'))",
            (stream,),
        )
        return any(
            (owner is None and (routes is None or route in routes) and tool not in without)
            or (owner is not None and expires < self._clock())
            for route, tool, expires, owner in found
        )

    def claimed(self, owner: str, token: int) -> Rows:
        leases: list[Lease] = ran(self._queue.owned(owner))
        return _rows(
            lease
            for lease in leases
            if self._claims.get((lease.aggregate_id, lease.task_id)) == (lease.epoch, token)
        )

    def waiting_suspects(self, *asked: Any) -> Rows:
        owner, self._clock.given, without, barred, routes, stream, _ = asked
        about = {"routes": routes, "without_tools": without, "barred": barred}
        found = ran(self._queue.waiting_suspects(owner, aggregate_id=stream, **about))
        return [NamedRow.of((), (found,))]

    # --- rows ---------------------------------------------------------------------------------

    def release(self, uncounted: int, *of: Any) -> Rows:
        aggregate_id, task_id, owner, epoch, counts = of
        for lease in ran(self._queue.queued(aggregate_id)):
            if (lease.task_id, lease.owner, lease.epoch) == (task_id, owner, epoch):
                started = not uncounted
                ran(self._queue.release(owner, lease, started=started, counts=counts))
        return []

    def renew(self, owner: str, clock: float | None, _: float) -> Rows:
        self._clock.given = clock
        return _rows(ran(self._queue.renew(owner)))

    def owned(self, owner: str) -> Rows:
        return _rows(ran(self._queue.owned(owner)))

    def queued(self, aggregate_id: str) -> Rows:
        return _rows(ran(self._queue.queued(aggregate_id)))

    def orphans(self) -> Rows:
        return _rows(ran(self._queue.orphans()))

    def discard(self, aggregate_id: str) -> Rows:
        ran(self._queue.discard(aggregate_id))
        return []

    def queue_size(self, clock: float | None) -> Rows:
        self._clock.given = clock
        size = ran(self._queue.size())
        return [NamedRow.of((), (size.waiting, size.leased, size.expired))]

    def rows_upto(self, stream: str, most: int) -> Rows:
        return [NamedRow.of((), row) for row in self._reader.rows("rows_upto", (stream, most))]

    def upcoming(self, limit: int, kinds: Any, stream: str | None = None) -> Rows:
        due = ran(self._queue.upcoming(limit, stream_ids=kinds, aggregate_id=stream))
        return [NamedRow.of((), (d.stream_id, d.aggregate_id, d.at, d.since)) for d in due]

    upcoming_of_stream = upcoming

    # --- workers ------------------------------------------------------------------------------

    def enter(self, *row: Any) -> Rows:
        owner, routes, concurrency, host, pid, self._clock.given, declined, plan_id = row
        served = None if routes is None else tuple(routes)
        about = (owner, served, concurrency, host, pid)
        ran(self._queue.enter(WorkerRecord(*about, declined=tuple(declined), plan_id=plan_id)))
        return []

    def all_workers(self) -> Rows:
        rows = self._connection.execute("SELECT owner, host, pid FROM workers").fetchall()
        return [NamedRow.of(("owner", "host", "pid"), row) for row in rows]

    def workers(self, clock: float | None, _: float) -> Rows:
        self._clock.given = clock
        return [
            NamedRow.of(
                (),
                (
                    *(w.owner, w.routes, w.concurrency, w.host, w.pid, w.started_at, w.seen_at),
                    *(w.declined, w.plan_id, w.leased),
                ),
            )
            for w in ran(self._queue.workers())
        ]

    def leave(self, owner: str) -> Rows:
        ran(self._queue.leave(owner))
        return []

    def abandon(self, owner: str) -> Rows:
        def work(connection: Any) -> None:
            connection.execute(SQL["abandon"], (owner,))
            connection.execute(SQL["leave"], (owner,))

        self._writer.submit(work).result()
        return []

    def dead(self, owners: Sequence[str], clock: float | None) -> Rows:
        self._clock.given = clock
        rows = self._connection.execute(
            "SELECT owner FROM task_queue WHERE owner IN (SELECT value FROM json_each(?)) "
            "GROUP BY owner HAVING max(expires) < ?",
            (json.dumps(owners), self._clock()),
        )
        return [NamedRow.of((), row) for row in rows.fetchall()]

    # --- limits -------------------------------------------------------------------------------

    def declare_limits(self, *columns: Any) -> Rows:
        rows = list(zip(*columns, strict=True))
        work = lambda connection: connection.executemany(SQL["declare_limit"], rows) and None  # noqa: E731
        self._writer.submit(work).result()
        return []

    def limits(self, clock: float | None, _: float) -> Rows:
        self._clock.given = clock
        fields = ("name", "starts", "period", "concurrency", "started", "held", "opens_at")
        names = (*fields, "closed_until")
        return [
            NamedRow.of((*names, "at"), [*(getattr(state, n) for n in names), self._clock()])
            for state in ran(self._queue.limits())
        ]

    def close_limits(self, names: Sequence[str], clock: float | None, seconds: float) -> Rows:
        self._clock.given = clock
        ran(self._queue.close(names, seconds))
        return []

    def reopen_limits(self, names: Sequence[str]) -> Rows:
        ran(self._queue.reopen(names))
        return []

    def starts_in_the_future(self, clock: float | None, grace: float) -> Rows:
        self._clock.given = clock
        now = self._clock()
        later = "UPDATE limit_starts SET at = ? WHERE at > ?"
        self._writer.submit(lambda c: c.execute(later, (now, now + grace)) and None).result()
        return []


def _claim_rows(rows: Rows, *, limited: bool = False) -> Rows:
    """One row without a task where there are none."""
    found = [[limited, *row] for row in rows] or [[limited, *[None] * _IN_LEASE]]
    return [NamedRow.of(("limited", "priority", "turn", "id"), row) for row in found]


def _rows(leases: Iterable[Lease]) -> Rows:
    return [
        NamedRow.of(
            (),
            (
                *(-lease.priority, place, place, lease.aggregate_id, lease.task_id, lease.attempt),
                *(lease.route, lease.epoch, lease.starts, lease.expires, lease.cancel),
                *(version_of(lease.cause), lease.owner, lease.tool, lease.priority),
                *(lease.claimed_at, lease.started_at, lease.crashes, joined(lease.limits)),
            ),
        )
        for place, lease in enumerate(leases)
    ]
