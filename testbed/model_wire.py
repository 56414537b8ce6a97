"""What ``ModelServer`` says, in the wire formats of the two vendors: plain data, no socket.

OpenAI chat completions and Anthropic messages, each as one JSON body and as server-sent events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from planfold.llm.model import Finish, ToolRequest, Usage

Body = Mapping[str, Any]
PIECE = 16
"""Characters of a streamed piece, where a reply does not say how it is cut."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An HTTP error. ``retry_after`` is in seconds; ``body`` replaces the vendor's error body, of
    the content type ``kind``."""

    status: int
    retry_after: float | None = None
    body: str = ""
    message: str = "the script says so"
    kind: str = "application/json"


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model's answer, and how the connection behaves during it.

    ``pieces`` is how the text is cut when it is streamed, ``pause`` the seconds after each (a call
    that does not stream waits as long for the whole), ``delay`` the seconds before anything.
    ``finish`` is "tool_calls" with calls, else "stop", unless it is given; with "refusal" the
    text is the refusal. ``cut_off``: the connection ends in the middle of the answer (after the
    ``pieces``, where they are given). ``malformed``: the answer is not JSON. ``breaks_with``: the
    stream ends with the vendor's error event.
    """

    text: str = ""
    calls: tuple[ToolRequest, ...] = ()
    pieces: Sequence[str] | None = None
    pause: float = 0.0
    finish: Finish | None = None
    usage: Usage | None = None
    cut_off: bool = False
    malformed: bool = False
    delay: float = 0.0
    breaks_with: Fault | None = None

    @property
    def said(self) -> str:
        """The whole text."""
        return self.text or "".join(self.pieces or ())

    @property
    def ending(self) -> Finish:
        """``finish``, or what follows from the calls."""
        return self.finish or ("tool_calls" if self.calls else "stop")

    def cut(self) -> list[str]:
        """The text as it is streamed."""
        return list(self.pieces) if self.pieces is not None else _cut(self.text)

    def counted(self, body: Body) -> Usage:
        """The tokens: those given, else a quarter of the characters."""
        if self.usage is not None:
            return self.usage
        calls = sum(len(written(call)) for call in self.calls)
        return Usage(len(msgspec.json.encode(body)) // 4, (len(self.said) + calls) // 4 + 1)


class Event(msgspec.Struct, frozen=True):
    """One server-sent event. ``text``: it carries a piece of the text."""

    data: Any
    name: str = ""
    text: bool = False

    def encode(self) -> bytes:
        data = self.data if isinstance(self.data, str) else msgspec.json.encode(self.data).decode()
        return (
            f"event: {self.name}\n" if self.name else ""
        ).encode() + f"data: {data}\n\n".encode()


def written(call: ToolRequest) -> str:
    """The arguments of a call as the model wrote them."""
    return call.malformed or msgspec.json.encode(call.arguments).decode()


def _cut(text: str) -> list[str]:
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


class OpenAIWire:
    """POST /v1/chat/completions."""

    FINISH: Mapping[Finish, str] = {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "refusal": "stop",
    }
    LIMIT = "rate_limit_exceeded"

    def answer(self, body: Body, reply: Reply, number: int) -> Any:
        refused = reply.ending == "refusal"
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused else reply.said or None,
            "refusal": reply.said if refused else None,
        }
        if reply.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": written(call)},
                }
                for call in reply.calls
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.FINISH[reply.ending],
        }
        usage = self._usage(reply.counted(body))
        return self._frame(body, number, "chat.completion") | {"choices": [choice], "usage": usage}

    def events(self, body: Body, reply: Reply, number: int) -> Iterator[Event]:
        frame = self._frame(body, number, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], finish: str | None = None, text: bool = False) -> Event:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return Event(frame | {"choices": [choice]}, text=text)

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        field = "refusal" if reply.ending == "refusal" else "content"
        for piece in reply.cut():
            yield chunk({field: piece}, text=True)
        for index, call in enumerate(reply.calls):
            function = {"name": call.name, "arguments": ""}
            head = {"index": index, "id": call.id, "type": "function", "function": function}
            yield chunk({"tool_calls": [head]})
            for piece in _cut(written(call)):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, self.FINISH[reply.ending])
        if (body.get("stream_options") or {}).get("include_usage"):
            yield Event(frame | {"choices": [], "usage": self._usage(reply.counted(body))})
        yield Event("[DONE]")

    def error(self, fault: Fault) -> Any:
        code = "context_length_exceeded" if "context" in fault.message else None
        kind = self.LIMIT if fault.status == 429 else "invalid_request_error"
        return {"error": {"message": fault.message, "type": kind, "param": None, "code": code}}

    def error_event(self, fault: Fault) -> Event:
        return Event(self.error(fault))

    def _frame(self, body: Body, number: int, kind: str) -> dict[str, Any]:
        model = body.get("model", "")
        return {"id": f"chatcmpl-{number}", "object": kind, "created": 1, "model": model}

    def _usage(self, usage: Usage) -> Any:
        return {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


class AnthropicWire:
    """POST /v1/messages."""

    FINISH: Mapping[Finish, str] = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "refusal": "refusal",
    }
    ERRORS: Mapping[int, str] = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }

    def answer(self, body: Body, reply: Reply, number: int) -> Any:
        content: list[Any] = [{"type": "text", "text": reply.said}] if reply.said else []
        for call in reply.calls:
            arguments = call.malformed or call.arguments
            content.append(self._tool_use(call) | {"input": arguments})
        return self._frame(body, number, reply.counted(body)) | {
            "content": content,
            "stop_reason": self.FINISH[reply.ending],
        }

    def events(self, body: Body, reply: Reply, number: int) -> Iterator[Event]:
        usage = reply.counted(body)
        yield self._event("message_start", message=self._frame(body, number, usage))
        index = 0
        if pieces := reply.cut():
            block = {"type": "text", "text": ""}
            yield self._event("content_block_start", index=index, content_block=block)
            yield self._event("ping")
            for piece in pieces:
                delta = {"type": "text_delta", "text": piece}
                event = self._event("content_block_delta", index=index, delta=delta)
                yield msgspec.structs.replace(event, text=True)
            yield self._event("content_block_stop", index=index)
            index += 1
        for call in reply.calls:
            block = self._tool_use(call)
            yield self._event("content_block_start", index=index, content_block=block)
            for piece in _cut(written(call)):
                delta = {"type": "input_json_delta", "partial_json": piece}
                yield self._event("content_block_delta", index=index, delta=delta)
            yield self._event("content_block_stop", index=index)
            index += 1
        end: dict[str, Any] = {"stop_reason": self.FINISH[reply.ending], "stop_sequence": None}
        spent = {"output_tokens": usage.output_tokens}
        yield self._event("message_delta", delta=end, usage=spent)
        yield self._event("message_stop")

    def error(self, fault: Fault) -> Any:
        kind = self.ERRORS.get(fault.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": fault.message}}

    def error_event(self, fault: Fault) -> Event:
        return Event(self.error(fault), "error")

    def _event(self, kind: str, **fields: Any) -> Event:
        return Event({"type": kind} | fields, kind)

    def _tool_use(self, call: ToolRequest) -> dict[str, Any]:
        return {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}

    def _frame(self, body: Body, number: int, usage: Usage) -> dict[str, Any]:
        return {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", ""),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                # This vendor counts what it had in its cache apart from the rest.
                "input_tokens": usage.input_tokens - usage.cached_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": usage.cached_tokens,
                "output_tokens": usage.output_tokens,
            },
        }


Wire = OpenAIWire | AnthropicWire
WIRES: Mapping[str, Wire] = {
    "/v1/chat/completions": OpenAIWire(),
    "/v1/messages": AnthropicWire(),
}
