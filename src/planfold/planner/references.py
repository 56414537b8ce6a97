"""``$`` references in arguments: how a task uses the results of earlier ones.

    reference = "$" target (path* | ":status" | ":error")      target = id | label
    path      = "." name | "[" int "]" | "[" JSON string "]"
    partial   = "$" target "?"? path* ("??" default)?          default = a short JSON value
    "$$" is a literal dollar

In the task of a map, ``$item`` is an element of its list and ``$index`` its place, from 0.
``$occurrence`` is the time that the plan runs for, and ``$occurrence.date`` its day: what follows
these is text.

``:status`` and ``:error`` are about the task, not in its result. A partial reference is a text of
its own: ``$1?`` is null where task 1 has no result, and ``$1.total ?? 0`` is 0 where there is no
total.

A name that holds anything but letters, digits and ``_`` is quoted: ``$1["field-name"]``. A ``$``
that no target follows, and a ``.`` that no name follows, are ordinary characters. A string that is
exactly one reference becomes the value with its JSON type; inside a longer string the value is
written out: strings unchanged, everything else as compact JSON. Inserted values are never
scanned again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from planfold.patterns import pattern

_Value = TypeVar("_Value")
_Path = tuple[str | int, ...]

_QUOTED: Final = r'"(?:[^"\\\x00-\x1f]|\\.)*"'
LABEL: Final = pattern(r"[A-Za-z_][A-Za-z0-9_-]*")
_TARGET: Final = r"(?P<target>[0-9]+|[A-Za-z_][A-Za-z0-9_-]*)"
_ABOUT: Final = r"(?P<about>:(?:status|error)(?![A-Za-z0-9_-]))"
_DATE: Final = r"(?:\.date(?![A-Za-z0-9_])|\[\"date\"\])"
_STEPS: Final = rf"(?:\.[A-Za-z0-9_]+|\[-?[0-9]{{1,9}}\]|\[{_QUOTED}\])"
_PATH: Final = rf"(?P<path>(?<=\$occurrence){_DATE}?|(?<!\$occurrence){_STEPS}*)"
_TEXT: Final = rf"{_QUOTED}|'(?:[^'\\\x00-\x1f]|\\.)*'"
_NUMBER: Final = r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?"
_DEFAULT: Final = rf"(?P<default>{_TEXT}|{_NUMBER}|true|false|null|\[\]|\{{\}})"
_TOKEN: Final = pattern(rf"\$(?:(?P<dollar>\$)|{_TARGET}(?:{_ABOUT}|{_PATH}))")
_OPTIONAL: Final = r"(?P<optional>\?(?!\?))?"
_ELSE: Final = rf"(?:\s*\?\?\s*{_DEFAULT}(?![\w.]))?"
_PARTIAL: Final = pattern(rf"\${_TARGET}(?:{_ABOUT}|{_OPTIONAL}{_PATH}){_ELSE}")
# In an expression ``.name(`` is a call and no field.
_FIELDS: Final = _PATH.replace("]+|", r"]+(?![A-Za-z0-9_]|\s*\()|", 1)
IN_EXPRESSION: Final = pattern(rf"\${_TARGET}(?:{_ABOUT}|{_OPTIONAL}{_FIELDS}){_ELSE}")
_STEP: Final = pattern(rf"\.([A-Za-z0-9_]+)|\[(-?[0-9]+)\]|\[({_QUOTED})\]")
_NAME: Final = pattern(r"[A-Za-z0-9_]+")
_JOINS: Final = pattern(r"[A-Za-z0-9_-]")
ITEM: Final = ("item", "index")  # targets that name the element that an item is for
SELF: Final = "self"  # targets in the call that undoes a task: its result,
ARGUMENTS: Final = "arguments"  # and what its tool was called with
OF_UNDO: Final = (SELF, ARGUMENTS)
OCCURRENCE: Final = "occurrence"  # the target that names the time that the plan runs for
PARAMS: Final = "params"  # the target that names the parameters of a plan that is not compiled yet
_MAX_NAMED: Final = 12  # names listed in a fault, so that it stays readable


class Reference(msgspec.Struct, frozen=True):
    """One reference: ``$build.files[0]`` has target "build" and path ("files", 0).

    ``about`` is "status" or "error" where it is about the task. An ``optional`` one is null where
    the task has no result; a ``default`` holds where there is no value, or it is null.
    """

    target: str
    path: _Path
    text: str
    about: str = ""
    optional: bool = False
    default: Any = msgspec.UNSET

    @property
    def needs_result(self) -> bool:
        """Whether it cannot be resolved where the task has no result."""
        return not (self.about or self.optional) and self.default is msgspec.UNSET


class Facts(msgspec.Struct, frozen=True):
    """What ``:status`` and ``:error`` of a task are."""

    status: str
    error: str | None


class ReferenceFault(ValueError):
    """A reference that cannot be resolved: ``text`` is the reference, ``why`` what is wrong."""

    def __init__(self, text: str, why: str) -> None:
        self.text = text
        self.why = why
        super().__init__(f"{text}: {why}")


class ShortenedFault(ReferenceFault):
    """The value exists but is not all there, so no default replaces it."""


def find_references(value: object, *, literal: Collection[str] = ()) -> list[Reference]:
    """All references in ``value``, in order of appearance, repeats included.

    ``literal`` names the top-level keys of ``value`` that are not scanned.
    """
    found: list[Reference] = []
    stack = [_without(value, literal)]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "$" in item and (whole := whole_reference(item)) is not None:
                found.append(whole)
            elif "$" in item:
                found += [reference for reference, _, _ in references_in(item)]
        elif isinstance(item, dict):
            stack.extend(reversed(item.values()))
        elif isinstance(item, (list, tuple)):
            stack.extend(reversed(item))
    return found


def references_in(text: str) -> Iterator[tuple[Reference, int, int]]:
    """The references of one text, each with its start and its end."""
    for match in _TOKEN.finditer(text):
        if not match["dollar"]:
            yield _reference(match), match.start(), match.end()


def has_references(arguments: object, *, literal: Collection[str] = ()) -> bool:
    """Whether ``resolve`` would change anything: a reference or a ``$$`` is in it."""
    stack = [_without(arguments, literal)]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "$" in item and _TOKEN.search(item):
                return True
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple)):
            stack.extend(item)
    return False


def whole_reference(text: str) -> Reference | None:
    """The reference that ``text`` consists of, perhaps a partial one, or None where it holds
    anything else."""
    if not text.startswith("$"):
        return None
    match = _PARTIAL.fullmatch(text)
    return None if match is None else reference_of(match)


def rename_references(
    value: _Value, names: Mapping[str, int | str], *, literal: Collection[str] = ()
) -> _Value:
    """``value`` with every target that ``names`` knows replaced by its other name: a label by the
    id (``$build.x``: ``$3.x``), or an id by the label.

    All else stays as it is, ``$$`` too, and an id that a label would join with what follows it.
    Parts without a change are shared, not copied.
    """

    def rename(match: re.Match[str]) -> str:
        new = None if match["dollar"] else names.get(match["target"])
        steps = match["about"] or match["path"]
        joined = not steps and isinstance(new, str) and _JOINS.match(match.string, match.end())
        return match[0] if new is None or joined else f"${new}{steps}"

    renamed: _Value = _map_strings(value, lambda text: _TOKEN.sub(rename, text), literal)
    return renamed


def rename_whole(text: str, ids: Mapping[str, int]) -> str:
    """A text that is one reference, perhaps a partial one, with its label replaced by the id."""
    whole = whole_reference(text)
    new = None if whole is None else ids.get(whole.target)
    return text if whole is None or new is None else f"${new}{text[1 + len(whole.target) :]}"


def resolve(
    arguments: dict[str, Any],
    results: Callable[[int | str], Any],
    *,
    literal: Collection[str] = (),
    facts: Callable[[int], Facts] | None = None,
) -> dict[str, Any]:
    """``arguments`` with the values of ``results`` (task id -> result) in place of references.
    ``facts`` gives what ``:status`` and ``:error`` are. Of an item, ``results`` also has "item" and
    "index".

    ``$$`` becomes ``$``. Raises ReferenceFault when a label is left, when ``results`` raises
    LookupError for an id, or when a path does not exist in a result.
    """

    def replace(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        return written_out(value_of(_reference(match), results, facts))

    def substitute(text: str) -> Any:
        whole = whole_reference(text)
        if whole is not None:
            return value_of(whole, results, facts)
        return _TOKEN.sub(replace, text)

    resolved: dict[str, Any] = _map_strings(arguments, substitute, literal)
    return resolved


def unescape(text: str) -> str:
    """``text`` with ``$$`` as ``$`` and its references unchanged."""
    return _TOKEN.sub(lambda m: "$" if m["dollar"] else m[0], text)


def _without(value: object, literal: Collection[str]) -> object:
    if literal and isinstance(value, dict):
        return {key: item for key, item in value.items() if key not in literal}
    return value


def _map_strings(value: Any, change: Callable[[str], Any], literal: Collection[str] = ()) -> Any:
    if isinstance(value, str):
        return change(value) if "$" in value else value
    if isinstance(value, dict):
        mapped = {
            key: item if key in literal else _map_strings(item, change)
            for key, item in value.items()
        }
        return mapped if any(mapped[key] is not item for key, item in value.items()) else value
    if isinstance(value, (list, tuple)):
        items = [_map_strings(item, change) for item in value]
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    return value


def _reference(match: re.Match[str]) -> Reference:
    steps = match["path"]
    path: _Path = ()
    if steps:
        path = tuple(
            name or (_unquoted(quoted) if quoted else int(index))
            for name, index, quoted in _STEP.findall(steps)
        )
    return Reference(match["target"], path, match[0], (match["about"] or "")[1:])


def reference_of(match: re.Match[str]) -> Reference:
    """The reference that a pattern for partial ones has matched."""
    found, default = _reference(match), match["default"]
    if default is None and not match["optional"]:
        return found
    value: Any = msgspec.UNSET
    if default is not None:
        import json  # seldom needed

        if default.startswith("'"):
            default = f'"{default[1:-1]}"'.replace("\\'", "'")
        value = _unquoted(default) if default.startswith('"') else json.loads(default)
    return msgspec.structs.replace(found, optional=bool(match["optional"]), default=value)


def _unquoted(text: str) -> str:
    import json  # seldom needed

    try:
        return str(json.loads(text))
    except ValueError:  # an escape that JSON does not know
        return text[1:-1]


def step_text(step: str | int) -> str:
    """A step of a path as it is written: ``.name``, ``[0]`` or ``["field name"]``."""
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _NAME.fullmatch(step) else f"[{_as_json(step)}]"


def written_out(value: Any) -> str:
    """A value inside a longer text."""
    if isinstance(value, str):
        return value
    return _as_json(value)


def _as_json(value: Any) -> str:
    import json  # seldom needed

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def value_of(
    reference: Reference,
    results: Callable[[int | str], Any],
    facts: Callable[[int], Facts] | None = None,
) -> Any:
    """The value of one reference. See :func:`resolve`."""
    if reference.about and facts is not None:
        value = getattr(facts(_task_id(reference)), reference.about)
    elif reference.default is not msgspec.UNSET:
        try:
            value = _follow(reference, results)
        except ShortenedFault:
            raise
        except ReferenceFault:
            value = None
    else:
        return _follow(reference, results)
    no_value = value is None and reference.default is not msgspec.UNSET
    return reference.default if no_value else value


def _task_id(reference: Reference) -> int:
    target = reference.target
    if not target.isdecimal() or len(target) > 18:
        raise ReferenceFault(reference.text, f"there is no task {target!r}")
    return int(target)


def _follow(reference: Reference, results: Callable[[int | str], Any]) -> Any:
    if reference.target == OCCURRENCE:
        time = str(results(OCCURRENCE))
        return time.partition("T")[0] if reference.path else time
    of_item = reference.target in ITEM
    named = of_item or reference.target in (*OF_UNDO, PARAMS)
    target = reference.target if named else _task_id(reference)
    try:
        value = results(target)
    except ReferenceFault as fault:
        if reference.optional:
            return None
        raise ReferenceFault(reference.text, fault.why) from None
    except LookupError:
        if reference.optional:
            return None
        why = "only the task of a map has it" if of_item else f"task {target} has no result"
        raise ReferenceFault(reference.text, why) from None
    place = f"${target}" if named else f"task {target}'s result"
    so_far = f"${target}"
    for step in reference.path:
        if isinstance(value, dict) and value.get(f"{step}_shortened") is True:
            raise ShortenedFault(reference.text, _where_the_rest_is(value, step, so_far))
        try:
            value = _step(value, step)
        except LookupError as missing:
            raise ReferenceFault(reference.text, f"{place} {missing.args[0]}") from None
        so_far += step_text(step)
        place = so_far
    return value


def _where_the_rest_is(result: dict[str, Any], step: str | int, so_far: str) -> str:
    """The remedy for a field whose middle was left out: it must not be taken for the whole text."""
    files = [name for name in (f"{step}_file", "file") if name in result]
    remedy = f"; use {so_far}.{files[0]}, the file that holds all of it" if files else ""
    return f"the result has only the beginning and the end of {step!r}{remedy}"


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        if not isinstance(value, (list, tuple)) or not -len(value) <= step < len(value):
            raise LookupError(f"has no item [{step}]; it is {described(value)}")
        return value[step]
    if not isinstance(value, dict) or step not in value:
        raise LookupError(f"has no field {step!r}; it {fields_of(value)}")
    return value[step]


def fields_of(value: Any) -> str:
    """The fields of an object, or what another value is: "has: total, rows", "is null"."""
    if not isinstance(value, dict) or not value:
        return f"is {described(value)}"
    names = sorted(str(name)[:40] for name in value)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return "has: " + ", ".join(names[:_MAX_NAMED]) + more


def described(value: Any) -> str:
    """What a value is, for people: "a list of 2 items"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (list, tuple)):
        last = f", [0] to [{len(value) - 1}]" if value else ""
        return f"a list of {len(value)} item{'s' if len(value) != 1 else ''}{last}"
    return "an object" if value else "an empty object"
