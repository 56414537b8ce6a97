"""Processes on the model of a PostgreSQL server: connections that break, answers that are lost, and
notifications that come late or never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Final
from unittest.mock import patch

import asyncpg

from planfold.backends.postgres import wakeup
from planfold.backends.postgres.address import parse_address
from planfold.backends.postgres.connection import DatabaseClock, ServerConnection, elapsed
from planfold.backends.postgres.migration import Meta
from planfold.backends.postgres.store import PostgresStore
from tests.simulation.event_loop import OWNER
from tests.simulation.faults import Faults
from tests.simulation.server import ModelServer, OpenTransaction
from tests.simulation.stores import Database, Line

ADDRESS: Final = parse_address("postgresql://model/planfold")
LOCKED_S: Final = 0.01  # between two looks at whether an advisory lock is free
POLL_S: Final = 8.0  # between two looks for what others have written
APPENDS: Final = ("append", "append_one")
SKEWS_S: Final = (0.0, -1_000.0, 1_000.0)
WRITES: Final = frozenset(
    (*APPENDS, "claim", "claim_of_stream", "claim_suspect", "claim_limited", "release", "renew")
) | {"enter", "leave", "save_snapshot", "declare_limits"}


class ModelConnection:
    """In place of a ``ServerConnection``. Without a line each statement is carried out at once."""

    def __init__(self, server: ModelServer, line: ServerLine | None = None) -> None:
        self.server = server
        self.closed = False
        self._line = line

    async def rows(self, name: str, *arguments: Any, timeout: float | None = None) -> Any:
        if self.closed:
            raise asyncpg.InterfaceError("the connection is closed")
        if self._line is None:
            return self.carry_out(name, arguments)
        return await self._line.ask(self, name, arguments)

    def carry_out(self, name: str, arguments: Any, begun: OpenTransaction | None = None) -> Any:
        """What the server does. Advisory locks are those of a connection."""
        if name == "lock_stream":
            self.server.lock(arguments[0], self)
            return []
        if name == "unlock_stream":
            self.server.unlock(arguments[0], self)
            return [(True,)]
        return self.server.run(name, arguments, begun)

    async def value(self, name: str, *arguments: Any) -> Any:
        rows = await self.rows(name, *arguments)
        return rows[0][0] if rows else None

    async def close(self) -> None:
        self.closed = True

    def terminate(self) -> None:
        self.closed = True


class ModelListener:
    """In place of the connection that listens. It breaks when a process does not hear of it."""

    def __init__(self) -> None:
        self.hear: Callable[..., None] | None = None
        self._gone: Callable[..., None] = lambda *_: None

    def add_termination_listener(self, gone: Callable[..., None]) -> None:
        self._gone = gone

    async def add_listener(self, _: str, hear: Callable[..., None]) -> None:
        self.hear = hear

    async def fetchval(self, _: str, *, timeout: float) -> int:
        return 1

    def terminate(self) -> None:
        self.hear = None

    def end(self) -> None:
        self.hear = None
        self._gone()


class ModelStore(PostgresStore):
    """planfold's own store, on the model of a server."""

    listeners: list[ModelListener]

    async def look(self) -> None:
        """The next poll for what others have written."""
        await self.others._look()

    async def _connect_listener(self) -> Any:
        listener = ModelListener()
        self.listeners.append(listener)
        return listener


def open_store(
    server: ModelServer,
    codec: Any,
    clock: Callable[[], float] | None = None,
    line: ServerLine | None = None,
) -> ModelStore:
    meta = Meta("model", 1)
    first: Any = ModelConnection(server, line)
    store = ModelStore(codec, ADDRESS, first, meta, DatabaseClock(), clock)
    store.listeners = []
    return store


@contextmanager
def connecting(connect: Callable[[], ModelConnection]) -> Iterator[None]:
    """Let every new connection be one to the model."""

    async def open_(_: Any) -> ModelConnection:
        return connect()

    with patch.object(ServerConnection, "open", open_), patch.object(wakeup, "POLL_MAX_S", POLL_S):
        yield


