"""Conversion of requests to pydantic-ai's types, and of its responses to ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from pydantic_ai.exceptions import ModelRequestRejectedError, UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from planfold.llm.model import Answer, Finish, Message, Request, ToolRequest, Usage

_log = logging.getLogger("planfold")

FINISH: Mapping[str | None, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "refusal",
}


def messages(request: Request) -> list[ModelMessage]:
    """The turns; all messages between two turns of the model are put into one request."""
    turns: list[ModelMessage] = []
    waiting: list[ModelRequestPart] = []
    for message in request.messages:
        if message.role != "assistant":
            waiting.append(_part(message))
        elif parts := _said(message):
            if waiting:
                turns.append(ModelRequest(parts=waiting))
                waiting = []
            turns.append(ModelResponse(parts=parts))
    if waiting:
        turns.append(ModelRequest(parts=waiting))
    return turns


def _part(message: Message) -> ModelRequestPart:
    if message.role == "system":
        return SystemPromptPart(message.text)
    if message.role == "tool":
        return ToolReturnPart(message.name, message.text, tool_call_id=message.call_id)
    return UserPromptPart(message.text)


def _said(message: Message) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = [TextPart(message.text)] if message.text else []
    for call in message.calls:
        parts.append(
            ToolCallPart(call.name, call.malformed or call.arguments, tool_call_id=call.id)
        )
    return parts


def _definitions(request: Request) -> list[ToolDefinition]:
    """Not strict: that would close every object, and leave the model only empty ones."""
    return [
        ToolDefinition(
            name=tool.name,
            description=tool.description,
            parameters_json_schema=opened(tool.parameters or {"type": "object"}),
            strict=False,
        )
        for tool in request.tools
    ]


def parameters(
    request: Request,
    model: Model,
    settings: ModelSettings,
    *,
    strict: bool | None = True,
    enforced: bool = True,
) -> ModelRequestParameters:
    """Tools and schema. The schema is enforced by the vendor where it can be, else the plain one
    is part of the instructions. ``strict`` is the vendor's option for closed schemas: with
    True, keywords that it does not support become words; with None, the schema is sent whole."""
    tools = _definitions(request)
    if request.schema is None:
        return ModelRequestParameters(function_tools=tools)
    prompted = ModelRequestParameters(
        function_tools=tools,
        output_mode="prompted",
        output_object=OutputObjectDefinition(
            request.plain_schema or request.schema, name="answer", strict=False
        ),
    )
    if (
        not enforced
        or not model.profile.get("supports_json_schema_output")
        or request.schema.get("type") != "object"
    ):
        return prompted
    native = replace(
        prompted, output_mode="native", output_object=_enforced(request.schema, strict)
    )
    try:  # some vendors enforce closed schemas only, and not too large ones
        model.prepare_request(settings, native)
    except (UserError, ModelRequestRejectedError) as fault:
        _log.info("the schema of the answer is part of the instructions: %s", fault)
        return prompted
    return native


def _enforced(schema: dict[str, Any], strict: bool | None) -> OutputObjectDefinition:
    # Vendors' libraries change a schema in place, which must not share its parts.
    schema = msgspec.json.decode(msgspec.json.encode(schema))
    if not is_closed(schema):
        return OutputObjectDefinition(opened(schema), name="answer", strict=False)
    return OutputObjectDefinition(schema, name="answer", strict=strict)


NAMED = ("properties", "$defs", "definitions", "patternProperties")
INNER = ("items", "anyOf", "oneOf", "allOf", "prefixItems")


def is_closed(schema: Any) -> bool:
    """Whether every object in ``schema`` names all that it may hold."""
    if not isinstance(schema, dict):
        return True
    if not schema or (_is_object(schema) and schema.get("additionalProperties") is not False):
        return False
    return all(map(is_closed, _below(schema)))


def opened(schema: Any) -> Any:
    """``schema``, in which objects without named properties say that they may hold any.

    Servers that turn a schema into a grammar allow only the empty object otherwise.
    """
    if isinstance(schema, list):
        return [opened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = dict(schema)
    for key, value in schema.items():
        if key in NAMED:
            copy[key] = {name: opened(inner) for name, inner in value.items()}
        elif key in INNER:
            copy[key] = opened(value)
    if _is_object(schema) and not schema.get("properties"):
        copy.setdefault("additionalProperties", True)
    return copy


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _below(schema: dict[str, Any]) -> list[Any]:
    """The schemas inside a schema."""
    below = [inner for key in NAMED for inner in schema.get(key, {}).values()]
    for key in INNER:
        inner = schema.get(key, [])
        below += inner if isinstance(inner, list) else [inner]
    return below


def answer(response: ModelResponse, request: Request) -> Answer:
    """What the model said; its ``usage`` has no price yet."""
    details = response.provider_details or {}
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    calls = tuple(_called(part) for part in response.parts if isinstance(part, ToolCallPart))
    finish = FINISH.get(response.finish_reason, "stop")
    if finish == "refusal":
        text = details.get("refusal") or text
    elif request.schema is not None and not calls:
        text = json_in(text)
    if calls and finish == "stop":
        finish = "tool_calls"  # some servers say so only by the calls
    usage = response.usage
    return Answer(
        text,
        calls,
        finish,
        Usage(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens),
    )


def _called(part: ToolCallPart) -> ToolRequest:
    written = part.args
    if isinstance(written, str):
        try:
            arguments = msgspec.json.decode(written or "{}", type=dict[str, Any])
        except msgspec.DecodeError:
            return ToolRequest(part.tool_call_id, part.tool_name, malformed=written)
        return ToolRequest(part.tool_call_id, part.tool_name, arguments)
    return ToolRequest(part.tool_call_id, part.tool_name, dict(written or {}))


def json_in(text: str) -> str:
    """The JSON value in ``text``: models put it into a code fence or prose. Else ``text``."""
    whole = text.strip()
    if _is_json(whole):
        return whole
    starts = [at for at in (whole.find("{"), whole.find("[")) if at >= 0]
    if starts:
        start = min(starts)
        end = whole.rfind("}" if whole[start] == "{" else "]")
        if _is_json(inner := whole[start : end + 1]):
            return inner
    return text


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
