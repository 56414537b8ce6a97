"""Sentences, and the words at their beginning that only put them in order."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from planfold.drafting.text.directives import directive_at
from planfold.drafting.text.inline import HIDDEN, Inline

_QUOTED: Final = re.compile(
    r"(?<![\w\"”])\"(?=\S)[^\"\n]{1,300}?(?<=\S)\"(?!\w)|“[^“”\n]{1,300}”|«[^«»\n]{1,300}»"
    r"|(?<![\w'’])'(?=\S)[^'\n]{1,200}?(?<=\S)'(?!\w)|‘[^‘’\n]{1,200}’(?!\w)"
    r"|\((?!\d{1,3}\))[^()\n]{1,300}\)|\[[^\[\]\n]{1,300}\]"
)
_END: Final = re.compile(
    r"(?<![.!?…])[.!?…]+[\"'”’»)\]*_]*(?=\s|$)|[。！？]"
    r"|:(?=\s+(?:First|Then|Next|After that|Afterwards|Finally|Lastly|Meanwhile)\b)"
)
_WORD_BEFORE: Final = re.compile(r"[\w.&'’-]+$")
_NEVER: Final = frozenset(
    ("e.g", "i.e", "eg", "ie", "vs", "cf", "dr", "mr", "mrs", "ms", "prof", "st", "mt", "al", "viz")
)
_ABBREVIATIONS: Final = """
    a.m approx aug co corp dec dept ed est etc feb ft hr hrs in inc jan jr lb lbs ltd max min no
    nov nr oct oz p.m pp sec sep sept sr tbsp tsp u.k u.s vol
