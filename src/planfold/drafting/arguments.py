"""Checks of a task's arguments: JSON, small enough, and valid by the tool's schema."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from planfold.drafting.draft import Limits
from planfold.drafting.faults import Faults, excerpt, listed, quoted
from planfold.planner.references import (
    OCCURRENCE,
    find_references,
    has_references,
    unescape,
    whole_reference,
)
from planfold.printable import unicode_fault
from planfold.tools.tool import Tool

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

_Trail = tuple["_Trail", str | int] | None  # the way to a value, last step first
_INTEGER_BITS: Final = 14_000  # what Python converts from and to text (4,300 digits)
_MOST_ERRORS: Final = 50  # of one task's arguments against its schema

# Keywords whose outcome at a list or an object depends on the values inside it.
_LOOKS_INSIDE: Final = frozenset(
    {"anyOf", "oneOf", "not", "enum", "const", "uniqueItems", "contains", "minContains"}
    | {"maxContains", "unevaluatedProperties", "unevaluatedItems"}
)
_ABOUT_KEYS: Final = frozenset(
    {"required", "dependentRequired", "minProperties", "maxProperties", "title", "description"}
)
_CONDITIONAL: Final = frozenset({"if", "then", "else", "not"})


class ArgumentChecks:
    """Checks arguments; keeps the compiled schemas for the next task with the same tool."""

    def __init__(self, limits: Limits, faults: Faults) -> None:
        self._limits = limits
        self._faults = faults
        self._validators: dict[str, Draft202012Validator | str] = {}

    def check(self, arguments: dict[str, Any], tool: Tool | None, name: str) -> int | None:
        """Note all faults and return the size in bytes, or None where it is not even JSON."""
        clean = True
        for trail, message, fix in self._json_faults(arguments):
            clean = False
            self._faults.add(message, task=name, field=_field(trail), fix=fix)
        if not clean:
            return None
        size = len(msgspec.json.encode(arguments))
        if size > self._limits.arguments_bytes:
            message, fix = _limit_fault(f"arguments_bytes is {self._limits.arguments_bytes:,}")
            self._faults.add(message, task=name, field="arguments", fix=fix)
        if tool is not None:
            if tool.name == "shell":
                self._check_argv(arguments, name)
            self._check_schema(arguments, tool, name)
        return size

    def _json_faults(self, arguments: dict[str, Any]) -> Iterator[tuple[_Trail, str, str]]:
        """What is not JSON. Stops where it is too deep or too big: it may be without an end."""
        budget = self._limits.arguments_bytes
        stack: list[tuple[Any, _Trail, int]] = [(arguments, None, 1)]
        while stack:
            item, trail, depth = stack.pop()
            budget -= len(item) + 2 if type(item) is str else 1
            if budget < 0:
                yield None, *_limit_fault(f"arguments_bytes is {self._limits.arguments_bytes:,}")
                return
            if type(item) in (dict, list, tuple):
                if depth > self._limits.depth:
                    yield None, *_limit_fault(f"depth is {self._limits.depth}")
                    return
                if type(item) is dict:
                    yield from _key_faults(item, trail)
                    pairs: Any = [(key, item[key]) for key in item if type(key) is str]
                    budget -= sum(len(key) + 3 for key, _ in pairs)
                else:
                    pairs = enumerate(item)
                stack += reversed([(value, (trail, step), depth + 1) for step, value in pairs])
            elif fault := _scalar_fault(item):
                yield trail, *fault

    def _check_argv(self, arguments: dict[str, Any], name: str) -> None:
        argv = arguments.get("argv")
        for index, word in enumerate(argv if isinstance(argv, (list, tuple)) else ()):
            if isinstance(word, str) and "\0" in word:
                message = "holds a NUL character, which cannot be passed to a program"
                field = f"arguments.argv[{index}]"
                self._faults.add(message, task=name, field=field, fix="remove that character")

    def _check_schema(self, arguments: dict[str, Any], tool: Tool, name: str) -> None:
        validator = self._validator(tool)
        if isinstance(validator, str):
            message = f"the tool's own schema is not valid: {validator}"
            fix = f"correct the parameters of tool {quoted(tool.name)}"
            self._faults.add(message, task=name, field="tool", fix=fix)
            return
        seen = _Seen(arguments, tool)
        for count, error in enumerate(validator.iter_errors(seen.arguments)):
            if count >= _MOST_ERRORS:
                break
            if not seen.excuses(error):
                self._explain(error, tool, name)

    def _validator(self, tool: Tool) -> Draft202012Validator | str:
        if tool.name not in self._validators:
            import jsonschema_rs

            try:
                self._validators[tool.name] = jsonschema_rs.Draft202012Validator(
                    tool.parameters, retriever=_stay_offline
                )
            except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError) as error:
                self._validators[tool.name] = excerpt(str(error).partition("\n")[0], 200)
        return self._validators[tool.name]

    def _explain(self, error: ValidationError, tool: Tool, name: str) -> None:
        trail: _Trail = None
        for step in error.instance_path:
            trail = (trail, step)
        properties = tool.parameters.get("properties", {})
        takes = f"{tool.name} takes: {listed(properties)}" if properties else ""
        kind = error.kind
        if kind.name == "required":
            trail = (trail, kind.value)
            message, fix = f"is required by tool {tool.name}", "add it"
        elif kind.name == "additionalProperties":
            for key in kind.as_dict()["unexpected"]:
                near = self._faults.nearest(key, properties) if trail is None else ""
                fix = near or takes or "remove it"
                field = _field((trail, key))
                message = f"tool {tool.name} does not take this"
                self._faults.add(message, task=name, field=field, fix=fix)
            return
        else:
            message = excerpt(_alternatives(error) or error.message, 200)
            fix = f"see the parameters of tool {tool.name}"
        self._faults.add(message, task=name, field=_field(trail), fix=fix)


class _Seen:
    """Arguments as the schema sees them: ``$$`` unescaped, and references of any type.

    A rule cannot be checked against a value that is not known yet, so its violation is ignored.
    """

    def __init__(self, arguments: dict[str, Any], tool: Tool) -> None:
        self._whole: set[tuple[str | int, ...]] = set()
        self._partly: set[tuple[str | int, ...]] = set()
        self._schema = tool.parameters
        self.arguments: dict[str, Any] = arguments
        if has_references(arguments, literal=tool.literal):
            self.arguments = {
                key: item if key in tool.literal else self._look(item, (key,))
                for key, item in arguments.items()
            }

    def excuses(self, error: ValidationError) -> bool:
        if not self._whole and not self._partly:
            return False
        path = tuple(error.instance_path)
        if path in self._whole:
            return True
        keyword = error.kind.name
        if path in self._partly:  # a string for sure, but which one is not known
            return keyword != "type"
        unknown_inside = any(p[: len(path)] == path for p in self._whole | self._partly)
        if not unknown_inside:
            return bool(_CONDITIONAL.intersection(map(str, error.schema_path)))
        if keyword in ("anyOf", "oneOf"):
            if _asks_for_keys_only(self._schema, error.schema_path):
                return False
            branches = error.kind.as_dict().get("context")
            return not branches or any(all(map(self.excuses, branch)) for branch in branches)
        return keyword in _LOOKS_INSIDE or bool(
            _CONDITIONAL.intersection(map(str, error.schema_path))
        )

    def _look(self, item: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(item, str):
            if "$" not in item:
                return item
            whole = whole_reference(item)
            if whole is not None and whole.target != OCCURRENCE:
                self._whole.add(path)
            elif find_references(item):
                self._partly.add(path)
            return unescape(item)
        if isinstance(item, dict):
            return {key: self._look(value, (*path, key)) for key, value in item.items()}
        if isinstance(item, (list, tuple)):
            return [self._look(value, (*path, index)) for index, value in enumerate(item)]
        return item


def _asks_for_keys_only(schema: Any, path: list[str | int]) -> bool:
    """Whether the alternatives at ``path`` of a schema differ only in which keys must be there."""
    try:
        for step in path:
            schema = schema[step]
        return all(branch.keys() <= _ABOUT_KEYS for branch in schema)
    except (LookupError, TypeError, AttributeError):
        return False


def _alternatives(error: ValidationError) -> str:
    """What an anyOf or oneOf asks for, by the first complaint of each branch, or ""."""
    branches = error.kind.as_dict().get("context") or []
    if error.kind.name not in ("anyOf", "oneOf") or not branches:
        return ""
    if not all(branches):
        return "more than one alternative fits, and exactly one must"
    return "no alternative fits: " + "; ".join(branch[0].message for branch in branches)


def _stay_offline(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not in this schema, and planfold does not fetch schemas")


def _limit_fault(limit: str) -> tuple[str, str]:
    return f"too much; the limit {limit}", "put the data in a file and pass its path"


def _key_faults(item: dict[Any, Any], trail: _Trail) -> Iterator[tuple[_Trail, str, str]]:
    for key in item:
        if type(key) is not str:
            yield trail, f"the key {quoted(key)} is not a text", "put it in quotes"
        elif message := unicode_fault(key, nul=False):
            yield trail, f"the key {quoted(key)} {message}", "remove that character"


def _scalar_fault(item: object) -> tuple[str, str] | None:
    if item is None or type(item) is bool:
        return None
    if type(item) is str:
        message = unicode_fault(item, nul=False)
        return (message, "remove that character") if message else None
    if type(item) is float:
        if math.isfinite(item):
            return None
        return f"{item} is not a JSON number", "use a finite number, or null"
    if type(item) is int:
        if item.bit_length() <= _INTEGER_BITS:
            return None
        return "a number of more than 4,200 digits", "pass it as a text"
    return f"a {type(item).__name__} is not JSON", "use texts, numbers, lists, objects, null"


def _field(trail: _Trail) -> str:
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append(f"[{step}]" if isinstance(step, int) else f".{excerpt(step)}")
    return "arguments" + "".join(reversed(steps))
