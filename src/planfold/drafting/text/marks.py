"""Marks of lists that Markdown does not know: other bullets, bare boxes, a), (i), **1.**."""

# ruff: noqa: RUF001 (people write long dashes too)
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_BULLET: Final = re.compile(
    r"^([ \t]*)(?:([•◦▪▫‣⁃●○–—·∙])(?=[ \t])|(?=\[[ xX]\][ \t]))"  # a box needs no bullet either
)
_BOX: Final = re.compile(r"^([ \t]*(?:[-*+][ \t]+)?)([☐☑☒✅])[ \t]+")
_MARK: Final = re.compile(
    r"^([ \t]*)(?:(?P<round>\()?(?P<letters>[A-Za-z]{1,5})[.)]|\((?P<digits>\d{1,3})\)"
    r"|(?P<both>\d{1,3})\.\)|\*\*(?P<bold>\d{1,3})[.):]\*\*|(?P<circled>[①-⑳]))[ \t]+(?=\S)"
)
_ROMAN_NAMES: Final = """
    i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx
"""
_ROMAN: Final = {name: value for value, name in enumerate(_ROMAN_NAMES.split(), start=1)}


class _Mark(NamedTuple):
    line: int
    style: str  # what the marks of one list have in common
    value: int
    written: str


def with_bullets(lines: list[str], paragraphs: Iterable[range]) -> bool:
    """Make the odd marks at the beginnings of lines those of Markdown, in columns that stay the
    same. Returns whether there were any."""
    changed = False
    marks: list[list[_Mark]] = []
    for numbers in paragraphs:
        for number in numbers:
            line = _BOX.sub(_box, _BULLET.sub(_bullet, lines[number]))
            changed = changed or line != lines[number]
            lines[number] = line
            if found := list(_read(number, line)):
                marks.append(found)
    for mark in _sequences(marks):
        width = max(len(mark.written) - 1, 1)
        written = f"{mark.value:0{width}d}" + (")" if mark.style[0] != "." else ".")
        lines[mark.line] = lines[mark.line].replace(mark.written, written, 1)
        changed = True
    return changed


def _bullet(match: re.Match[str]) -> str:
    return match[1] + ("-" if match[2] else "- ")  # nested items keep their columns


def _box(match: re.Match[str]) -> str:
    mark = " " if match[2] == "☐" else "x"
    return f"{match[1] if match[1].strip() else match[1] + '- '}[{mark}] "


def _read(number: int, line: str) -> Iterator[_Mark]:
    """What the mark of a line may mean: "i." is a letter and a Roman number."""
    match = _MARK.match(line)
    if match is None:
        return
    written = match[0].strip()
    style = f"{written[-1]}{match[1]!r}{match['round']}"
    if letters := match["letters"]:
        case = "upper" if letters.isupper() else "lower"
        if letters.lower() in _ROMAN:
            yield _Mark(number, f"{style} roman {case}", _ROMAN[letters.lower()], written)
        if len(letters) == 1:
            yield _Mark(number, f"{style} {case}", ord(letters.lower()) - ord("a") + 1, written)
    elif match["circled"]:
        yield _Mark(number, f".{match[1]!r}", ord(match["circled"]) - ord("①") + 1, written)
    else:
        digits = match["digits"] or match["both"] or match["bold"]
        yield _Mark(number, style, int(digits), written)


def _sequences(marks: list[list[_Mark]]) -> Iterator[_Mark]:
    """The marks that count from 1 (or a, or i) on, at least to 2."""
    last: dict[str, list[_Mark]] = {}
    taken: set[int] = set()
    for found in marks:
        for mark in found:
            run = last.get(mark.style)
            if run is not None and mark.value == run[-1].value + 1 and mark.line not in taken:
                new = [mark] if len(run) > 1 else [*run, mark]
                taken.update(m.line for m in new)
                yield from new
                run.append(mark)
                break
            if mark.value == 1:
                last[mark.style] = [mark]
