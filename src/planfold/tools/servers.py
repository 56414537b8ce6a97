"""Foreign tool servers (MCP), as settings name them."""

from __future__ import annotations

import msgspec


class ToolServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[mcp.NAME]`` in ``planfold.toml``: a ``command`` that speaks MCP over its standard input
    and output, or the ``url`` of a server. Its tools are called ``NAME__TOOL``.

    ``env`` (for a command) and ``headers`` (for a url) may hold ``secret://NAME``. ``timeout`` is
    in seconds for one call. ``safe`` names tools that only read.
    """

    command: tuple[str, ...] = ()
    url: str = ""
    env: dict[str, str] = {}
    headers: dict[str, str] = {}
    timeout: float = 60.0
    safe: tuple[str, ...] = ()
