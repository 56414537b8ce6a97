"""Shorten an error's text so that what matters survives."""

from __future__ import annotations

import re

_TELLING = re.compile(
    r"\b\w*(?:Error|Exception|Warning|Failure)\b|\b(?:error|fatal|failed|panic|denied|not found)\b"
    r"|[\w./\\-]+\.\w{1,5}:\d+",
    re.IGNORECASE,
)
_GAP = "[...]"


def compact_error_message(error: str, limit: int) -> str:
    """At most ``limit`` characters of ``error``: its first line, the lines that name an error or
    a place in a file, and its end (where tools put the cause), in their order."""
    text = error.strip()
    if len(text) <= limit:
        return text
    if limit <= len(_GAP) * 2:
        return text[: max(limit, 0)]
    lines = text.splitlines()
    last = len(lines) - 1
    telling = [i for i in range(last, -1, -1) if _TELLING.search(lines[i])]
    chosen: dict[int, str] = {}
    room = limit
    for index in dict.fromkeys((last, *telling[:1], 0, *telling, *range(last, -1, -1))):
        line = lines[index].rstrip()
        cost = len(line) + 1 + len(_GAP) + 1  # the worst case: a gap before every kept line
        if cost > room:
            if chosen:
                continue
            line = line[: room - cost + len(line)]
            cost = room
        chosen[index] = line
        room -= cost
    return _join(chosen, last)[:limit]


def _join(chosen: dict[int, str], last: int) -> str:
    parts: list[str] = []
    previous = -1
    for index in sorted(chosen):
        if index != previous + 1:
            parts.append(_GAP)
        parts.append(chosen[index])
        previous = index
    if previous != last:
        parts.append(_GAP)
    return "\n".join(parts)
