"""Running text as a sequence: sentences, and the words that put them in order."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from planfold.drafting.text.directives import directive_at
from planfold.drafting.text.inline import HIDDEN, Inline
from planfold.drafting.text.items import capitalised

_QUOTED: Final = re.compile(
    r"(?<![\w\"”])\"(?=\S)[^\"\n]{1,300}?(?<=\S)\"(?!\w)|“[^“”\n]{1,300}”|«[^«»\n]{1,300}»"
    r"|(?<![\w'’])'(?=\S)[^'\n]{1,200}?(?<=\S)'(?!\w)|‘[^‘’\n]{1,200}’(?!\w)"
    r"|\((?!\d{1,3}\))[^()\n]{1,300}\)|\[[^\[\]\n]{1,300}\]"
)
_END: Final = re.compile(
    r"[.!?…]+[\"'”’»)\]*_]*(?=\s|$)|[。！？]|\n\s*\n"
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
_BRACKET: Final = re.compile(r"(?:^|(?<=\s))\(?(\d{1,3})\)\s+(?=\S)")
_DOT: Final = re.compile(r"(?:^|(?<=\s))(\d{1,3})\.\s+(?=\S)")

_THEN: Final = (
    r"after (?:that|this|which)|afterwards?|then|finally|lastly|subsequently|thereafter|and then"
    r"|and finally|once (?:that|this) is done|when (?:that|this) is done"
)
_WITH: Final = (
    r"meanwhile|in the meantime|(?:and )?at the same time|simultaneously|concurrently"
    r"|(?:and )?in parallel(?: (?:with|to) (?:that|this|it))?"
)
_LEAD: Final = re.compile(
    rf"(?:(?P<then>{_THEN})\b,?|(?:first|next)(?= [a-z]+\b(?<!aid)(?<!to)(?<!day)(?<!week)"
    r"(?<!month)(?<!year)(?<!time)(?<!name)(?<!class)(?<!draft)(?<!version)(?<!of)(?<!door))"
    r"|(?P<comma>first(?:ly)?(?: of all)?|first off|to (?:start|begin)(?: with)?|second(?:ly)?"
    r"|third(?:ly)?|fourth(?:ly)?|fifth(?:ly)?|next(?: up)?|last(?: of all)?)[,:]"
    rf"|(?P<with>{_WITH})\b,?)\s+(?=\S)",
    re.IGNORECASE,
)
_PREFACE: Final = re.compile(r"[^:.\n]{1,150}:\s+(?=first(?:ly)?\b|to start\b)", re.IGNORECASE)
_INNER: Final = re.compile(
    rf"(?:[,;]\s+(?:and\s+|but\s+)?(?={_THEN}|{_WITH}|next(?:,|\s(?!to\b|door|week|month|year|day)))"
    r"|\s+and\s+(?=then\b|finally\b|lastly\b|after that\b|afterwards\b|meanwhile\b)"
    r"|\s+(?P<bare>(?=then\b)))",
    re.IGNORECASE,
)
_NOT_ORDER: Final = re.compile(
    r"(?:\b(?:if|when|whenever|unless|since|by|until|till|even|back|just|only|or|than|as|now and)"
    r"|\bevery now and)$|\b(?:if|when|whenever|unless|once)\b",
    re.IGNORECASE,
)
_CONDITION: Final = re.compile(
    r"(?:if|when|whenever|unless|once|in case|as soon as|should)\b", re.IGNORECASE
)
_STATEMENT: Final = re.compile(
    r"(?:you|we|it|this|that|these|those|there|the|a|an|i|they|he|she|your|our|if|when|note|all"
    r"|some|most|everything|nothing)\b",
    re.IGNORECASE,
)
_TOGETHER: Final = re.compile(
    r",?\s+(?:all |both )?(?:in parallel|at the same time|simultaneously|concurrently)[.!]?$",
    re.IGNORECASE,
)
_AND: Final = re.compile(r",?\s+(?:and|&)\s+|,\s+", re.IGNORECASE)
_NOUN_PHRASE: Final = re.compile(
    r"(?:the|a|an|your|our|my|its|their|his|her|this|that|these|those|both|all|each|every"
    r"|some|two|three|\d+)\s|\S+$",
    re.IGNORECASE,
)
_BREAKS_OFF: Final = re.compile(
    r"(?:[,:;(–—-]|\b(?:a|an|the|to|of|in|on|at|by|for|with|from|and|or|but|that|which|is|are|be"
    r"|as|if|into|your|our|this))$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Clause:
    """One thing to do. ``beside``: at the same time as the one before, not after it."""

    text: Inline
    beside: bool = False
    connected: bool = False  # a word such as "then" said where it belongs
    first: bool = False


class Connected(NamedTuple):
    """A text without its connectors: does it come after what precedes it, beside it, or first?"""

    text: Inline
    then: bool = False
    beside: bool = False
    first: bool = False


def is_statement(text: Inline) -> bool:
    """Whether ``text`` begins like a sentence about something, and not like an instruction."""
    return _STATEMENT.match(text.mask) is not None


def read_prose(text: Inline) -> list[Clause]:
    """The clauses of a paragraph, in its order, without the words that only connect them."""
    preface = _PREFACE.match(text.mask)
    if preface:
        text = text.cut(preface.end())
    parts = numbered_parts(text)
    if parts:
        return [clause for part in parts for clause in _whole(part)]
    lines = separate_lines(text)
    clauses = [c for line in lines for sentence in sentences(line) for c in _clauses(sentence)]
    first = next((place for place, clause in enumerate(clauses) if clause.first), 0)
    return [c for place, c in enumerate(clauses) if place >= first or not is_statement(c.text)]


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
        text = capitalised(text.cut(match.end()))
    return Connected(text, then, beside, first)


def numbered_parts(text: Inline, first: int | None = None) -> list[Inline]:
    """The parts of "1) a 2) b" or "Step 1: a Step 2: b"; [] when the text is not numbered.

    With ``first`` the text itself is the part before that number.
    """
    mask = _hidden(text.mask)
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
        parts = [text.cut(start, end) for start, end in zip(starts, ends, strict=True)]
        return [part for part in parts if part.text]
    return []


def _may_precede(text: str) -> bool:
    return not text.strip() or text.rstrip().endswith((":", ".", "!", "-", "—")) or len(text) < 200


def separate_lines(text: Inline) -> list[Inline]:
    """The lines, where each is an instruction of its own and not a wrapped sentence."""
    places = [0, *(m.end() for m in re.finditer(r"\n", text.mask))]
    lines = [text.cut(a, b) for a, b in zip(places, [*places[1:], None], strict=True)]
    lines = [line for line in lines if line.text]
    shorter = all(len(line.text) <= 80 for line in lines)
    breaks = any(_BREAKS_OFF.search(line.mask) for line in lines[:-1])
    if len(lines) < 2 or not shorter or breaks or any(not _starts(line) for line in lines):
        return [text]
    return lines


def _starts(line: Inline) -> bool:
    first = line.text[0]
    return not first.islower() and (first.isalnum() or line.mask[0] == HIDDEN)


def sentences(text: Inline) -> Iterator[Inline]:
    """The sentences of ``text``; code, addresses, quotations and brackets stay whole."""
    mask = _hidden(text.mask)
    start = 0
    for match in _END.finditer(mask):
        end = match.end()
        if match.start() < start or not _is_end(mask, match, start):
            continue
        behind = _skip_blanks(mask, end)
        while (closed := directive_at(text.mask, behind)) > behind:
            end = closed
            behind = _skip_blanks(mask, end)
        yield from _with_words(text.cut(start, end))
        start = end
    yield from _with_words(text.cut(start))


def _skip_blanks(mask: str, place: int) -> int:
    while place < len(mask) and mask[place].isspace():
        place += 1
    return place


def _with_words(text: Inline) -> Iterator[Inline]:
    if HIDDEN in text.mask or any(char.isalnum() for char in text.mask):
        yield text


def _hidden(mask: str) -> str:
    """``mask`` with quotations and brackets hidden too, but for how they end."""

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
        return False  # it goes on after the quotation
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


def _whole(part: Inline) -> Iterator[Clause]:
    found = take_connector(without_stop(part))
    if found.text.text:
        yield Clause(found.text, found.beside and not found.then, True)


def _clauses(sentence: Inline) -> Iterator[Clause]:
    sentence = without_stop(sentence)
    step = _STEP.match(sentence.mask)
    if step:
        sentence = capitalised(sentence.cut(step.end()))
    lead = take_connector(sentence)
    pieces = list(_split(lead.text))
    for place, piece in enumerate(pieces):
        found = take_connector(piece) if place else lead._replace(text=piece)
        text = capitalised(found.text) if place else found.text
        together = _TOGETHER.search(text.mask)
        beside = found.beside and not found.then
        if together and not _CONDITION.match(text.mask):
            parts = _parallel_parts(text.cut(0, together.start()))
            alone = len(parts) == 1
        elif found.beside and found.then:
            parts, alone = _parallel_parts(text), False
        else:
            parts, alone = [text], False
        for number, part in enumerate(parts):
            connected = found.then or found.beside
            yield Clause(part, beside or number > 0 or alone, connected, found.first)


def without_stop(sentence: Inline) -> Inline:
    """``sentence`` without its full stop: descriptions are not sentences."""
    mask = sentence.mask
    if mask.endswith(".") and not mask.endswith("..") and not re.search(r"\b\w\.\w\.$", mask):
        word = _WORD_BEFORE.search(mask[:-1])
        if word is None or word[0].lower() not in ("etc", "inc", "ltd"):
            return sentence.cut(0, len(mask) - 1)
    return sentence


def _split(sentence: Inline) -> Iterator[Inline]:
    """Cut before every "then" that puts things in order."""
    mask = _hidden(sentence.mask)
    if _CONDITION.match(mask):
        yield sentence
        return
    start = 0
    for match in _INNER.finditer(mask):
        before = mask[start : match.start()]
        if not before.strip() or not mask[match.end() :].strip():
            continue
        if match["bare"] is not None and _NOT_ORDER.search(before[-200:]):
            continue
        if _ends_so(mask, match.end()):
            continue
        yield sentence.cut(start, match.start())
        start = match.end()
    yield sentence.cut(start)


def _ends_so(mask: str, place: int) -> bool:
    """Whether only the connector is left: "..., in parallel." belongs to what is before it."""
    return re.fullmatch(rf"(?:{_WITH}|{_THEN})[.!?]?\s*", mask[place:], re.IGNORECASE) is not None


def _parallel_parts(text: Inline) -> list[Inline]:
    """ "Lint the code and the docs" as "Lint the code", "Lint the docs"."""
    mask = _hidden(text.mask)
    parts: list[Inline] = []
    start = 0
    for match in _AND.finditer(mask):
        part = text.cut(start, match.start())
        if part.text and match.end() > start:
            parts.append(part)
            start = match.end()
    parts.append(text.cut(start))
    verb = re.match(r"[^\W\d_]+(?=\s)", parts[0].mask)
    both = re.match(r"(?:both|do)\s+", parts[0].mask, re.IGNORECASE)
    if both and len(parts) > 1:
        parts[0] = parts[0].cut(both.end())
        verb = re.match(r"[^\W\d_]+(?=\s)", parts[0].mask)
    for place, part in enumerate(parts[1:], start=1):
        if verb and _NOUN_PHRASE.match(part.mask):
            parts[place] = parts[0].cut(0, verb.end()).joined(part, " ")
    return [capitalised(part) for part in parts]
