"""Keeps the values of secrets out of everything that is recorded, written or shown."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, AnyStr
from urllib.parse import quote, quote_plus

from planfold.tools.policy.urls import PATH_SAFE
from planfold.tools.secrets import SHORTEST

LINE = 12  # characters: shorter lines of a value (PEM) are not looked for one by one


class Redactor:
    """Replaces the values by ``[secret NAME]``: in plain, base64, hexadecimal, URL, JSON and
    UTF-16 form. False where there are none.

    Every character that belongs to any occurrence is removed. Occurrences that overlap get one
    mark, that of the first one (of the longest where several begin together).
    """

    def __init__(self, values: Iterable[tuple[str, str]]) -> None:
        """``values`` are names with values; a name may have several."""
        marks: dict[str, str] = {}
        wide: dict[bytes, bytes] = {}
        for name, value in values:
            mark = f"[secret {name}]"
            for form in _forms(value):
                marks.setdefault(form, mark)
            for codec in ("utf-16-le", "utf-16-be"):
                wide.setdefault(value.encode(codec, "ignore"), mark.encode())
        found = {_bytes(form): _bytes(mark) for form, mark in marks.items()}
        for data, data_mark in wide.items():
            if data:
                found.setdefault(data, data_mark)
                with contextlib.suppress(UnicodeDecodeError):
                    marks.setdefault(data.decode(), data_mark.decode())
        self._marks, self._byte_marks = list(marks.items()), list(found.items())
        self.longest = max((len(form) for form in found), default=0)  # bytes

    def __bool__(self) -> bool:
        return bool(self._marks)

    def text(self, text: str) -> str:
        found = _occurrences(text, self._marks)
        if not found:
            return text
        pieces, end = [], 0
        for start, stop, mark in found:
            if start >= end:
                pieces += [text[end:start], mark]
            end = max(end, stop)
        return "".join((*pieces, text[end:]))

    def data(self, data: bytes) -> bytes:
        stream = self.stream()
        return stream.feed(data) + stream.end()

    def occurrences(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Start, end and mark of every occurrence, also where they overlap: by start, the longest
        first."""
        return _occurrences(data, self._byte_marks)

    def tree(self, value: Any) -> Any:
        """A JSON value with all its strings redacted, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = str(value)
            clean = self.text(text) if len(text) >= SHORTEST else text
            return value if clean == text else clean
        return value

    def stream(self) -> StreamRedactor:
        return StreamRedactor(self)


class StreamRedactor:
    """Redacts bytes that come in pieces: all pieces together give the same as the whole at once,
    wherever it was cut. Holds back fewer bytes than the longest form has."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""
        self._covered = 0  # leading bytes of what is held that the last mark replaces

    def feed(self, data: bytes) -> bytes:
        """What of it, and of what was held back, can no longer be part of a later occurrence."""
        held = self._held + data
        # An occurrence that is not complete yet begins in the last longest - 1 bytes.
        return self._pass_on(held, max(len(held) - max(self._redactor.longest - 1, 0), 0))

    def end(self) -> bytes:
        """The rest."""
        return self._pass_on(self._held, len(self._held))

    def _pass_on(self, held: bytes, size: int) -> bytes:
        pieces, end = [], self._covered
        for start, stop, mark in self._redactor.occurrences(held):
            if start >= size:
                break
            if start >= end:
                pieces += [held[end:start], mark]
            end = max(end, stop)
        pieces.append(held[end:size])
        self._held, self._covered = held[size:], max(end - size, 0)
        return b"".join(pieces)


def _occurrences(
    text: AnyStr, marks: Iterable[tuple[AnyStr, AnyStr]]
) -> list[tuple[int, int, AnyStr]]:
    found: list[tuple[int, int, AnyStr]] = []
    for form, mark in marks:
        place = text.find(form)
        while place >= 0:
            found.append((place, place + len(form), mark))
            place = text.find(form, place + 1)
    found.sort(key=lambda occurrence: (occurrence[0], -occurrence[1]))
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _forms(value: str) -> Iterator[str]:
    """The shapes in which a value may come back."""
    lines = [line.strip() for line in value.splitlines()]
    for part in dict.fromkeys((value, *(line for line in lines if len(line) >= LINE))):
        for form in dict.fromkeys((*_written(part), *_encoded(_bytes(part)))):
            if len(form) >= SHORTEST:
                yield form


def _written(text: str) -> Iterator[str]:
    yield text
    for plain in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield plain
        yield plain.replace("/", "\\/")
        yield json.dumps(plain)[1:-1]
    yield repr(text)[1:-1]
    yield text.replace("'", "'\\''").replace("\n", " ")
    for url in (quote(text, safe=""), quote(text), quote_plus(text), quote(text, safe=PATH_SAFE)):
        yield url
        yield _lower_escapes(url)
    yield text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lower_escapes(url: str) -> str:
    head, *rest = url.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])


def _encoded(data: bytes) -> Iterator[str]:
    yield data.hex()
    yield data.hex().upper()
    # Within a longer text (user:password) a value may begin at any of three places of base64's
    # groups; the characters at its edges depend on its neighbours.
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(shift) + data).decode().rstrip("=")
            begin = (0, 2, 3)[shift]
            end = (len(data) + shift) * 8 // 6
            yield whole[begin:end]
