"""Plans from files: JSON, YAML or text, with faults that say where in the file they are."""

from __future__ import annotations

import json
import ntpath
import re
from collections.abc import Collection
from typing import Any, Final

from planfold.drafting.draft import Fault, PlanDraft
from planfold.drafting.encoding import NotUtf8, decoded
from planfold.drafting.faults import Faults, excerpt, quoted
from planfold.drafting.shape import plan_from
from planfold.errors import InvalidPlan

_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]', re.DOTALL)


def load_plan(text: str | bytes, *, source: str, tools: Collection[str] = ()) -> PlanDraft:
    """The plan in ``text``; the suffix of ``source`` determines its language.

    .json is JSON, .yaml and .yml are YAML, .md, .txt and every other suffix are text. Without a
    suffix ("-" for standard input, or text given inline) a JSON object is JSON, all else text.
    ``tools`` are the names that the text form may use as tools. Raises InvalidPlan: faults of
    syntax with line and column, else all faults of fields and types at once; of a text, what is
    misspelt.
    """
    text = decoded_plan(text, source)
    suffix = ntpath.splitext(source)[1].lower()  # ntpath knows / and \\
    if suffix == ".json" or (not suffix and _is_json_object(text)):
        return parse_json(text, source=source)
    if suffix in (".yaml", ".yml"):
        return parse_yaml(text, source=source)
    from planfold.drafting.text.drafter import load_text  # here: it loads a Markdown parser

    return load_text(text, known_tools=tools)


def parse_json(text: str | bytes, *, source: str = "plan.json") -> PlanDraft:
    """The plan in a JSON text. Raises InvalidPlan; a repeated key is a fault."""
    text = decoded_plan(text, source)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _syntax_fault(source, error.lineno, error.colno, _lowered(error.msg)) from None
    except _DuplicateKey:
        position, key = _find_duplicate(text)
        line, column = _line_and_column(text, position)
        message = f"the key {quoted(key)} is given twice"
        raise _syntax_fault(source, line, column, message, "keep one") from None
    except _Constant as error:
        raise _syntax_fault(source, 0, 0, f"{error} is not JSON", "use null") from None
    except RecursionError:
        raise _syntax_fault(source, 0, 0, "nested too deep", "flatten it") from None
    except ValueError:  # what int() says of more than 4,300 digits
        message = "a number has more than 4,300 digits"
        raise _syntax_fault(source, 0, 0, message, "put it in quotes") from None
    return _converted(value, source)


def parse_yaml(text: str | bytes, *, source: str = "plan.yaml") -> PlanDraft:
    """The plan in a YAML text, of which planfold takes the part that JSON could say as well.

    Anchors, aliases, tags, merge keys, a second document, repeated keys and keys that are not
    texts are refused. Dates, ``yes`` and ``0x1F`` are texts. Raises InvalidPlan.
    """
    from planfold.drafting.yamlplans import YamlFault, load_yaml

    try:
        value = load_yaml(decoded_plan(text, source))
    except YamlFault as error:
        raise _syntax_fault(source, error.line, error.column, str(error)) from None
    return _converted(value, source)


def _converted(value: Any, source: str) -> PlanDraft:
    if not isinstance(value, dict):
        fix = 'a plan is an object: {"title": ..., "tasks": [...]}'
        raise InvalidPlan([Fault(f"{source} holds no plan but {_named(value)}", fix=fix)])
    faults = Faults()
    draft = plan_from(value, faults)
    faults.raise_any()
    return draft


def decoded_plan(text: str | bytes, source: str) -> str:
    """A plan's text, without a byte order mark. Raises InvalidPlan for what is not UTF-8."""
    if isinstance(text, bytes):
        try:
            return decoded(text)
        except NotUtf8 as error:
            raise InvalidPlan([Fault(f"{source}: {error.found}", fix=error.fix)]) from None
    return text.removeprefix("\ufeff")


def _is_json_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _syntax_fault(source: str, line: int, column: int, message: str, fix: str = "") -> InvalidPlan:
    place = f"{source}, line {line}, column {column}" if line else source
    return InvalidPlan([Fault(f"{place}: {message}", fix=fix)])


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _named(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else quoted(value)


class _DuplicateKey(Exception):
    pass


class _Constant(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _DuplicateKey
    return value


def _no_constant(name: str) -> None:
    raise _Constant(excerpt(name))


def _find_duplicate(text: str) -> tuple[int, str]:
    """The place of the first repeated key of a JSON text, which the parser does not report."""
    seen: list[set[str] | None] = []  # for each open container: an object's keys, None for a list
    key_next = False
    for token in _TOKENS.finditer(text):
        match token[0]:
            case "{" | "[":
                seen.append(set() if token[0] == "{" else None)
                key_next = token[0] == "{"
            case "}" | "]":
                seen.pop()
                key_next = False
            case ",":
                key_next = seen[-1] is not None
            case _ if key_next and (keys := seen[-1]) is not None:
                key = json.loads(token[0], strict=False)
                if key in keys:
                    return token.start(), key
                keys.add(key)
                key_next = False
    return 0, ""


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
