"""A conversation with a language model, turn by turn: what can be compacted."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class ToolRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model wants a tool to be called. ``malformed`` holds the arguments as the model wrote them
    where they are not a JSON object; ``arguments`` is empty then."""

    id: str
    name: str
    arguments: dict[str, Any] = {}
    malformed: str = ""


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation.

    ``assistant`` turns carry text, ``calls``, or both; a ``tool`` turn answers the call
    ``call_id`` of the tool ``name``. ``pinned`` turns survive every compaction unchanged.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    calls: tuple[ToolRequest, ...] = ()
    call_id: str = ""
    name: str = ""
    pinned: bool = False
