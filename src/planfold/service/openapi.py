"""The OpenAPI 3.1 document, made from the table of routes and the structs in it."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import msgspec

from planfold.drafting.schema import prose_of
from planfold.service.links import links_of
from planfold.service.messages import EventRecord, Problem
from planfold.service.problems import EVERYWHERE, TITLES, WITH_BODY
from planfold.service.route import Route
from planfold.service.routes import ROUTES

_REF: Final = "#/components/schemas/{name}"
_TEXTS: Final = {
    "path": {
        "plan_id": "The id of a plan",
        "task": "The id or label of a task",
        "token_id": "The id of a token",
        "schedule_name": "The name of a schedule",
        "limit_name": "The name of a shared limit",
    }
}
_DESCRIPTION: Final = (
    "Plans over HTTP. Every write needs the header `Idempotency-Key`: repeat a request with its "
    "key, and it is carried out once. `ETag` is the plan's version; with `If-Match` a command is "
    "refused when the plan has changed. Errors are problem documents (RFC 9457)."
)


@cache
def document() -> dict[str, Any]:
    """The document, as plain JSON values."""
    types: list[Any] = [Problem, EventRecord]
    for route in ROUTES:
        types += [t for t in (route.request, route.query, route.response) if t is not None]
    distinct = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(distinct, ref_template=_REF)
    found = dict(zip(distinct, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, found, components
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "planfold", "version": version("planfold"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {name: _tidied(schema) for name, schema in components.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _tidied(value: Any) -> Any:
    """Docstrings are wrapped for reading in the code."""
    if isinstance(value, dict):
        return {
            key: prose_of(item) if key == "description" and isinstance(item, str) else _tidied(item)
            for key, item in value.items()
        }
    return [_tidied(item) for item in value] if isinstance(value, list) else value


def _operation(route: Route, schemas: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": _responses(route, schemas),
    }
    scope = "none" if route.public else route.scope.value if route.scope else "any token"
    operation["description"] = f"Scope: {scope}."
    if route.public:
        operation["security"] = []
    if parameters := _parameters(route, components):
        operation["parameters"] = parameters
    if route.request is not None:
        content: dict[str, Any] = {"schema": schemas[route.request]}
        if route.example is not None:
            content["example"] = route.example
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    found = [
        _parameter(name, "path", {"type": "string", "minLength": 1}, _TEXTS["path"][name])
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if route.query is not None:
        for name, schema in components[route.query.__name__]["properties"].items():
            found.append(_parameter(name, "query", schema))
    if route.keyed:
        key = {"type": "string", "pattern": "^[!-~]{1,200}$"}
        found.append(_parameter("Idempotency-Key", "header", key, "Chosen by you, one per request"))
        tag = {"type": "string", "pattern": '^(\\*|(W/)?"[0-9]{1,18}")$'}
        found.append(_parameter("If-Match", "header", tag, "The version that you looked at"))
    if route.media == "events":
        number = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        about = "Continue after this event"
        found.append(_parameter("Last-Event-ID", "header", number, about))
    return found


def _parameter(name: str, place: str, schema: Any, about: str = "") -> dict[str, Any]:
    required = place == "path" or name == "Idempotency-Key"
    found = {"name": name, "in": place, "required": required, "schema": schema}
    return found | {"description": about} if about else found


def _responses(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.summary}
    if route.media == "json":
        content: dict[str, Any] = {"schema": schemas[route.response]}
        if route.example_answer is not None:
            content["example"] = route.example_answer
        answer["content"] = {"application/json": content}
    elif route.media == "text":
        answer["content"] = {route.text_type: {"schema": {"type": "string"}}}
    elif route.media == "events":
        answer["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        answer["description"] += "; the data of each is an EventRecord"
    if links := links_of(route):
        answer["links"] = links
    found = {str(route.status): answer}
    for status in statuses_of(route):
        found[str(status)] = _problem(status)
    if route.name == "ready":
        found["503"] = answer
    return found


def statuses_of(route: Route) -> list[int]:
    """The statuses of refusals that a route may answer with."""
    more = (*WITH_BODY, 422) if route.request is not None else ()
    return sorted({*EVERYWHERE, *more, *route.errors, 500})


def _problem(status: int) -> dict[str, Any]:
    if status in (204, 304):
        return {"description": "The plan has ended" if status == 204 else "It has this version"}
    schema = {"$ref": _REF.format(name="Problem")}
    content = {"application/problem+json": {"schema": schema}}
    return {"description": TITLES[status], "content": content}
