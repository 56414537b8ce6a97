"""The content of a file: some of its lines, and a version with which a later write can detect a
change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

from planfold.errors import Permanent

KEEP = 64 * 1024  # bytes of text that one result holds
FILE_LIMIT = 256 * 1024 * 1024  # bytes that are read of a file, for its version
SMALL_LIMIT = 8 * 1024 * 1024  # bytes of a file that is edited or written
_CHUNK = 256 * 1024
_LOOK = 8 * 1024  # bytes at the beginning that decide whether it is text
_BAD_SHARE = 0.1  # of the characters; with more invalid ones it is not text


def version_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_whole(descriptor: int, limit: int = SMALL_LIMIT) -> bytes:
    """Raises Permanent for a file of more than ``limit`` bytes."""
    content = bytearray()
    while chunk := os.read(descriptor, _CHUNK):
        content += chunk
        if len(content) > limit:
            raise Permanent(f"the file has more than {limit:,} bytes; too large for this tool")
    return bytes(content)


def read_lines(
    descriptor: int,
    first: int,
    last: int | None,
    *,
    keep: int = KEEP,
    limit: int = FILE_LIMIT,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Lines ``first`` to ``last`` (counted from 1), as many as ``keep`` bytes hold.

    The whole file is read, in pieces, for its version and its number of lines. Raises Permanent
    beyond ``limit`` bytes and when ``stopped()`` says so.
    """
    wanted = _Lines(first, last, keep)
    digest = hashlib.sha256()
    total, beginning = 0, b""
    while chunk := os.read(descriptor, _CHUNK):
        if stopped():
            raise Permanent("cancelled")
        total += len(chunk)
        if total > limit:
            raise Permanent(f"the file has more than {limit:,} bytes; use shell for it")
        digest.update(chunk)
        beginning = beginning or chunk[:_LOOK]
        wanted.feed(chunk)
    about = {"bytes": total, "version": f"sha256:{digest.hexdigest()}"}
    text, truncated = wanted.text()
    if b"\0" in beginning or text.count("\ufffd") > _BAD_SHARE * len(text):
        return {"binary": True, **about}
    kept_lines = text.count("\n") + (not text.endswith("\n") and text != "")
    result: dict[str, Any] = {
        "text": text,
        "first_line": first,
        "last_line": first + kept_lines - 1,
        "total_lines": wanted.total,
        **about,
    }
    if truncated:
        result["truncated"] = True
    if "\ufffd" in text:
        result["not_utf8"] = True
    return result


class _Lines:
    """Counts lines, and keeps those that are wanted: up to one byte more than ``keep``."""

    def __init__(self, first: int, last: int | None, keep: int) -> None:
        self._first, self._last, self._keep = first, last, keep
        self._kept = bytearray()
        self._ended = 0  # lines that have ended
        self._open = False  # whether bytes came after the last line's end

    @property
    def total(self) -> int:
        return self._ended + self._open

    def feed(self, chunk: bytes) -> None:
        self._take(chunk)
        self._ended += chunk.count(b"\n")
        self._open = not chunk.endswith(b"\n")

    def _take(self, chunk: bytes) -> None:
        # The line that continues at the chunk's start has the number self._ended + 1.
        if len(self._kept) > self._keep or (self._last is not None and self._ended >= self._last):
            return
        start = _after_lines(chunk, self._first - 1 - self._ended)
        if start is None:
            return
        end = None if self._last is None else _after_lines(chunk, self._last - self._ended)
        room = self._keep + 1 - len(self._kept)
        self._kept += chunk[start : len(chunk) if end is None else end][:room]

    def text(self) -> tuple[str, bool]:
        """The text, and whether it was cut: after a whole line where there is one."""
        kept = bytes(self._kept)
        if len(kept) <= self._keep:
            return kept.decode("utf-8", "replace"), False
        kept = kept[: self._keep]
        whole = kept.rfind(b"\n") + 1
        if whole:
            return kept[:whole].decode("utf-8", "replace"), True
        text = kept.decode("utf-8", "replace")
        return text.rstrip("\ufffd"), True  # a character that was cut in two


def _after_lines(chunk: bytes, count: int) -> int | None:
    """Where the line after ``count`` line ends begins, None if it does not begin here."""
    place = 0
    for _ in range(count):
        place = chunk.find(b"\n", place) + 1
        if not place:
            return None
    return place
