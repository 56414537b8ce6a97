"""What the items of a list are: steps, or parts of a statement above them."""

# ruff: noqa: RUF001 (people write long dashes too)
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from planfold.drafting.text.commands import only_code
from planfold.drafting.text.directives import NONE, take_directives
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import BOX
from planfold.drafting.text.markdown import Block, Code, Item, ItemList, Paragraph
from planfold.drafting.text.mood import (
    begins_with_article,
    is_ban,
    is_closing,
    is_cut_short,
    is_result,
    is_statement,
    is_when,
    leads_conditions,
    only_tells,
    orders,
    tells_below,
)
from planfold.drafting.text.sentences import numbered_parts, sentences
from planfold.drafting.text.shell import is_prompted
from planfold.drafting.text.words import (
    changes_something,
    is_conditional,
    is_procedure,
    leads_examples,
    starts_with_run,
)

_STEP: Final = re.compile(r"(?:step|phase|stage)\s+\d{1,3}\s*[:.)—–-]\s*\S", re.IGNORECASE)
_DISCOURAGED: Final = re.compile(
    r"alternatively\b.{0,600}\b(?:discouraged|not recommended)\b", re.I | re.S
)
_ASSUMES: Final = re.compile(r"(?:this|these|the)\s\w+\sassumes?\b", re.I)
_FOLLOWS_ONE: Final = re.compile(
    r"(?:follow|choose|select|pick|see)\sthe\s(?:section|guide|instructions|chapter)\b[^.]{0,80}:$",
    re.I,
)
_SKIPS: Final = re.compile(
    r"(?:then\s)?(?:skip|go|proceed|continue) (?:on )?to (?:the )?next step\b", re.I
)
_NAME: Final = 4  # words: a longer text is not only a name of the list below it
_TOLD: Final = re.compile(r"[^.:!?]{0,60}?(?::|\s[-–—]{1,2}|\b(?:is|are)\b)\s")


_DUTY: Final = re.compile(r"\b(?:should|must|have to|needs? to)\b", re.IGNORECASE)
_NO_TEXT: Final = Inline("", "")


def heads_of(block: ItemList) -> list[Inline]:
    """What the items of a list begin with."""
    return list(map(_head, block.items))


def _head(item: Item) -> Inline:
    first = item.blocks[0] if item.blocks else None
    return first.text if isinstance(first, Paragraph) else _NO_TEXT


def has_boxes(blocks: list[Block]) -> bool:
    lists = (block for block in blocks if isinstance(block, ItemList))
    return any(BOX.match(text.mask) for block in lists for text in heads_of(block))


def has_code(block: ItemList, *, commands: bool) -> bool:
    """Whether an item of a list has a block of code, or code beside what it orders.

    ``commands``: what is only a command counts, too; elsewhere its effect says what it needs.
    """
    if commands and any(only_code(t) for t in map(_without_box, heads_of(block)) if t.codes):
        return True
    blocks = any(isinstance(inner, Code) for item in block.items for inner in item.blocks)
    return blocks or any(text.codes and asks(_without_box(text)) for text in heads_of(block))


def _without_box(text: Inline) -> Inline:
    box = BOX.match(text.mask)
    return text.slice(box.end()) if box else text


def is_contents(block: ItemList) -> bool:
    """A table of contents: every item is a link to a place in the document."""
    if are_links(block) and any(len(item.blocks) > 1 for item in block.items):
        return True
    return all(
        any(s.anchor and s.start == 0 and s.end == len(text.text) for s in text.spans[:1])
        for text in heads_of(block)
    )


def are_links(block: ItemList) -> bool:
    """Whether all items, and the items in them, are nothing but links."""
    return all(map(_only_links, block.items)) and not block.ordered


def _only_links(item: Item) -> bool:
    """Whether an item, and all in it, is nothing but a link."""
    text = _head(item)
    spans = text.spans[:1]
    whole = any(s.start == 0 and s.end == len(text.text) and s.code is None for s in spans)
    inner = item.blocks[1:]
    return whole and all(isinstance(b, ItemList) and all(map(_only_links, b.items)) for b in inner)


def is_glossary(block: ItemList) -> bool:
    """Whether bullets are definitions: each begins with code and a colon or a dash."""
    return not block.ordered and all(map(_explains, heads_of(block)))


def _explains(text: Inline) -> bool:
    if not text.codes or text.codes[0].start != 0:
        return False
    told = _TOLD.match(text.mask, text.codes[0].end)
    return told is not None and not orders(text.mask[told.end() :])


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


def tells(lead: Inline, block: ItemList) -> bool:
    """Whether items complete a statement above them: "It has these causes: ..."."""
    last = [*sentences(lead)][-1:]
    if not last or has_boxes([block]):
        return False
    if is_cut_short(last[0].mask) or leads_conditions(last[0].mask):
        return True
    ends = last[0].mask.endswith((":", "...", "…")) and not is_conditional(last[0].mask)
    names = ends and not asks(lead) and len(lead.text.split()) > _NAME
    return (names or tells_below(last[0].mask)) and not mostly_orders(block)


def names_below(lead: Inline, block: ItemList) -> bool:
    """Whether a text that orders nothing leads to bullets that order nothing: "Useful options:"."""
    own = has_boxes([block]) or any(map(_is_own, block.items))
    names = are_names([block])
    if own or asks(lead) or (not names and (block.ordered or is_when(lead.mask))):
        return False
    return lead.mask.rstrip().endswith(":") and orders_nothing(block)


