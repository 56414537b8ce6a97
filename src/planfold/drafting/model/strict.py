"""A tool's parameters as vendors can enforce them, and arguments of that form as the tool's own.

Constrained decoding takes a part of JSON schema only: every object is closed and requires all it
names. So an optional argument is null where it is left out, a map is a list of names and values,
and what has no fixed form at all is JSON in a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

NULL: Final = {"type": "null"}
REFERENCE: Final = {
    "type": "string",
    "pattern": r"^\$[A-Za-z0-9_-]+(:status|:error|\??(\.[A-Za-z0-9_]+|\[[0-9]+\])*"
    r"( \?\? (-?[0-9]+|null|true|false|\[\]))?)$",
    "description": "The result of an earlier task.",
}
# A reference to a list; empty: none. A vendor's grammar takes no quotes in a pattern.
LIST: Final = r"^(\$[A-Za-z0-9_-]+\??(\.[A-Za-z0-9_]+|\[[0-9]+\])*( \?\? \[\])?)?$"
# A condition; empty: none. It refers to a result first, so words alone are none.
CONDITION: Final = r"^([!(a-z]*\$[A-Za-z0-9_-]+[A-Za-z0-9 $'.,:()<>=!&|?+*/%_\[\]-]*)?$"
AS_TEXT: Final = {
    "type": "string",
    "description": "A JSON object, written as a text, as the tool's parameters ask.",
}
_PAIR: Final = ["name", "value"]  # of a map, which is written as a list
_SCALARS: Final = ("string", "number", "integer", "boolean", "null")
_KEPT: Final[dict[str, tuple[str, ...]]] = {
    "string": ("minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems"),
}
_KEPT_FORMATS: Final = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)
# What can be left to the compiler, because it only narrows what the rest allows.
_NARROWING: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "$schema", "$id", "$comment"}
    | {"pattern", "format", "uniqueItems", "readOnly", "writeOnly", "$defs", "definitions"}
)
_FORMS: Final = frozenset(
    {"type", "enum", "const", "anyOf", "oneOf", "properties", "required", "items", "$ref"}
    | {"additionalProperties", *(key for keys in _KEPT.values() for key in keys)}
)
_DEEPEST: Final = 12  # of references to definitions, so that recursion ends

# Limits of OpenAI's strict mode; those of other vendors are for planfold.providers to know.
_MOST_PROPERTIES: Final = 5_000
_MOST_LEVELS: Final = 10
_MOST_CHARS: Final = 120_000  # of names and constants
_MOST_CHOICES: Final = 1_000
_LONG_ENUM, _LONG_ENUM_CHARS = 250, 15_000


class Inexpressible(ValueError):
    """The schema cannot be written in the strict form; the message says where and why."""


def strict_parameters(parameters: Mapping[str, Any], literal: Iterable[str] = ()) -> dict[str, Any]:
    """The strict form of a tool's ``parameters``. A reference may replace an argument that is
    needed or a list, but not a ``literal`` one.

    Raises:
        Inexpressible: an argument has no fixed form.
    """
    if parameters.get("type") != "object" or not isinstance(parameters.get("properties"), dict):
        raise Inexpressible("the arguments have no fixed names")
    writer = _SchemaWriter(parameters, frozenset(literal))
    wanted = _required_sets(parameters)
    objects = [writer.object(parameters, "arguments", *each) for each in wanted]
    return objects[0] if len(objects) == 1 else {"anyOf": objects}


def _required_sets(schema: Mapping[str, Any]) -> list[tuple[set[str], set[str]]]:
    """Which arguments are needed and which are left out, for each alternative of a schema whose
    alternatives only name what they need."""
    needed = set(schema.get("required", ()))
    kinds = [kind for kind in ("oneOf", "anyOf") if kind in schema]
    if not kinds:
        return [(needed, set())]
    branches = schema[kinds[0]]
    if len(kinds) > 1 or not all(
        isinstance(b, dict) and b.keys() == {"required"} for b in branches
    ):
        raise Inexpressible(f"the arguments have {kinds[0]}")
    sets = [set(branch["required"]) for branch in branches]
    every = set().union(*sets)
    if kinds[0] == "anyOf":
        return [(needed | each, set()) for each in sets]
    return [(needed | each, every - each) for each in sets]


class _SchemaWriter:
    def __init__(self, root: Mapping[str, Any], literal: frozenset[str]) -> None:
        self._root = root
        self._literal = literal
        self._depth = 0

    def object(
        self, schema: Mapping[str, Any], place: str, needed: set[str], left_out: set[str]
    ) -> dict[str, Any]:
        top = place == "arguments"
        known = _FORMS | _NARROWING
        if unknown := schema.keys() - known:
            raise Inexpressible(f"{place} has {min(unknown)}")
        properties: dict[str, Any] = {}
        names = [name for name in schema.get("properties", {}) if name not in left_out]
        if missing := needed - set(names):
            raise Inexpressible(f"{place}.{min(missing)} is required, but has no form")
        # The distinguishing field comes first: vendors ask for different first names.
        for name in sorted(names, key=lambda name: name not in needed):
            inner, at = schema["properties"][name], f"{place}.{name}"
            said = self.value(inner, at)
            options = list(said["anyOf"]) if said.keys() == {"anyOf"} else [said]
            if not (top and name in self._literal) and _may_be_result(options, name in needed):
                options.append(REFERENCE)
            if name not in needed and NULL not in options:
                options.append(NULL)
            properties[name] = options[0] if len(options) == 1 else {"anyOf": options}
            if isinstance(inner, dict) and isinstance(inner.get("description"), str):
                properties[name] = {**properties[name], "description": inner["description"]}
        return closed(properties)

    def value(self, schema: Any, place: str) -> dict[str, Any]:
        if not isinstance(schema, dict):
            raise Inexpressible(f"{place} may be anything")
        if "$ref" in schema:
            return self._definition(schema, place)
        if unknown := schema.keys() - _FORMS - _NARROWING:
            raise Inexpressible(f"{place} has {min(unknown)}")
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._union(schema[key], place)
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else list(schema["enum"])
            if not all(isinstance(value, (str, int, float, type(None))) for value in values):
                raise Inexpressible(f"{place} has constants that are objects")
            texts = all(isinstance(value, str) for value in values)
            return {"type": "string", "enum": values} if texts else {"enum": values}
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return self._union([{**schema, "type": kind} for kind in kinds], place)
        return self._typed(schema, kinds, place)

    def _typed(self, schema: dict[str, Any], kind: Any, place: str) -> dict[str, Any]:
        if kind == "object":
            return self._inner_object(schema, place)
        if kind == "array":
            if "items" not in schema:
                raise Inexpressible(f"{place} may hold anything")
            items = self.value(schema["items"], f"{place}[]")
            return {"type": "array", "items": items} | _kept(schema, "array")
        if kind not in _SCALARS:
            raise Inexpressible(f"{place} may be anything")
        said = {"type": kind} | _kept(schema, "number" if kind == "integer" else kind)
        if kind == "string" and schema.get("format") in _KEPT_FORMATS:
            said["format"] = schema["format"]
        return said

    def _inner_object(self, schema: dict[str, Any], place: str) -> dict[str, Any]:
        if schema.get("properties"):
            return self.object(schema, place, set(schema.get("required", ())), set())
        values = schema.get("additionalProperties", True)
        if values is False:
            return closed({})
        pair = {"name": {"type": "string"}, "value": self.value(values, f"{place}.*")}
        return {"type": "array", "items": closed(pair)}

    def _union(self, branches: Any, place: str) -> dict[str, Any]:
        said: list[dict[str, Any]] = []
        for branch in branches:
            written = self.value(branch, place)
            said += written["anyOf"] if written.keys() == {"anyOf"} else [written]
        if (
            _of_kind(branches, "object", self._root) > 1
            or _of_kind(branches, "array", self._root) > 1
        ):
            raise Inexpressible(f"{place} is one of several objects or lists")
        return said[0] if len(said) == 1 else {"anyOf": said}

    def _definition(self, schema: dict[str, Any], place: str) -> dict[str, Any]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Inexpressible(f"{place} holds itself")
        written = self.value(resolved(schema, self._root), place)
        self._depth -= 1
        return written


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object that requires all ``properties`` and takes no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def constant(text: str) -> dict[str, Any]:
    """A text that can only be this one."""
    return {"type": "string", "const": text}


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """The target of a ``$ref`` within ``root``; other schemas unchanged."""
    seen = 0
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and seen < _DEEPEST:
        seen += 1
        found: Any = root if schema["$ref"].startswith("#/") else None
        for step in schema["$ref"][2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, Mapping) else None
        schema = found
    return schema


def _kept(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {key: schema[key] for key in _KEPT.get(kind, ()) if key in schema}


def _may_be_result(options: list[dict[str, Any]], needed: bool) -> bool:
    """Whether a reference needs a form of its own: a text may hold one anyway, and an optional
    number, choice or map is too seldom one for what the form costs."""
    if any(o.get("type") == "string" and not o.keys() & {"format", "enum"} for o in options):
        return False
    lists = [option["items"] for option in options if option.get("type") == "array"]
    return needed or any(list(items.get("properties", ())) != _PAIR for items in lists)


def _of_kind(branches: Iterable[Any], kind: str, root: Mapping[str, Any]) -> int:
    return sum(
        isinstance(each, Mapping) and each.get("type") == kind
        for each in (resolved(branch, root) for branch in branches)
    )


# --- reading ---


def own_arguments(value: Any, parameters: Mapping[str, Any]) -> Any:
    """Arguments in the strict form, or in the tool's own, as the tool's own: null for an optional
    argument leaves it out, a list of names and values is a map, a text is the JSON it holds."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return _own(value, parameters, parameters, 0)


