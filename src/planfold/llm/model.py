"""The port to a language model: plain requests in, plain answers out; both can be recorded.

An adapter (``planfold.providers``) calls a vendor; ``ScriptedModel`` answers from a script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from planfold.compaction.messages import Message, ToolRequest
from planfold.errors import Permanent, Transient
from planfold.planner.budget import Spend

__all__ = [
    "Answer",
    "Message",
    "Model",
    "ModelRejected",
    "ModelUnavailable",
    "Models",
    "Request",
    "ToolRequest",
    "ToolSchema",
    "Usage",
]

Finish = Literal["stop", "length", "tool_calls", "refusal"]


class ToolSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool as a model sees it; ``parameters`` is a JSON schema of an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model is asked. With a ``schema`` the answer's text is a JSON value of that schema, or
    of the ``plain_schema``, which replaces it where the vendor cannot enforce the first one.
    ``max_tokens`` bounds the answer."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = ()
    schema: dict[str, Any] | None = None
    max_tokens: int = 4_096
    plain_schema: dict[str, Any] | None = None

    def digest(self) -> str:
        """Sixteen hex digits that change with anything in the request."""
        data = msgspec.json.encode(self, order="deterministic")
        return hashlib.blake2b(data, digest_size=8).hexdigest()


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call, and its price in US dollars where it is known.

    ``cached_tokens`` are those of ``input_tokens`` that the vendor had in its cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model said. ``finish``: it ended its answer, was truncated at ``max_tokens``
    ("length"), wants tools, or refused (``text`` may say why). ``model`` is the one that answered
    (of a chain of fallbacks), ``seconds`` how long it took."""

    text: str = ""
    calls: tuple[ToolRequest, ...] = ()
    finish: Finish = "stop"
    usage: Usage = Usage()
    model: str = ""
    seconds: float = 0.0

    @property
    def spend(self) -> Spend:
        """What the call cost, in the units of a plan's budget."""
        usage = self.usage
        tokens = usage.input_tokens + usage.output_tokens
        return Spend(tokens=tokens, cost=usage.cost or 0.0, calls=1, seconds=self.seconds)


class ModelUnavailable(Transient):
    """The model cannot be reached, is overloaded or timed out, after all retries and fallbacks.

    ``text`` is the streamed part of a truncated answer; such a call is not retried, because its
    receiver may have acted on the text already.
    """

    def __init__(self, message: str, *, text: str = "") -> None:
        self.text = text
        super().__init__(message)


class ModelRejected(Permanent):
    """The vendor rejects this request: wrong key, unknown model, malformed, too long."""


class Model(Protocol):
    """One language model, or a chain of them.

    Example:
        from planfold import Spend
        from planfold.testing import Answer, Message
        from planfold.types import Request

        class Parrot:
            name = "parrot"

            async def ask(self, request, *, on_text=None):
                return Answer(request.messages[-1].text)

            def reserve(self, request):
                return Spend(tokens=100, calls=1)

        print((await Parrot().ask(Request((Message("user", "hello"),)))).text)
    """

    @property
    def name(self) -> str:
        """As it is written in settings: ``openai:gpt-5``."""
        ...

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """Ask once. With ``on_text`` the answer is streamed: it is called with each further piece
        of the text, on the event loop; the whole is in the answer too. No piece is ever
        withdrawn: a failed call is retried, or sent to a fallback, only before the first piece.

        Raises:
            ModelUnavailable: after all retries; with the ``text`` so far of a truncated stream.
            ModelRejected: the same request would fail again.
        """
        ...

    def reserve(self, request: Request) -> Spend:
        """The most that a call may cost: what a budget has to have before it is made."""
        ...


Models = Callable[[str], Model]
"""The model of a name, as in settings. Raises ConfigurationError for an unknown name."""
