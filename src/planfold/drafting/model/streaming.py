"""``TaskReader``: the tasks of a plan that is still being written, each as soon as it is complete.

It reads ``{"tasks": [...]}`` piece by piece and yields every element of the list at its closing
bracket. Only the outline is followed here (brackets and quotes); each element is then read by the
JSON parser. Every character is looked at a fixed number of times, however the text is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from planfold.drafting.faults import printable, quoted

LONGEST: Final = 16 * 1024 * 1024  # characters of one answer

_OUTSIDE: Final = re.compile(r'[{}\[\],:"]')
_IN_TEXT: Final = re.compile(r'["\\]')
_TASKS: Final = '"tasks"'


class Unreadable(msgspec.Struct, frozen=True):
    """An element that is not JSON: how it begins, and why it cannot be read."""

    text: str
    why: str


class TaskReader:
    """Feed it the text in any pieces; :meth:`close` says whether the list was whole.

    What stands before the first ``{`` (a greeting, a code fence) and after the list is ignored.
    Nothing raises: what cannot be read is an :class:`Unreadable`, or the fault of the whole.
    """

    def __init__(self, *, longest: int = LONGEST) -> None:
        self.count = 0  # elements so far
        self._longest = longest
        self._size = 0
        self._phase: Literal["before", "keys", "items", "over"] = "before"
        self._fault = ""
        self._depth = 0
        self._in_text = False
        self._escaped = False
        self._key = ""
        self._list_next = False  # the value of "tasks" comes next
        self._had_list = False
        self._emitted = False  # the element is complete; a comma or the end must follow
        self._parts: list[str] = []  # what is being kept, as far as earlier pieces held it
        self._piece = ""
        self._kept_from: int | None = None  # where in the piece it goes on

    def feed(self, piece: str) -> list[Any]:
        """The elements that ``piece`` completes: JSON values or :class:`Unreadable`."""
        self._size += len(piece)
        if self._size > self._longest:
            self._fail(f"it has more than {self._longest:,} characters")
        found: list[Any] = []
        self._piece = piece
        if self._kept_from is not None:
            self._kept_from = 0
        for place, mark in self._marks(piece):
            if self._phase == "keys":
                self._in_object(place, mark)
            elif self._phase == "items":
                self._in_list(place, mark, found)
        if self._kept_from is not None:
            self._parts.append(piece[self._kept_from :])
        return found

    def close(self) -> str:
        """What is wrong with the text as a whole, or "": its tasks are all there."""
        if self._fault:
            return self._fault
        if self._phase == "before":
            return "it holds no JSON object"
        if self._phase == "items":
            return f"it breaks off after {self.count} whole tasks"
        return "" if self._had_list else 'it has no list "tasks"'

    def _marks(self, piece: str) -> Iterator[tuple[int, str]]:
        """Brackets, commas and colons outside of texts, and the quotes around texts."""
        place = 0
        while place < len(piece) and self._phase != "over":
            if self._phase == "before":
                place = piece.find("{", place) + 1
                if not place:
                    return
                self._phase, self._depth = "keys", 1
            elif self._escaped:
                self._escaped = False
                place += 1
            else:
                match = (_IN_TEXT if self._in_text else _OUTSIDE).search(piece, place)
                if match is None:
                    return
                place = match.end()
                if match[0] == "\\":
                    self._escaped = True
                    continue
                if match[0] == '"':
                    self._in_text = not self._in_text
                yield match.start(), match[0]

    def _in_object(self, place: int, mark: str) -> None:
        if mark == '"' and self._depth == 1:
            if self._in_text:
                self._keep(place)
            else:
                self._key = self._taken(place + 1)
        elif mark == ":" and self._depth == 1:
            self._list_next = self._key == _TASKS
        elif mark == "," and self._depth == 1:
            self._list_next = False
        elif mark == "[" and self._list_next:
            self._phase, self._depth, self._had_list = "items", 2, True
            self._keep(place + 1)
        elif mark in "{[":
            if self._list_next and self._depth == 1:
                self._fail('"tasks" is not a list')
            self._depth += 1
        elif mark in "}]":
            self._depth -= 1
            if self._depth == 0:
                self._phase = "over"

    def _in_list(self, place: int, mark: str, found: list[Any]) -> None:
        if mark in "{[":
            if self._depth == 2 and self._emitted:
                self._fail(f"a comma is missing after task {self.count}")
            self._depth += 1
        elif self._depth > 2:
            if mark in "}]":
                self._depth -= 1
                if self._depth == 2:
                    self._emit(self._taken(place + 1), found)
                    self._emitted = True
                    self._keep(place + 1)
        elif mark in ",]":
            text = self._taken(place)
            if not self._emitted and text.strip():
                self._emit(text, found)
            elif self._emitted and text.strip():
                self._fail(f"{quoted(text.strip())} stands after task {self.count}")
            self._emitted = False
            if mark == "]":
                self._phase = "over"
            elif not self._fault:
                self._keep(place + 1)
        elif mark == "}":
            self._fail("a bracket } closes what was not opened")

    def _keep(self, place: int) -> None:
        self._parts, self._kept_from = [], place

    def _taken(self, end: int) -> str:
        text = "".join(self._parts) + self._piece[self._kept_from or 0 : end]
        self._parts, self._kept_from = [], None
        return text

    def _emit(self, text: str, found: list[Any]) -> None:
        self.count += 1
        found.append(read_value(text))

    def _fail(self, fault: str) -> None:
        self._fault = self._fault or fault
        self._phase = "over"
        self._parts, self._kept_from = [], None


def read_value(text: str) -> Any:
    """The JSON value that ``text`` is, or :class:`Unreadable`; never raises."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        why = f"{error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1}"
    except RecursionError:
        why = "it is nested too deep"
    except ValueError as error:
        known = isinstance(error, _NotJson)
        why = str(error) if known else "a number has more than 4,300 digits"
    return Unreadable(printable(text.strip()), why)


class _NotJson(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _NotJson(f"the key {quoted(twice)} is there twice")
    return value


def _no_constant(name: str) -> None:
    raise _NotJson(f"{printable(name)} is not JSON")
