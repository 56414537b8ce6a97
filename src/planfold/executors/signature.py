"""A function's parameters as a JSON schema, and JSON arguments as the function's arguments.

All the work with types is done once, when the tool is made; a call costs one ``convert``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Union, get_type_hints

import msgspec

from planfold.choices import fault_and_place, near_name
from planfold.errors import ConfigurationError, Permanent
from planfold.executors.context import TaskContext

_Fields = list[Any]  # what msgspec.defstruct takes: (name, type) or (name, type, default)


class Signature:
    """``schema`` is the JSON schema of the arguments object; ``bind`` makes a call of it.

    Raises ConfigurationError when a type cannot be read from JSON or is not known.
    """

    def __init__(self, function: Callable[..., Any], tool: str) -> None:
        self._tool = tool
        self._context_names: list[str] = []
        self._positional: list[str] = []
        self._extra: Any = None  # dict[str, T] where the function takes **kwargs: T
        self._names: frozenset[str] = frozenset()
        self._defaults: dict[str, Any] = {}
        fields = self._read(function)
        try:
            self._struct = msgspec.defstruct(
                "Arguments", fields, kw_only=True, forbid_unknown_fields=True
            )
            self.schema = self._make_schema()
        except (TypeError, ValueError, NameError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            detail = str(error).splitlines()[-1] if str(error) else ""
            raise ConfigurationError(
                f"tool {tool!r}: the type of {_not_of_json(fields)} cannot be read from JSON: "
                f"{detail or first}; annotate it with types that JSON has, or with Any"
            ) from error

    def bind(self, context: TaskContext) -> tuple[list[Any], dict[str, Any]]:
        """The positional and keyword arguments of the call. Raises Permanent on a mismatch."""
        given = context.arguments
        named: dict[str, Any] = {}
        if given or self._names:
            extra: dict[str, Any] = {}
            if self._extra is not None:
                extra = {key: value for key, value in given.items() if key not in self._names}
                given = {key: value for key, value in given.items() if key in self._names}
            try:
                values = msgspec.convert(given, self._struct, str_keys=True)
                named = {
                    name: value
                    for name in self._struct.__struct_fields__
                    if (value := getattr(values, name)) is not msgspec.UNSET
                }
                if extra:
                    named.update(msgspec.convert(extra, self._extra, str_keys=True))
            except msgspec.ValidationError as error:
                said, place = fault_and_place(error, self._struct)
                if not place:
                    said = near_name(said, self._names)
                where = f"argument {place}: " if place else ""
                said = said if place else said.replace("Object", "the call", 1)
                raise Permanent(f"tool {self._tool}: {where}{said}") from None
        for name in self._context_names:
            named[name] = context
        if not self._positional:
            return [], named
        return self._split(named)

    def _split(self, named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        # A positional-only parameter left out takes its default, so that later ones keep place.
        first = [
            named.pop(name) if name in named else self._defaults[name] for name in self._positional
        ]
        return first, named

    def _read(self, function: Callable[..., Any]) -> _Fields:
        try:
            hints = get_type_hints(function, include_extras=True)
        except Exception as error:
            raise ConfigurationError(
                f"tool {self._tool!r}: its type hints cannot be resolved: {error} "
                "(types must be importable at run time, from the module's top level)"
            ) from error
        fields: _Fields = []
        for name, parameter in inspect.signature(function).parameters.items():
            kind, hint = parameter.kind, hints.get(name, Any)
            if kind is parameter.VAR_POSITIONAL:
                raise ConfigurationError(
                    f"tool {self._tool!r}: *{name} has no name that a plan could use; "
                    f"take a list instead: {name}: list[...]"
                )
            if kind is parameter.VAR_KEYWORD:
                self._extra = dict[str, hint]  # type: ignore[valid-type]
                continue
            if kind is parameter.POSITIONAL_ONLY:
                self._positional.append(name)
            if hint is TaskContext:
                self._context_names.append(name)
            elif parameter.default is parameter.empty:
                fields.append((name, hint))
            else:
                # UNSET instead of the default itself: Python's own default is used, uncopied.
                self._defaults[name] = parameter.default
                fields.append((name, Union[hint, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
        self._names = frozenset(field[0] for field in fields)
        return fields

    def _make_schema(self) -> dict[str, Any]:
        types = [self._struct] if self._extra is None else [self._struct, self._extra]
        schemas, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
        root: dict[str, Any] = components.pop(schemas[0]["$ref"].rpartition("/")[2])
        root.pop("title", None)
        root["additionalProperties"] = (
            False if self._extra is None else schemas[1].get("additionalProperties", True)
        )
        for name, default in self._defaults.items():
            if name in root["properties"] and (value := _json_default(default)) is not None:
                root["properties"][name]["default"] = value
        if not root.get("required"):
            root.pop("required", None)
        if components:
            root["$defs"] = components
        return root


def _not_of_json(fields: _Fields) -> str:
    """The first parameter whose type has no JSON schema."""
    for name, kind, *_ in fields:
        try:
            msgspec.json.schema(kind)
        except (TypeError, ValueError, NameError):
            return f"its parameter {name!r}"
    return "a parameter"


def _json_default(default: Any) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(default))
    except (TypeError, ValueError):
        return None
