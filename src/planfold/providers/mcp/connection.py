"""``McpConnection``: one connection to an MCP server (Model Context Protocol).

It runs in a task of its own, because its contexts (pipes, a process, a task group) must be entered
and left in the same task; calls come from any task.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import mcp_types as types
import msgspec
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from planfold.executors.mcp.executor import ServerUnavailable
from planfold.providers.mcp.messages import Received
from planfold.providers.mcp.stderr import StderrTail
from planfold.tools.mcp_servers import McpServer, plain_text
from planfold.tools.tool import Tool

MOST_TOOLS = 10_000  # that are listed; fewer are taken
MOST_PAGES = 100
STOP_S = 8.0  # for a server's own end; then its connection is cut
_CONNECT_S = 10.0
MESSAGE_LIMIT = 32 * 1024 * 1024  # bytes of one message over HTTP


class Listing(NamedTuple):
    """A server's tools; ``odd`` says by name why others cannot be taken. ``whole`` False: it lists
    more than was read."""

    tools: list[types.Tool]
    odd: dict[str, str]
    whole: bool


Offer = tuple[str, Tool, tuple[str, ...]]  # the server's name of a tool, the tool, its hints
Transport = Callable[[StderrTail], Any]

# What a call's task sets to a list finds there that its request has left this process.
sent: ContextVar[list[bool] | None] = ContextVar("planfold_mcp_sent", default=None)

for _name in ("mcp", "client"):  # what the client logs must not end up between a table's lines
    logging.getLogger(_name).addHandler(logging.NullHandler())


class McpConnection:
    """One connection to a server, from its start to its end."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        offered: Callable[[Listing, types.Implementation | None], list[Offer]],
        explained: Callable[[str, str], str],
    ) -> None:
        """``transport`` makes the streams, ``offered`` plans' tools of the server's, and
        ``explained`` a message of what went wrong and what the server said."""
        self.client: Client
        self.tools: list[Offer] = []
        self.definitions: dict[str, bytes] = {}
        self._odd_tools: dict[str, str] = {}
        self.reached = True  # False where the connection was refused
        self._transport = transport
        self._offered = offered
        self._explained = explained
        self._stderr = StderrTail()
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(), name=f"planfold-mcp-{name}")

    @property
    def ended(self) -> bool:
        return self._life.done()

    async def ready(self) -> None:
        """Raises ServerUnavailable where it cannot be reached."""
        await asyncio.shield(self._ready)

    async def close(self) -> None:
        self._stop.set()
        if self._ready.done():
            await asyncio.wait([self._life], timeout=STOP_S)
        if not self._life.done():
            self._life.cancel()
            await asyncio.wait([self._life], timeout=STOP_S)

    def explained(self, why: str) -> str:
        return self._explained(why, self._stderr.text())

    @asynccontextmanager
    async def _messages(self) -> AsyncIterator[Any]:
        async with self._transport(self._stderr) as (read, write):
            yield Received(read, self._odd_tools), write

    async def _live(self) -> None:
        try:
            async with (
                self._stderr,
                Client(
                    self._messages(),
                    client_info=types.Implementation(name="planfold", version=version("planfold")),
                    elicitation_callback=_refuse_elicitation,
                    cache=None,
                ) as client,
            ):
                self.client = client
                self.tools = self._offered(await self._listed(client), client.server_info)
                self.definitions = {
                    remote: msgspec.json.encode(tool) for remote, tool, _ in self.tools
                }
                self._ready.set_result(None)
                await self._stop.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as fault:
            cause = _cause(fault)
            self.reached = not isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
            if not self._ready.done():
                why = f"it cannot be used: {first_line(cause)}"
                self._ready.set_exception(ServerUnavailable(self.explained(why)))
        finally:
            if not self._ready.done():
                self._ready.set_exception(ServerUnavailable(self.explained("it was stopped")))
            self._ready.exception()  # also when nothing waits for it

    async def _listed(self, client: Client) -> Listing:
        found: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            if page.next_cursor is None or page.next_cursor == cursor:
                return Listing(found[:MOST_TOOLS], self._odd_tools, len(found) <= MOST_TOOLS)
            if len(found) >= MOST_TOOLS:
                break
            cursor = page.next_cursor
        return Listing(found[:MOST_TOOLS], self._odd_tools, False)


@asynccontextmanager
async def transport(
    settings: McpServer,
    workspace: Path,
    environ: Mapping[str, str],
    resolved: Mapping[str, str],
    stderr: StderrTail,
) -> AsyncIterator[Any]:
    """The streams of a new connection; starts the server if it is a command. ``environ`` is all
    that it sees, before ``resolved``: its env or the headers, secrets resolved."""
    if settings.command:
        parameters = StdioServerParameters(
            command=settings.command[0],
            args=list(settings.command[1:]),
            env={**environ, "TERM": "dumb", **resolved},
            cwd=workspace,
            encoding_error_handler="replace",  # one strict error would leave the call unanswered
        )
        async with stdio_client(parameters, errlog=stderr.stream) as (read, write):
            stderr.started()
            yield read, _Noted(write)
        return
    timeout = httpx2.Timeout(_CONNECT_S, read=settings.timeout + _CONNECT_S)
    async with (
        httpx2.AsyncClient(
            headers=resolved, timeout=timeout, event_hooks={"response": [bound_answer]}
        ) as http,
        streamable_http_client(
            settings.url, http_client=http, max_sse_event_size=MESSAGE_LIMIT
        ) as (
            read,
            write,
        ),
    ):
        yield read, _Noted(write)


async def bound_answer(response: httpx2.Response) -> None:
    """Let an answer that is one message fail beyond 32 MiB. A stream of events has a bound of its
    own, for each event."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        text = "content-encoding" not in response.headers
        response.stream = _Bounded(response.stream, is_text=text)


class _Bounded(httpx2.AsyncByteStream):
    """At most 32 MiB, and valid UTF-8 where it ``is_text``."""

    def __init__(self, stream: Any, *, is_text: bool) -> None:
        self._stream = stream
        self._is_text = is_text

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        room = MESSAGE_LIMIT
        async for chunk in self._stream:
            room -= len(chunk)
            if room < 0:
                raise httpx2.StreamError(f"the answer has more than {MESSAGE_LIMIT:,} bytes")
            yield decoder.decode(chunk).encode() if self._is_text else chunk
        yield decoder.decode(b"", final=True).encode()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Noted:
    """A write stream that notes in the sender's context that a message went out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def send(self, item: Any) -> None:
        await self._stream.send(item)
        notes = sent.get()
        if notes is not None:
            notes.append(True)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> _Noted:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *fault: Any) -> None:
        await self._stream.__aexit__(*fault)


async def _refuse_elicitation(context: Any, params: Any) -> types.ErrorData:
    # There to say that questions can be asked: by an ``input_required`` result, which a person may
    # answer next week. This older way would hold the call open until then.
    return types.ErrorData(
        code=types.INVALID_REQUEST,
        message="planfold answers questions only where the call's result is input_required",
    )


def _cause(fault: BaseException) -> BaseException:
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault


def first_line(fault: BaseException) -> str:
    if isinstance(fault, FileNotFoundError):
        return f"there is no program {fault.filename!r}"
    text = plain_text(str(fault), 300) or type(fault).__name__
    return text.splitlines()[0]
