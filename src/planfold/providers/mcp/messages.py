"""A server's messages, before the library validates them as a whole: one invalid tool must not
exclude the others, and one invalid block must not fail an answer."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.shared.message import SessionMessage
from mcp_types import methods
from pydantic import BaseModel, TypeAdapter, ValidationError

from planfold.tools.mcp_servers import plain_text

SET_ASIDE = "planfold/set-aside"  # in a result's _meta: its blocks of unknown kinds

CALL_RESULT: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)
_VERSION = "2025-11-25"  # until the server has said which one it speaks


class Received:
    """A stream of a server's messages. ``odd_tools`` says by name what is wrong with the tools that
    were taken out of its lists."""

    def __init__(self, stream: Any, odd_tools: dict[str, str]) -> None:
        self._stream = stream
        self._odd_tools = odd_tools
        self._version = _VERSION

    async def receive(self) -> Any:
        return self._accepted(await self._stream.receive())

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Received:
        return self

    async def __anext__(self) -> Any:
        return self._accepted(await self._stream.__anext__())

    async def __aenter__(self) -> Received:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *fault: Any) -> None:
        await self._stream.__aexit__(*fault)

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    def _accepted(self, item: Any) -> Any:
        message = item.message if isinstance(item, SessionMessage) else None
        if isinstance(message, types.JSONRPCResponse):
            result = message.result
            self._version = str(result.get("protocolVersion", self._version))
            if isinstance(result.get("tools"), list):
                self._leave_out_tools(result)
            elif isinstance(result.get("content"), list):
                self._set_blocks_aside(result)
        return item

    def _leave_out_tools(self, result: dict[str, Any]) -> None:
        odd = _odd("tools/list", self._version, result, "tools", types.ListToolsResult)
        for place, why in odd.items():
            tool = result["tools"][place]
            name = tool.get("name") if isinstance(tool, dict) else None
            shown = plain_text(str(name), 200) if name else f"tool {place + 1}"
            self._odd_tools[shown] = why
        result["tools"] = _without(result["tools"], odd)

    def _set_blocks_aside(self, result: dict[str, Any]) -> None:
        odd = _odd("tools/call", self._version, result, "content", CALL_RESULT)
        if odd:
            meta = result["_meta"] if isinstance(result.get("_meta"), dict) else {}
            aside = [result["content"][place] for place in odd]
            result["_meta"] = {**meta, SET_ASIDE: aside}
            result["content"] = _without(result["content"], odd)


def _without(items: list[Any], places: dict[int, str]) -> list[Any]:
    return [item for place, item in enumerate(items) if place not in places]


def _odd(
    method: str,
    version: str,
    result: dict[str, Any],
    member: str,
    kind: type[BaseModel] | TypeAdapter[Any],
) -> dict[int, str]:
    """The places in ``member`` that are not valid, each with the reason."""
    found: dict[int, str] = {}
    try:
        methods.validate_server_result(method, version, result)
    except ValidationError as fault:
        found |= _places(fault, member)
    except (KeyError, ValueError):
        pass  # a version that the library does not know; it says so where it must
    try:
        if isinstance(kind, TypeAdapter):
            kind.validate_python(result, by_name=False)
        else:
            kind.model_validate(result, by_name=False)
    except ValidationError as fault:
        found |= _places(fault, member)
    return dict(sorted(found.items()))


def _places(fault: ValidationError, member: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for error in fault.errors(include_url=False, include_context=False, include_input=False):
        path = error["loc"]
        if member not in path:
            continue
        place, *rest = path[path.index(member) + 1 :] or (None,)
        if isinstance(place, int):
            where = ".".join(map(str, rest))
            found.setdefault(place, f"{where}: {error['msg']}" if where else error["msg"])
    return found
