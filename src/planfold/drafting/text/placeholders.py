"""Placeholders in commands: ``X.Y.Z``, ``<branch>``, ``[patch|minor]``, ``YYYY-MM-DD``.

None of them is ever run as written: a question asks for the value, once per name, and the command
gets the answer as one argument or as an environment variable, so that no answer becomes syntax.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_PLACEHOLDER: Final = re.compile(
    r"(?P<angle><[A-Za-z](?:[\w .,/|:+-]{0,58}[\w.])?>)"
    r"|(?P<choice>\[[\w.+-]{1,30}(?:\|[\w.+-]{1,30}){1,12}\]|\{[\w.+-]{1,30}(?:\|[\w.+-]{1,30}){1,12}\})"
    r"|(?P<word>(?<![^\s=/:@])\[[A-Za-z][\w-]{1,40}\](?![^\s/:@.]))"
    r"|(?P<brace>\{\{ ?[A-Za-z_][\w-]{0,40} ?\}\}|(?<![$@{\\])\{(?!print\})[A-Za-z_][\w-]{1,40}\})"
    r"|(?P<version>(?<![A-Za-z0-9.])[vV]?(?P<number>"
    r"(?:[Xx]\.[Yy](?:\.[Zz])?|[Nn]\.[Nn](?:\.[Nn])?|[Xx]\.[Xx](?:\.[Xx])?"
    r"|\d{1,4}\.[Xx]\.[YyZz]|\d{1,4}(?:\.\d{1,4})?\.(?:[XYZN]|NN)(?:\.\d{1,4})?)(?![A-Za-z0-9]))"
    r"|(?P<glued>[Xx]\.[Yy]\.[Zz])(?=(?:rc|a|b|dev|post)))"
    r"|(?P<date>\bYYYY(?:[-._/]?MM(?:[-._/]?DD)?)?\b|\bYYMMDD\b|\bDD[-._/]MM[-._/]YYYY\b)"
    r"|(?P<your>\b(?:YOUR|MY)[_-][A-Z][A-Z_-]{1,40}\b|\byour[-_][a-z][a-z_-]{1,40}\b"
    r"|(?<![\w/])/?path/to/[\w./-]{1,60}|\bX{3,8}\b|\bNNN{1,6}\b)"
)
# "For example `v1.0.23` is a valid tag": in a command such a version is an example, too.
_EXAMPLE: Final = re.compile(
    r"(?:for example|for instance|e\.g\.|such as),?\s{1,3}(?:[a-z]{1,9}\s){0,3}"
    r"`v?(\d{1,6}(?:\.\d{1,6}){1,3})[\w.-]{0,20}`",
    re.IGNORECASE,
)
_VERSION: Final = re.compile(r"(?<![\d.])\d{1,6}(?:\.\d{1,6}){1,3}(?!\.?\d)")
_ELLIPSIS: Final = re.compile(r"(?:^|\s)(?:\.\.\.|…)(?=\s|$)|<\.\.\.>|…")


class Placeholder(NamedTuple):
    start: int
    end: int
    written: str
    choices: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called by: ``<Branch>`` and ``<branch>`` are the same."""
        return self.written.strip("<>[]{} ").casefold()


def example_versions(text: str) -> frozenset[str]:
    """The versions that a text gives as examples."""
    return frozenset(match[1] for match in _EXAMPLE.finditer(text))


def placeholders(command: str, examples: frozenset[str] = frozenset()) -> list[Placeholder]:
    """The placeholders of a command, and the ``examples`` that stand in it."""
    found: list[Placeholder] = []
    for match in _PLACEHOLDER.finditer(command):
        group = next((g for g in ("number", "glued") if match[g]), 0)
        start, end = match.span(group)
        written = command[start:end]
        options: tuple[str, ...] = ()
        if match["choice"] or (match["angle"] and "|" in written):
            options = tuple(dict.fromkeys(part.strip() for part in written[1:-1].split("|")))
        found.append(Placeholder(start, end, written, options))
    if examples:
        versions = (m for m in _VERSION.finditer(command) if m[0] in examples)
        inside = {place for p in found for place in range(p.start, p.end)}
        found += [Placeholder(*m.span(), m[0], ()) for m in versions if m.start() not in inside]
    return sorted(found)


def is_incomplete(command: str) -> bool:
    """Whether an ellipsis says that something is left out."""
    return _ELLIPSIS.search(command) is not None
