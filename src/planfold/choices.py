"""Faults of values that must be one of a few: they list the allowed values, or name the nearest."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from planfold.patterns import pattern

_INVALID: Final = pattern(r"Invalid enum value (.*)", re.DOTALL)
_UNKNOWN: Final = pattern(r"Object contains unknown field `(.*)`", re.DOTALL)
_STEP: Final = pattern(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")


def wrong_choice(value: object, allowed: Collection[object]) -> str:
    """The fault of ``value``, or empty where it is allowed."""
    return "" if value in allowed else _not_one_of(repr(value), allowed)


def near_name(said: str, names: Collection[str]) -> str:
    """What msgspec says of an unknown field, with the nearest of ``names`` where there is one."""
    from difflib import get_close_matches

    found = _UNKNOWN.fullmatch(said)
    near = get_close_matches(found[1], names, n=1) if found else []
    return f"{said}; did you mean {near[0]!r}?" if near else said


def fault_and_place(fault: msgspec.ValidationError, kind: Any) -> tuple[str, str]:
    """What msgspec says of a value that is not of ``kind``, and the place: ``policy.rules[0]``.
    Of a value that is not one of a few, it does not say which those are; this does."""
    said, _, path = str(fault).partition(" - at `$")
    path = path.rstrip("`")
    invalid = _INVALID.fullmatch(said)
    allowed = list(_allowed(kind, path)) if invalid else []
    if invalid and allowed:
        said = _not_one_of(invalid[1], allowed)
    return said, path.lstrip(".")


def _not_one_of(shown: str, allowed: Collection[object]) -> str:
    return f"{shown} is not one of {', '.join(sorted(map(str, allowed)))}"


def _allowed(kind: Any, path: str) -> Iterator[object]:
    """The values that ``kind`` allows at the end of ``path``."""
    from msgspec import inspect

    found: list[Any] = [inspect.type_info(kind)]
    for name, place, _ in _STEP.findall(path):
        found = [
            inner
            for outer in found
            for each in _members(outer)
            for inner in _inside(each, name, place)
        ]
    for member in (each for outer in found for each in _members(outer)):
        if isinstance(member, inspect.LiteralType):
            yield from member.values
        elif isinstance(member, inspect.EnumType):
            yield from (value.value for value in member.cls)


def _members(kind: Any) -> tuple[Any, ...]:
    from msgspec import inspect

    if isinstance(kind, inspect.UnionType):
        return kind.types
    return (kind,)


def _inside(kind: Any, name: str, place: str) -> Iterator[Any]:
    """The types of what is one step further inside."""
    if name:
        fields = getattr(kind, "fields", ())
        yield from (field.type for field in fields if field.encode_name == name)
    elif place and hasattr(kind, "item_types"):
        yield from kind.item_types[int(place) : int(place) + 1]
    else:
        for attribute in ("item_type", "value_type"):
            if hasattr(kind, attribute):
                yield getattr(kind, attribute)
