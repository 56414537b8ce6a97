"""The blocks of a Markdown text (headings, paragraphs, lists, code), as markdown-it sees them."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from textwrap import dedent
from typing import TYPE_CHECKING

from planfold.drafting.text.inline import Inline, from_tokens

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_NESTING = 100  # as deep as anybody writes; keeps the recursion of parser and drafter bounded

# Bullets that people use and Markdown does not know; a check box needs no bullet either.
_BULLET = re.compile(r"^([ \t]*)(?:([•◦▪▫‣⁃●○–—·∙])(?=[ \t])|(?=\[[ xX]\][ \t]))")
_BOX = re.compile(r"^([ \t]*(?:[-*+][ \t]+)?)([☐☑☒✅])[ \t]+")
_FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?=[\w-]+[ \t]*:)(?:.*\n){1,200}?(?:---|\.\.\.)[ \t]*(?:\n|$)"
)
_URL = re.compile(r"https?://[^\s<>\"'`|\\^\0]+")
_SCHEME_AT_END = re.compile(r"(?<![A-Za-z0-9+.-])https?$")


@dataclass
class Heading:
    level: int
    text: Inline


@dataclass
class Paragraph:
    text: Inline
    raw: str  # as written: a command must not lose its backslashes and asterisks


@dataclass
class Code:
    language: str
    content: str


@dataclass
class Item:
    blocks: list[Block] = field(default_factory=list)


@dataclass
class ItemList:
    ordered: bool
    start: int
    items: list[Item] = field(default_factory=list)


@dataclass
class Quote:
    blocks: list[Block] = field(default_factory=list)


Block = Heading | Paragraph | Code | ItemList | Quote


def read_blocks(text: str) -> list[Block]:
    """The blocks of ``text``; tables, HTML, rules and front matter are left out."""
    source = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    if match := _FRONT_MATTER.match(source):
        source = source[match.end() :]
    tokens = _parser().parse(source)
    plain_lists = _with_bullets(source, tokens)
    if plain_lists is not None:
        tokens = _parser().parse(plain_lists)
    return _blocks(tokens)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # here, so that a typed plan never pays for it

    class Parser(MarkdownIt):
        """Addresses stay as they are written: a tool gets them, not a browser."""

        def normalizeLink(self, url: str) -> str:
            return url

        def normalizeLinkText(self, link: str) -> str:
            return link

    parser = Parser("commonmark", {"maxNesting": _NESTING}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "address", _address)
    return parser


def _address(state: StateInline, silent: bool) -> bool:
    """Inline rule: a bare http(s) address is one token, whatever marks it holds."""
    if state.linkLevel > 0 or not state.src.startswith("://", state.pos):
        return False
    scheme = _SCHEME_AT_END.search(state.pending)
    if scheme is None:
        return False
    match = _URL.match(state.src, state.pos - len(scheme[0]))
    url = trimmed_url(match[0]) if match else ""
    if len(url) <= len(scheme[0]) + 3:
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        opening = state.push("link_open", "a", 1)
        opening.attrs = {"href": url}
        opening.info = "auto"
        state.push("text", "", 0).content = url
        state.push("link_close", "a", -1).info = "auto"
    state.pos += len(url) - len(scheme[0])
    return True


def trimmed_url(url: str) -> str:
    """``url`` without the punctuation of the sentence around it."""
    surplus = {c: url.count(c) - url.count(opening) for c, opening in _OPENING.items()}
    end = len(url)
    while end:
        last = url[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in ".,;:!?*_~":
            break
        end -= 1
    return url[:end]


_OPENING = {")": "(", "]": "[", "}": "{"}


def _with_bullets(source: str, tokens: list[Token]) -> str | None:
    """``source`` with every odd bullet that stands in a paragraph made a Markdown one."""
    lines = source.split("\n")
    changed = False
    for token in tokens:
        if token.type == "inline" and token.map is not None:
            for number in range(*token.map):
                line = _BOX.sub(_box, _BULLET.sub(_bullet, lines[number]))
                changed = changed or line != lines[number]
                lines[number] = line
    return "\n".join(lines) if changed else None


def _bullet(match: re.Match[str]) -> str:
    return match[1] + ("-" if match[2] else "- ")  # nested items keep their columns


def _box(match: re.Match[str]) -> str:
    mark = " " if match[2] == "☐" else "x"
    return f"{match[1] if match[1].strip() else match[1] + '- '}[{mark}] "


def _blocks(tokens: list[Token]) -> list[Block]:
    root: list[Block] = []
    inside: list[list[Block]] = [root]  # the block lists that are open
    lists: list[ItemList] = []
    heading = 0
    table = 0
    for token in tokens:
        kind = token.type
        if kind in ("table_open", "table_close"):
            table += token.nesting
        elif table:
            continue
        elif kind in ("bullet_list_open", "ordered_list_open"):
            lists.append(_list(token))
            inside[-1].append(lists[-1])
        elif kind in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif kind == "list_item_open":
            lists[-1].items.append(Item())
            inside.append(lists[-1].items[-1].blocks)
        elif kind == "blockquote_open":
            quote = Quote()
            inside[-1].append(quote)
            inside.append(quote.blocks)
        elif kind in ("list_item_close", "blockquote_close"):
            inside.pop()
        elif kind in ("heading_open", "heading_close"):
            heading = int(token.tag[1:]) if token.nesting > 0 else 0
        elif kind in ("fence", "code_block"):
            language = token.info.strip().split(maxsplit=1)[0] if token.info.strip() else ""
            # A tab after a bullet leaves some of its width before the code.
            content = token.content if kind == "fence" else dedent(token.content)
            inside[-1].append(Code(language.strip("{}.").lower(), content))
        elif kind == "inline":
            text = from_tokens(token.children or [])
            block: Block = Heading(heading, text) if heading else Paragraph(text, token.content)
            inside[-1].append(block)
    return root


def _list(token: Token) -> ItemList:
    start = token.attrGet("start")
    ordered = token.type == "ordered_list_open"
    return ItemList(ordered, int(start) if start is not None else 1)
