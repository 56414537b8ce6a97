"""Shorten an error's text so that what matters survives."""

from __future__ import annotations

import re

_TELLING = re.compile(
    r"\b\w*(?:Error|Exception|Warning|Failure)\b|\b(?:error|fatal|failed|panic|denied|not found)\b"
    r"|(?<![\w./\\-])[\w./\\-]+\.\w{1,5}:\d+",
    re.IGNORECASE,
)
_GAP = "[...]"
_WORTH_IT = 60  # characters: below that, several shortened lines say less than one


def compact_error_message(error: str, limit: int) -> str:
    """At most ``limit`` characters of ``error``: its first line, the lines that name an error or
    a place in a file, and its end (where tools put the cause), in their order. The last line that
    names an error stays whole unless it takes more than a third of ``limit``."""
    text = error.strip()
    if len(text) <= limit:
        return text
    if limit < _WORTH_IT:
        return text[: max(limit, 0)]
    lines = [line.rstrip() for line in text.splitlines()]
    last = len(lines) - 1
    if not last:
        return _shorten(text, limit)
    telling = [i for i in range(last, -1, -1) if _TELLING.search(lines[i])]
    chosen: dict[int, str] = {}
    room = limit
    for index in dict.fromkeys((*telling[:1], last, 0, *telling, *range(last, -1, -1))):
        line = _shorten(lines[index], limit // 3 - len(_GAP) - 2)
        cost = len(line) + 1 + len(_GAP) + 1  # the worst case: a gap before every kept line
        if cost <= room:
            chosen[index] = line
            room -= cost
        if room < len(_GAP) + 3:
            break
    return _join(chosen)


def _shorten(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    half = (width - len(_GAP)) // 2
    return f"{line[:half]}{_GAP}{line[-half:]}"


def _join(chosen: dict[int, str]) -> str:
    parts: list[str] = []
    previous = -1
    for index in sorted(chosen):
        if index != previous + 1:
            parts.append(_GAP)
        parts.append(chosen[index])
        previous = index
    return "\n".join(parts)
