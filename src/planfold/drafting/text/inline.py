"""``Inline``: a run of text in which code spans and addresses cannot be cut apart."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from planfold.drafting.paths import is_path
from planfold.planner.tasks import Attachment, FileRef, ImageRef, Link

if TYPE_CHECKING:
    from markdown_it.token import Token

HIDDEN = "\0"  # replaces one protected character in a mask; never occurs in a text

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(
    r"</?(?:a|b|br|center|code|del|details|div|em|font|hr|i|img|input|ins|kbd|mark|p|s|samp|small"
    r"|span|strong|sub|summary|sup|u|var)\b[^>]*>",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[^\S\n]{2,}")
_HERE = frozenset(["here", "this", "link", "this link", "this page"])
_WORD = re.compile(r"[^\s\0,;()<>\"'`|]+")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text that means something: code, an address, a link to an anchor."""

    start: int
    end: int
    code: str | None = None
    attachment: Attachment | None = None
    anchor: bool = False  # a link to a place in the same document


@dataclass(frozen=True)
class Inline:
    """``mask`` is as long as ``text``, with HIDDEN wherever nothing may be read as syntax."""

    text: str
    mask: str
    spans: tuple[Span, ...] = ()

    def slice(self, start: int, end: int | None = None) -> Inline:
        """The part from ``start`` to ``end`` without the white space around it."""
        end = len(self.text) if end is None else end
        while start < end and self.text[start].isspace():
            start += 1
        while end > start and self.text[end - 1].isspace():
            end -= 1
        first = bisect_left(self._starts, start)
        last = bisect_left(self._starts, end, lo=first)
        spans = tuple(
            Span(s.start - start, s.end - start, s.code, s.attachment, s.anchor)
            for s in self.spans[first:last]
        )
        return Inline(self.text[start:end], self.mask[start:end], spans)

    def without(self, start: int, end: int) -> Inline:
        """The text without that part; one space replaces it where it was inside."""
        left, right = self.slice(0, start), self.slice(end)
        return left.joined(right, "" if right.text[:1] in (".", ",", ";", ":", "!", "?") else " ")

    def joined(self, other: Inline, between: str) -> Inline:
        if not other.text:
            return self
        if not self.text:
            return other
        shift = len(self.text) + len(between)
        moved = tuple(
            Span(s.start + shift, s.end + shift, s.code, s.attachment, s.anchor)
            for s in other.spans
        )
        return Inline(
            self.text + between + other.text, self.mask + between + other.mask, self.spans + moved
        )

    @cached_property
    def _starts(self) -> list[int]:
        return [span.start for span in self.spans]

    @property
    def is_struck(self) -> bool:
        """Whether all of the text is struck out, or part of it where it holds nothing else."""
        return self.text.startswith("~~") and not self.mask.strip(HIDDEN + " .,:;\n")

    @property
    def line(self) -> str:
        """The text on one line."""
        return self.text.replace("\n", " ").strip()

    @property
    def shown(self) -> str:
        """The text on one line, with the addresses of links that are only called "here"."""
        named = (self.text[span.start : span.end].lower() for span in self.spans)
        here = [span for span, name in zip(self.spans, named, strict=True) if name in _HERE]
        return self._with_targets(here) if here else self.line

    @property
    def with_targets(self) -> str:
        """The text with the addresses of its links, which a note has no other place for."""
        return self._with_targets(self.spans)

    def _with_targets(self, spans: Iterable[Span]) -> str:
        parts: list[str] = []
        place = 0
        for span in spans:
            target = span.attachment
            if target is None or span.end < place:
                continue
            address = _address(target)
            parts.append(self.text[place : span.end])
            place = span.end
            if address not in self.text[span.start : span.end]:
                parts.append(f" ({address})")
        return "".join([*parts, self.text[place:]]).replace("\n", " ").strip()

    @property
    def codes(self) -> list[Span]:
        return [span for span in self.spans if span.code is not None]

    def attachments(self) -> list[Attachment]:
        """All that the text points to, in its order and once each."""
        found = [(s.start, s.attachment) for s in self.spans if s.attachment is not None]
        addresses = {_address(attachment) for _, attachment in found}
        found += [ref for ref in self._paths() if ref[1].path not in addresses]
        ordered = (attachment for _, attachment in sorted(found, key=lambda pair: pair[0]))
        return list({_address(attachment): attachment for attachment in ordered}.values())

    def _paths(self) -> Iterator[tuple[int, FileRef]]:
        for span in self.codes:
            if span.code and is_path(span.code):
                yield span.start, FileRef(span.code)
        for match in _WORD.finditer(self.mask):
            word = match[0].rstrip(".:!?*")
            if is_path(word):
                yield match.start(), FileRef(word)


