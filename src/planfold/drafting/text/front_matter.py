"""Where the front matter of a text is: YAML between lines ``---`` at its beginning.

A line ``---`` may also be a rule of Markdown, so what follows the first one has to begin with a
key, or has to have a key of a plan. Where such a key is, nothing is left to a guess: what keeps it
from being read is a fault.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

OWN: Final = ("params", "tags", "undo")
KEYS: Final = ("title", *OWN)
_MOST: Final = 1_000  # lines
_START: Final = re.compile(r"(?:[ \t]*\n)*(?P<rule>---)[ \t]*(?:#.*)?\n")
_END: Final = re.compile(r"(?:---|\.\.\.)[ \t]*")
_ANY_KEY: Final = re.compile(r"[\"']?[\w-]+[\"']?[ \t]*:")
_OWN_KEY: Final = re.compile(rf"([ \t]*)([\"']?)(?:{'|'.join(OWN)})\2[ \t]*:")
# At the beginning of a line of YAML there is none of these; of Markdown there is.
_MARKDOWN: Final = re.compile(r"\d{1,9}[.)][ \t]|```|~~~|>[ \t]|\*[ \t]|\+[ \t]|- \[[ xX]\][ \t]")


class FrontLines(NamedTuple):
    """``lines`` are between the two ``---``, the first of them is line ``first`` (from 1) of the
    text; ``end`` is where the rest of the text begins, None: the second ``---`` is missing."""

    lines: list[str]
    first: int
    end: int | None

    @property
    def depth(self) -> int:
        """By how many blanks all keys are indented."""
        keys = (line for line in self.lines if line.strip() and not line.lstrip().startswith("#"))
        line = next(keys, "")
        return len(line) - len(line.lstrip(" "))

    @property
    def yaml(self) -> str:
        """The lines, without an indentation that all keys have."""
        blanks = " " * self.depth
        return "\n".join(line.removeprefix(blanks) for line in self.lines)

    @property
    def prose(self) -> int | None:
        """The first line that is none of YAML, as a number from 1; None: all may be."""
        found = (n for n, line in enumerate(self.lines, self.first) if _MARKDOWN.match(line))
        return next(found, None)


def front_lines(source: str) -> FrontLines | None:
    """The front matter of a text whose lines end in ``\\n``; None where it has none."""
    if (start := _START.match(source)) is None:
        return None
    after = source[start.end() :].split("\n", _MOST + 1)[: _MOST + 1]
    closed = next((n for n, line in enumerate(after) if _END.fullmatch(line)), None)
    lines = after[:closed]
    first = source.count("\n", 0, start.end()) + 1
    end = None
    if closed is not None:
        end = min(start.end() + sum(len(line) + 1 for line in after[: closed + 1]), len(source))
    found = FrontLines(lines, first, end)
    depth = found.depth
    own = any((match := _OWN_KEY.match(line)) and len(match[1]) == depth for line in lines)
    if end is None:
        begun = next((line for line in lines if line.strip()), "")
        return found if own and _OWN_KEY.match(begun) else None
    plain = start["rule"] == source[:3] and bool(lines) and bool(_ANY_KEY.match(lines[0]))
    return found if own or (plain and found.prose is None) else None
