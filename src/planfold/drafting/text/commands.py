"""What a sentence asks for when it is a command, a request or a tool call; else it is work."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from planfold.drafting.paths import is_document
from planfold.drafting.text.directives import directive_at, take_trailing
from planfold.drafting.text.inline import Inline, Span
from planfold.drafting.text.mood import is_remark
from planfold.drafting.text.sentences import sentences
from planfold.drafting.text.shell import names_program, without_prompt
from planfold.drafting.text.words import is_clean, is_conditional
from planfold.planner.tasks import Link


@dataclass(frozen=True)
class ShellCommand:
    """One command line, as written, and the folder it runs in."""

    line: str
    cwd: str = ""


@dataclass(frozen=True)
class ShellScript:
    """Several lines, as written, for ``shell`` ("": /bin/sh)."""

    text: str
    shell: str = ""
    cwd: str = ""


@dataclass(frozen=True)
class HttpRequest:
    url: str
    method: str


@dataclass(frozen=True)
class WrittenCall:
    """A tool with its arguments, as written."""

    tool: str
    arguments: dict[str, Any]


Action = ShellCommand | ShellScript | HttpRequest | WrittenCall

_RUN: Final = re.compile(
    r"(?:please\s+)?(?:re-?)?(?:run|execute)\b(?![-'’])"
    r"(?:[^\0.,;:!?()]{0,60}\b(?:with|using|via)\s*(?=\0)|"
    r"(?:\s+(?:the|this|these|following|commands?|scripts?))*\s*:?\s*(?=\0))",
    re.IGNORECASE,
)
_IN_FOLDER: Final = re.compile(
    r"(?:in|inside|from)\s+(?:(?:the|your)\s+)?(?P<before>(?:folder|directory)\s+)?(?P<code>\0+)"
    r"(?P<behind>\s+(?:folder|directory)\b)?",
    re.IGNORECASE,
)
_AFTER_FOLDER: Final = re.compile(r"[ \n]?[,:][ \n]?")
_FOLDER: Final = re.compile(r"(?!\.\.?/?$|/|~)(?!.*\.\./)[\w.@+-]+(?:/[\w.@+-]+)*/?")
_ANDS: Final = frozenset(
    ["", "and", "then", "and then", "run", "and run", "then run", "and then run"]
)
_NOT_THAT: Final = re.compile(
    r"\s*,?\s?(?:and\s+)?(?:never|not|rather than)\s+(?:run\s+)?\0+", re.I
)
_SUCCEEDS: Final = re.compile(  # what the exit code says
    r"\s*,?\s?and (?:ensure|check|verify|make sure) (?:that )?it (?:succeeds|passes)(?=[.!]|$)",
    re.I,
)
_PURPOSE: Final = re.compile(r"\s*(?:to|in order to|so that|which)\s[^,;:]*", re.IGNORECASE)
_ASIDE: Final = re.compile(r"\s*(?:again|now|once more|please|\([^()]*\))(?=\s|[.!:]|$)", re.I)
_FETCH: Final = re.compile(
    r"(?i:please\s+)?(?:(?i:fetch|download)|GET|HEAD|(?i:get)(?=\s+[\0<]))\b(?!\s+and\b)"
)
_ASK: Final = re.compile(r"(?:please\s+)?ask(?![\w-])(?!\s@\w[\w-]*\sto\s)", re.IGNORECASE)
_CALL: Final = re.compile(r"@([A-Za-z_][\w.-]*)\s*")
_CALL_BEHIND: Final = re.compile(
    r"(?<![\w.@])@([A-Za-z_][\w.-]{0,200})([ \t\n]{0,9}\{[ \t\n]{0,9}[\"}])?"
)
_CALL_INSIDE: Final = re.compile(r":\s{1,9}(?=@[A-Za-z_][\w.-]{0,200}\s{0,9}(?:\{|$))")


def command_in(text: Inline) -> ShellCommand | ShellScript | None:
    """The command that ``text`` is, or orders the reader to run and nothing else."""
    if not text.codes or is_conditional(text.mask):
        return None
    if len(text.codes) == 1 and (line := only_code(text)) is not None:
        return ShellCommand(line)
    first, *others = sentences(text)
    if all(is_remark(sentence.mask) for sentence in others):
        return _run(first)
    return None


def only_code(text: Inline) -> str | None:
    """The command line that ``text`` consists of."""
    code = text.codes[0]
    linked = any(span.attachment and span.start <= code.start for span in text.spans)
    if text.mask[: code.start].strip("*_") or text.mask[code.end :].strip("*_.;:, ") or linked:
        return None
    line = without_prompt((code.code or "").strip())
    if is_document(line) or not names_program(code.code or "", surely=True):
        return None
    return line or None


def _run(sentence: Inline) -> ShellCommand | ShellScript | None:
    """What "Run `x`", "In the folder `web`, run `x`" and the like order."""
    cwd = ""
    lead = _IN_FOLDER.match(sentence.mask)
    if lead is not None:
        folder = folder_of(sentence, lead)
        after = _AFTER_FOLDER.match(sentence.mask, lead.end())
        if folder is None or after is None:
            return None
        cwd, sentence = folder, sentence.slice(after.end())
    match = _RUN.match(sentence.mask)
    if match is None:
        return None
    codes = sentence.codes
    if not codes or codes[0].start != match.end():
        return None
    by = match[0].strip(" :").lower().rpartition(" ")[2] in ("with", "using", "via")
    return _ordered(sentence, codes, cwd, surely=by)


def _ordered(
    sentence: Inline, codes: list[Span], cwd: str, *, surely: bool
) -> ShellCommand | ShellScript | None:
    chosen = [codes[0]]
    for code in codes[1:]:
        between = sentence.mask[chosen[-1].end : code.start]
        if not between.strip(" \n") or between.strip(" ,;&\n").lower() not in _ANDS:
            break
        chosen.append(code)
    lines = [without_prompt((code.code or "").strip()) for code in chosen]
    named = all(names_program(code.code or "", surely=surely) for code in chosen)
    if not named or any(line == "" or is_document(line) for line in lines):
        return None
    place = chosen[-1].end
    behind = place + sentence.mask.startswith((" ", "\n"), place)
    if inside := _IN_FOLDER.match(sentence.mask, behind):
        folder = None if cwd else folder_of(sentence, inside)
        if folder is None:
            return None
        cwd, place = folder, inside.end()
    if not _ends(sentence.mask, place):
        return None
    return (
        ShellCommand(lines[0], cwd) if len(lines) == 1 else ShellScript("\n".join(lines), cwd=cwd)
    )


def folder_of(text: Inline, match: re.Match[str]) -> str | None:
    """The folder that "in the folder `web`" names, where it surely is one of the workspace."""
    code = next((c for c in text.codes if c.start == match.start("code")), None)
    name = (code.code or "").strip() if code else ""
    said = match["before"] or match["behind"] or name.endswith("/")
    if code is None or code.end != match.end("code") or not said or not _FOLDER.fullmatch(name):
        return None
    return name


def lead_folder(text: Inline) -> tuple[Inline, str | None]:
    """``text`` without an "In the folder `web`" that it begins with, and that folder."""
    match = _IN_FOLDER.match(text.mask)
    folder = folder_of(text, match) if match else None
    if match is None or folder is None:
        return text, None
    after = _AFTER_FOLDER.match(text.mask, match.end())
    return text.slice(after.end() if after else match.end()), folder


def _ends(mask: str, place: int) -> bool:
    """Whether a sentence asks for nothing more from ``place`` on: a purpose, a ban, an aside."""
    while match := (
        _NOT_THAT.match(mask, place) or _ASIDE.match(mask, place) or _SUCCEEDS.match(mask, place)
    ):
        place = match.end()
    if (purpose := _PURPOSE.match(mask, place)) and is_clean(purpose[0]):
        place = purpose.end()
    return not mask[place:].strip(" .!:*_\n")


def request_in(text: Inline) -> HttpRequest | None:
    """The page that ``text`` orders to fetch, and nothing else."""
    match = _FETCH.match(text.mask)
    if match is None or is_conditional(text.mask):
        return None
    urls = [s.attachment.url for s in text.spans if isinstance(s.attachment, Link)]
    urls += [code.code for code in text.codes if code.code and _is_url(code.code)]
    urls = [url for url in dict.fromkeys(urls) if _is_url(url)]
    first, *others = sentences(text)
    spans = [s for s in text.spans if s.attachment is not None or s.code is not None]
    if len(urls) != 1 or len(spans) != 1 or not all(is_remark(s.mask) for s in others):
        return None
    before, behind = first.mask[: spans[0].start], first.mask[spans[0].end :]
    if not is_clean(before) or re.search(r"[,;]|\band\b", before):
        return None
    if behind.strip(" .,!:)\n").lower() not in ("", "please", "now", "again"):
        return None
    return HttpRequest(urls[0], "HEAD" if match[0].endswith("HEAD") else "GET")


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://")) and not re.search(r"\s", text)


def is_question(text: Inline) -> bool:
    """Whether a person is asked: it ends in ``?``, or begins with "Ask"."""
    ending = text.mask[-40:].rstrip("\"'”’»)]*_. \n")
    return ending.endswith(("?", "？")) or _ASK.match(text.mask) is not None


def call_in(raw: str, known_tools: Collection[str]) -> tuple[WrittenCall, str, str] | None:
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
        behind = raw[end:].strip()
        return None if _calls(behind, known_tools) else (WrittenCall(name, arguments), lead, behind)
    if name in known_tools:
        behind = raw[match.start(1) + len(name) :].strip()
        if _calls(behind, known_tools):
            return None
        return WrittenCall(name, {}), lead, "" if behind == "." else behind
    return None


def _calls(behind: str, known_tools: Collection[str]) -> bool:
    """Whether another call follows: an item that asks for two calls must not run only the first."""
    found = _CALL_BEHIND.finditer(take_trailing(behind)[0])  # an undo is not another call
    return any(match[2] or match[1].rstrip(".-") in known_tools for match in found)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_JSON: Final = json.JSONDecoder(parse_constant=_refuse)
