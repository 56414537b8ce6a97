"""Exact replacement of a text; where it is not found, the closest lines are reported."""

from __future__ import annotations

import difflib

from planfold.errors import Permanent

MOST_SHOWN = 5
LINE_SHOWN = 160  # characters
_SEARCHED = 5_000  # lines that are compared with one that was not found


def replaced(text: str, old: str, new: str, *, everywhere: bool = False) -> tuple[str, int]:
    """``text`` with ``new`` for ``old``, and how often.

    Raises Permanent where ``old`` is missing, or occurs more than once without ``everywhere``;
    the message quotes the lines that help the author to correct it.
    """
    count = text.count(old)
    if count == 0:
        raise Permanent(_missing(text, old, new))
    if count > 1 and not everywhere:
        lines = ", ".join(map(str, _lines_of(text, old)))
        raise Permanent(
            f"the old text occurs {count} times (lines {lines}"
            f"{', ...' if count > MOST_SHOWN else ''}); give more of what surrounds the one you "
            'mean, or "all": true'
        )
    return text.replace(old, new), count


def _missing(text: str, old: str, new: str) -> str:
    message = "the old text is not in the file"
    if new and new in text:
        message += f"; the new text is already present, on line {_lines_of(text, new)[0]}"
    elif _flat(old) and _flat(old) in _flat(text):
        message += "; it is, but with other spaces, tabs or line ends: copy it exactly"
    near = _near(text, old)
    if near:
        message += "\nclose to it:\n" + "\n".join(near)
    return message


def _lines_of(text: str, part: str) -> list[int]:
    lines: list[int] = []
    place = text.find(part)
    while place >= 0 and len(lines) < MOST_SHOWN:
        lines.append(text.count("\n", 0, place) + 1)
        place = text.find(part, place + len(part))
    return lines


def _near(text: str, old: str) -> list[str]:
    """The lines most like the first one of ``old`` that says something."""
    wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")[:LINE_SHOWN]
    if not wanted:
        return []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines()[:_SEARCHED], 1):
        lines.setdefault(line.strip()[:LINE_SHOWN], number)
    shown = text.splitlines()
    found = difflib.get_close_matches(wanted, lines, n=3, cutoff=0.6)
    numbers = sorted(lines[line] for line in found)
    return [f"{number}: {shown[number - 1][:LINE_SHOWN]}" for number in numbers]


def _flat(text: str) -> str:
    return " ".join(text.split())
