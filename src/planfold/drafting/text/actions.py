"""What one item of a text asks for: a command, a request, a tool call, a question, or work."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from planfold.drafting.paths import is_document
from planfold.drafting.text.directives import directive_at
from planfold.drafting.text.inline import Inline, Span
from planfold.drafting.text.shell import names_program, without_prompt
from planfold.planner.tasks import Link


@dataclass(frozen=True)
class Command:
    """One command line, as written."""

    line: str


@dataclass(frozen=True)
class Script:
    """Several lines for the shell, as written."""

    text: str


@dataclass(frozen=True)
class Request:
    url: str
    method: str


@dataclass(frozen=True)
class Call:
    """A tool with its arguments, as written."""

    tool: str
    arguments: dict[str, Any]


Action = Command | Script | Request | Call

_LEAD: Final = (
    r"(?:(?:please|then|now|next|also|again|first|finally|lastly|optionally|and|\(optional\)"
    r"|\[optional\]|optional|you (?:should|must|can|may|need to|have to)|let's|let us)[,:]?\s+)*"
)
_RUN: Final = re.compile(rf"{_LEAD}(?:re-?)?(?:run|execute)\b(?![-'’])", re.IGNORECASE)
_RUN_THIS: Final = re.compile(
    r"\b(?:re-?)?(?:run|running|execute|executing)(?:\s+the)?"
    r"(?:\s+(?:following|commands?|scripts?))*\s*:?\s*$",
    re.IGNORECASE,
)
_NOT_NOW: Final = re.compile(
    r"\b(?:not|never|no|without|avoid|before|after|when|if|once|until|while|instead of|than|cannot"
    r"|unless|whether|\w+n['’]t)(?:\s+[\w'’-]+){0,3}\s*$",
    re.IGNORECASE,
)
_PERHAPS: Final = re.compile(
    r"(?:or|if|when|whenever|unless|alternatively|otherwise|for example|e\.g\.|note)\b",
    re.IGNORECASE,
)
_PLACE: Final = re.compile(
    r"\b(?:in|on|from|against|under|for|to|into|at|inside|of|as|file|folder|directory|branch"
    r"|environment|within|like|called|named)(?:\s+(?:the|your|a|each|every))?\s*$",
    re.IGNORECASE,
)
_THING: Final = re.compile(
    r"\s+(?:github\s+)?(?:jobs?|workflows?|actions?|pipelines?|stages?|suites?|playbooks?|checks?"
    r"|queries|query|role|tests?)\b",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"\s*(?:[,;&]|,?\s*and(?:\s+then)?|,?\s*then)\s*(?:run\s+)?$", re.I)
_OR: Final = re.compile(r"\s*,?\s*or\b", re.IGNORECASE)
_FETCH: Final = re.compile(
    rf"{_LEAD}(?:(?i:fetch|download)|GET|HEAD|(?i:get)(?=\s+[\0<]))\b(?!\s+and\b)"
)
_LEAD_ANY_CASE: Final = re.compile(_LEAD, re.IGNORECASE)
_HEAD: Final = re.compile(r"\bHEAD\b")
_ASK: Final = re.compile(rf"{_LEAD}(?:ask|confirm|choose|decide)(?![\w-])", re.IGNORECASE)
_CALL: Final = re.compile(r"@([A-Za-z_][\w.-]*)\s*")
_CALL_INSIDE: Final = re.compile(r":\s+(?=@[A-Za-z_][\w.-]*\s*(?:\{|$))")
_ONLY_CODE: Final = re.compile(r"\0+[.;:,]?")


def command_in(text: Inline) -> Command | Script | None:
    """The command that ``text`` is, or tells the reader to run."""
    codes = text.codes
    if not codes:
        return None
    if _is_only_code(text):
        return _command(codes[0]) if not is_document(codes[0].code or "") else None
    shown = [code for code in codes if _stands_out(text, code) and names_program(code.code or "")]
    if shown:
        return _joined(shown)
    if is_question(text):
        return None
    return _run(text, codes)


def _is_only_code(text: Inline) -> bool:
    code = text.codes[0]
    link = any(span.attachment and span.start <= code.start for span in text.spans)
    return _ONLY_CODE.fullmatch(text.mask) is not None and len(text.codes) == 1 and not link


def _stands_out(text: Inline, code: Span) -> bool:
    """Whether code ends the item after a colon, or has a line of its own."""
    before = text.mask[: code.start].rstrip(" \t")[-1:]
    behind = text.mask[code.end :].lstrip(" \t")
    return (before == ":" and not behind.strip(" .")) or (before == "\n" and behind[:1] in "\n")


def _joined(codes: list[Span]) -> Command | Script | None:
    lines = [without_prompt((code.code or "").strip()) for code in codes]
    if not all(lines):
        return None
    return Command(lines[0]) if len(lines) == 1 else Script("\n".join(lines))


def _command(code: Span) -> Command | None:
    line = without_prompt((code.code or "").strip())
    return Command(line) if line else None


def _run(text: Inline, codes: list[Span]) -> Command | Script | None:
    first = next((place for place, code in enumerate(codes) if _is_run(text, code)), None)
    if first is None:
        return None
    chosen = [codes[first]]
    for code in codes[first + 1 :]:
        between = text.mask[chosen[-1].end : code.start]
        if _OR.match(between):
            return None  # which of them is for somebody to decide
        if not (_AND.fullmatch(between) or _RUN_THIS.search(between)):
            break
        chosen.append(code)
    return _joined(chosen)


def _is_run(text: Inline, code: Span) -> bool:
    before = text.mask[max(0, code.start - 200) : code.start]
    direct = _RUN_THIS.search(before)
    if direct:
        sentence = re.split(r"[.!?:;]\s+", before[: direct.start()])[-1]
        if _NOT_NOW.search(before[: direct.start()]) or _PERHAPS.match(sentence):
            return False
    elif not _RUN.match(text.mask) or _PLACE.search(before):
        return False
    return " " in (code.code or "").strip() or not _THING.match(text.mask, code.end)


def request_in(text: Inline) -> Request | None:
    """The page that ``text`` tells the reader to fetch."""
    lead = _LEAD_ANY_CASE.match(text.mask)
    if not _FETCH.match(text.mask, lead.end() if lead else 0):
        return None
    urls = [s.attachment.url for s in text.spans if isinstance(s.attachment, Link)]
    urls += [code.code for code in text.codes if code.code and _is_url(code.code)]
    urls = [url for url in dict.fromkeys(urls) if _is_url(url)]
    if len(urls) != 1 or (is_question(text) and not text.mask.endswith("\0")):
        return None
    return Request(urls[0], "HEAD" if _HEAD.search(text.mask) else "GET")


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://")) and not re.search(r"\s", text)


def is_question(text: Inline) -> bool:
    """Whether a person has to answer: it ends in ``?``, or begins with ask, confirm, choose..."""
    ending = text.mask[-40:].rstrip("\"'”’»)]*_. \n")
    return ending.endswith(("?", "？")) or _ASK.match(text.mask) is not None


def call_in(raw: str, known_tools: Collection[str]) -> tuple[Call, str, str] | None:
    """The ``@tool {...}`` in ``raw``, and the text before and behind it."""
    match = _CALL.match(raw)
    start = 0
    if match is None and (inside := _CALL_INSIDE.search(raw)):
        start = inside.end()
        match = _CALL.match(raw, start)
    if match is None:
        return None
    name = match[1].rstrip(".-")
    lead = raw[:start].rstrip(" :\n")
    # Braces may hold a directive, such as {retry=2}, instead of arguments.
    if raw.startswith("{", match.end()) and directive_at(raw, match.end()) == match.end():
        try:
            arguments, end = _JSON.raw_decode(raw, match.end())
        except (ValueError, RecursionError):
            return None
        return Call(name, arguments), lead, raw[end:].strip()
    if name in known_tools:
        behind = raw[match.start(1) + len(name) :].strip()
        return Call(name, {}), lead, "" if behind == "." else behind
    return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_JSON: Final = json.JSONDecoder(parse_constant=_refuse)
