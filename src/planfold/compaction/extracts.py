"""Shorten text by picking the lines that a profile prefers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planfold.compaction.errors import compact_error_message
from planfold.compaction.profiles import Profile
from planfold.compaction.truncation import GAP, truncate_middle

_WIDTH = 300  # characters of one picked line


def pick_lines(lines: Sequence[str], room: int, weigh: Callable[[str], int]) -> list[str]:
    """The lines that weigh most, newer ones before older ones of the same weight, in their order:
    at most ``room`` characters with a newline each. What was said before is not said again."""
    places: dict[str, int] = {}
    for index, line in enumerate(lines):
        if line := truncate_middle(line.rstrip(), _WIDTH):
            places[line] = index
    kept: list[str] = []
    for line in sorted(places, key=lambda line: (weigh(line), places[line]), reverse=True):
        if len(line) < room:
            room -= len(line) + 1
            kept.append(line)
        elif room < 20:
            break
    return sorted(kept, key=lambda line: places[line])


def shorten(text: str, limit: int, profile: Profile) -> str:
    """At most ``limit`` characters of ``text``: an error by its causes, anything else by its
    first and last line and what the profile keeps."""
    if len(text) <= limit:
        return text
    if limit < 2 * len(GAP):
        return GAP[: max(limit, 0)]
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 3:
        return truncate_middle(text.strip(), limit)
    from planfold.compaction.causes import TELLING  # compiling its patterns takes a moment

    if TELLING.search(text[:300]) or TELLING.search(text[-1_000:]):
        return compact_error_message(text, limit)
    first, last = truncate_middle(lines[0], limit // 4), truncate_middle(lines[-1], limit // 4)
    room = limit - len(first) - len(last) - 2 * len(GAP) - 4
    picked = pick_lines(lines[1:-1], room, profile.weight)
    return "\n".join([first, GAP, *picked, GAP, last])
