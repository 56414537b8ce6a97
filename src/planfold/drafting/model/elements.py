"""The elements of a JSON list that is still being written, each as soon as it is complete."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal

import msgspec

from planfold.drafting.faults import excerpt, quoted

_OUTSIDE: Final = re.compile(r'[{}\[\],"/#]')
_IN_TEXT: Final = re.compile(r'["\\]')
_STRING: Final = r'"(?:[^"\\]|\\.)*+"'
_COMMENTS: Final = re.compile(rf"{_STRING}|//[^\n]*|\#[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?", re.S)
_LAST_COMMAS: Final = re.compile(rf"{_STRING}|,(?=\s*+[}}\]])", re.S)

_Mode = Literal["code", "text", "escape", "slash", "line", "block", "star"]
_AFTER_SLASH: Final[dict[str, _Mode]] = {"/": "line", "*": "block"}


class Unreadable(msgspec.Struct, frozen=True):
    """An element that is not JSON: how it begins, and why it cannot be read."""

    text: str
    why: str


class Elements:
    """Feed it what follows the ``[`` of a list, in any pieces.

    Only the outline is followed here (brackets, quotes, comments); each element is then read by
    the JSON parser. Every character is looked at a fixed number of times, however the text is
    cut. Nothing raises: an element that cannot be read is an :class:`Unreadable`.
    """

    def __init__(self) -> None:
        self.found: list[Any] = []
        self.over = False  # the list has ended, or cannot be followed any further
        self.fault = ""
        self._mode: _Mode = "code"
        self._depth = 0
        self._emitted = False  # the element is complete; a comma or the end must follow
        self._parts: list[str] = []  # of the element, as far as earlier pieces held it

    def feed(self, piece: str, start: int = 0) -> int:
        """Read ``piece`` from ``start`` on; returns where the list ended, or the piece."""
        kept = place = start
        while place < len(piece) and not self.over:
            if self._mode == "code":
                match = _OUTSIDE.search(piece, place)
                if match is None:
                    break
                place = match.end()
                kept = self._take(piece, match[0], match.start(), kept)
            else:
                place = self._skip(piece, place)
        if self.over:
            return place
        self._parts.append(piece[kept:])
        return len(piece)

    @property
    def whole(self) -> str:
        """What is wrong with the list as a whole, or ""."""
        if self.fault or self.over:
            return self.fault
        count = len(self.found)
        return f"it is truncated after {count} complete task{'' if count == 1 else 's'}"

    def _skip(self, piece: str, place: int) -> int:
        """Continue inside of a text or a comment; returns the next place to look at."""
        mode, char = self._mode, piece[place]
        if mode == "escape":
            self._mode = "text"
        elif mode == "slash":
            self._mode = _AFTER_SLASH.get(char, "code")
            return place + (self._mode != "code")
        elif mode == "star":
            self._mode = "code" if char == "/" else "star" if char == "*" else "block"
        elif mode == "text":
            match = _IN_TEXT.search(piece, place)
            if match is None:
                return len(piece)
            self._mode = "escape" if match[0] == "\\" else "code"
            return match.end()
        else:
            end = piece.find("\n" if mode == "line" else "*", place)
            if end < 0:
                return len(piece)
            self._mode = "code" if mode == "line" else "star"
            return end + 1
        return place + 1

    def _take(self, piece: str, mark: str, place: int, kept: int) -> int:
        """A mark outside of texts; returns from where on the piece is kept."""
        if mark == '"':
            self._mode = "text"
        elif mark == "/":
            self._mode = "slash"
        elif mark == "#":
            self._mode = "line"
        elif mark in "{[":
            if self._depth == 0 and self._emitted:
                self._fail(f"a comma is missing after task {len(self.found)}")
            self._depth += 1
        elif self._depth:
            self._depth -= mark in "}]"
            if not self._depth:
                self._emit(self._taken(piece[kept : place + 1]))
                self._emitted = True
                return place + 1
        elif mark == "}":
            self._fail("a bracket } closes what was not opened")
        else:
            self._end_element(self._taken(piece[kept:place]))
            self.over = self.over or mark == "]"
            return place + 1
        return kept

    def _end_element(self, text: str) -> None:
        said = without_comments(text).strip()
        if said and self._emitted:
            self._fail(f"{quoted(said)} follows task {len(self.found)}")
        elif said:
            self._emit(text)
        self._emitted = False

    def _taken(self, last: str) -> str:
        text = "".join((*self._parts, last))
        self._parts = []
        return text

    def _emit(self, text: str) -> None:
        self.found.append(read_value(text))

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault
        self.over = True


def read_value(text: str) -> Any:
    """The JSON value that ``text`` is, or :class:`Unreadable`; never raises. Comments and a comma
    after the last item are left out, as their author meant them."""
    value = _read(text)
    if isinstance(value, Unreadable):
        relaxed = without_last_commas(without_comments(text))
        if relaxed != text:
            value = _read(relaxed)
    return value


def _read(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        why = f"{error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1}"
    except RecursionError:
        why = "it is nested too deep"
    except ValueError as error:
        known = isinstance(error, _NotJson)
        why = str(error) if known else "a number has more than 4,300 digits"
    return Unreadable(excerpt(text.strip()), why)


def without_comments(text: str) -> str:
    """``text`` with blanks for comments: ``//`` and ``#`` to the end of the line, ``/* */``."""
    return _COMMENTS.sub(lambda m: m[0] if m[0][0] == '"' else " " * len(m[0]), text)


def without_last_commas(text: str) -> str:
    """``text`` with a blank for each comma between a last item and its closing bracket."""

    def blank(match: re.Match[str]) -> str:
        if match[0] != ",":
            return match[0]
        before = match.start() - 1
        while before >= 0 and text[before].isspace():
            before -= 1
        return "," if before < 0 or text[before] in "[{,:" else " "

    return _LAST_COMMAS.sub(blank, text)


class _NotJson(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _NotJson(f"the key {quoted(twice)} occurs twice")
    return value


def _no_constant(name: str) -> None:
    raise _NotJson(f"{excerpt(name)} is not JSON")
