"""An MCP server's requests for input, as questions for a person, and the answers in the shape
that the server asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from planfold.errors import Permanent
from planfold.tools.mcp_servers import plain_text

DECLINE = "decline"
LEAVE_OUT = "-"
MOST_REQUESTS = 10
MOST_FIELDS = 20
MESSAGE_LIMIT = 2_000  # characters
WORD_LIMIT = 200  # characters of a choice or a field's name


class ElicitationField(msgspec.Struct, frozen=True):
    """One thing to ask. ``field`` is None for a plain yes or no."""

    text: str
    choices: tuple[str, ...]
    field: str | None = None
    schema: dict[str, Any] = {}
    required: bool = True


class Elicitation(msgspec.Struct, frozen=True):
    """One input that a server requested, and its questions."""

    key: str
    questions: tuple[ElicitationField, ...]
    form: bool  # whether the answer carries fields

    def response(self, answers: dict[str, Any] | None) -> dict[str, Any]:
        """As the protocol wants it; None declines."""
        if answers is None:
            return {"action": DECLINE}
        return {"action": "accept", "content": answers} if self.form else {"action": "accept"}


def elicitations(server: str, requests: dict[str, Any]) -> list[Elicitation]:
    """What is asked, in the order of the keys. Raises Permanent for what planfold does not give to
    servers: calls of a model, folders, secrets by a form that is none."""
    if len(requests) > MOST_REQUESTS:
        raise Permanent(f"{server} asks for {len(requests)} inputs; the limit is {MOST_REQUESTS}")
    return [_elicitation(server, key, requests[key]) for key in sorted(requests)]


def _elicitation(server: str, key: str, request: Any) -> Elicitation:
    method = request.get("method") if isinstance(request, dict) else None
    if method == "sampling/createMessage":
        raise Permanent(f"{server} asks for a model's answer (sampling); planfold gives it none")
    if method == "roots/list":
        raise Permanent(f"{server} asks for this machine's folders (roots); planfold gives it none")
    if method != "elicitation/create":
        raise Permanent(f"{server} asks for {plain_text(str(method), 80)!r}, which is not known")
    params = _object(request.get("params"))
    message = f"{server} asks: {plain_text(str(params.get('message', '')), MESSAGE_LIMIT)}"
    if params.get("mode") == "url":
        return Elicitation(key, (_visit(server, message, str(params.get("url", ""))),), form=False)
    schema = _object(params.get("requestedSchema"))
    fields = _object(schema.get("properties"))
    if len(fields) > MOST_FIELDS:
        raise Permanent(f"{server} asks for a form of more than {MOST_FIELDS} fields")
    questions = tuple(_questions(message, fields, _list(schema.get("required"))))
    confirm = (ElicitationField(message, ("accept", DECLINE)),)
    return Elicitation(key, questions or confirm, form=True)


def _visit(server: str, message: str, url: str) -> ElicitationField:
    shown = plain_text(url, MESSAGE_LIMIT)
    if shown != url or not re.match(r"https?://[^/\s]", url):
        raise Permanent(f"{server} asks to open {shown[:WORD_LIMIT]!r}, which is not a web address")
    return ElicitationField(f"{message}\nOpen this page, then say so: {shown}", ("done", DECLINE))


def _questions(
    message: str, fields: dict[str, Any], required: list[Any]
) -> Iterator[ElicitationField]:
    for name, given in fields.items():
        schema = _object(given)
        shown = plain_text(str(schema.get("title") or name), WORD_LIMIT)
        about = plain_text(str(schema.get("description") or ""), MESSAGE_LIMIT)
        lines = [message, f"{shown}: {about}" if about else shown, *_hints(schema)]
        must = name in required
        choices = tuple(_choices(schema))
        if not must:
            lines.append(f'(may be left out with "{LEAVE_OUT}")')
            choices = (*choices, LEAVE_OUT) if choices else ()
        if choices:
            choices = tuple(dict.fromkeys((*choices, DECLINE)))
        else:
            lines.append(f'("{DECLINE}" refuses to answer)')
        yield ElicitationField("\n".join(lines), choices, name, schema, must)


def _hints(schema: dict[str, Any]) -> Iterator[str]:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        yield f"(a {'whole number' if kind == 'integer' else 'number'})"
    if kind == "array":
        yield (
            "(several, with commas between: "
            + ", ".join(_options(_object(schema.get("items"))))
            + ")"
        )
    if isinstance(schema.get("default"), str | int | float | bool):
        yield f"(usually {plain_text(str(schema['default']), WORD_LIMIT)})"
    titles = [(v, t) for v, t in _titled(schema) if v != t]
    if titles:
        yield "(" + "; ".join(f"{value}: {title}" for value, title in titles) + ")"


def _choices(schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("type") == "boolean":
        yield from ("yes", "no")
    elif schema.get("type") != "array":
        yield from _options(schema)


def _options(schema: dict[str, Any]) -> list[str]:
    values = schema.get("enum")
    if isinstance(values, list):
        return [plain_text(str(value), WORD_LIMIT) for value in values]
    return [value for value, _ in _titled(schema)]


def _titled(schema: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for branch in _list(schema.get("oneOf") or schema.get("anyOf")):
        if isinstance(branch, dict) and "const" in branch:
            value = str(branch["const"])
            shown = plain_text(str(branch.get("title", value)), WORD_LIMIT)
            found.append((plain_text(value, WORD_LIMIT), shown))
    return found


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def converted(question: ElicitationField, answer: str) -> Any:
    """The answer as the field's type wants it. Raises ValueError, saying what is wanted."""
    answer, schema = answer.strip(), question.schema
    kind = schema.get("type")
    if kind == "boolean":
        if answer.casefold() in ("yes", "no"):
            return answer.casefold() == "yes"
        raise ValueError('answer "yes" or "no"')
    if kind in ("integer", "number"):
        return _number(answer, schema, whole=kind == "integer")
    if kind == "array":
        chosen = [part.strip() for part in answer.split(",") if part.strip()]
        return [_one_of(part, _options(_object(schema.get("items")))) for part in chosen]
    return _one_of(answer, _options(schema))


def _one_of(answer: str, options: list[str]) -> str:
    if options and answer not in options:
        raise ValueError("choose from: " + ", ".join(options))
    return answer


def _number(answer: str, schema: dict[str, Any], *, whole: bool) -> int | float:
    try:
        value = int(answer) if whole else float(answer)
        if value in (float("inf"), float("-inf")) or value != value:
            raise ValueError
    except ValueError:
        raise ValueError(f"{answer[:40]!r} is not a {'whole ' if whole else ''}number") from None
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, int | float) and value < low:
        raise ValueError(f"it must be at least {low}")
    if isinstance(high, int | float) and value > high:
        raise ValueError(f"it must be at most {high}")
    return value
