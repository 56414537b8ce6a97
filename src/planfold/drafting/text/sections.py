"""How a document is divided, and which of its parts are about something else than the plan."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from planfold.drafting.text.actions import call_in
from planfold.drafting.text.directives import take_directives
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.markdown import Block, Code, Heading, Item, ItemList, Paragraph
from planfold.drafting.text.prose import is_statement, numbered_parts, sentences
from planfold.drafting.text.shell import is_prompted, script_of

_CONTENTS: Final = re.compile(r"(?:table of )?contents|toc|on this page|index", re.IGNORECASE)
_ABOUT: Final = re.compile(  # sections that tell about something instead of asking for it
    r"(?:key |main )?features|highlights|licen[cs]e|licensing|authors?|contributors|credits"
    r"|acknowledge?ments|references|links|see also|further reading|related (?:work|docs"
    r"|documents|documentation|projects)|contacts?|glossary|faq|badges|why .{1,40}\?"
    r"|(?:release )?history|what is .{1,40}\??|about .{1,40}",
    re.IGNORECASE,
)
_IN_CASE: Final = re.compile(  # sections for when something has gone wrong
    r"roll(?:ing)?[ -]?back(?: (?:plan|procedure|steps))?|troubleshooting|known issues"
    r"|if (?:something|anything|things|it) (?:goes|go|went) wrong|if .{1,60} fails?|escalation"
    r"|in case of .{1,60}",
    re.IGNORECASE,
)
_VERB: Final = re.compile(
    r"\b(?:is|are|was|were|be|must|should|shall|will|can|could|may|might|has|have|had|do|does|needs?"
    r"|means?|takes?|contains?|works?|goes|comes|gets?|becomes?|shows?|holds?|applies|apply)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_TELLS: Final = re.compile(
    r"\b(?:automatically|supports?|includes?|provides?|offers?|contains?|consists?|features?)\b",
    re.IGNORECASE,
)
_STEP: Final = re.compile(r"(?:step|phase|stage)\s+\d{1,3}\s*[:.)—–-]\s*\S", re.IGNORECASE)


def is_structured(blocks: list[Block], known_tools: Collection[str]) -> bool:
    """Whether there are lists or commands: if so, paragraphs are commentary."""
    for block in blocks:
        match block:
            case ItemList():
                return True
            case Code(language, content) if script_of(language, content) is not None:
                return True
            case Paragraph(_, raw) if is_prompted(raw) or call_in(raw, known_tools):
                return True
            case _:
                pass
    return False


@dataclass
class Section:
    heading: Heading | None
    blocks: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)


def sections(blocks: list[Block]) -> Section:
    root = Section(None)
    open_sections = [root]
    for block in blocks:
        if isinstance(block, Heading):
            while (top := open_sections[-1].heading) and top.level >= block.level:
                open_sections.pop()
            section = Section(block)
            open_sections[-1].sections.append(section)
            open_sections.append(section)
        else:
            open_sections[-1].blocks.append(block)
    return root


def step_as_heading(block: Block) -> Block:
    """ "Step 2: ..." on a line of its own heads what follows it, as a heading would."""
    if isinstance(block, Paragraph) and "\n" not in block.text.text:
        text = block.text
        if _STEP.match(text.mask) and not numbered_parts(text):
            return Heading(7, text)
    return block


def is_left_out(section: Section, text: Inline) -> bool:
    name = text.line.strip(" :").lower()
    name = re.sub(r"^[^\w]+|[^\w?]+$", "", name)
    if _CONTENTS.fullmatch(name) or _IN_CASE.fullmatch(name):
        return True
    return _ABOUT.fullmatch(name) is not None and not has_boxes(section.blocks)


def has_boxes(blocks: list[Block]) -> bool:
    return any(
        isinstance(block, Paragraph) and re.match(r"\[[ xX]\]", block.text.mask)
        for listed in blocks
        if isinstance(listed, ItemList)
        for item in listed.items
        for block in item.blocks[:1]
    )


def is_contents(block: ItemList) -> bool:
    """A table of contents: every item is a link to a place in the document."""
    return bool(block.items) and all(
        any(
            isinstance(b, Paragraph)
            and b.text.spans[:1]
            and b.text.spans[0].anchor
            and b.text.spans[0].start == 0
            and b.text.spans[0].end == len(b.text.text)
            for b in item.blocks[:1]
        )
        for item in block.items
    )


def split_items(block: ItemList) -> Iterator[Item]:
    """The items; "1. mix 2. bake" on one line is as good as on two."""
    if not (block.ordered and len(block.items) == 1):
        yield from block.items
        return
    item = block.items[0]
    head = item.blocks[0] if item.blocks else None
    parts = numbered_parts(head.text, block.start + 1) if isinstance(head, Paragraph) else []
    if len(parts) < 2 or len(item.blocks) > 1:
        yield item
        return
    for part in parts:
        yield Item([Paragraph(part, part.text)])


def are_choices(lists: list[ItemList]) -> bool:
    return not has_boxes([*lists]) and all(
        len(item.blocks) == 1 and isinstance(item.blocks[0], Paragraph)
        for block in lists
        for item in block.items
    )


def are_details(lists: list[ItemList]) -> bool:
    """Whether nested bullets only say more about the item above them: "The first number is ..."."""
    heads = [item.blocks[0] for block in lists for item in block.items if item.blocks]
    return (
        bool(heads)
        and are_choices(lists)
        and all(
            isinstance(head, Paragraph) and is_statement(head.text) and _VERB.search(head.text.mask)
            for head in heads
        )
    )


def is_enumeration(block: ItemList, lead: Inline) -> bool:
    """Whether bullets only complete a statement above them: "It will automatically: ..."."""
    last = [*sentences(lead)][-1:]
    told = any(is_statement(text) and _TELLS.search(text.mask) for text in last)
    return told and not block.ordered and not has_boxes([block])


def choices(lists: list[ItemList]) -> list[str]:
    heads = (item.blocks[0] for block in lists for item in block.items)
    texts = (take_directives(b.text)[0] for b in heads if isinstance(b, Paragraph))
    return list(dict.fromkeys(line for text in texts if (line := _as_choice(text))))


def _as_choice(text: Inline) -> str:
    only = text.codes[0].code if len(text.codes) == 1 and not text.mask.strip("\0") else None
    return (only or text.line).strip()