def _address(attachment: Attachment) -> str:
    match attachment:
        case Link(url=address) | ImageRef(source=address) | FileRef(path=address):
            return address


def from_tokens(tokens: list[Token]) -> Inline:
    """The text that a reader sees, from the children of an inline token."""
    writer = _InlineWriter(tokens)
    for place, token in enumerate(tokens):
        writer.add(place, token)
    spans = tuple(sorted(writer.spans, key=lambda span: (span.start, span.end)))
    return Inline("".join(writer.text), "".join(writer.mask), spans)


class _InlineWriter:
    def __init__(self, tokens: list[Token]) -> None:
        self.text: list[str] = []
        self.mask: list[str] = []
        self.spans: list[Span] = []
        self._length = 0
        self._struck = 0  # open ~~: what is struck out is shown, but never read as code
        self._links: list[tuple[int, Token, int]] = []
        self._visible = _visible_emphasis(tokens)

    def add(self, place: int, token: Token) -> None:
        match token.type:
            case "text":
                self._write(_BLANKS.sub(" ", token.content))
            case "softbreak" | "hardbreak":
                self._write("\n")
            case "code_inline":
                self._code(token)
            case "html_inline":
                self._html(token.content)
            case "link_open":
                self._links.append((self._length, token, len(self.text)))
            case "link_close":
                self._link()
            case "image":
                self._image(token)
            case "s_open" | "s_close":
                self._struck += token.nesting > 0
                self._write("~~")
                self._struck -= token.nesting < 0
            case _ if place in self._visible:
                self._write(token.markup)

    def _write(self, text: str, mask: str | None = None) -> None:
        self.text.append(text)
        if self._struck:
            mask = HIDDEN * len(text)
        self.mask.append(text.replace(HIDDEN, "\ufffd") if mask is None else mask)
        self._length += len(text)

    def _code(self, token: Token) -> None:
        content = token.content
        pad = " " if content.startswith("`") or content.endswith("`") else ""
        written = f"{token.markup}{pad}{content}{pad}{token.markup}"
        start = self._length
        self._write(written, HIDDEN * len(written))
        if not self._struck:
            self.spans.append(Span(start, self._length, code=content))

    def _html(self, content: str) -> None:
        if content.lower().startswith("<br"):
            self._write("\n")
        elif not _COMMENT.fullmatch(content) and not _TAG.fullmatch(content):
            self._write(content)  # a placeholder such as <version>

    def _link(self) -> None:
        start, token, first = self._links.pop()
        href = str(token.attrGet("href") or "")
        shown = "".join(self.text[first:])
        if token.info == "auto":
            self.mask[first:] = [HIDDEN * len(part) for part in self.mask[first:]]
            title = ""
        else:
            title = "" if shown == href else shown.strip("`").replace("\n", " ")
        anchor = href.startswith("#")
        attachment: Attachment | None = None
        if href and not anchor:
            local = not _SCHEME.match(href)
            path = unquote(href.partition("#")[0]) if local else ""
            attachment = FileRef(path, title) if local else Link(href, title)
        self.spans.append(Span(start, self._length, attachment=attachment, anchor=anchor))

    def _image(self, token: Token) -> None:
        source = str(token.attrGet("src") or "")
        if self._links or not source:  # a badge: the link says it all
            return
        start = self._length
        self._write(token.content)
        self.spans.append(Span(start, self._length, attachment=ImageRef(source, token.content)))


def _visible_emphasis(tokens: list[Token]) -> set[int]:
    """Places of the emphasis marks that are meant literally: in __init__.py, 2*3*4, a_b_."""
    visible: set[int] = set()
    opened: list[int] = []
    for place, token in enumerate(tokens):
        if token.type in ("em_open", "strong_open"):
            opened.append(place)
        elif token.type in ("em_close", "strong_close") and opened:
            start = opened.pop()
            before = tokens[start - 1].content[-1:] if start else ""
            after = tokens[place + 1].content[:2] if place + 1 < len(tokens) else ""
            inside_word = (before.isalnum() or before in tuple("/\\")) and before != ""
            goes_on = after[:1].isalnum() or after[:1] in tuple("/\\")
            suffix = after[:1] == "." and after[1:2].isalnum()
            strong = token.markup == "**"
            if (inside_word and goes_on) if strong else (inside_word or goes_on or suffix):
                visible |= {start, place}
    return visible
