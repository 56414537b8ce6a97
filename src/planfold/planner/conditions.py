"""``when``: a condition in CEL, the Common Expression Language, with ``$`` references in it.

    $disk.percent > 80 && $backup:status == "completed"

References are found here, the same ones as in arguments; everything else is CEL, and evaluated by
``planfold.planner.cel``. A condition is pure and bounded: its length, its values, the functions
that it may call and how they nest are limited here, depth and iterations by the library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from planfold.compaction.truncation import truncate_middle
from planfold.patterns import pattern
from planfold.planner.cel import CelFault, Type, evaluate
from planfold.planner.cel import check as check_cel
from planfold.planner.items import of_item
from planfold.planner.references import (
    IN_EXPRESSION,
    OF_UNDO,
    Facts,
    Reference,
    ReferenceFault,
    find_references,
    reference_of,
    value_of,
)
from planfold.planner.tasks import TaskSpec

MAX_CHARACTERS: Final = 1_000
MAX_LOOPS: Final = 5
MAX_VALUE_BYTES: Final = 32_768  # of all that the references are, as JSON
LOOPS: Final = ("all", "exists", "exists_one")
FUNCTIONS: Final = (
    *LOOPS,
    *("contains", "startsWith", "endsWith", "matches", "size", "has"),
    *("bool", "double", "duration", "dyn", "int", "string", "timestamp", "getDayOfWeek"),
)
_SHOWN: Final = 60  # characters of a value in a message

_TOKEN: Final = pattern(
    r"(?P<space>\s+)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<comment>//)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9][A-Za-z0-9_.]*)"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])"
    r"|(?P<other>[^\s$])",
    re.DOTALL,
)
_WORDS: Final = {"and": "&&", "or": "||", "not": "!"}
_HAS: Final = pattern(rf"has\s*\(\s*(?={IN_EXPRESSION.pattern}\s*\))")


class ConditionFault(ValueError):
    """A condition that cannot be read or has no answer: ``why``, and a ``fix`` where one is known.
    ``unknown`` is a name without ``$``, which may be that of a task."""

    def __init__(self, why: str, fix: str = "", unknown: str = "") -> None:
        self.why = why
        self.fix = fix
        self.unknown = unknown
        super().__init__(why + (f" ({fix})" if fix else ""))


class Condition(msgspec.Struct, frozen=True):
    """A condition that was read: ``source`` is CEL, with variables in place of references.
    Of the ``tests`` it is only asked whether there is a value: ``has($x.y)``."""

    source: str
    references: Mapping[str, Reference]
    tests: frozenset[str] = frozenset()


@lru_cache(maxsize=512)
def read_condition(text: str) -> Condition:
    """Read ``text``, without a look at the tasks it refers to.

    Raises ConditionFault where it exceeds a limit or uses what conditions may not.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConditionFault(
            f"has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}",
            "let a task work it out, and refer to its result",
        )
    source: list[str] = []
    names: dict[tuple[str, str], str] = {}
    found: dict[str, Reference] = {}
    for piece, reference in _pieces(text):
        if reference is None:
            source.append(piece)
            continue
        name = names.setdefault((piece, reference.text), f"{piece or 'ref'}_{len(names)}_")
        found[name] = reference
        source.append(name)
    tests = frozenset(name for (piece, _), name in names.items() if piece)
    return Condition("".join(source), found, tests)


def _pieces(text: str) -> Iterator[tuple[str, Reference | None]]:
    """CEL as it is, and references; a text beside a reference says that it is a test."""
    place, loops, calls, found = 0, list[bool](), "", 0
    while place < len(text):
        if text[place] == "$":
            match = IN_EXPRESSION.match(text, place)
            if match is None:
                raise ConditionFault(f"{_near(text, place)}: a $ that begins no reference")
            yield "", reference_of(match)
            place, calls = match.end(), ""
            continue
        if (test := _HAS.match(text, place)) and (
            reference := IN_EXPRESSION.match(text, test.end())
        ):
            yield "has", reference_of(reference)
            place, calls = text.index(")", reference.end()) + 1, ""
            continue
        token = _TOKEN.match(text, place)
        if token is None:
            raise ConditionFault(f"{_near(text, place)}: this is not CEL")
        kind = token.lastgroup or ""
        if right := _WORDS.get(token[0]):
            raise ConditionFault(f"{token[0]} is not CEL", f"write {right}")
        _check_token(kind, text, place, calls, loops)
        if kind == "open" and token[0] == "(" and calls in LOOPS:
            found += 1
            if found > MAX_LOOPS:
                raise ConditionFault(f"has more than {MAX_LOOPS} loops ({', '.join(LOOPS)})")
        if kind == "open":
            loops.append(token[0] == "(" and calls in LOOPS)
        elif kind == "close" and loops:
            loops.pop()
        if kind != "space":
            calls = token[0] if kind == "name" else ""
        yield token[0], None
        place = token.end()


def _check_token(kind: str, text: str, place: int, calls: str, loops: list[bool]) -> None:
    if kind == "comment":
        raise ConditionFault("holds a comment (//)", "put it into the description")
    if kind == "text" and calls not in ("", "in"):
        raise ConditionFault(f"{calls}{text[place]}: a text has no prefix here", "write '...'")
    if kind == "text" and text[place : place + 3] in ('"""', "'" * 3):
        raise ConditionFault("holds a text in triple quotes", "write '...'")
    if kind != "open" or text[place] != "(" or calls in ("", "in"):
        return
    if calls not in FUNCTIONS:
        raise ConditionFault(
            f"there is no function {calls!r}", f"functions: {', '.join(sorted(FUNCTIONS))}"
        )
    if any(loops) and calls in (*LOOPS, "matches"):
        raise ConditionFault(
            f"{calls} inside another {' or '.join(LOOPS)}",
            "let a task work it out, and refer to its result",
        )


