"""The CEL library, imported when the first condition is checked or evaluated.

It is the reference implementation in C++ (``cel-expr-python``). It bounds the depth of an
expression (32) and the iterations of one evaluation (10,000), and its regular expressions take
linear time (RE2); it knows no clock, no randomness and no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

from planfold.errors import extra_missing
from planfold.patterns import pattern

Type = Literal["dyn", "string", "bool"]

_PLACE: Final = pattern(r"(?:[A-Z_]+: )?(?:ERROR: <input>:-?\d+:-?\d+: )?(?P<why>[^\n]*)")
_CODE: Final = pattern(r"( \(in container ''\))?( \[[A-Z_]+\])?$")
_UNBOUND: Final = pattern(r'No value with name "(?P<name>\w+)" found')
_UNDECLARED: Final = pattern(
    r"(?:undeclared reference to '|expression of type 'type\()(?P<name>\w+)"  # list is a type, too
)
_KEY: Final = pattern(r"Key not found in map : (?P<key>.*)")
_OVERLOAD: Final = pattern(
    r"o matching overloads? (?:found : |for ')@?_?(?P<operator>[^\s(']*?)_?(?P<types>\(.*\)|' .*|$)"
)
_SYNTAX: Final = pattern(r"Syntax error: (?P<why>.*?)(?: expecting .*)?$")
_TYPES: Final = "int(...) and double(...) make a number of a text, string(...) a text"
_SPELLINGS: Final = {"'= '": "write == to compare", "'='": "write == to compare"}


class CelFault(ValueError):
    """An expression that is not CEL, or has no value. ``unbound`` is the variable that has no
    value, ``undeclared`` the name that is not a variable."""

    def __init__(self, message: str) -> None:
        said = _PLACE.match(message)
        line = _CODE.sub("", said["why"] if said else message).rstrip(".")
        self.unbound = match["name"] if (match := _UNBOUND.search(line)) else ""
        self.undeclared = match["name"] if (match := _UNDECLARED.search(line)) else ""
        self.why, self.fix = _explained(line, self.undeclared)
        super().__init__(self.why)


def _explained(line: str, undeclared: str) -> tuple[str, str]:
    if undeclared:
        fix = f'write ${undeclared} for a task, "{undeclared}" for a text'
        return f"{undeclared} is not a name here", fix
    if match := _KEY.search(line):
        return f"there is no field {match['key']}", ""
    if match := _OVERLOAD.search(line):
        types = match["types"].removeprefix("' applied to '").rstrip("'").replace("int64", "int")
        operator = {"<jump_condition>": "?:", "in": "in"}.get(match["operator"], match["operator"])
        return f"the types do not fit: {operator}{' of ' + types if types else ''}", _TYPES
    if "recursion" in line:
        return "nests too deeply, or has more than about 30 operators in a row", "divide it"
    if "Iteration budget" in line:
        return "takes more than 10,000 steps", "let a task work it out, and refer to its result"
    if match := _SYNTAX.search(line):
        why = match["why"].replace("mismatched input '<EOF>'", "the end comes too early")
        fixes = (fix for spelling, fix in _SPELLINGS.items() if spelling in why)
        return f"not CEL: {why}", next(fixes, "")
    return line, ""


def check(source: str, types: tuple[tuple[str, Type], ...]) -> str:
    """The type of an expression: "bool", "dyn" (not known before it is evaluated) or another.

    Raises CelFault where it is not CEL, ConfigurationError where the library is not installed.
    """
    return str(_compiled(source, types).return_type().name()).lower()


def evaluate(source: str, names: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    """The value of an expression over ``values``; a name without a value is an error only where
    the answer depends on it. Raises as :func:`check`, and CelFault where there is no value."""
    expression = _compiled(source, tuple((name, "dyn") for name in names))
    try:
        found = expression.eval(data=dict(values))
    except (RuntimeError, ValueError, TypeError) as fault:
        raise CelFault(str(fault)) from None
    if found.type().name() == "ERROR":
        raise CelFault(str(found.plain_value()))
    return found.plain_value()


@lru_cache(maxsize=512)
def _compiled(source: str, types: tuple[tuple[str, Type], ...]) -> Any:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]
    except ImportError as fault:
        raise extra_missing("a condition", "conditions", fault) from None
    known = {"dyn": cel.Type.DYN, "string": cel.Type.STRING, "bool": cel.Type.BOOL}
    environment = cel.NewEnv(variables={name: known[kind] for name, kind in types})
    try:
        return environment.compile(source)
    except (RuntimeError, ValueError, TypeError) as fault:
        raise CelFault(str(fault)) from None
