"""MCP servers: their settings, and their texts made safe for people and models."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from planfold.errors import ConfigurationError
from planfold.patterns import pattern

NAME_LIMIT = 24  # characters of a server's name
TOOL_NAME_LIMIT = 64  # characters, as models' vendors want it
DESCRIPTION_LIMIT = 2_000  # characters of a tool's
NOTE_LIMIT = 400  # characters of a description or title within a schema
SCHEMA_LIMIT = 64 * 1024  # bytes of one tool's schema as JSON
SCHEMA_DEPTH = 40

_NAME = pattern(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
_NOT_IN_NAMES = pattern(r"[^A-Za-z0-9_-]")


class McpServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[mcp.NAME]`` in ``planfold.toml``: a ``command`` that speaks MCP over its standard input
    and output, or the ``url`` of a server. Its tools are called ``NAME__TOOL``.

    ``env`` (for a command) and ``headers`` (for a url) may hold ``secret://NAME``. ``timeout`` is
    in seconds for one call, ``start_timeout`` for the start. ``safe`` names tools of that effect;
    ``tools``, where it is given, the only ones that are offered. ``vouched``: you know what the
    server says of its tools, so reading that does not taint what a model proposes.

    Example:
        from planfold import Settings
        from planfold.types import McpServer

        clock = McpServer(command=("mcp-server-time",), safe=("convert_time",))
        settings = Settings(mcp={"time": clock})
    """

    command: tuple[str, ...] = ()
    url: str = ""
    env: dict[str, str] = {}
    headers: dict[str, str] = {}
    timeout: float = 60.0
    start_timeout: float = 30.0
    safe: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    vouched: bool = False


def check_server(name: str, server: McpServer) -> None:
    """Raises ConfigurationError for an entry that cannot work."""
    where = f"mcp.{plain_text(name, 80)}"
    if not _NAME.fullmatch(name) or len(name) > NAME_LIMIT:
        raise ConfigurationError(
            f"{where}: a server's name is at most {NAME_LIMIT} letters and digits, with single "
            "_ or - between them"
        )
    if bool(server.command) == bool(server.url):
        raise ConfigurationError(f"{where}: give either command or url")
    if server.url and not re.match(r"https?://[^/]", server.url):
        raise ConfigurationError(f"{where}.url: it must begin with http:// or https://")
    if server.command and not server.command[0]:
        raise ConfigurationError(f"{where}.command: the program's name is empty")
    if server.headers and not server.url:
        raise ConfigurationError(f"{where}.headers: only a server with a url has headers")
    if server.env and not server.command:
        raise ConfigurationError(f"{where}.env: only a server with a command has an environment")
    for field in ("timeout", "start_timeout"):
        if not 0 < getattr(server, field) <= 86_400:
            raise ConfigurationError(f"{where}.{field}: seconds, above 0 and at most 86,400")


def tool_name(server: str, tool: str) -> str:
    """The name of a server's tool in plans: ``SERVER__TOOL``.

    Where that does not match ``[A-Za-z0-9_-]{1,64}`` it is shortened, and ends with a digest of
    the server's name for it: the same at every start, regardless of the server's other tools.
    """
    name = f"{server}__{_NOT_IN_NAMES.sub('_', tool)}"
    if name == f"{server}__{tool}" and tool and len(name) <= TOOL_NAME_LIMIT:
        return name
    import hashlib  # seldom needed

    digest = hashlib.sha256(tool.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: TOOL_NAME_LIMIT - 9]}-{digest}"


def plain_text(text: str, limit: int) -> str:
    """``text`` without what a terminal obeys or a reader cannot see (control and format characters,
    private and unassigned ones), at most ``limit`` characters long. Line ends and tabs stay."""
    import unicodedata  # only servers need it

    kept = "".join(
        c for c in text[: 4 * limit] if c in "\n\t" or unicodedata.category(c)[0] != "C"
    ).strip()
    return kept if len(kept) <= limit else f"{kept[: limit - 3]}..."


def plain_schema(schema: Any) -> dict[str, Any]:
    """A tool's schema with plain descriptions. Raises ValueError where it is too large or deep, or
    not the schema of an object."""
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise ValueError("its schema is not that of an object")
    import json  # only servers need it

    try:
        size = len(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, RecursionError, TypeError) as fault:
        raise ValueError(f"its schema is not JSON: {fault}") from None
    if size > SCHEMA_LIMIT:
        raise ValueError(f"its schema has {size:,} bytes; the limit is {SCHEMA_LIMIT:,}")
    return {"type": "object", **_plain(schema, 1)}


def _plain(value: Any, depth: int) -> Any:
    if depth > SCHEMA_DEPTH:
        raise ValueError(f"its schema is nested more than {SCHEMA_DEPTH} deep")
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: plain_text(item, NOTE_LIMIT)
        if key in ("description", "title") and isinstance(item, str)
        else _plain(item, depth + 1)
        for key, item in value.items()
        if key != "$comment"
    }
