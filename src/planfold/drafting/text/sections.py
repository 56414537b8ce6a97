"""How a document is divided, and which of its parts are about something else than the plan."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from planfold.drafting.text.bullets import (
    are_names,
    has_boxes,
    tells_all,
)
from planfold.drafting.text.commands import call_in
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import without_number
from planfold.drafting.text.markdown import Block, Code, Heading, ItemList, Paragraph
from planfold.drafting.text.mood import (
    orders,
)
from planfold.drafting.text.sentences import numbered_parts, sentences
from planfold.drafting.text.shell import block_of, is_prompted

_ABOUT: Final = re.compile(  # sections that describe something instead of asking for it
    r"(?:table of )?contents|toc|on this page|index"
    r"|(?:key |main )?features|highlights|licen[cs]e|licensing|credits"
    r"|acknowledge?ments|references?|links|see also|further reading|related (?:work|docs"
    r"|documents|documentation|projects)|contacts?|glossary|faq|badges|why .{1,40}\?"
    r"|what is .{1,40}\??|about .{1,40}|introduction|overview|background"
    r"|motivation|(?:quick )?(?:usage|examples?)(?: .{1,40})?|synopsis|demo|status|roadmap"
    r"|community|support|sponsors?|resources|appendix.{0,40}"
    r"|(?:end-(?:to|2)-end|full|complete|worked) examples?"
    r"|reasons?(?: .{1,60})?|rationale(?: .{1,40})?|congratulations\b.{0,200}"
    r"|meaning|impact|purpose|scope|symptoms|when to use.{0,40}|definitions"
    r"|notes? (?:on|about) .{1,80}|(?:should|can|may|must|do) (?:i|we) .{1,60}\?",
    re.IGNORECASE,
)
_WORK: Final = re.compile(  # the same, where they order nothing
    r"authors?|contributors|change ?log|release notes|(?:release )?history|issues", re.IGNORECASE
)
_RULES: Final = re.compile(  # the same, where they have no numbered items
    r"(?:.{1,40}\s)?(?:features|polic(?:y|ies)|compatibility|guarantees|principles|goals|versioning"
    r"|criteria|stability|conventions|philosophy|requirements|prerequisites|pre-requisites)",
    re.IGNORECASE,
)
_IN_CASE: Final = re.compile(  # sections for when something has gone wrong
    r"roll(?:ing)?[ -]?back(?: .{1,40})?|.{0,40}troubleshooting.{0,40}|known issues|escalation"
    r"|(?:common )?(?:problems|errors|pitfalls)|common issues|uninstall(?:ing|ation)?(?: .{1,40})?"
    r"|debugging(?: .{1,40})?|recovery|undo(?:ing)?(?: .{1,40})?",
    re.IGNORECASE,
)
_STEP: Final = re.compile(r"(?:step|phase|stage)\s+\d{1,3}\s*[:.)—–-]\s*\S", re.IGNORECASE)
_BOLD: Final = re.compile(r"\*\*(?!\s)(?:[^*\n]|(?<=\w)\*(?=\w)){1,120}(?<![\s.!?,;])\*\*:?")


def is_structured(blocks: list[Block], known_tools: Collection[str]) -> bool:
    """Whether there are lists or commands: if so, paragraphs are commentary."""
    above = Inline("", "")
    for block in blocks:
        match block:
            case ItemList():
                return True
            case Code(language, content):
                lead = above.mask.endswith(":") and not tells_all(above)
                if lead or block_of(language, content) is not None:
                    return True
            case Heading(_, text) if without_number(text) is not None:
                return True
            case Paragraph(_, raw) if is_prompted(raw) or call_in(raw, known_tools):
                return True
            case Paragraph() if isinstance(as_heading(block), Heading):
                return True
            case _:
                pass
        above = block.text if isinstance(block, Paragraph) else Inline("", "")
    return False


@dataclass
class Section:
    heading: Heading | None
    blocks: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)


def sections(blocks: list[Block]) -> Section:
    root = Section(None)
    open_sections = [root]
    for block in map(as_heading, blocks):
        if isinstance(block, Heading):
            while (top := open_sections[-1].heading) and top.level >= block.level:
                open_sections.pop()
            section = Section(block)
            open_sections[-1].sections.append(section)
            open_sections.append(section)
        else:
            open_sections[-1].blocks.append(block)
    return root


def as_heading(block: Block) -> Block:
    """ "Step 2: ..." and "**Build**" on a line of their own head what follows them."""
    if isinstance(block, Paragraph) and "\n" not in block.raw:
        text = block.text
        step = _STEP.match(text.mask) and not numbered_parts(text)
        bold = _BOLD.fullmatch(block.raw) and not block.raw.endswith(":") and not text.codes
        if step or bold:
            return Heading(7, text)
    return block


_TAG: Final = re.compile(r"\{\{?[<%][^}\n]{0,120}\}\}?\s*")
_SET_OFF: Final = re.compile(r"(?:\{\{?[<%]|:::|!!!\s|\?\?\?\s)")
_DIRECTIVE: Final = re.compile(r"\{[a-z][a-z-]{1,30}\}")
_CODE_DIRECTIVE: Final = re.compile(r"\{(?:code|raw|eval|literal|parsed|prompt)[a-z-]{0,30}\}")


def is_set_off(block: Block) -> bool:
    """Whether a block is a remark in a box, or nothing but a tag, of a site generator."""
    if isinstance(block, Code):
        directive = _DIRECTIVE.match(block.language)
        return directive is not None and _CODE_DIRECTIVE.match(block.language) is None
    return isinstance(block, Paragraph) and _SET_OFF.match(block.raw) is not None


def is_danger(block: Block) -> bool:
    """Whether a remark in a box warns: "{{< hint style="danger" >}}"."""
    raw = block.raw if isinstance(block, Paragraph) else ""
    return is_set_off(block) and re.search(r"danger|warning|caution", raw[:80]) is not None


def is_tag(block: Block) -> bool:
    """Whether a paragraph is nothing but a tag: "{% raw %}"."""
    return isinstance(block, Paragraph) and not _TAG.sub("", block.raw[:400]).strip()


def is_about(text: Inline) -> bool:
    """Whether a heading names rules or requirements, which order nothing."""
    return _RULES.fullmatch(_name_of(text)) is not None


def is_for_trouble(text: Inline) -> bool:
    """Whether a heading names what is for another day: "Rollback", "Troubleshooting"."""
    return _IN_CASE.fullmatch(_name_of(text)) is not None


def is_left_out(section: Section, text: Inline) -> bool:
    name = _name_of(text)
    if _IN_CASE.fullmatch(name):
        return True
    if has_boxes(section.blocks):
        return False
    asks = any(
        isinstance(block, Code) or (isinstance(block, ItemList) and block.ordered)
        for block in section.blocks
    )
    if _RULES.fullmatch(name):
        return not asks and not section.sections
    if _WORK.fullmatch(name):
        return not (asks or _orders(section.blocks))
    return _ABOUT.fullmatch(name) is not None


def _name_of(text: Inline) -> str:
    return re.sub(r"^[^\w]{1,40}|[^\w?]{1,40}$", "", text.line.strip(" :").lower())


def _orders(blocks: list[Block]) -> bool:
    """Whether a paragraph of a section orders something first of all."""
    texts = (block.text for block in blocks if isinstance(block, Paragraph))
    return any(orders(first.mask) for text in texts for first in [*sentences(text)][:1])


def continued(blocks: list[Block]) -> list[Block]:
    """``blocks``, with text inside a numbered list, or right below a list, moved into its items.

    What is between 1. and 2. belongs to 1, although it is not indented; so does a block of code
    right below the last item.
    """
    found: list[Block] = []
    last: ItemList | None = None  # the numbered list that may continue
    since: list[Block] = []
    for block in blocks:
        above = found[-1] if found else None
        if isinstance(block, Code) and isinstance(above, ItemList) and _waits(above):
            above.items[-1].blocks.append(block)
            continue
        if isinstance(block, ItemList) and last is not None and _continues(last, block):
            last.items[-1].blocks += since
            last.items += block.items
            del found[len(found) - len(since) :]
            since = []
            continue
        found.append(block)
        if isinstance(block, ItemList) and block.ordered:
            last, since = block, []
        elif last is not None:
            since.append(block)
    return found


def _continues(last: ItemList, block: ItemList) -> bool:
    return block.ordered and 1 < block.start == last.start + len(last.items)


def _waits(block: ItemList) -> bool:
    """Whether the last item may have the code that is right below it, and not indented."""
    head = block.items[-1].blocks[-1:] if block.items else []
    text = head[0].text if head and isinstance(head[0], Paragraph) else Inline("", "")
    return text.mask.rstrip().endswith(":") or (block.ordered and not are_names([block]))
