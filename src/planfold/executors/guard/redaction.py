"""Keeps the values of secrets out of everything that is recorded, written or shown."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from planfold.tools.policy.urls import PATH_SAFE
from planfold.tools.secrets import SHORTEST

LINE = 12  # characters: shorter lines of a value (PEM) are not looked for one by one


class Redactor:
    """Replaces the values by ``[secret NAME]``: as they are, and in base64, hexadecimal, URL, JSON
    and UTF-16 form. False where there are none."""

    def __init__(self, values: Iterable[tuple[str, str]]) -> None:
        """``values`` are names with values; a name may have several."""
        values = list(values)
        marks: dict[str, str] = {}
        for name, value in values:
            for form in _forms(value):
                marks.setdefault(form, f"[secret {name}]")
        # The longest first, so that a value within another one does not leave the rest behind.
        self._marks = sorted(marks.items(), key=lambda item: len(item[0]), reverse=True)
        found = [(_bytes(form), _bytes(mark)) for form, mark in self._marks]
        for name, value in values:
            for codec in ("utf-16-le", "utf-16-be"):
                found.append((value.encode(codec, "ignore"), f"[secret {name}]".encode()))
        self._byte_marks = sorted(found, key=lambda item: len(item[0]), reverse=True)

    def __bool__(self) -> bool:
        return bool(self._marks)

    @property
    def longest(self) -> int:
        """Bytes of the longest form."""
        return len(self._byte_marks[0][0]) if self._byte_marks else 0

    def text(self, text: str) -> str:
        for form, mark in self._marks:
            if form in text:
                text = text.replace(form, mark)
        return text

    def data(self, data: bytes) -> bytes:
        for form, mark in self._byte_marks:
            if form in data:
                data = data.replace(form, mark)
        return data

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

    def stream(self) -> Stream:
        return Stream(self)


class Stream:
    """Redacts bytes that come in pieces: it holds back what may be the beginning of a secret."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of it, and of what was held back, can go on."""
        clean = self._redactor.data(self._held + data)
        keep = min(self._redactor.longest - 1, len(clean))
        self._held = clean[len(clean) - keep :]
        return clean[: len(clean) - keep]

    def end(self) -> bytes:
        """The rest."""
        held, self._held = self._held, b""
        return held


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