def _near(text: str, place: int) -> str:
    return f"{text[place : place + 20]!r}"


def references_of(spec: TaskSpec) -> list[Reference]:
    """All references of a task to others: in its arguments, those of its undo, its condition, the
    list of a map and the key of a wait.

    Raises ConditionFault where the condition cannot be read.
    """
    call = spec.tool
    found = [] if call is None else find_references(call.arguments, literal=call.literal)
    if spec.for_each is not None:
        found += find_references(spec.for_each.items)
    if spec.undo is not None:
        of_undo = find_references(spec.undo.tool.arguments, literal=spec.undo.tool.literal)
        found += [reference for reference in of_undo if reference.target not in OF_UNDO]
    if spec.wait is not None and spec.wait.key is not None:
        found += find_references(spec.wait.key)
    return found if spec.when is None else [*found, *read_condition(spec.when).references.values()]


def about_element(text: str) -> bool:
    """Whether the condition of a map refers to the element. It then decides about each item."""
    return of_item(read_condition(text).references.values())


def rename_in_condition(text: str, ids: Mapping[str, int | str]) -> str:
    """``text`` with every label that ``ids`` knows replaced by its id, or every id by its label;
    texts in quotes stay."""
    if not any(of.target in ids for of in read_condition(text).references.values()):
        return text
    renamed: list[str] = []
    for piece, reference in _pieces(text):
        if reference is None:
            renamed.append(piece)
            continue
        new = ids.get(reference.target)
        written = reference.text
        if new is not None:
            written = f"${new}{written[1 + len(reference.target) :]}"
        renamed.append(f"has({written})" if piece else written)
    return "".join(renamed)


def bind_in_condition(text: str, literal: Callable[[Reference, bool], str | None]) -> str:
    """``text`` with CEL in place of each reference for which ``literal`` returns it. Its second
    argument says whether the condition only tests that the reference has a value. Raises
    ConditionFault where the text cannot be read."""
    parts: list[str] = []
    for piece, reference in _pieces(text):
        if reference is None:
            parts.append(piece)
        elif (value := literal(reference, bool(piece))) is not None:
            parts.append(value)
        else:
            parts.append(f"has({reference.text})" if piece else reference.text)
    return "".join(parts)


def check_condition(condition: Condition, types: Mapping[str, Type]) -> None:
    """Check the CEL of a condition. ``types`` are those of its variables that are known.

    Raises ConditionFault: a syntax error, a name or a mixture of types that can never be right, or
    a result that is not a boolean. ConfigurationError: the CEL library is not installed.
    """
    known = {name: types.get(name, "dyn") for name in condition.references}
    known |= dict.fromkeys(condition.tests, "bool")
    try:
        result = check_cel(condition.source, tuple(sorted(known.items())))
    except CelFault as fault:
        raise _fault(fault, condition) from None
    if result not in ("bool", "dyn"):
        raise ConditionFault(f"its value is {result}, not true or false", "compare it, as in == 1")


def holds(
    text: str, results: Callable[[int | str], Any], facts: Callable[[int], Facts]
) -> tuple[bool, str]:
    """Whether the condition is true, and the values in it, for people to read.

    ``results`` and ``facts`` are as in :func:`planfold.planner.references.resolve`.

    Raises ConditionFault where it has no answer: a value is missing or of a wrong type.
    """
    condition = read_condition(text)
    values: dict[str, Any] = {}
    missing: dict[str, ReferenceFault] = {}
    for name, reference in condition.references.items():
        try:
            values[name] = value_of(reference, results, facts)
        except ReferenceFault as fault:
            missing[name] = fault
        if name in condition.tests:
            values[name] = values.get(name) is not None
    _check_values([v for name, v in values.items() if name not in condition.tests])
    try:
        answer = evaluate(condition.source, tuple(sorted(condition.references)), values)
    except CelFault as fault:
        if isinstance(missing.get(fault.unbound), ReferenceFault):
            raise ConditionFault(str(missing[fault.unbound])) from None
        raise _fault(fault, condition, values) from None
    if not isinstance(answer, bool):
        raise ConditionFault(f"its value is {_shown(answer)}, not true or false")
    return answer, _said(condition, values)


def _check_values(values: list[Any]) -> None:
    """Refuse values that the library cannot read: it reads a text only up to its first NUL, and no
    lone surrogates."""
    try:
        data = msgspec.json.encode(values)
    except (ValueError, TypeError, OverflowError, RecursionError) as fault:
        raise ConditionFault(f"a value is not JSON: {fault}") from None
    if len(data) > MAX_VALUE_BYTES:
        raise ConditionFault(
            f"its values have {len(data):,} bytes as JSON; the limit is {MAX_VALUE_BYTES:,}",
            "refer to a smaller part, or let a task work it out",
        )
    if b"\\u0000" in data and _holds_nul(values):
        raise ConditionFault("a value holds a NUL character")


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, (list, tuple)) and any(map(_holds_nul, value))


def _said(condition: Condition, values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{'has ' * (name in condition.tests)}{reference.text} is {_shown(values[name])}"
        for name, reference in condition.references.items()
        if name in values
    )


def _shown(value: Any) -> str:
    return truncate_middle(msgspec.json.encode(value).decode(), _SHOWN)


def _fault(
    fault: CelFault, condition: Condition, values: Mapping[str, Any] | None = None
) -> ConditionFault:
    why = fault.why
    for name, reference in condition.references.items():
        why = why.replace(name, reference.text)
    if values and (said := _said(condition, values)):
        why += f"; {said}"
    return ConditionFault(why, fault.fix, fault.undeclared)