def _own(value: Any, schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    schema = resolved(schema, root) if isinstance(schema, Mapping) else schema
    if not isinstance(schema, Mapping) or depth > 64:
        return value
    for key in ("anyOf", "oneOf"):
        if key in schema and "properties" not in schema:
            kind = "object" if isinstance(value, dict) else "array"
            branches = [resolved(branch, root) for branch in schema[key]]
            fitting = [b for b in branches if isinstance(b, Mapping) and _takes(b, value, kind)]
            return _own(value, fitting[0], root, depth + 1) if len(fitting) == 1 else value
    if isinstance(value, dict):
        properties, needed = schema.get("properties") or {}, schema.get("required", ())
        others = schema.get("additionalProperties")
        return {
            name: _own(item, properties.get(name, others), root, depth + 1)
            for name, item in value.items()
            if item is not None or name not in properties or name in needed
        }
    if isinstance(value, list):
        if _is_map(schema) and all(_is_pair(item) for item in value):
            inner = schema.get("additionalProperties")
            pairs = {item["name"]: _own(item["value"], inner, root, depth + 1) for item in value}
            return pairs if len(pairs) == len(value) else value
        return [_own(item, schema.get("items"), root, depth + 1) for item in value]
    return value


def _takes(schema: Mapping[str, Any], value: Any, kind: str) -> bool:
    return schema.get("type") == kind or (isinstance(value, list) and _is_map(schema))


def _is_map(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    is_object = kind == "object" or (isinstance(kind, list) and "object" in kind)
    return is_object and not schema.get("properties")


def _is_pair(item: Any) -> bool:
    return isinstance(item, dict) and item.keys() == {"name", "value"} and type(item["name"]) is str


# --- limits ---


def over_limit(schema: Mapping[str, Any]) -> str:
    """Which limit of strict schemas ``schema`` exceeds, or ""."""
    properties = choices = chars = levels = 0
    for part, level in _parts(schema, 0):
        levels = max(levels, level)
        names = list(part.get("properties", {}))
        properties += len(names)
        constants = list(part.get("enum", [])) + ([part["const"]] if "const" in part else [])
        choices += len(constants)
        texts = sum(len(value) for value in constants if isinstance(value, str))
        chars += texts + sum(map(len, names))
        if len(constants) > _LONG_ENUM and texts > _LONG_ENUM_CHARS:
            return f"an enum of {len(constants):,} values has {texts:,} characters"
    for count, most, what in (
        (properties, _MOST_PROPERTIES, "properties"),
        (levels, _MOST_LEVELS, "levels of objects"),
        (choices, _MOST_CHOICES, "constants"),
        (chars, _MOST_CHARS, "characters of names and constants"),
    ):
        if count > most:
            return f"it would have {count:,} {what}; the limit is {most:,}"
    return ""


def _parts(schema: Any, level: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Every schema in ``schema``, with the number of objects around and including it."""
    if not isinstance(schema, Mapping):
        return
    level += schema.get("type") == "object"
    yield schema, level
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), schema.get("items")]
    for each in inner:
        yield from _parts(each, level)
