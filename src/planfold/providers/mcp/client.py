"""``McpClient``: an MCP server, with its tools and calls of them. This module and
``connection`` are the only ones that import ``mcp``."""

from __future__ import annotations

import asyncio
import functools
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, PARSE_ERROR, REQUEST_TIMEOUT

from planfold.executors.mcp.executor import (
    Answered,
    CallInterrupted,
    CallRefused,
    InputNeeded,
    McpCall,
    McpExecutor,
    ProgressCallback,
    ServerUnavailable,
)
from planfold.planner.tasks import Effect
from planfold.providers.mcp.connection import (
    Listing,
    McpConnection,
    Offer,
    first_line,
    sent,
    transport,
)
from planfold.providers.mcp.messages import CALL_RESULT, SET_ASIDE
from planfold.tools.mcp_servers import (
    DESCRIPTION_LIMIT,
    McpServer,
    plain_schema,
    plain_text,
    tool_name,
)
from planfold.tools.redaction import Redactor
from planfold.tools.tool import Tool

KEY = "planfold/idempotency-key"  # in a call's _meta
MOST_TOOLS = 1_000  # of one server
TURNS = 10  # of the event loop; a server that has ended is noticed in them, before a call is sent
# What the library says of a connection's end, of a status of 4xx or 5xx, and of a lost session.
_CLOSED = "Connection closed"
_GATEWAY = "Server returned an error response"
_FORGOTTEN = "Session terminated"


