"""One database in memory that several simulated processes share, each through a store that fails.

The store is the real ``SqliteStore``. What is committed is durable; what a process has not
committed is lost when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

import apsw

from planfold.backends.sqlite.checkpoints import SqliteCheckpoints
from planfold.backends.sqlite.connection import MEMORY, connect, migrate
from planfold.backends.sqlite.liveness import Liveness
from planfold.backends.sqlite.queries import ReadConnection
from planfold.backends.sqlite.store import SqliteStore
from planfold.backends.sqlite.writer import SqliteWriter, Work
from planfold.errors import Conflict, Transient
from planfold.eventstore.codec import Codec
from planfold.eventstore.port import Append
from planfold.eventstore.wakeup import WORK
from planfold.runtime.aggregate import PLAN, SCHEDULES, SIGNALS
from tests.simulation.event_loop import OWNER
from tests.simulation.faults import Faults

if TYPE_CHECKING:
    from tests.simulation.process import Process

T = TypeVar("T")

LOST_HINT_S: Final = 2.0
WRITES = frozenset(("append", "enter", "leave", "claim", "release", "renew", "save_snapshot"))


_FREE: list[apsw.Connection] = []  # of worlds that have ended
_EMPTYING: Final = """
DELETE FROM events; DELETE FROM sqlite_sequence; DELETE FROM streams; DELETE FROM task_queue;
DELETE FROM commands; DELETE FROM snapshots; DELETE FROM workers; DELETE FROM limits;
DELETE FROM limit_starts;
"""


def empty_database() -> bytes:
    connection = connect(MEMORY)
    migrate(connection, MEMORY)
    return connection.serialize("main")


def _connection(content: bytes) -> apsw.Connection:
    if _FREE:
        return _FREE.pop()
    connection = apsw.Connection(MEMORY, statementcachesize=500)
    connection.deserialize("main", content)
    return connection


class Database:
    """``looked`` is called within each transaction, after each piece of work in it; ``committed``
    after it, with the number of the process."""

    def __init__(self, content: bytes, clock: Callable[[], float]) -> None:
        self.connection = _connection(content)
        self.clock = clock
        self.codec = Codec(t for kind in (PLAN, SIGNALS, SCHEDULES) for t in kind.event_types)
        self.commits = 0
        self.looked: Callable[[], None] = lambda: None
        self.committed: Callable[[int], None] = lambda _: None

    def close(self) -> None:
        """The next world has the connection, emptied: it knows the statements already."""
        connection = self.connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute(_EMPTYING)
        _FREE.append(connection)

    def store(self) -> SqliteStore:
        """A store that only the simulation reads from."""
        return SqliteStore(self.codec, self.reader(), SharedWriter(self, -1))

    def reader(self) -> ReadConnection:
        return ReadConnection(self.connection, MEMORY, self.clock)


class SharedWriter(SqliteWriter):
    """Of one process: what others commit is a foreign write."""

    def __init__(self, database: Database, process: int) -> None:
        self._database = database
        self._process = process
        self._own = 0
        super().__init__(database.connection, MEMORY, threads=False)

    def submit(self, work: Callable[[apsw.Connection], T], over: Any = None) -> asyncio.Future[T]:
        def looked_at(connection: apsw.Connection) -> T:
            result = work(connection)
            self._database.looked()
            return result

        return super().submit(looked_at, over)

    def _transaction(self, works: list[Work]) -> list[Any]:
        results = super()._transaction(works)
        self._own += 1
        self._database.commits += 1
        self._database.committed(self._process)
        return results

    def _read_data_version(self) -> int:
        return self._database.commits - self._own


class SharedLiveness(Liveness):
    """Whether a worker lives: known at once (``locks``), or only by its lease."""

    def __init__(self, workers: dict[str, Any], locks: bool) -> None:
        super().__init__(None)
        self._workers = workers
        self._locks = locks

    def enter(self, owner: str) -> None:
        super().enter(owner)
        self._workers[owner] = OWNER.get()

    def leave(self, owner: str, *, holds: bool = False) -> None:
        super().leave(owner, holds=holds)
        self._workers.pop(owner, None)

    def is_alive(self, owner: str) -> bool | None:
        if owner in self._held:
            return True
        if not self._locks:
            return None
        process = self._workers.get(owner)
        return process is not None and process.alive


class Line:
    """What is between a process and the database."""

    def __init__(self, faults: Faults, crash: Callable[[], None], note: Callable[[str], None]):
        self.faults = faults
        self.crash = crash
        self.note = note

    async def call(self, name: str, function: Callable[[], Awaitable[T]]) -> T:
        faults, writes = self.faults, name in WRITES
        await self.pause()
        if faults.happens("conflict", 0.3) and name == "append":
            self.note("conflict")
            raise Conflict("simulated: another writer was first")
        if faults.happens("away", 0.3):
            self.note(f"away in {name}")
            raise Transient("simulated: the store is away; nothing was written")
        if writes:
            await self.may_crash()
        result = await function()
        if writes:
            await self.may_crash()
        await self.pause()
        if writes and faults.happens("lost answer", 0.3):
            self.note(f"lost answer of {name}")
            raise Transient("simulated: the answer was lost; it is not known what was written")
        return result

    async def may_crash(self) -> None:
        if self.faults.happens("crash", 0.05):
            self.crash()
            await asyncio.get_running_loop().create_future()

    async def pause(self) -> None:
        if not self.faults.delays:
            return
        for _ in range(self.faults.turns()):
            await asyncio.sleep(0)
        if seconds := self.faults.seconds():
            await asyncio.sleep(seconds)


class Failing:
    """Calls each method of ``inner`` through the line."""

    def __init__(self, inner: Any, line: Line) -> None:
        self._inner = inner
        self._line = line

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **rest: Any) -> Any:
            try:
                return await self._line.call(name, lambda: method(*args, **rest))
            except BaseException:  # also where its caller waits no longer
                if name == "leave":  # the lock of a worker that has ended is free in any case
                    self._inner._liveness.leave(args[0], holds=True)
                raise

        return call


class SimulatedStore(SqliteStore):
    """``direct`` is the part of the appends that are made at once, as SQLite does it; the others go
    through the line. ``hinted``: ``generation`` rises when a hint of another process arrives, as on
    PostgreSQL; else as soon as another process has written."""

    queue: Any
    checkpoints: Any

    def __init__(
        self,
        database: Database,
        process: int,
        line: Line,
        liveness: Liveness,
        *,
        hinted: bool,
        direct: float,
    ) -> None:
        super().__init__(database.codec, database.reader(), SharedWriter(database, process))
        self._line = line
        self._hinted = hinted
        self._direct = direct
        self.hints = 0
        self.queue._liveness = liveness
        self.queue = Failing(self.queue, line)
        self.checkpoints = Failing(
            SqliteCheckpoints(database.reader(), self._writer, self.store_id), line
        )

    def append(self, append: Append) -> asyncio.Future[int]:
        if self._line.faults.of("delay").random() < self._direct:
            return super().append(append)
        return asyncio.ensure_future(self._append(append))

    async def _append(self, append: Append) -> int:
        return await self._line.call("append", lambda: super(SimulatedStore, self).append(append))

    def generation(self, aggregate_id: str | None = None) -> int:
        return self.hints if self._hinted else super().generation(aggregate_id)

    def hint(self, changed: Mapping[str, int]) -> None:
        """Another process has written."""
        self.hints += 1
        self.wakeup.notify(WORK, *changed)

    async def look(self) -> None:
        """What others have written is seen at once, or when its hint has come."""
        await asyncio.sleep(LOST_HINT_S)

    def watch_other_processes(self) -> None: ...

    async def load(self, *args: Any, **rest: Any) -> Any:
        return await self._line.call(
            "load", lambda: super(SimulatedStore, self).load(*args, **rest)
        )

    async def version(self, aggregate_id: str) -> int:
        return await self._line.call(
            "version", lambda: super(SimulatedStore, self).version(aggregate_id)
        )

    async def head(self, aggregate_id: str) -> Any:
        return await self._line.call("head", lambda: super(SimulatedStore, self).head(aggregate_id))

    async def find_command(self, command_id: str) -> Any:
        return await self._line.call(
            "find_command", lambda: super(SimulatedStore, self).find_command(command_id)
        )


class SharedSqlite:
    """The database as processes on one machine open it. ``locks``: they see whether others live."""

    def __init__(self, database: Database, random: Random) -> None:
        self._database = database
        self._workers: dict[str, Any] = {}
        self._locks = random.choice((True, False))
        self._hinted = random.choice((True, False))
        self._direct = random.choice((0.0, 0.5, 0.9))

    def open(self, process: Process, line: Line) -> SimulatedStore:
        liveness = SharedLiveness(self._workers, self._locks)
        chosen: dict[str, Any] = {"hinted": self._hinted, "direct": self._direct}
        return SimulatedStore(self._database, process.number, line, liveness, **chosen)

    def serving(self) -> Any:
        """The context in which the processes of this world run."""
        return nullcontext()

    @staticmethod
    def tell(others: Sequence[Process], changed: Mapping[str, int], faults: Faults) -> None:
        """Hint at what was written. Where a hint is lost, a process sees it when it polls."""
        for process in others:
            late = faults.of("hint").choice((0.0001, 0.001, 0.05))
            if faults.happens("hint", 2.0):
                late = LOST_HINT_S
            process.call_later(late, process.store.hint, changed)


def ran(coroutine: Any) -> Any:
    """The result of a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")
