"""The blocks of a Markdown text (headings, paragraphs, lists, code), as markdown-it sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from textwrap import dedent
from typing import TYPE_CHECKING

from planfold.drafting.text.front_matter import front_lines
from planfold.drafting.text.inline import Inline, from_tokens
from planfold.drafting.text.marks import with_bullets

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_NESTING = 100  # deeper than a person writes; bounds the recursion of parser and drafter

_FRONT_TITLE = re.compile(
    r"^(?P<quote>[\"']?)(?P<key>title)(?P=quote)[ \t]*:[ \t]+(?P<text>.+?)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
# A link of a site generator: [name]({% link page.md %}#place).
_LINK_TAG = re.compile(
    r"\]\(\{%-? {0,3}(?:link|post_url) {1,3}([^\s%)]{1,200}) {0,3}-?%\}(#[\w-]{1,80})?\)"
)
_FENCE = re.compile(r"([ \t>*+.)\d-]{0,20})(`{3,20}(?!.*`)|~{3,20})")
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


@dataclass
class Note:
    """What is shown beside the plan: a table, HTML, the front matter (which may have a title)."""

    text: str
    title: str = ""


Block = Heading | Paragraph | Code | ItemList | Quote | Note


def read_blocks(text: str) -> list[Block]:
    """The blocks of ``text``, in its order."""
    source = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    found: list[Block] = []
    if (front := front_lines(source)) is not None and front.end is not None:
        found.append(Note(front.yaml.strip("\n"), _title_in(front.yaml)))
        source = source[front.end :]
    source = "\n".join(_with_indents(source.split("\n")))
    source = _LINK_TAG.sub(r"](\1\2)", source)
    tokens = _parser().parse(source)
    lines = source.split("\n")
    inline = (token for token in tokens if token.type == "inline" and token.map is not None)
    if with_bullets(lines, (range(*token.map) for token in inline if token.map)):
        tokens = _parser().parse("\n".join(lines))
    return _joined([*found, *_blocks(tokens, lines)])


def _title_in(front: str) -> str:
    """The title that front matter gives, which may be more than planfold's YAML."""
    found = _FRONT_TITLE.search(front)
    if found is None:
        return ""
    from planfold.drafting.yamlplans import YamlFault, load_yaml

    with suppress(YamlFault):
        said = load_yaml(front)
        title = said.get(found["key"]) if isinstance(said, dict) else None
        if isinstance(title, (str, int, float)) and not isinstance(title, bool):
            return str(title).strip()
    return found["text"].strip("\"'")


def _with_indents(lines: list[str]) -> list[str]:
    """``lines`` with the code in an indented fence as deep as the fence, where it is not: else it
    would end the item that contains the fence."""
    start, depth, fence = -1, "", ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark is None:
            continue
        if start < 0:
            start, depth, fence = number, mark[1], mark[2]
        elif mark[2].startswith(fence) and not line[mark.end() :].strip():
            inside = range(start + 1, number)
            deep = depth == mark[1] and not depth.strip()
            if deep and any(lines[n].strip() and not lines[n].startswith(depth) for n in inside):
                lines[start + 1 : number] = [depth + lines[n] for n in inside]
            start = -1
    return lines


def _joined(blocks: list[Block]) -> list[Block]:
    """Lists that only a comment keeps apart are one list."""
    joined: list[Block] = []
    for block in blocks:
        if isinstance(block, ItemList):
            for item in block.items:
                item.blocks = _joined(item.blocks)
            last = next((b for b in reversed(joined) if not _is_comment(b)), None)
            apart = bool(joined) and last is not joined[-1]
            if apart and isinstance(last, ItemList) and last.ordered == block.ordered:
                last.items += block.items
                continue
        joined.append(block)
    return joined


def _is_comment(block: Block) -> bool:
    return isinstance(block, Note) and block.text.startswith("<!--")


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # here, so that a typed plan never pays for it

    class Parser(MarkdownIt):
        """Addresses are not rewritten: a tool gets them, not a browser."""

        def normalizeLink(self, url: str) -> str:
            return url

        def normalizeLinkText(self, link: str) -> str:
            return link

    parser = Parser("commonmark", {"maxNesting": _NESTING}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "address", _address)
    return parser


def _address(state: StateInline, silent: bool) -> bool:
    """Inline rule: a bare http(s) address is one token, even with marks in it."""
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


def _code(token: Token) -> Code:
    language = token.info.strip().split(maxsplit=1)[0] if token.info.strip() else ""
    # A tab after a bullet leaves some of its width before the code.
    content = token.content if token.type == "fence" else dedent(token.content)
    return Code(language.strip("{}.").lower(), content)


def _blocks(tokens: list[Token], lines: list[str]) -> list[Block]:
    root: list[Block] = []
    inside: list[list[Block]] = [root]  # the block lists that are open
    lists: list[ItemList] = []
    heading = 0
    table = 0
    for token in tokens:
        kind = token.type
        if kind in ("table_open", "table_close"):
            table += token.nesting
            if token.nesting > 0 and token.map:
                inside[-1].append(Note("\n".join(lines[slice(*token.map)])))
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
        elif kind == "html_block":
            inside[-1].append(Note(token.content.strip()))
        elif kind in ("fence", "code_block"):
            inside[-1].append(_code(token))
        elif kind == "inline":
            text = from_tokens(token.children or [])
            block: Block = Heading(heading, text) if heading else Paragraph(text, token.content)
            inside[-1].append(block)
    return root


def _list(token: Token) -> ItemList:
    start = token.attrGet("start")
    ordered = token.type == "ordered_list_open"
    return ItemList(ordered, int(start) if start is not None else 1)


def text_of(block: Block, *, targets: bool = False) -> str:
    """What a reader sees of ``block``, as lines; with the ``targets`` of its links."""

    def inner(blocks: list[Block]) -> str:
        return "\n".join(text_of(block, targets=targets) for block in blocks)

    match block:
        case Heading(_, text):
            return text.with_targets if targets else text.line
        case Paragraph(text, raw):
            return (text.with_targets if targets else text.line) or raw
        case Code(_, content) | Note(content):
            return content.strip("\n")
        case Quote(blocks):
            return inner(blocks)
        case ItemList(ordered, start, items):
            marks = (f"{start + place}." if ordered else "-" for place in range(len(items)))
            return "\n".join(
                f"{mark} " + inner(item.blocks).replace("\n", "\n  ")
                for mark, item in zip(marks, items, strict=True)
            )


def paragraphs(block: Block) -> Iterator[Paragraph]:
    """The paragraphs in ``block``."""
    match block:
        case Paragraph():
            yield block
        case Quote(blocks):
            for inside in blocks:
                yield from paragraphs(inside)
        case ItemList(items=items):
            for item in items:
                for inside in item.blocks:
                    yield from paragraphs(inside)
        case _:
            pass
