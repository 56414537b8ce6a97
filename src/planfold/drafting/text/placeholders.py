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
    r"|(?P<double>\[\[[A-Za-z][\w-]*(?: [\w-]+){0,5}\]\])"
    r"|(?P<word>(?<![^\s=/:@])\[[A-Za-z][\w-]{1,40}\](?![^\s/:@.]))"
    r"|(?P<brace>\{\{ ?[A-Za-z_][\w-]{0,40} ?\}\}|(?<![$@{\\])\{(?!print\})[A-Za-z_][\w-]{1,40}\})"
    r"|(?P<version>(?<![A-Za-z0-9.])[vV]?(?P<number>"
    r"(?:[Xx]\.[Yy](?:\.[Zz])?|[Nn]\.[Nn](?:\.[Nn])?|[Xx]\.[Xx](?:\.[Xx])?"
    r"|\d{1,4}\.[Xx]\.(?:[XxYyZz]|\d{1,4})|\d{1,4}(?:\.\d{1,4})?\.(?:[XYZN]|NN)(?:\.\d{1,4})?)(?![A-Za-z0-9]))"
    r"|(?P<glued>[Xx]\.[Yy]\.[Zz])(?=(?:rc|a|b|dev|post)))"
    r"|(?P<date>(?:\b|(?<=\bv))YYYY(?:[-._/]?(?:MM?|0M)(?:[-._/]?(?:DD?|[XNYZ]))?)?\b|\bYYMMDD\b|\bDD[-._/]MM[-._/]YYYY\b)"
    r"|(?P<your>\b(?:YOUR|MY)[_-][A-Z][A-Z_-]{1,40}\b|\byour[-_][a-z][a-z_-]{1,40}\b"
    r"|(?<![\w$/.{-])[A-Z][A-Z0-9]{1,20}(?:_[A-Z0-9]{1,20}){0,3}_(?:ID|NAME|IP|HOST|URL|TOKEN|KEY|VERSION|NUMBER"
    r"|DATE|TAG|SHA|HASH|PASSWORD|USER|REGION|PROJECT)(?![\w=./-])"
    r"|(?<![\w/])/?path/to/[\w./-]{1,60}|\bX{3,8}\b|\bNNN{1,6}\b)"
)
# "Tags such as `v1.0.23`", "in this style: `tag-1_0_23`": the version is an example everywhere.
_EXAMPLE: Final = re.compile(
    r"(?:for example|for instance|e\.g\.|such as|like|style|format|assuming|say)[,:]?\s{1,3}"
    r"(?:[a-z]{1,9}\s){0,6}`(?:[^`\n]{0,60}?[^`\n\d._])?(\d{1,6}(?:[._]\d{1,6}){1,3})[^`\n]{0,30}`",
    re.IGNORECASE,
)
_VERSION: Final = re.compile(r"(?<![\d._])\d{1,6}(?:[._]\d{1,6}){1,3}(?![._]?\d)")
# A heading of a text that is followed for one release after the other.
_PROCEDURE: Final = re.compile(
    r"^(?:#{1,6}|title:)\s[^\n]{0,80}?\b(?:releas\w{1,4}|version|tag|publish\w{0,3})\b[^\n]{0,40}?"
    r"\b(?:process|procedure|checklist|guide|runbook|playbook|instructions|steps|workflow)\b"
    r"|^(?:#{1,6}|title:)\s[^\n]{0,80}?\b(?:releasing\b|how to (?:\w+\s){0,3}release\b"
    r"|(?:cut|mak|creat|do|publish|prepar)\w{0,4}\s(?:an?|the)?\s?(?:new\s|next\s)?(?:\w+\s)?(?:releases?|versions?)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE_CODE: Final = re.compile(r"`[^`\n]{0,300}`")
# A version that is a word of a command, and not that of something it installs ("x==1.2.3").
_WORD_VERSION: Final = re.compile(
    r"(?<![^\s\"'`])(?:[A-Za-z_-]{1,30}[=_-])?v?(?P<version>\d{1,6}[._]\d{1,6}[._]\d{1,6})(?![^\s\"'`])"
)
_ELLIPSIS: Final = re.compile(r"(?:^|\s)(?:\.\.\.|…)(?=\s|$)|<\.\.\.>|…")

_SUM: Final = re.compile(r"\b[XYZNxyzn](?:\.[XYZxyz])?\}?\+1\b|\{[XYZ]\+1\}")


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
    """The versions that a text gives as examples, in a procedure for any release all of them.

    A version that such a text names outside code is meant as it is.
    """
    found = {_dotted(match[1]) for match in _EXAMPLE.finditer(text)}
    if _PROCEDURE.search(text):
        told = {_dotted(match[0]) for match in _VERSION.finditer(_prose(text))}
        found |= {_dotted(m["version"]) for m in _WORD_VERSION.finditer(text)} - told
    return frozenset(found)


def _prose(text: str) -> str:
    """``text`` without its code."""
    kept: list[str] = []
    fenced = False
    for line in text.split("\n"):
        fence = line.lstrip().startswith(("```", "~~~"))
        fenced = fenced is not fence
        if not fenced and not fence and not line.startswith(("    ", "\t")):
            kept.append(_INLINE_CODE.sub("", line))
    return "\n".join(kept)


def _dotted(version: str) -> str:
    return version.replace("_", ".")


def placeholders(command: str, examples: frozenset[str] = frozenset()) -> list[Placeholder]:
    """The placeholders of a command, and the ``examples`` that occur in it."""
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
        versions = (m for m in _VERSION.finditer(command) if _dotted(m[0]) in examples)
        inside = {place for p in found for place in range(p.start, p.end)}
        found += [Placeholder(*m.span(), m[0], ()) for m in versions if m.start() not in inside]
    return sorted(found)


def is_incomplete(command: str) -> bool:
    """Whether something is left out ("...") or has to be worked out ("X.Y.Z+1")."""
    return _ELLIPSIS.search(command) is not None or _SUM.search(command) is not None