"""
_SOMETIMES: Final = frozenset(_ABBREVIATIONS.split())
_STEP: Final = re.compile(r"(?:^|(?<=\s))(?:step|phase|stage)\s+(\d{1,3})\s*[:.)—–-]\s*", re.I)
_BRACKET: Final = re.compile(r"(?:^|(?<=\s))\(?(\d{1,3})\)\s(?=\S)")
_DOT: Final = re.compile(r"(?:^|(?<=\s))(\d{1,3})\.\s(?=\S)")
_STOP: Final = re.compile(r"\b\w\.\w\.$")

THEN: Final = (
    r"after (?:that|this|which)|afterwards?|then|finally|lastly|subsequently|thereafter|and then"
    r"|and finally|once (?:that|this) is done|when (?:that|this) is done"
)
WITH: Final = (
    r"meanwhile|in the meantime|(?:and )?at the same time|simultaneously|concurrently"
    r"|(?:and )?in parallel(?: (?:with|to) (?:that|this|it))?"
)
_LEAD: Final = re.compile(
    rf"(?:(?P<then>{THEN})\b,?"
    r"|(?P<comma>first(?:ly)?(?: of all)?|first off|to (?:start|begin)(?: with)?|second(?:ly)?"
    r"|third(?:ly)?|fourth(?:ly)?|fifth(?:ly)?|next(?: up)?|last(?: of all)?)[,:]"
    rf"|(?P<with>{WITH})\b,?)\s+(?=\S)",
    re.IGNORECASE,
)


_NOTHING_ELSE: Final = re.compile(rf"(?:(?:and )?(?:{THEN}|{WITH}|first|next))\W*", re.IGNORECASE)


class Connected(NamedTuple):
    """A text without its connectors: does it come after what precedes it, beside it, or first?"""

    text: Inline
    then: bool = False
    beside: bool = False
    first: bool = False


def is_connector(text: Inline) -> bool:
    """Whether ``text`` is nothing but a connector: "And then:"."""
    return _NOTHING_ELSE.fullmatch(text.mask) is not None


def take_connector(text: Inline) -> Connected:
    """``text`` without the connectors it begins with, and what they say."""
    then = beside = first = False
    for _ in range(4):
        match = _LEAD.match(text.mask)
        if match is None:
            break
        beside = beside or match["with"] is not None
        then = then or match["with"] is None
        first = first or match[0].lower().startswith("first")
        text = capitalised(text.slice(match.end()))
    return Connected(text, then, beside, first)


def numbered_parts(text: Inline, first: int | None = None) -> list[Inline]:
    """The parts of "1) a 2) b" or "Step 1: a Step 2: b"; [] when the text is not numbered.

    With ``first`` the text itself is the part before that number.
    """
    mask = hidden(text.mask)
    for pattern in (_STEP, _BRACKET, _DOT):
        marks: list[re.Match[str]] = []
        for match in pattern.finditer(mask):
            wanted = int(marks[-1][1]) + 1 if marks else first
            if int(match[1]) == wanted or (wanted is None and int(match[1]) in (0, 1)):
                marks.append(match)
        if first is None and (len(marks) < 2 or not _may_precede(mask[: marks[0].start()])):
            continue
        if not marks:
            continue
        starts = [0] if first is not None else []
        starts += [match.end() for match in marks]
        ends = [*(match.start() for match in marks[0 if first is not None else 1 :]), None]
        parts = [text.slice(start, end) for start, end in zip(starts, ends, strict=True)]
        return [part for part in parts if part.text]
    return []


def _may_precede(text: str) -> bool:
    return not text.strip() or text.rstrip().endswith((":", ".", "!", "-", "—")) or len(text) < 200


def sentences(text: Inline) -> Iterator[Inline]:
    """The sentences of ``text``; code, addresses, quotations and brackets stay whole."""
    mask = hidden(text.mask)
    start = 0
    for match in _END.finditer(mask):
        end = match.end()
        if match.start() < start or not _is_end(mask, match, start):
            continue
        behind = _skip_blanks(mask, end)
        while (closed := directive_at(text.mask, behind)) > behind:
            end = closed
            behind = _skip_blanks(mask, end)
        yield from _with_words(text.slice(start, end))
        start = end
    yield from _with_words(text.slice(start))


def _skip_blanks(mask: str, place: int) -> int:
    while place < len(mask) and mask[place].isspace():
        place += 1
    return place


def _with_words(text: Inline) -> Iterator[Inline]:
    if HIDDEN in text.mask or any(char.isalnum() for char in text.mask):
        yield text


def hidden(mask: str) -> str:
    """``mask`` with quotations and brackets hidden too, except their last characters."""

    def hide(match: re.Match[str]) -> str:
        inside = match[0][1:-1]
        last = inside[-1] if inside[-1] in ".!?…" else HIDDEN
        return match[0][0] + HIDDEN * (len(inside) - 1) + last + match[0][-1]

    return _QUOTED.sub(hide, mask)


def _is_end(mask: str, match: re.Match[str], start: int) -> bool:
    behind = _skip_blanks(mask, match.end())
    following = mask[behind : behind + 40]
    lower = following[:1].islower() and not _LEAD.match(following)
    if lower and match[0][-1] not in ".!?…。！？:\n":
        return False  # the sentence continues after the quotation
    if not following or match[0][0] not in ".…":
        return True
    if match[0].startswith(("..", "…")):
        return not lower
    before = _WORD_BEFORE.search(mask, max(start, match.start() - 40), match.start())
    word = before[0].lower().strip("'’") if before else ""
    if word in _NEVER or (word.isdecimal() and not mask[start : match.start() - len(word)].strip()):
        return False
    if word in _SOMETIMES:
        return following[:1].isupper() or _LEAD.match(following) is not None
    initials = re.fullmatch(r"(?:\w\.)+\w", word)
    return not (lower and initials)


def without_stop(sentence: Inline) -> Inline:
    """``sentence`` without its full stop: descriptions are not sentences."""
    mask = sentence.mask
    if mask.endswith(".") and not mask.endswith("..") and not _STOP.search(mask[-8:]):
        word = _WORD_BEFORE.search(mask[-40:-1])
        if word is None or word[0].lower() not in ("etc", "inc", "ltd"):
            return sentence.slice(0, len(mask) - 1)
    return sentence


def capitalised(text: Inline) -> Inline:
    """With a capital first letter, except for names, paths and commands."""
    first = text.text[:1]
    word = re.match(r"[^\s\0]*", text.mask)
    if not first.islower() or word is None or not re.fullmatch(r"[^\W\d_]+[,:;.]?", word[0]):
        return text
    if word[0] != word[0].lower() or text.mask[:1] != first:
        return text
    upper = first.upper()
    if len(upper) != 1:
        return text
    return Inline(upper + text.text[1:], upper + text.mask[1:], text.spans)
