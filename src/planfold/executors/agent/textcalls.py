"""Tool calls that a model writes into its answer as text, where they call nothing.

It happens where a server does not know the model's own notation. Such a text is not the task's
result. Only names of tools that there are count, so JSON and code that merely look alike pass.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

_NEAR: Final = 300  # characters behind a mark within which the tool is named
_MARK: Final = re.compile(
    r"(?<!`)(?:<\|?/?(?:tool_?call|function_?call|tool_?use|tool_?code|function)s?\|?>"
    r"|<function=|<(?:antml:)?invoke\s+name=|<\|python_tag\|>|\[TOOL_CALLS?\]|<\uff5ctool▁calls?▁begin\uff5c>"
    r"|<\|channel\|>commentary|^Action:(?=.*\n+Action Input:))",
    re.I | re.M,
)
_FENCE: Final = re.compile(r"^(```+|~~~+)[^\n`]*\n(.*?)^\1[ \t]*$", re.M | re.S)
_CALL: Final = re.compile(r"(?:functions\.)?([A-Za-z_][\w.-]*)\s*\(.*\)", re.S)
_NAMES: Final = (
    "name",
    "tool",
    "tool_name",
    "function",
    "function_name",
    "action",
    "recipient_name",
)
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input", "tool_input", "action_input")
_BESIDE: Final = {"id", "call_id", "tool_call_id", "type", "index", *_NAMES, *_ARGUMENTS}
_LISTS: Final = ("tool_calls", "calls", "tool_uses", "function_call", "tool_call")


def call_in_text(text: str, names: Collection[str]) -> str:
    """The tool of ``names`` that ``text`` is written to call, or ""."""
    blocks = list(_FENCE.finditer(text))
    last = blocks[-1] if blocks and not text[blocks[-1].end() :].strip() else None
    prose = _FENCE.sub(lambda block: block[0] if last and block.end() == last.end() else "", text)
    for body in filter(None, (last[2].strip() if last else "", text.strip())):
        for name in _called(_json(body)):
            if name in names:
                return str(name)
        call = _CALL.fullmatch(body)
        if call and call[1] in names:
            return str(call[1])
    for mark in _MARK.finditer(prose):
        for word in re.findall(r"[\w.-]+", prose[mark.end() : mark.end() + _NEAR]):
            for name in (word, word.removeprefix("functions.")):
                if name in names:
                    return str(name)
    return ""


def _json(body: str) -> Any:
    if body[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _called(value: Any) -> Iterator[str]:
    """The names in what has the form of a call, or of a list of calls."""
    if isinstance(value, list):
        for item in value:
            yield from _called(item)
    elif isinstance(value, dict):
        if len(value) == 1 and (key := next(iter(value))) in _LISTS:
            yield from _called(value[key])
        elif value.keys() <= _BESIDE:
            inner = value.get("function")
            if isinstance(inner, dict):
                yield from _called(inner)
            elif any(key in value for key in _ARGUMENTS):
                named = (value[key] for key in _NAMES if isinstance(value.get(key), str))
                yield from (name.removeprefix("functions.") for name in named)