class ServerLine:
    """What is between a process and the server. What the server was asked it does, also where
    the process ends in that time."""

    def __init__(self, server: ModelServer, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._line = line
        self._loop = loop

    def connect(self) -> ModelConnection:
        if self._line.faults.happens("away", 0.3):
            raise ConnectionRefusedError("simulated: the server does not answer")
        return ModelConnection(self._server, self)

    async def ask(self, connection: ModelConnection, name: str, arguments: Sequence[Any]) -> Any:
        line, faults, writes = self._line, self._line.faults, name in WRITES
        await line.pause()
        if faults.happens("away", 0.1):
            line.note(f"away in {name}")
            connection.terminate()
            raise ConnectionResetError("simulated: the connection broke before it was asked")
        if faults.happens("conflict", 0.1):
            line.note(f"deadlock in {name}")
            raise asyncpg.DeadlockDetectedError("simulated: another transaction was in the way")
        if writes:
            await line.may_crash()
        answer: asyncio.Future[Any] = self._loop.create_future()
        lost = faults.happens("lost answer", 0.3 if writes else 0.05)
        asked = (connection, name, arguments, answer)
        if name == "lock_stream" or faults.delays:
            Context().run(self._loop.create_task, self._serve(*asked))
        else:
            self._loop.call_soon(self._serve_at_once, *asked, context=Context())
        if writes:
            await line.may_crash()
        if lost:
            await line.pause()
            line.note(f"lost answer of {name}")
            connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("simulated: the connection broke")
        rows = await answer
        await line.pause()
        return rows

    def _serve_at_once(
        self, connection: ModelConnection, name: str, arguments: Any, answer: asyncio.Future[Any]
    ) -> None:
        begun = self._server.begin(name, arguments) if name in APPENDS else None
        if begun is None and name in APPENDS:
            self._loop.create_task(self._serve(connection, name, arguments, answer))
        else:
            self._answer(connection, name, arguments, answer, begun)

    async def _serve(
        self, connection: ModelConnection, name: str, arguments: Any, answer: asyncio.Future[Any]
    ) -> None:
        begun = None
        if name in APPENDS:
            while (begun := self._server.begin(name, arguments)) is None:
                await self._server.next_end()
        if name == "lock_stream":
            try:
                await self._lock(connection, *arguments)
            except asyncpg.LockNotAvailableError as fault:
                _refuse(answer, fault)
                return
        await self._line.pause()
        self._answer(connection, name, arguments, answer, begun)

    def _answer(
        self,
        connection: ModelConnection,
        name: str,
        arguments: Any,
        answer: asyncio.Future[Any],
        begun: OpenTransaction | None,
    ) -> None:
        """Carry it out, also where the client does not wait for it any more."""
        try:
            rows = connection.carry_out(name, arguments, begun)
        except NotImplementedError as fault:  # else the client would try again
            self._loop.call_exception_handler({"message": "the model", "exception": fault})
        except Exception as fault:
            _refuse(answer, fault)
        else:
            if not answer.done():
                answer.set_result(rows)

    async def _lock(self, connection: ModelConnection, key: int, seconds: str) -> None:
        until = self._loop.time() + float(seconds.removesuffix("s"))
        while not self._server.lock(key, connection):
            if self._loop.time() >= until:
                raise asyncpg.LockNotAvailableError("simulated: another one holds the lock")
            await asyncio.sleep(LOCKED_S)


def _refuse(answer: asyncio.Future[Any], fault: Exception) -> None:
    if not answer.done():
        answer.set_exception(fault)
        answer.exception()  # it is known of, also where the client has ended


class SharedPostgres:
    """The database as processes on several machines open it."""

    def __init__(self, database: Database, faults: Faults, loop: asyncio.AbstractEventLoop) -> None:
        self.server = ModelServer(database)
        self.server.notified = self._notified
        self._database = database
        self._faults = faults
        self._loop = loop
        self._lines: dict[Any, ServerLine] = {}
        self._opened: list[tuple[Any, ModelStore]] = []

    def open(self, process: Any, line: Line) -> ModelStore:
        server_line = self._lines[process] = ServerLine(self.server, line, self._loop)
        store = open_store(self.server, self._database.codec, None, server_line)
        self._opened.append((process, store))
        clock: Any = store.clock
        clock._offset += self._faults.of("clock").choice(SKEWS_S)  # of another machine
        clock.heard(self._database.clock(), elapsed())
        return store

    def serving(self) -> Any:
        """The context in which the processes of this world run."""
        return connecting(lambda: self._lines[OWNER.get()].connect())

    def _notified(self, text: str) -> None:
        """Each listener hears of it, late, or not at all; some lose their connections."""
        for process, store in self._opened:
            for listener in store.listeners if process.alive else ():
                if listener.hear is None:
                    continue
                if self._faults.happens("hint", 0.2):
                    process.call_later(0.0, listener.end)
                elif not self._faults.happens("hint", 2.0):
                    late = self._faults.of("hint").choice((0.0001, 0.001, 0.05))
                    process.call_later(late, self._hear, listener, text)

    @staticmethod
    def _hear(listener: ModelListener, text: str) -> None:
        if listener.hear is not None:
            listener.hear(None, 0, "planfold", text)

    def tell(self, others: Sequence[Any], changed: Mapping[str, int], faults: Faults) -> None:
        """Processes notify each other."""