class McpClient:
    """One server of the settings; connects when it is first needed, and again when it was lost.

    ``environ`` is all that a command sees, before its own ``env``. ``redactor`` takes the values of
    secrets out of all that the server says; ``resolved`` are env or headers with their secrets.
    """

    def __init__(
        self,
        name: str,
        settings: McpServer,
        *,
        workspace: Path,
        environ: Mapping[str, str],
        resolved: Mapping[str, str],
        redactor: Redactor,
    ) -> None:
        self.name = name
        self.warnings: list[str] = []
        self.left_out: dict[str, str] = {}
        self._settings = settings
        self._workspace = workspace
        self._environ = dict(environ)
        self._resolved = dict(resolved)
        self._redactor = redactor
        self._link: McpConnection | None = None
        self._connecting = asyncio.Lock()
        self._offered: dict[str, bytes] = {}  # what each tool was when it was first listed

    async def tools(self) -> list[McpExecutor]:
        """Connect, and list the server's tools. Raises ServerUnavailable."""
        link = await self._connected()
        return [self._executor(remote, tool, hints) for remote, tool, hints in link.tools]

    async def call(self, call: McpCall, progress: ProgressCallback) -> Answered | InputNeeded:
        request = types.CallToolRequest(
            params=types.CallToolRequestParams(
                name=call.tool,
                arguments=call.arguments,
                input_responses=_responses(call.responses),
                request_state=call.state,
                _meta={KEY: call.key},  # type: ignore[arg-type]  # any further key is allowed
            )
        )
        try:
            return await self._send(request, progress)
        except _NotTaken:  # the connection has ended, or the server does not know the session
            return await self._send(request, progress)

    async def _send(
        self, request: types.CallToolRequest, tell: ProgressCallback
    ) -> Answered | InputNeeded:
        async def note(progress: float, total: float | None, message: str | None) -> None:
            share = f"{progress:g}" if total is None else f"{progress:g} of {total:g}"
            await tell(self._redactor.text(f"{share}: {message}" if message else share))

        link = await self._connected()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._must_be_the_same(link, request.params.name)
        notes: list[bool] = []
        sent.set(notes)
        try:
            result = await link.client.session.send_request(
                request,
                CALL_RESULT,
                request_read_timeout_seconds=self._settings.timeout,
                progress_callback=note,
            )
        except MCPError as fault:
            raise await self._explanation(fault, link, reached_it=bool(notes)) from None
        except (ValueError, RuntimeError) as fault:  # pydantic's ValidationError is a ValueError
            why = f"{self.name} gave an answer that is not valid: {first_line(fault)}"
            raise CallInterrupted(self._redactor.text(why)) from None
        return self._answer(result)

    def _must_be_the_same(self, link: McpConnection, tool: str) -> None:
        # What was approved is what was offered when planfold started.
        if link.definitions.get(tool) != self._offered.get(tool):
            raise CallRefused(
                f"{self.name} restarted with a different definition of tool {tool!r}; "
                "restart planfold to load it"
            )

    async def close(self) -> None:
        """End the connection and, where planfold started it, the server."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _connected(self) -> McpConnection:
        async with self._connecting:
            if self._link is None or self._link.ended:
                self._link = None
                link = self._begun()
                try:
                    async with asyncio.timeout(self._settings.start_timeout):
                        await link.ready()
                except TimeoutError:
                    await link.close()
                    limit = f"{self._settings.start_timeout:g} s"
                    raise ServerUnavailable(link.explained(f"no answer within {limit}")) from None
                except asyncio.CancelledError:
                    await link.close()
                    raise
                self._link = link
                if not self._offered:
                    self._offered = link.definitions
            return self._link

    def _begun(self) -> McpConnection:
        make = functools.partial(
            transport, self._settings, self._workspace, self._environ, self._resolved
        )
        return McpConnection(self.name, make, self._offer, self._explained)

    async def _drop(self, link: McpConnection) -> None:
        if self._link is link:
            self._link = None
        await link.close()

    async def _explanation(
        self, fault: MCPError, link: McpConnection, *, reached_it: bool
    ) -> Exception:
        message = self._redactor.text(f"{self.name}: {plain_text(fault.message, 2_000)}")
        if fault.code == REQUEST_TIMEOUT:
            limit = f"{self._settings.timeout:g} s"
            return CallInterrupted(
                f"{self.name} did not answer within {limit}; it was asked to stop"
            )
        if fault.code == CONNECTION_CLOSED:
            if fault.message != _CLOSED:  # this call's stream only
                return CallInterrupted(message)
            await self._drop(link)
            why = link.explained("the connection was lost")
            return CallInterrupted(why) if reached_it and link.reached else _NotTaken(why)
        if fault.code == INTERNAL_ERROR and fault.message == _GATEWAY:
            return CallInterrupted(message)
        if fault.code == PARSE_ERROR:  # of its answer: what was sent to it is JSON
            return CallInterrupted(message)
        if fault.message == _FORGOTTEN:
            await self._drop(link)
            return _NotTaken(message)
        return CallRefused(message)

    def _answer(
        self, result: types.CallToolResult | types.InputRequiredResult
    ) -> Answered | InputNeeded:
        plain = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        if isinstance(result, types.InputRequiredResult):
            requests = self._redactor.tree(plain.get("inputRequests") or {})
            return InputNeeded(requests, result.request_state)
        clean = self._redactor.tree if self._redactor else (lambda value: value)
        aside = (result.meta or {}).get(SET_ASIDE)
        blocks = [*(plain.get("content") or []), *(aside if isinstance(aside, list) else [])]
        return Answered(
            clean([block if isinstance(block, dict) else {"type": "unknown"} for block in blocks]),
            clean(result.structured_content),  # not from the dump, where NaN is null
            result.is_error,
        )

    def _executor(self, remote: str, tool: Tool, hints: tuple[str, ...]) -> McpExecutor:
        return McpExecutor(self, tool, remote, hints=hints)

    def _offer(self, listing: Listing, info: types.Implementation | None) -> list[Offer]:
        """The tools as plans know them, each with the server's name of it and its hints."""
        identity = self._identity(info)
        found: dict[str, Offer] = {}
        odd = {tool_name(self.name, tool): why for tool, why in listing.odd.items()}
        excess: list[str] = []
        warnings = []
        for tool in listing.tools:
            name = tool_name(self.name, tool.name)
            if self._settings.tools and tool.name not in self._settings.tools:
                continue
            if name in found:
                warnings.append(f"{name} is offered twice; the first one is used")
                continue
            try:
                schema = plain_schema(tool.input_schema)
            except ValueError as fault:
                odd[name] = str(fault)
                continue
            if len(found) >= MOST_TOOLS:
                excess.append(name)
                continue
            offer = Tool(
                name=name,
                description=plain_text(tool.description or tool.title or "", DESCRIPTION_LIMIT),
                parameters=schema,
                effect=Effect.Safe if tool.name in self._settings.safe else Effect.Once,
                server=identity,
                vouched=self._settings.vouched,
            )
            found[name] = (tool.name, offer, _hints(tool.annotations))
        self._leave_out(odd, excess, listing.whole, warnings)
        self.warnings = [*warnings, *self._not_offered(listing)]
        return list(found.values())

    def _not_offered(self, listing: Listing) -> Iterator[str]:
        known = {tool.name for tool in listing.tools} | set(listing.odd)
        for field in ("safe", "tools"):
            for name in getattr(self._settings, field):
                if name not in known:
                    yield f"mcp.{self.name}.{field} names {name!r}, which it does not offer"

    def _leave_out(
        self, odd: dict[str, str], excess: list[str], whole: bool, warnings: list[str]
    ) -> None:
        odd = {name: plain_text(why, 300) for name, why in odd.items()}
        warnings += [f"{name} is left out: {why}" for name, why in odd.items()]
        choose = f"choose with mcp.{self.name}.tools"
        limit = f"planfold takes {MOST_TOOLS:,} tools of a server; {choose}"
        if excess:
            more = "" if whole else "at least "
            warnings.append(f"{self.name}: {more}{len(excess):,} tools are left out: {limit}")
        elif not whole:
            warnings.append(f"{self.name}: tools are left out: it lists too many; {choose}")
        self.left_out = odd | dict.fromkeys(excess, limit)

    def _explained(self, why: str, stderr: str) -> str:
        lines = plain_text(stderr, len(stderr) + 1).splitlines()
        said = plain_text(lines[-1], 400) if lines else ""  # of a traceback, what it is about
        return self._redactor.text(f"{self.name}: {why}" + (f"; it said: {said}" if said else ""))

    def _identity(self, info: types.Implementation | None) -> str:
        settings = self._settings
        where = shlex.join(settings.command) if settings.command else _without_keys(settings.url)
        itself = f"{info.name} {info.version}" if info is not None else "no name"
        return f"{self.name}: {where} ({plain_text(itself, 200)})"


class _NotTaken(ServerUnavailable):
    """The call did not reach the server, which may still be running."""


def _responses(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    return {key: types.ElicitResult.model_validate(value) for key, value in given.items()}


def _hints(annotations: types.ToolAnnotations | None) -> tuple[str, ...]:
    if annotations is None:
        return ()
    said = {
        "reads only": annotations.read_only_hint,
        "destructive": annotations.destructive_hint,
        "may be repeated": annotations.idempotent_hint,
        "open world": annotations.open_world_hint,
    }
    return tuple(hint for hint, value in said.items() if value)


def _without_keys(url: str) -> str:
    """A URL without what may be a password or a key."""
    parsed = httpx2.URL(url)
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))
