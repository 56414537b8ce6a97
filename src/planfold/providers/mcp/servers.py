"""``open_servers``: all MCP servers of the settings, for as long as a worker lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from planfold.errors import Permanent, extra_missing
from planfold.executors.mcp.executor import McpExecutor, ServerUnavailable
from planfold.executors.shell import inherited
from planfold.tools.mcp_servers import McpServer, check_server
from planfold.tools.redaction import Redactor
from planfold.tools.secrets import Secrets, references_in

if TYPE_CHECKING:
    from planfold.providers.mcp.client import McpClient


class Servers:
    """The result of opening servers. ``failures`` is the reason for each missing server,
    ``left_out`` for each missing tool; ``warnings`` are for the operator."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.warnings: list[str] = []
        self._tools: list[McpExecutor] = []

    def tools(self) -> list[McpExecutor]:
        """An executor for each tool of each server that started, by name."""
        return sorted(self._tools, key=lambda executor: executor.tool.name)


@asynccontextmanager
async def open_servers(
    settings: Mapping[str, McpServer],
    workspace: Path,
    environ: Mapping[str, str],
    *,
    env_allow: Sequence[str] = (),
    secrets: Secrets | None = None,
) -> AsyncIterator[Servers]:
    """Connect to all servers at once and list their tools; end them when the block ends.

    A server that does not start makes only its own tools unavailable: see ``Servers.failures``.
    Commands run in ``workspace`` and see of ``environ`` what shell commands see.

    Raises:
        ConfigurationError: an entry cannot work, or the extra ``mcp`` is not installed.
    """
    for name, server in settings.items():
        check_server(name, server)
    servers = Servers()
    opened: list[McpClient] = []
    for name, server in settings.items():
        try:
            opened.append(_made(name, server, workspace, inherited(environ, env_allow), secrets))
        except Permanent as fault:  # a secret that is not known here
            servers.failures[name] = str(fault)
    try:
        await asyncio.gather(*(_start(server, servers) for server in opened))
        yield servers
    finally:
        await asyncio.gather(*(server.close() for server in opened), return_exceptions=True)


async def _start(server: McpClient, servers: Servers) -> None:
    try:
        servers._tools += await server.tools()
    except ServerUnavailable as fault:
        servers.failures[server.name] = str(fault)
    servers.left_out |= server.left_out
    servers.warnings += server.warnings


def _made(
    name: str,
    settings: McpServer,
    workspace: Path,
    environ: Mapping[str, str],
    secrets: Secrets | None,
) -> McpClient:
    try:
        from planfold.providers.mcp.client import McpClient
    except ImportError as fault:
        raise extra_missing(f"[mcp.{name}]", "mcp", fault) from None
    secrets = secrets or Secrets()
    given = settings.env or settings.headers
    values = {key: secrets.resolve(text) for key, text in given.items()}
    names = dict.fromkeys(name for text in given.values() for name in references_in(text))
    return McpClient(
        name,
        settings,
        workspace=workspace,
        environ=environ,
        resolved=values,
        redactor=Redactor([(name, secrets.value(name)) for name in names]),
    )
