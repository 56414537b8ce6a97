"""NESTFUL's tool specs as JSON schemas, widened by what the gold calls really pass."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from evals.samples import sample
from planfold.errors import ConfigurationError
from planfold.planner.references import (
    Reference,
    ReferenceFault,
    find_references,
    rename_references,
    resolve,
    whole_reference,
)

# What can be wrong in the data, and what the importer does about it.
NO_SPEC: Final = "a tool without a spec"  # one is made from its calls
UNKNOWN_ARGUMENT: Final = "an argument that the spec does not have"  # added, optional
MISSING_ARGUMENT: Final = "a required argument is left out"  # made optional
OTHER_TYPE: Final = "a value of another type than the spec says"  # that type is taken too
OTHER_RESULT: Final = "a result of another type than the spec says"  # that type is taken too
ARITHMETIC: Final = "arithmetic inside a text"  # passed as a text, not worked out
UNKNOWN_FIELD: Final = "a result field that the spec does not have"  # added to the result
NOT_JSON: Final = "a type that JSON does not have"  # taken as a text
REPEATED_SPEC: Final = "the same spec again"  # the first is taken
REPEATED_LABEL: Final = "a label used twice"  # the call's place is its label
NO_SUCH_CALL: Final = "the answer names a call that does not exist"  # the answer is not a task

_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_KEPT: Final = ("description", "enum")

CallShape = tuple[str, str, dict[str, Any]]  # name, label, arguments
Schema = dict[str, Any]


class Slip(msgspec.Struct, frozen=True):
    """Something in the data that contradicts itself. ``request`` is its place in the file from 0
    (-1: in the specs); ``found`` is the text there."""

    request: int
    tool: str
    field: str
    cause: str
    found: str = ""


class _Spec(msgspec.Struct):
    takes: dict[str, Schema] = {}
    required: set[str] = set()
    returns: dict[str, Schema] = {}


class ToolSpecs:
    """What every tool takes and returns. ``slips`` receives what contradicts the data's own
    specs, every time it does."""

    def __init__(self, specs: Iterable[Any], slips: list[Slip]) -> None:
        self.descriptions: dict[str, str] = {}
        self._slips = slips
        self._said: dict[str, _Spec] = {}  # by the data
        self._widened: dict[str, _Spec] = {}
        seen: dict[str, Any] = {}
        for number, spec in enumerate(specs, 1):
            if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
                raise ConfigurationError(f"tool spec {number}: it needs a name")
            name = spec["name"]
            if name not in seen:
                seen[name] = spec
                self.descriptions[name] = str(spec.get("description", ""))
                self._said[name] = self._read(name, spec)
                self._widened[name] = copy.deepcopy(self._said[name])
            elif spec == seen[name]:
                self._slips.append(Slip(-1, name, "", REPEATED_SPEC))
            else:
                raise ConfigurationError(f"tool spec {number}: another spec of {name!r}")

    def parameters(self, name: str) -> Schema:
        """The schema of a tool's arguments."""
        spec = self._widened[name]
        return {
            "type": "object",
            "properties": spec.takes,
            "required": sorted(spec.required),
            "additionalProperties": False,
        }

    def result(self, name: str) -> Schema:
        """The schema of what a tool returns."""
        return {"type": "object", "properties": self._widened[name].returns}

    def widen(self, request: int, calls: Sequence[CallShape]) -> None:
        """Let the tools take the gold calls of one request, and return what these refer to."""
        tools = {label: name for name, label, _ in calls}
        for name, _, arguments in calls:
            said = self._said.get(name)
            if said is None:
                self._slips.append(Slip(request, name, "", NO_SPEC))
                self.descriptions.setdefault(name, "")
                self._widened.setdefault(name, _Spec({}, set(), {}))
            for field in sorted((said.required if said else set()) - arguments.keys()):
                self._slips.append(Slip(request, name, field, MISSING_ARGUMENT))
                self._widened[name].required.discard(field)
            for field, value in arguments.items():
                for reference in find_references(value):
                    self._return(request, name, field, reference, tools)
                self._take(request, name, field, value, tools)

    def _read(self, name: str, spec: dict[str, Any]) -> _Spec:
        given_as = ("path_parameters", "query_parameters", "parameters", "arguments")
        parameters = {k: v for key in given_as for k, v in (spec.get(key) or {}).items()}
        returns = spec.get("output_parameters") or {}
        return _Spec(
            {key: self._schema(name, key, given) for key, given in parameters.items()},
            {
                key
                for key, given in parameters.items()
                if isinstance(given, dict) and given.get("required") is True
            },
            {key: self._schema(name, key, given) for key, given in returns.items()},
        )

    def _schema(self, name: str, field: str, given: Any) -> Schema:
        """A field's JSON schema; NESTFUL's own keys (required, format) are left out. A
        text is the name of a type."""
        if isinstance(given, str):
            given = {"type": given}
        if not isinstance(given, dict):
            raise ConfigurationError(f"tool {name!r}, {field}: a spec must be an object")
        schema: Schema = {key: given[key] for key in _KEPT if key in given}
        if "type" in given:
            said = str(given["type"]).lower()
            schema["type"] = {"float": "number"}.get(said, said if said in _TYPES else "string")
            if said not in (*_TYPES, "float"):
                self._slips.append(Slip(-1, name, field, NOT_JSON, str(given["type"])))
        if "items" in given:
            schema["items"] = self._schema(name, f"{field}[]", given["items"])
        if "properties" in given:
            inner = given["properties"].items()
            schema["properties"] = {key: self._schema(name, key, part) for key, part in inner}
        return schema

    def _return(
        self, request: int, name: str, field: str, reference: Reference, tools: dict[str, str]
    ) -> None:
        """Let the tool that ``reference`` points to return that field: as what it is used for."""
        source = tools.get(reference.target)
        first = reference.path[0] if reference.path else None
        if source not in self._widened or not isinstance(first, str):
            return  # the compiler reports its faults
        said = self._said.get(source)
        if said is not None and first not in said.returns:
            self._slips.append(Slip(request, source, first, UNKNOWN_FIELD, reference.text))
        wanted = self._widened[name].takes.get(field, {})
        usual = {key: wanted[key] for key in wanted if key != "enum"}
        self._widened[source].returns.setdefault(first, usual)

    def _take(self, request: int, name: str, field: str, value: Any, tools: dict[str, str]) -> None:
        """Let a tool take this argument."""
        said = self._said.get(name)
        example = self._example(value, tools)
        if said is not None:
            known = said.takes.get(field)
            if known is None or not _is_valid(known, example):
                cause = UNKNOWN_ARGUMENT if known is None else _cause(value, known)
                self._slips.append(Slip(request, name, field, cause, _shown(value)))
        takes, found = self._widened[name].takes, {"type": _type_of(example)}
        if field not in takes:
            takes[field] = found
        elif not _is_valid(takes[field], example):
            takes[field] = {"anyOf": [*(takes[field].get("anyOf") or [takes[field]]), found]}

    def _example(self, value: Any, tools: dict[str, str]) -> Any:
        """``value`` as the tool would see it if every tool returned what its spec says."""
        places = {label: place for place, label in enumerate(tools)}
        names = list(tools.values())

        def result(place: int | str) -> Any:
            name = names[int(place)]
            return sample(self.result(name), name)

        try:
            return resolve({"": rename_references(value, places)}, result)[""]
        except ReferenceFault:
            return value  # the compiler, or the run, reports its faults


def _cause(value: Any, known: Schema) -> str:
    if isinstance(value, str) and whole_reference(value):
        return OTHER_RESULT
    is_number = known.get("type") in ("number", "integer")
    if isinstance(value, str) and is_number and find_references(value):
        return ARITHMETIC
    return OTHER_TYPE


def _is_valid(schema: Schema, value: Any) -> bool:
    import jsonschema_rs

    return bool(jsonschema_rs.Draft202012Validator(schema).is_valid(value))


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode().replace("$$", "$")
