"""``ModelServer``: what a PostgreSQL server does with each statement that planfold has for it.

The client is planfold's own; only the server is a model: the statements have the names, arguments
and rows of ``queries.sql`` of that backend, and are carried out by the SQLite store on a database
in memory. A transaction of several connections may be open at a time: an append takes its positions
when it begins and is seen when it commits, which is another order. Rows that it has locked are
passed over by claims. The contract suite runs on this model too (``tests/backends``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from planfold.backends.postgres.appender import LostLease
from planfold.backends.sqlite.queries import SQL
from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.port import Append
from tests.simulation.appends import Decision, StoredEvent, decisions_of
from tests.simulation.server_queue import NamedRow, QueueStatements, ServerClock
from tests.simulation.stores import Database, SharedWriter


class _RowCodec:
    """Encodes what is encoded already."""

    def encode_bytes(self, event: StoredEvent) -> tuple[str, int, bytes]:
        return event.event_type, event.event_version, event.data.encode()


class _ServerWriter(SharedWriter):
    """Each piece of work is a transaction of its own, unless several are ``gathered``."""

    gathered = False

    def submit(self, work: Any, over: Any = None) -> Any:
        future = super().submit(work, over)
        if not self.gathered:
            self.flush()
        return future


class OpenTransaction(NamedTuple):
    """An append that has begun: the streams that it has locked, and its positions."""

    number: int
    streams: frozenset[str]
    positions: int  # the first of them


class ModelServer:
    """``notified`` is called with the text of each notification."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.open: dict[int, OpenTransaction] = {}
        self.notified: Callable[[str], None] = lambda _: None
        self._clock = ServerClock(database.clock)
        self._locks: dict[int, Any] = {}  # advisory ones, with the connections that hold them
        self._waiting: list[asyncio.Future[None]] = []
        self._count = 0
        self._receipts: dict[tuple[str, int], int] = {}
        self._reader = database.reader()
        self._reader.clock = self._clock
        self._writer = _ServerWriter(database, -1)
        self._store = SqliteStore(_RowCodec(), self._reader, self._writer)  # type: ignore[arg-type]
        about = (self._store, self._writer, self._clock, self._locked)
        self._queue = QueueStatements(database, *about)

    def _locked(self) -> set[str]:
        return {stream for begun in self.open.values() for stream in begun.streams}

    def run(self, name: str, arguments: Sequence[Any], begun: OpenTransaction | None = None) -> Any:
        """The rows of a statement. ``begun``: where it is an append that has begun."""
        if name in ("append", "append_one"):
            return self._append_statement(name, arguments, begun)
        own = getattr(self, f"_do_{name}", None) or getattr(self._queue, name, None)
        statement: Callable[..., Any] = own or self._read(name)
        try:
            return statement(*arguments)
        finally:
            self._clock.given = None

    def _read(self, name: str) -> Callable[..., Any]:
        """Statements that SQLite has alike."""
        if name not in _ALIKE:
            raise NotImplementedError(f"the model of the server has no statement {name!r}")

        def read(*arguments: Any) -> list[NamedRow]:
            found = self._reader.rows(name, [_bound(each) for each in arguments])
            return [NamedRow.of((), row) for row in found]

        return read

    # --- advisory locks -----------------------------------------------------------------------

    def lock(self, key: int, connection: Any) -> bool:
        """Whether the connection has this lock now. One that is closed holds none."""
        holder = self._locks.get(key)
        if holder is not None and holder is not connection and not holder.closed:
            return False
        self._locks[key] = connection
        return True

    def unlock(self, key: int, connection: Any) -> None:
        if self._locks.get(key) is connection:
            del self._locks[key]

    # --- appends ------------------------------------------------------------------------------

    def begin(self, name: str, arguments: Sequence[Any]) -> OpenTransaction | None:
        """Begin an append: lock its streams and take positions for its events. None where one of
        the streams is locked by another one."""
        decisions = decisions_of(name, arguments)
        streams = frozenset(each.append.aggregate_id for each in decisions)
        if any(streams & other.streams for other in self.open.values()):
            return None
        count = sum(len(each.append.events) for each in decisions)
        execute = self.database.connection.execute
        last = execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name='events'").get
        execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
        execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (last + count,))
        self._count += 1
        begun = self.open[self._count] = OpenTransaction(self._count, streams, last + 1)
        return begun

    def _end(self, begun: OpenTransaction) -> None:
        del self.open[begun.number]
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def next_end(self) -> None:
        """Wait until an open transaction has ended."""
        self._waiting.append(asyncio.get_running_loop().create_future())
        await self._waiting[-1]

    def _append_statement(
        self, name: str, arguments: Sequence[Any], begun: OpenTransaction | None
    ) -> list[NamedRow]:
        *_, lease_s, clock = arguments
        assert lease_s == 30.0, "the SQLite store grants leases of 30 s"
        self._clock.given = clock
        decisions = decisions_of(name, arguments)
        try:
            at = self._clock()
            positions, refusals = self._write(decisions, begun)
        finally:
            self._clock.given = None
            if begun is not None:
                self._end(begun)
        refused = any(refusals)
        if name == "append":
            shown = "{" + ",".join(map(str, positions)) + "}" if positions else None
            return [NamedRow.of((), (shown, refusals if refused else None, at))]
        if refused and str(refusals[0]).startswith("lease"):
            raise LostLease(refusals[0])
        return [NamedRow.of([name], [(None if refused else positions[-1], at)])]

    def _write(
        self, decisions: Sequence[Decision], begun: OpenTransaction | None
    ) -> tuple[list[int], list[str | None]]:
        """One transaction; positions of what was written, and why the rest was not."""
        position = begun.positions if begun is not None else 0
        written: list[Any] = []
        refusals: list[str | None] = []
        self._writer.gathered = True
        try:
            for decision in decisions:
                append = decision.append
                refusals.append(self._refusal(decision))
                if refusals[-1] is None:
                    written.append((self._store.append(append), len(append.events)))
                    if position:
                        self._move(append, position)
                    key = append.aggregate_id, append.expected_version + 1
                    self._receipts[key] = decision.receipt
                position += len(append.events) if position else 0
        finally:
            self._writer.gathered = False
            self._writer.flush()
        return self._positions(decisions, refusals, written), refusals

    def _move(self, append: Append, position: int) -> None:
        """The events have the positions that were taken when the transaction began."""
        rows = [
            (position + place, append.aggregate_id, append.expected_version + place + 1)
            for place in range(len(append.events))
        ]
        move = "UPDATE events SET position = ? WHERE aggregate_id = ? AND version = ?"
        self._writer.submit(lambda connection: connection.executemany(move, rows) and None)

    def _positions(
        self, decisions: Sequence[Decision], refusals: Sequence[Any], written: Sequence[Any]
    ) -> list[int]:
        for future, _ in written:
            future.result()  # raises what went wrong
        found: list[int] = []
        for decision, refusal in zip(decisions, refusals, strict=True):
            append = decision.append
            for place in range(len(append.events) if refusal is None else 0):
                found.append(
                    self._position(append.aggregate_id, append.expected_version + place + 1)
                )
        return found

    def _position(self, aggregate_id: str, version: int) -> int:
        found = "SELECT position FROM events WHERE aggregate_id = ? AND version = ?"
        position: int = self.database.connection.execute(found, (aggregate_id, version)).get
        return position

    def _refusal(self, decision: Decision) -> str | None:
        """Why a decision is not written, as ``planfold.append`` says it."""
        append = decision.append
        refusal = self._conflict(append) or self._clash(append)
        if refusal is None:
            return None
        first = append.expected_version + 1
        if self._receipts.get((append.aggregate_id, first)) == decision.receipt:
            last = self._position(append.aggregate_id, append.expected_version + len(append.events))
            return f"written {last}"
        return refusal

    def _conflict(self, append: Append) -> str | None:
        found = self.database.connection.execute(SQL["versions"], (append.aggregate_id,)).get
        head, last, kind = found
        if head == append.expected_version and kind in (None, append.stream_id):
            return None
        if kind not in (None, append.stream_id):
            return f"kind {kind}"
        return "conflict" if head == last else f"corrupt {head} {last}"

    def _clash(self, append: Append) -> str | None:
        """With a command that was recorded, or a lease that is not held."""
        execute = self.database.connection.execute
        for record in append.commands:
            if execute(SQL["find_command"], (record.command_id,)).get is not None:
                return f"command {record.command_id}"
        for fence in append.fences:
            key = (append.aggregate_id, fence.task_id, fence.attempt, fence.epoch)
            if execute(SQL["lease_of_task"], key).get is None:
                return f"lease {fence.task_id} {fence.attempt}"
        return None

    # --- reading and notifications ------------------------------------------------------------

    def _do_clock(self) -> list[NamedRow]:
        return [NamedRow.of((), (self._clock(),))]

    def _do_feed_page(self, after: int, _: Any, *of: Any) -> list[NamedRow]:
        kind, event_type, aggregate_id, most = of
        name = "read_log" if aggregate_id is None else "read_stream"
        bindings = (aggregate_id, after, kind, event_type, -1 if most is None else most)
        return [NamedRow.of((), row) for row in self._reader.rows(name, bindings)]

    def _do_read_versions(self, *of: Any) -> list[NamedRow]:
        aggregate_id, after, most = of
        bindings = (aggregate_id, after, -1 if most is None else most)
        return [NamedRow.of((), row) for row in self._reader.rows("read_versions", bindings)]

    def _do_heads(self, *of: Any) -> list[NamedRow]:
        *about, most = of
        bindings = (*about, -1 if most is None else most)
        return [NamedRow.of((), row) for row in self._reader.rows("heads", bindings)]

    def _do_save_snapshot(self, *row: Any) -> list[NamedRow]:
        self._execute(("save_snapshot", row))
        return []

    def _do_drop_snapshot(self, aggregate_id: str) -> list[NamedRow]:
        self._execute(("drop_snapshot", (aggregate_id,)))
        return []

    def _do_tombstones(self, _: Sequence[str]) -> list[NamedRow]:
        return []

    def _do_notify(self, _: str, text: str) -> list[NamedRow]:
        self.notified(text)
        return []

    def _do_snapshot_of_now(self) -> list[NamedRow]:
        """Shows which transactions have ended."""
        text = f"{self.database.commits}:{self._count}:{sorted(self.open)}"
        return [NamedRow.of(["snapshot"], [text])]

    def _do_conditions_of_log(self) -> list[NamedRow]:
        return [NamedRow.of(["rising", "standby"], [True, False])]

    def _do_look_at_log(self, after: int, always: bool) -> list[NamedRow]:
        rows = self.database.connection.execute(
            "SELECT position FROM events WHERE position > ? ORDER BY position", (after,)
        ).fetchall()
        upto, highest = after, rows[-1][0] if rows else self._highest()
        for (position,) in rows:
            if position != upto + 1:
                break
            upto = position
        holders = [f"{number}:{number}" for number in self.open]
        found = (upto, highest, holders if upto < highest or always else None)
        return [NamedRow.of(["upto", "highest", "holders"], found)]

    def _highest(self) -> int:
        highest: int = self.database.connection.execute(
            "SELECT coalesce(max(position), 0) FROM events"
        ).get
        return highest

    def _do_grown(self, after: int, most: int) -> list[NamedRow]:
        rows = self.database.connection.execute(
            "SELECT aggregate_id, max(version), count(*) FROM (SELECT aggregate_id, version "
            "FROM events WHERE position > ? ORDER BY position LIMIT ?) GROUP BY aggregate_id",
            (after, most),
        ).fetchall()
        return [NamedRow.of(["aggregate_id", "version", "events"], row) for row in rows]

    def _execute(self, *statements: tuple[str, Sequence[Any]]) -> None:
        def work(connection: apsw.Connection) -> None:
            for name, bindings in statements:
                connection.execute(SQL[name], bindings)

        self._writer.submit(work).result()


_ALIKE: Final = frozenset(
    ("version", "head", "load", "load_after", "first_metadata", "find_command", "snapshot")
) | {"last_position", "waiting"}


def _bound(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple) else value
