"""``scripted:FILE.json``: a model that answers from a file. No network, no key, no memory.

The reply to a request follows from the request alone, so a process that resumes a plan after
a crash gets the same replies as the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from planfold.compaction.messages import ToolRequest
from planfold.compaction.tokens import estimate_tokens
from planfold.errors import ConfigurationError
from planfold.llm.model import Answer, Finish, ModelRejected, Request, Usage
from planfold.planner.budget import Spend

PREFIX = "scripted:"
PIECE = 16  # characters of a streamed piece


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that the scripted model wants to be called."""

    name: str
    arguments: dict[str, Any] = {}
    id: str = ""


class ScriptedReply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of the model: its ``text``, or any ``json`` value instead, and what it calls."""

    text: str = ""
    json: Any = msgspec.UNSET
    calls: tuple[ScriptedCall, ...] = ()
    finish: Finish | None = None
    usage: Usage | None = None

    def answer(self, turn: int) -> Answer:
        text = self.text if self.json is msgspec.UNSET else msgspec.json.encode(self.json).decode()
        calls = tuple(
            ToolRequest(call.id or f"call-{turn + 1}-{place + 1}", call.name, call.arguments)
            for place, call in enumerate(self.calls)
        )
        return Answer(text, calls, self.finish or ("tool_calls" if calls else "stop"))


class ScriptedConversation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The replies to a conversation, turn by turn.

    It is chosen when ``when`` occurs in the messages before the model's first turn.
    ``pause`` is the seconds after each piece of 16 characters that is streamed.
    """

    replies: tuple[str | ScriptedReply, ...]
    when: str = ""
    pause: float = 0.0


class ConversationScript:
    """Answers a request with the reply whose place is the number of the model's turns in it, of
    the first of the ``conversations`` that is meant."""

    def __init__(self, name: str, conversations: tuple[ScriptedConversation, ...]) -> None:
        self.name = name
        self._conversations = conversations

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """The scripted answer; ModelRejected where the script has none."""
        began = asyncio.get_running_loop().time()
        turn = sum(message.role == "assistant" for message in request.messages)
        conversation = self._meant(request)
        if turn >= len(conversation.replies):
            raise ModelRejected(
                f"{self.name}: the conversation {conversation.when!r} has no reply {turn + 1}"
            )
        reply = conversation.replies[turn]
        answer = (ScriptedReply(reply) if isinstance(reply, str) else reply).answer(turn)
        if on_text is not None:
            for start in range(0, len(answer.text), PIECE):
                on_text(answer.text[start : start + PIECE])
                await asyncio.sleep(conversation.pause)
        usage = None if isinstance(reply, str) else reply.usage
        return msgspec.structs.replace(
            answer,
            usage=usage or _usage(request, answer),
            model=self.name,
            seconds=asyncio.get_running_loop().time() - began,
        )

    def reserve(self, request: Request) -> Spend:
        """An estimate, as of a model that costs nothing."""
        return Spend(tokens=estimate_tokens(request.messages) + request.max_tokens, calls=1)

    def _meant(self, request: Request) -> ScriptedConversation:
        opening = []
        for message in request.messages:
            if message.role == "assistant":
                break
            opening.append(message.text)
        text = "\n".join(opening)
        for conversation in self._conversations:
            if conversation.when in text:
                return conversation
        raise ModelRejected(f"{self.name}: no conversation is meant by {text[-200:]!r}")


def _usage(request: Request, answer: Answer) -> Usage:
    return Usage(estimate_tokens(request.messages), estimate_tokens(answer.text) or 1)


def open_script(name: str) -> ConversationScript:
    """The model of a name ``scripted:FILE.json``.

    Raises:
        ConfigurationError: the file cannot be read, or is not a script.
    """
    path = Path(name.removeprefix(PREFIX))
    try:
        data = path.read_bytes()
        entries = msgspec.json.decode(data, type=list[str | dict[str, Any]])
        if any(isinstance(entry, dict) and "replies" in entry for entry in entries):
            conversations = msgspec.convert(entries, tuple[ScriptedConversation, ...])
        else:
            conversations = (msgspec.convert({"replies": entries}, ScriptedConversation),)
    except OSError as fault:
        raise ConfigurationError(f"model {name}: {fault.strerror}: {path}") from None
    except msgspec.DecodeError as fault:
        raise ConfigurationError(f"model {name}: {path} is not a script: {fault}") from None
    return ConversationScript(name, conversations)
