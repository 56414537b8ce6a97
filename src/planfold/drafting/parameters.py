"""Parameters of a plan (``params``): their types, and the values that a run gives them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from planfold.drafting.draft import Parameter, PlanDraft
from planfold.drafting.faults import Faults, excerpt, quoted
from planfold.planner.references import described, written_out
from planfold.printable import unicode_fault

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "secret"})
_SECRET: Final = re.compile(r"secret://[A-Za-z_][A-Za-z0-9_]*")
_MARK: Final = "secret://"
_DEPTH: Final = 32
_SHOWN: Final = 60  # characters of a default in a fault
_ARTICLES: Final = {"integer": "an", "object": "an"}
_JSON_TYPES: Final = {"list": "array"}


class ParameterValue(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a plan and the value that it has: what was given, else its default.

    The value of a ``secret`` is the reference to it, as in ``secret://TOKEN``.
    """

    name: str
    type: Literal["string", "integer", "number", "boolean", "list", "object", "secret"]
    value: Any
    description: str = ""


def declared_parameters(draft: PlanDraft, faults: Faults) -> dict[str, Parameter]:
    """The parameters of a draft, of which Python code may have made anything."""
    try:
        plain = msgspec.to_builtins(draft.params)
        declared = msgspec.convert(plain, dict[str, Parameter])
    except (TypeError, ValueError, RecursionError) as error:
        faults.add(f"is not valid: {excerpt(str(error), 200)}", field="params", fix=_form())
        return {}
    for name, parameter in declared.items():
        if not NAME.fullmatch(name):
            message = f"{quoted(name)} is not the name of a parameter"
            fix = "use a letter or _ first, then letters, digits and _"
            faults.add(message, field="params", fix=fix)
        if parameter.default is not msgspec.UNSET and parameter.default is not None:
            wrong = fault_of(parameter.default, parameter.type)
            if wrong:
                message = f"the default {wrong}; it must be {_kind(parameter)}"
                faults.add(message, field=_field(name), fix="correct the default or the type")
    return declared


def parameter_values(
    declared: Mapping[str, Parameter], given: Mapping[str, Any], faults: Faults
) -> tuple[ParameterValue, ...]:
    """The value of every parameter. What is missing, unknown or of another type is a fault, which
    does not hold the value: it may be one that must not be shown."""
    for name in given:
        if name not in declared:
            near = faults.nearest(str(name), declared)
            fix = near or _overview(declared)
            faults.add(f"there is no parameter {quoted(name)}", field="params", fix=fix)
    values = []
    for name, parameter in declared.items():
        value = read_value(given[name], parameter.type) if name in given else parameter.default
        if value is msgspec.UNSET:
            message = f"is missing; it is {said_of(parameter)}"
            fix = parameter.description or "give it a value"
            faults.add(message, field=_field(name), fix=fix)
            continue
        if name in given and (wrong := fault_of(value, parameter.type)):
            faults.add(f"{wrong}; it must be {said_of(parameter)}", field=_field(name), fix="")
            continue
        values.append(
            ParameterValue(
                name=name, type=parameter.type, value=value, description=parameter.description
            )
        )
    return tuple(values)


def read_value(value: Any, kind: str) -> Any:
    """A text for a parameter of another type is read as JSON: a command line gives only texts."""
    if not isinstance(value, str) or kind in ("string", "secret"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def fault_of(value: Any, kind: str) -> str:
    """Why ``value`` cannot be that of a parameter of this type, or ""."""
    if kind == "secret":
        named = isinstance(value, str) and _SECRET.fullmatch(value)
        return "" if named else "is not a reference to a secret, such as secret://TOKEN"
    if not _FITS[kind](value):
        return f"is {described(value)}"
    return next(_faults_inside(value), "")


def said_of(parameter: Parameter) -> str:
    """For example "an integer, default 3"."""
    if parameter.default is msgspec.UNSET:
        return f"{_kind(parameter)}, without a default"
    try:
        shown = written_out(parameter.default)
    except (TypeError, ValueError, RecursionError):
        shown = "?"
    return f"{_kind(parameter)}, default {excerpt(shown, _SHOWN) or 'empty'}"


def parameters_schema(declared: Mapping[str, Parameter]) -> dict[str, Any]:
    """The JSON schema (2020-12) of the values of parameters."""
    properties: dict[str, Any] = {}
    for name, parameter in declared.items():
        kind = "string" if parameter.type == "secret" else parameter.type
        properties[name] = {"type": _JSON_TYPES.get(kind, kind)}
        if parameter.type == "secret":
            properties[name]["pattern"] = f"^{_SECRET.pattern}$"
        if parameter.description:
            properties[name]["description"] = parameter.description
        if parameter.default is not msgspec.UNSET:
            properties[name]["default"] = parameter.default
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "parameters",
        "type": "object",
        "properties": properties,
        "required": [name for name, p in declared.items() if p.default is msgspec.UNSET],
        "additionalProperties": False,
    }


def _field(name: str) -> str:
    return f"params.{excerpt(name)}"


def _kind(parameter: Parameter) -> str:
    return f"{_ARTICLES.get(parameter.type, 'a')} {parameter.type}"


def _form() -> str:
    return 'write "params": {"version": {"type": "string", "description": "..."}}'


def _overview(declared: Mapping[str, Parameter]) -> str:
    if not declared:
        return "this plan has no parameters"
    named = "; ".join(f"{excerpt(n)}, {said_of(p)}" for n, p in list(declared.items())[:12])
    return f"parameters: {named}"


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and isinstance(value, int),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _faults_inside(value: Any) -> Iterator[str]:
    """What no value may hold, wherever it is: it becomes part of tasks as it is."""
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if depth > _DEPTH:
            yield f"nests more than {_DEPTH} deep"
            return
        if isinstance(item, str):
            if message := unicode_fault(item):
                yield message
            if _MARK in item:
                yield f"holds {_MARK}, which only a parameter of type secret may"
        elif isinstance(item, dict):
            if any(not isinstance(key, str) for key in item):
                yield "has a key that is not a text"
            stack += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            stack += [(part, depth + 1) for part in item]
        elif item is not None and not isinstance(item, bool) and not _is_number(item):
            yield f"holds {quoted(item)}, which is not JSON"
