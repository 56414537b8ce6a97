"""``PoolingProxy``: a pooler in transaction mode before a PostgreSQL server, and a strict one.

It does as PgBouncer does with ``pool_mode = transaction`` and no support for prepared statements:
a server connection belongs to a client until ReadyForQuery says "I", idle. It is cleaned with
``DISCARD ALL`` then, so no session state outlives a transaction: named prepared statements,
LISTEN, SET and advisory locks of the session are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from testbed.postgres_messages import (
    ASKS_READY,
    CANCEL,
    Message,
    Startup,
    fatal,
    query,
    read_message,
    read_startup,
    startup_message,
)
from testbed.proxies import LOST, Proxy

# PgBouncer refuses any other; these it would SET for each client, and this proxy ignores them.
STARTUP_PARAMETERS: Final = {
    "user",
    "database",
    "application_name",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "standard_conforming_strings",
    "timezone",
}
# Parse, Bind, Describe, Execute, Close, Flush: without a Sync after them they are not finished.
WANTS_SYNC: Final = frozenset("PBDECH")


class Refused(Exception):
    """A connection is refused with this message, an ErrorResponse."""

    def __init__(self, message: Message) -> None:
        super().__init__(message.body)
        self.message = message


class _ServerConnection:
    """A connection to the server; between its uses it is watched for its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parameters: list[Message] = []
        self.key = b""
        self._watch: asyncio.Task[bytes] | None = None

    @classmethod
    async def open(cls, host: str, port: int, startup: Startup) -> Self:
        connection = cls(*await asyncio.open_connection(host, port))
        connection.writer.write(bytes(startup))
        while (answer := await read_message(connection.reader)).kind != "Z":
            if answer.kind == "E":
                raise Refused(answer)
            if answer.kind == "R" and any(answer.body):
                raise Refused(fatal("28000", "the server asks the pool for a password"))
            if answer.kind == "S":
                connection.parameters.append(answer)
            if answer.kind == "K":
                connection.key = answer.body
        return connection

    async def clean(self) -> None:
        self.writer.write(bytes(query("DISCARD ALL")))
        while (await read_message(self.reader)).kind != "Z":
            pass

    def watch(self) -> None:
        self._watch = asyncio.create_task(self.reader.read(1))

    async def alive(self) -> bool:
        """End the watch; returns whether the server was silent, as it should be."""
        if self._watch is None:
            return True
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        return self._watch.cancelled()

    async def close(self) -> None:
        await self.alive()
        self.writer.close()


class PoolingProxy(Proxy):
    """A pool of ``size`` connections to the server, user and database of ``target``.

    They are given out in turn, so that a client's next transaction is on another one if it can be.
    """

    def __init__(self, target: str, *, size: int = 2) -> None:
        super().__init__(target)
        parts = urlsplit(target)
        self.database = unquote(parts.path.removeprefix("/"))
        self._startup = startup_message(unquote(parts.username or "postgres"), self.database)
        # None is the right to open a connection.
        self._pool: asyncio.Queue[_ServerConnection | None] = asyncio.Queue()
        for _ in range(size):
            self._pool.put_nowait(None)
        self._sessions: dict[bytes, _Session] = {}

    async def take(self) -> _ServerConnection:
        """The connection that was unused for longest. Refused when there is no server."""
        connection = await self._pool.get()
        try:
            if connection is not None and await connection.alive():
                return connection
            if connection is not None:
                connection.writer.close()
            return await _ServerConnection.open(self.host, self.host_port, self._startup)
        except BaseException as error:
            self._pool.put_nowait(None)
            if isinstance(error, LOST):
                text = f"the pool does not reach the server: {error}"
                raise Refused(fatal("08006", text)) from error
            raise

    async def give(self, connection: _ServerConnection) -> None:
        """Clean a connection and return it to the pool."""
        try:
            await connection.clean()
        except BaseException:
            self.discard(connection)
            raise
        connection.watch()
        self._pool.put_nowait(connection)

    def discard(self, connection: _ServerConnection) -> None:
        connection.writer.close()
        self._pool.put_nowait(None)

    async def drop_connections(self, *, reset: bool = True) -> None:
        await super().drop_connections(reset=reset)
        for _ in range(self._pool.qsize()):
            connection = self._pool.get_nowait()
            if connection is not None:
                await connection.close()
            self._pool.put_nowait(None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await read_startup(reader, writer)
        if startup.code == CANCEL:
            await self._cancel(startup.body)
            return
        key = secrets.token_bytes(8)
        try:
            await self._greet(startup, key, writer)
            session = self._sessions[key] = _Session(self, reader, writer)
            await session.run()
        except Refused as refusal:
            writer.write(bytes(refusal.message))
        finally:
            self._sessions.pop(key, None)

    async def _greet(self, startup: Startup, key: bytes, writer: asyncio.StreamWriter) -> None:
        wanted = startup.parameters
        if wanted.get("database", wanted.get("user")) != self.database:
            raise Refused(fatal("3D000", f"this pool is for the database {self.database}"))
        for name in wanted:
            if name.lower() not in STARTUP_PARAMETERS:
                raise Refused(fatal("08P01", f"unsupported startup parameter: {name}"))
        connection = await self.take()
        messages = [Message("R", bytes(4)), *connection.parameters]
        await self.give(connection)
        for message in (*messages, Message("K", key), Message("Z", b"I")):
            writer.write(bytes(message))

    async def _cancel(self, key: bytes) -> None:
        """Pass a CancelRequest on to the server connection that the client uses just now."""
        session = self._sessions.get(key)
        if session is not None and session.connection is not None:
            reader, writer = await asyncio.open_connection(self.host, self.host_port)
            writer.write(bytes(Startup(CANCEL, session.connection.key)))
            await reader.read()
            writer.close()


class _Session:
    """One client, with the server connection it has during a transaction."""

    def __init__(
        self, proxy: PoolingProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.reader = reader
        self.writer = writer
        self.connection: _ServerConnection | None = None
        self._unready = 0  # ReadyForQuery messages that the server has not sent yet
        self._unfinished = False  # whether messages were sent that no Sync has ended yet

    async def run(self) -> None:
        async with asyncio.TaskGroup() as answers:
            try:
                await self._pass_requests(answers)
            except LOST:
                pass
            except Refused as refusal:
                self.writer.write(bytes(refusal.message))
            if self.connection is not None:  # left in the middle: the server rolls back
                self.connection.writer.transport.abort()

    async def _pass_requests(self, answers: asyncio.TaskGroup) -> None:
        while (request := await read_message(self.reader)).kind != "X":
            if self.connection is None:
                self.connection = await self.proxy.take()
                answers.create_task(self._pass_answers(self.connection))
            if request.kind in ASKS_READY:
                self._unready += 1
                self._unfinished = False
            elif request.kind in WANTS_SYNC:
                self._unfinished = True
            self.connection.writer.write(bytes(request))
            await self.connection.writer.drain()

    async def _pass_answers(self, connection: _ServerConnection) -> None:
        """Pass the server's answers on until it is idle, then return the connection."""
        try:
            while self.connection is connection:
                answer = await read_message(connection.reader)
                if answer.kind == "Z":
                    self._unready -= 1
                    if answer.body == b"I" and not self._unready and not self._unfinished:
                        self.connection = None
                self.writer.write(bytes(answer))
                await self.writer.drain()
        except BaseException as error:
            self.connection = None
            self.proxy.discard(connection)
            self.writer.close()
            if not isinstance(error, LOST):
                raise
            return
        with contextlib.suppress(*LOST):
            await self.proxy.give(connection)