def introduces(lead: Inline, block: ItemList) -> bool:
    """Whether a paragraph without an order introduces bullets that mostly have no order."""
    plain = not block.ordered and not has_boxes([block]) and not are_names([block])
    named = len(lead.text.split()) > _NAME and not lead.mask.rstrip().endswith((":", "?"))
    if not plain or not named or asks(lead) or mostly_orders(block):
        return False
    return not any(_DUTY.search(text.mask) for text in heads_of(block))


def are_remarks(lists: list[ItemList]) -> bool:
    """Whether nested bullets only say more about the item above them."""
    texts = [text for block in lists for text in heads_of(block)]
    return bool(texts) and are_choices(lists) and all(map(tells_all, texts))


def tells_all(text: Inline) -> bool:
    return all(only_tells(sentence.mask) for sentence in sentences(text))


def comments_all(text: Inline) -> bool:
    return all(is_statement(sentence.mask) for sentence in sentences(text))


def asks(text: Inline) -> bool:
    """Whether a sentence of a paragraph orders something."""
    return not is_name(text) and any(orders(sentence.mask) for sentence in sentences(text))


def is_aside(text: Inline) -> bool:
    """Whether a paragraph warns, closes the text, or names a way that it advises against."""
    told = [sentence.mask for sentence in sentences(text)]
    if not told or is_closing(told[0]) or _DISCOURAGED.match(text.mask):
        return True
    return is_ban(told[0]) and all(not orders(m) or m.lower().startswith("use ") for m in told)


def gives_example(text: Inline) -> bool:
    """Whether a text that orders nothing leads to an example, or says what it takes for granted."""
    if _ASSUMES.match(text.mask):
        return True
    several = len([*sentences(text)]) > 1
    return several and not asks(text) and leads_examples(text.mask)


def choices_of_place(lead: Inline, block: ItemList) -> list[str]:
    """The sections that a text says to choose from: "Follow the section for your system: ..."."""
    if _FOLLOWS_ONE.match(lead.mask) is None or not are_links(block):
        return []
    return [text.line for text in heads_of(block)]


def are_watched(block: ItemList) -> bool:
    """Whether a bullet only shows how something is getting on: `watch` does not end."""
    codes = [text.codes for text in heads_of(block) if not text.mask.strip("\0 ")]
    return any((code.code or "").startswith("watch ") for found in codes for code in found)


def are_counted(block: ItemList) -> bool:
    """Whether bullets have numbers of their own: "Step 1: ..."."""
    return all(_STEP.match(text.mask) for text in heads_of(block))


def are_steps(block: ItemList) -> bool:
    """Whether an item of a list changes something that the next one may need."""
    return any(map(_is_step, heads_of(block)))


def are_of_procedure(block: ItemList) -> bool:
    """Whether an item speaks of a release, an upgrade or the like."""
    return any(is_procedure(text.mask[:200]) for text in heads_of(block))


def _is_step(text: Inline) -> bool:
    return changes_something(_without_box(text).mask)


def are_comments(block: ItemList) -> bool:
    """Whether most of the items of a list are statements."""
    texts = heads_of(block)
    if len(texts) > 1 and all(begins_with_article(text.mask) for text in texts):
        return True
    return 2 * sum(bool(text.text) and comments_all(text) for text in texts) > len(texts)


def says_more(text: Inline, block: ItemList) -> bool:
    """Whether nested bullets only say more about the item ``text``, which is the step."""
    told = list(sentences(text))
    if block.ordered or has_boxes([block]) or not told:
        return False
    if asks(text) and are_watched(block):
        return True  # they run side by side, until what is waited for has happened
    if any(map(_is_own, block.items)):
        return False
    if is_result(text.mask) and orders_nothing(block):
        return True
    if any(_SKIPS.match(head.mask) for head in heads_of(block)):
        return True  # a case, and how it ends
    if not asks(text):
        return False
    if len(told) > 1 or leads_examples(told[-1].mask):
        return True
    if len(text.text.split()) > _NAME and not told[-1].mask.endswith(":") and orders_nothing(block):
        return True
    return any(map(comments_all, heads_of(block)))


def _is_own(item: Item) -> bool:
    """Whether a nested bullet is a task of its own: a command, or one with directives."""
    head = item.blocks[0] if item.blocks else None
    if not isinstance(head, Paragraph):
        return True
    text = head.text
    only = bool(text.codes) and only_code(text) is not None
    said = take_directives(text)[1] is not NONE
    return only or said or starts_with_run(text.mask) or is_prompted(head.raw)


def mostly_orders(block: ItemList) -> bool:
    return len(block.items) < 2 * sum(map(asks, heads_of(block)))


def orders_nothing(block: ItemList) -> bool:
    return not any(map(asks, heads_of(block)))


def are_names(lists: list[ItemList]) -> bool:
    """Whether items are only links, code and names: things or people, and nothing to do."""
    items = [item for block in lists for item in block.items]
    texts = [text for block in lists for text in heads_of(block)]
    return bool(texts) and all(len(item.blocks) == 1 for item in items) and all(map(is_name, texts))


def is_name(text: Inline) -> bool:
    """Only links and code, with capitalised words beside links ("Ann Lee [@ann](...)")."""
    text = _without_box(text)
    if text.codes and orders(text.mask):
        return False  # Read `notes.md`
    place, rest = 0, ""
    for span in text.spans:
        rest += text.text[place : span.start]
        place = max(place, span.end)
    words = re.findall(r"\w[\w'’-]*", rest + text.text[place:])
    return bool(text.spans) and all(word[:1].isupper() for word in words) and len(words) < 6
