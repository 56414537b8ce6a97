"""References that are probably not what their author meant, such as ``$1.field-name``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from planfold.planner.references import (
    OCCURRENCE,
    Reference,
    references_in,
    step_text,
    whole_reference,
)

# What directly follows a reference and is hardly meant as text.
_BEHIND: Final = re.compile(
    r"(?P<more>(?:-[A-Za-z0-9_]+)+|[^\W_a-zA-Z0-9][\w-]*)"
    r"|\.(?P<dotted>[^\W_a-zA-Z0-9][\w-]*|[\"'\[])"
    r"|(?P<bracket>\[[^\]\n]{0,60}\]?)"
)
_BRACED: Final = re.compile(
    r"\$\$|\$\{(?P<target>[0-9]+|[A-Za-z_][A-Za-z0-9_-]*)"
    r"(?P<path>(?:\.[A-Za-z0-9_]+|\[-?[0-9]{1,9}\])*)\}"
)
_FIELD: Final = re.compile(r"\.\w+|\[[^\]\n]{0,60}\]?")
_DEFAULT: Final = re.compile(r"(?:\?(?:\.[A-Za-z0-9_]+|\[[^\]\n]*\])*)?\s*\?\?")
_DEFAULTS: Final = (
    'write the default as 0, "text", true, false, null, [] or {}, or $$ for a dollar sign'
)
_FORMS: Final = 'write [0] for an item, .name or ["field name"] for a field'


class DoubtfulReference(msgspec.Struct, frozen=True):
    """``text`` is how it is written, ``why`` what is wrong with it, ``fix`` what to write."""

    text: str
    why: str
    fix: str


def doubtful_references(value: object, is_task: Callable[[str], bool]) -> list[DoubtfulReference]:
    """Parts of the texts of ``value`` that look like a reference but would be read as another one,
    or as text. ``is_task`` says whether a target names a task."""
    found: list[DoubtfulReference] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "$" in item:
                found += _in_text(item, is_task)
        elif isinstance(item, dict):
            stack.extend(reversed(item.values()))
        elif isinstance(item, (list, tuple)):
            stack.extend(reversed(item))
    return found


def _in_text(text: str, is_task: Callable[[str], bool]) -> Iterator[DoubtfulReference]:
    for match in _BRACED.finditer(text):
        if match["target"] and is_task(match["target"]):
            fix = f"write ${match['target']}{match['path']}, or $$ for a dollar sign"
            yield DoubtfulReference(match[0], "a reference has no braces", fix)
    for reference, start, end in references_in(text):
        if not is_task(reference.target):
            continue
        if start == 0 and _DEFAULT.match(text, end) and whole_reference(text) is None:
            yield DoubtfulReference(text, "the default is not a short JSON value", _DEFAULTS)
            continue
        if reference.target == OCCURRENCE:
            field = None if reference.path else _FIELD.match(text, end)
            if field is not None:
                fix = f"write ${OCCURRENCE}.date, or another character between them"
                yield DoubtfulReference(reference.text + field[0], "a time has only a date", fix)
            continue
        behind = _BEHIND.match(text, end)
        if behind is not None:
            yield from _behind(reference, behind)
        elif text[end:] == "." and start == 0:
            yield DoubtfulReference(
                text, "the name of a field is missing", "add it, or remove the full stop"
            )


def _behind(reference: Reference, behind: re.Match[str]) -> Iterator[DoubtfulReference]:
    text = reference.text + behind[0]
    if behind["more"]:
        last = reference.path[-1] if reference.path else None
        if isinstance(last, str) and reference.text.endswith(f".{last}"):
            before = reference.text.removesuffix(f".{last}")
            field = before + _quoted_step(last + behind[0])
            apart = before + _quoted_step(last) + behind[0]
            why = "it is not clear where the name of the field ends"
            yield DoubtfulReference(text, why, f"write {field}, or {apart} if {behind[0]} is text")
    elif behind["dotted"]:
        name = behind["dotted"].strip("\"'[")
        fix = f"write {reference.text}{step_text(name)}" if name else _FORMS
        yield DoubtfulReference(text, "this is not the name of a field", fix)
    else:
        name = behind["bracket"].strip("[]'\" ")
        is_index = name.removeprefix("-").isdecimal() and len(name) < 10
        fix = f"write {reference.text}{step_text(int(name) if is_index else name)}"
        if not is_index:
            fix = f"write {reference.text}{_quoted_step(name)}"
        yield DoubtfulReference(
            text, "this is neither an item nor a field", fix if name else _FORMS
        )


def _quoted_step(name: str) -> str:
    return f"[{json.dumps(name, ensure_ascii=False)}]"
