"""The part of YAML that plans may use: mappings, lists and scalars that mean what JSON's mean.

PyYAML only scans and parses here; the values are built from its events, without recursion. So there
is nothing to be constructed by a tag, nothing to be multiplied by an alias, and no ``no`` that
turns into false: a plain scalar is null, true, false or a number where JSON and YAML 1.1 agree
that it is one, else text. So 12e4567, the beginning of a commit's hash, is a text.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_DEPTH: Final = 200
_WORDS: Final[dict[str, Any]] = {
    word: value
    for name, value in (("null", None), ("true", True), ("false", False))
    for word in (name, name.title(), name.upper())
} | {"": None, "~": None}
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,4199})")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_MISSING: Final = object()


class YamlFault(ValueError):
    """What is wrong, and where: line and column from 1, or 0 where they are not known."""

    def __init__(self, message: str, line: int, column: int) -> None:
        self.line = line
        self.column = column
        super().__init__(message)


def load_yaml(text: str) -> Any:
    """The value of one YAML document (None when it is empty). Raises YamlFault."""
    import yaml

    if odd := yaml.reader.Reader.NON_PRINTABLE.search(text):
        message = f"the character {odd[0]!r} is not allowed in YAML"
        raise YamlFault(message, *_line_and_column(text, odd.start()))
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlFault(error.problem or error.context or "not YAML", line, column) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlFault(str(error).partition("\n")[0], 0, 0) from None
    return None if builder.value is _MISSING else builder.value


class _Builder:
    """Builds the value; ``_open`` are the containers around the present place."""

    def __init__(self) -> None:
        self.value: Any = _MISSING
        self._open: list[Any] = []
        self._keys: list[Any] = []  # for each open container, the key that waits for its value

    def take(self, event: Any) -> None:
        match type(event).__name__:
            case "AliasEvent":
                raise _fault(
                    event, "aliases (*) are not part of the plan language; repeat the value"
                )
            case "DocumentStartEvent" if self.value is not _MISSING:
                raise _fault(event, "a second document; one file holds one plan")
            case "MappingStartEvent":
                self._begin({}, event)
            case "SequenceStartEvent":
                self._begin([], event)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._open.pop()
                self._keys.pop()
            case "ScalarEvent":
                self._refuse_extras(event)
                self._scalar(event)

    def _begin(self, container: dict[str, Any] | list[Any], event: Any) -> None:
        self._refuse_extras(event)
        if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is _MISSING:
            raise _fault(event, "a key must be a text")
        if len(self._open) >= MAX_DEPTH:
            raise _fault(event, f"nested more than {MAX_DEPTH} deep")
        self._put(container)
        self._open.append(container)
        self._keys.append(_MISSING)

    def _scalar(self, event: Any) -> None:
        plain = bool(event.implicit[0])
        if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is _MISSING:
            self._take_key(event, plain)
        else:
            self._put(_plain_value(event.value) if plain else event.value)

    def _take_key(self, event: Any, plain: bool) -> None:
        key = event.value
        if plain and key == "<<":
            raise _fault(event, "merge keys (<<) are not part of the plan language")
        if plain and not isinstance(_plain_value(key), str):
            raise _fault(event, f"a key must be a text; put {key[:40] or 'it'} in quotes")
        if key in self._open[-1]:
            raise _fault(event, f"the key {key[:40]!r} occurs twice")
        self._keys[-1] = key

    def _put(self, value: Any) -> None:
        if not self._open:
            self.value = value
        elif isinstance(self._open[-1], list):
            self._open[-1].append(value)
        else:
            self._open[-1][self._keys[-1]] = value
            self._keys[-1] = _MISSING

    @staticmethod
    def _refuse_extras(event: Any) -> None:
        if event.anchor is not None:
            raise _fault(event, "anchors (&) are not part of the plan language; repeat the value")
        if event.tag is not None:
            raise _fault(event, "tags (!) are not part of the plan language; remove it")


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def _plain_value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _fault(event: Any, message: str) -> YamlFault:
    mark = event.start_mark
    return YamlFault(message, mark.line + 1, mark.column + 1)
