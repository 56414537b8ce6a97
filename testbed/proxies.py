"""``CuttingProxy``: a TCP proxy before a PostgreSQL server that fails on request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from testbed.postgres import free_port
from testbed.postgres_messages import (
    ASKS_READY,
    CANCEL,
    Message,
    read_message,
    read_startup,
)

Predicate = Callable[[Message], bool]
SYNC: Final = Message("S", b"")
LOST: Final = (ConnectionError, asyncio.IncompleteReadError)


class Proxy(ABC):
    """What the proxies share: a listening port of 127.0.0.1 and the connections to it.

    It lives in the event loop it was started in. ``target`` is the ``postgresql://`` address,
    over TCP, of a database.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self.host = parts.hostname or "127.0.0.1"
        self.host_port = parts.port or 5432
        self.port = free_port()
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{self.port}".removeprefix("@")
        self.address: Final = parts._replace(netloc=netloc).geturl()
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.refuse()
        await self.drop_connections()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    async def accept(self) -> None:
        """Listen for clients, again after ``refuse``."""
        if self._server is None:
            self._server = await asyncio.start_server(self._welcome, "127.0.0.1", self.port)

    async def refuse(self) -> None:
        """Refuse new connections; existing ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        await self.refuse()
        try:
            yield
        finally:
            await self.accept()

    async def drop_connections(self, *, reset: bool = True) -> None:
        """Close every connection to client and server, to the client with a RST or a FIN."""
        clients = dict(self._clients)
        for task, writer in clients.items():
            if reset:
                reset_connection(writer)
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients[task] = writer
        try:
            await self._serve(reader, writer)
        except (*LOST, asyncio.CancelledError):
            pass  # asyncio would log the cancellation of such a task as an error
        finally:
            del self._clients[task]
            writer.close()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves; the caller closes its connection."""


class Cut:
    """A cut that was asked for; it falls on the first request that ``predicate`` is true of."""

    def __init__(self, predicate: Predicate, *, executed: bool) -> None:
        self.predicate: Final = predicate
        self.executed: Final = executed
        self.request: Message | None = None
        self._fallen = asyncio.Event()

    @property
    def fallen(self) -> bool:
        """Whether the client's connection has been closed."""
        return self._fallen.is_set()

    async def wait(self) -> None:
        """Wait until it has fallen."""
        await self._fallen.wait()

    def falls_on(self, request: Message) -> bool:
        if self.request is None and self.predicate(request):
            self.request = request
            return True
        return False

    def fall(self) -> None:
        self._fallen.set()


class CuttingProxy(Proxy):
    """Passes everything on until a fault is requested.

    With a ``delay`` in seconds, each Query and Sync reaches the server that much later, and so
    does each ReadyForQuery the client.
    """

    def __init__(self, target: str, *, delay: float = 0.0) -> None:
        super().__init__(target)
        self.delay = delay
        self.cuts: list[Cut] = []

    def cut_after_request(self, predicate: Predicate) -> Cut:
        """Let the server execute a request, then close the connection instead of answering.

        ``predicate`` sees the client's messages: kind "Q" (Query), "P" (Parse), "B" (Bind), "E"
        (Execute), "S" (Sync), and their bodies. Nothing that answers the request reaches the
        client; the connection is closed when the server is ready for the next one.
        """
        return self._ask(Cut(predicate, executed=True))

    def cut_before_request(self, predicate: Predicate) -> Cut:
        """Close the connection to client and server instead of passing a request on."""
        return self._ask(Cut(predicate, executed=False))

    def _ask(self, cut: Cut) -> Cut:
        self.cuts.append(cut)
        return cut

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await read_startup(reader, writer)
        server_reader, server_writer = await asyncio.open_connection(self.host, self.host_port)
        try:
            server_writer.write(bytes(startup))
            if startup.code == CANCEL:
                await server_reader.read()
                return
            link = _Link(self, (reader, writer), (server_reader, server_writer))
            await first_to_end(link.pass_requests(), link.pass_answers())
        finally:
            server_writer.close()  # never a RST: it could undo what was just delivered


class _Link:
    """One client's connection and the server's, and where the two are in their talk."""

    def __init__(
        self,
        proxy: CuttingProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.proxy = proxy
        self.from_client, self.to_client = client
        self.from_server, self.to_server = server
        self.asked = 1  # ReadyForQuery asked of the server; the startup asks for one
        self.ready = 0  # ReadyForQuery seen
        self.cut: Cut | None = None
        self.cut_at = 0  # answers after so many ReadyForQuery are kept from the client

    async def pass_requests(self) -> None:
        while True:
            request = await read_message(self.from_client)
            if request.kind in ASKS_READY:
                await asyncio.sleep(self.proxy.delay)
            cut = self._cut_on(request)
            if cut is not None and not cut.executed:
                reset_connection(self.to_client)
                cut.fall()
                return
            if cut is not None:
                self.cut, self.cut_at = cut, self.asked
            if self.cut is not None and request.kind == "H":
                request = SYNC  # the end of what answers a Flush cannot be seen
            if request.kind in ASKS_READY:
                self.asked += 1
            self.to_server.write(bytes(request))
            await self.to_server.drain()

    async def pass_answers(self) -> None:
        while True:
            answer = await read_message(self.from_server)
            if answer.kind == "Z":
                await asyncio.sleep(self.proxy.delay)
            kept = self.cut is not None and self.ready >= self.cut_at
            if not kept:
                self.to_client.write(bytes(answer))
                await self.to_client.drain()
            if answer.kind == "Z":
                self.ready += 1
                if kept and self.cut is not None:
                    reset_connection(self.to_client)
                    self.cut.fall()
                    return

    def _cut_on(self, request: Message) -> Cut | None:
        if self.cut is not None:
            return None
        return next((cut for cut in self.proxy.cuts if cut.falls_on(request)), None)


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a RST, as a machine that went down would."""
    endpoint = writer.get_extra_info("socket")
    if endpoint is not None and not writer.is_closing():
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def first_to_end(*work: Coroutine[Any, Any, None]) -> None:
    """Run until the first of these ends, and cancel the others; its error is this one's."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
