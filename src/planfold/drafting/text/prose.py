"""Texts without lists and blocks: a request in one paragraph, lines, or sentences."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from planfold.drafting.text.inline import Inline
from planfold.drafting.text.mood import is_statement
from planfold.drafting.text.sentences import (
    THEN,
    WITH,
    capitalised,
    hidden,
    numbered_parts,
    sentences,
    take_connector,
    without_stop,
)
from planfold.drafting.text.words import is_conditional

_PREFACE: Final = re.compile(r"[^:.\n]{1,150}:\s(?=first(?:ly)?\b|to start\b)", re.IGNORECASE)
_STEP: Final = re.compile(r"(?:step|phase|stage)\s(\d{1,3})\s?[:.)—–-]\s?", re.IGNORECASE)
_INNER: Final = re.compile(
    rf"(?:[,;]\s(?:and\s|but\s)?(?={THEN}|{WITH}|next(?:,|\s(?!to\b|door|week|month|year|day)))"
    r"|\sand\s(?=then\b|finally\b|lastly\b|after that\b|afterwards\b|meanwhile\b)"
    r"|\s(?P<bare>(?=then\b)))",
    re.IGNORECASE,
)
# "..., in parallel." belongs to what is before it.
_ONLY_CONNECTED: Final = re.compile(rf"(?:{WITH}|{THEN})[.!?]?\s?$", re.IGNORECASE)
_NOT_ORDER: Final = re.compile(
    r"(?:\b(?:if|when|whenever|unless|since|by|until|till|even|back|just|only|or|than|as|now and)"
    r"|\bevery now and)$|\b(?:if|when|whenever|unless|once)\b",
    re.IGNORECASE,
)
_CONDITION: Final = re.compile(
    r"(?:if|when|whenever|unless|once|in case|as soon as|should)\b", re.IGNORECASE
)
_TOGETHER: Final = re.compile(
    r",?\s(?:all |both )?(?:in parallel|at the same time|simultaneously|concurrently)[.!]?$",
    re.IGNORECASE,
)
_AND: Final = re.compile(r",?\s(?:and|&)\s|,\s", re.IGNORECASE)
_FINITE: Final = re.compile(
    r"\b(?:is|are|was|were|be|can|could|may|might|must|should|will|would|cannot)\b", re.IGNORECASE
)
_NOUN_PHRASE: Final = re.compile(
    r"(?:the|a|an|your|our|my|its|their|his|her|this|that|these|those|both|all|each|every"
    r"|some|two|three|\d+)\s|\S+$",
    re.IGNORECASE,
)
_BREAKS_OFF: Final = re.compile(
    r"(?:[,(–—-]|\b(?:a|an|the|to|of|in|on|at|by|for|with|from|and|or|but|that|which|is|are|be"
    r"|as|if|into|your|our|this))$",
    re.IGNORECASE,
)
_MOST_SENTENCES: Final = 3  # of a request; what has more is divided into sentences already
_WRAPPED: Final = 60  # columns: editors wrap no narrower


@dataclass(frozen=True)
class Clause:
    """One thing to do. ``beside``: at the same time as the one before, not after it."""

    text: Inline
    beside: bool = False
    first: bool = False
    line: bool = False  # it has a line or a number of its own: it is surely a task


def read_request(text: Inline) -> list[Clause]:
    """The clauses of a text of one paragraph, in its order, without what only connects them.

    Words such as "meanwhile" set its sentences beside each other. In a request of few sentences
    words such as "then" split them: one line has no other structure.
    """
    preface = _PREFACE.match(text.mask)
    if preface:
        text = text.slice(preface.end())
    if parts := numbered_parts(text):
        return [clause for part in parts for clause in _read_part(part, line=True)]
    if lines := separate_lines(text):
        return [clause for line in lines for clause in _read_part(line, line=True)]
    found = list(sentences(text))
    split = len(found) <= _MOST_SENTENCES
    return [c for sentence in found for c in (_clauses if split else _whole)(sentence)]


def read_sentences(text: Inline) -> list[Clause]:
    """The same for a paragraph of a longer text: its lines, or its sentences unchanged."""
    parts = numbered_parts(text) or separate_lines(text)
    told = [] if parts else list(sentences(text))
    lines = [clause for part in parts for clause in _read_part(part, line=True)]
    return lines + [clause for part in told for clause in _read_part(part, line=False)]


def _read_part(part: Inline, *, line: bool) -> Iterator[Clause]:
    """``part`` as one clause, without the connector that it begins with."""
    part = without_stop(part)
    step = _STEP.match(part.mask)
    found = take_connector(capitalised(part.slice(step.end())) if step else part)
    if found.text.text:
        yield Clause(found.text, first=found.first, line=line)


def separate_lines(text: Inline) -> list[Inline]:
    """The lines, where each is a task of its own and not a part of a wrapped sentence."""
    places = [0, *(m.end() for m in re.finditer(r"\n", text.mask))]
    lines = [text.slice(a, b) for a, b in zip(places, [*places[1:], None], strict=True)]
    lines = [line for line in lines if line.text]
    if len(lines) < 2 or _is_wrapped(lines):
        return []
    return lines


def _is_wrapped(lines: list[Inline]) -> bool:
    """Whether an editor broke the lines: then no line had room for the first word of the next."""
    width = max(len(line.text) for line in lines)
    words = [line.text.split(maxsplit=1)[0] for line in lines]
    full = all(
        len(line.text) + 1 + len(word) > width for line, word in zip(lines, words[1:], strict=False)
    )
    lower = [word[0].islower() for word in words]
    if not full:
        ends = zip(lines, lower[1:], strict=False)
        breaks = any(low and _BREAKS_OFF.search(line.mask[-12:]) for line, low in ends)
        return breaks and not all(lower)
    if not any(lower[1:]):
        return width > _WRAPPED and _has_inner_stop(lines)
    return not all(lower) or _has_inner_stop(lines)


def _has_inner_stop(lines: list[Inline]) -> bool:
    return any(len(list(sentences(line))) > 1 for line in lines)


def _whole(sentence: Inline) -> Iterator[Clause]:
    found = take_connector(without_stop(sentence))
    if found.text.text:
        yield Clause(found.text, found.beside and not found.then, found.first)


def _clauses(sentence: Inline) -> Iterator[Clause]:
    sentence = without_stop(sentence)
    lead = take_connector(sentence)
    pieces = list(_split(lead.text))
    for place, piece in enumerate(pieces):
        found = take_connector(piece) if place else lead._replace(text=piece)
        text = capitalised(found.text) if place else found.text
        together = _TOGETHER.search(text.mask)
        beside = found.beside and not found.then
        if together and not _tells(text.mask):
            parts = _parallel_parts(text.slice(0, together.start()))
            alone = len(parts) == 1
        elif found.beside and found.then and not _tells(text.mask):
            parts, alone = _parallel_parts(text), False
        else:
            parts, alone = [text], False
        for number, part in enumerate(parts):
            yield Clause(part, beside or number > 0 or alone, found.first)


def _split(sentence: Inline) -> Iterator[Inline]:
    """Cut before every "then" that puts things in order."""
    mask = hidden(sentence.mask)
    if _CONDITION.match(mask) or (sentence.codes and is_conditional(mask)):
        yield sentence
        return
    start, last = 0, len(mask.rstrip())
    for match in _INNER.finditer(mask):
        before = mask[max(start, match.start() - 200) : match.start()]
        if not before.strip() or match.end() >= last or _ONLY_CONNECTED.match(mask, match.end()):
            continue
        if match["bare"] is not None and _NOT_ORDER.search(before):
            continue
        yield sentence.slice(start, match.start())
        start = match.end()
    yield sentence.slice(start)


def _tells(mask: str) -> bool:
    """Whether a sentence is a statement, so that "and" does not join things to do."""
    return is_statement(mask) or is_conditional(mask) or _FINITE.search(mask) is not None


def _parallel_parts(text: Inline) -> list[Inline]:
    """ "Lint the code and the docs" as "Lint the code", "Lint the docs"."""
    mask = hidden(text.mask)
    parts: list[Inline] = []
    start = 0
    for match in _AND.finditer(mask):
        part = text.slice(start, match.start())
        if part.text and match.end() > start:
            parts.append(part)
            start = match.end()
    parts.append(text.slice(start))
    verb = re.match(r"[^\W\d_]+(?=\s)", parts[0].mask)
    both = re.match(r"(?:both|do)\s+", parts[0].mask, re.IGNORECASE)
    if both and len(parts) > 1:
        parts[0] = parts[0].slice(both.end())
        verb = re.match(r"[^\W\d_]+(?=\s)", parts[0].mask)
    for place, part in enumerate(parts[1:], start=1):
        if verb and _NOUN_PHRASE.match(part.mask):
            parts[place] = parts[0].slice(0, verb.end()).joined(part, " ")
    return [capitalised(part) for part in parts]
