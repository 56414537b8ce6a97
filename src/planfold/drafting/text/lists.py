"""The items of lists, and the items in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from planfold.drafting.text.bullets import (
    are_choices,
    are_comments,
    are_counted,
    are_names,
    are_of_procedure,
    are_remarks,
    are_steps,
    asks,
    comments_all,
    has_boxes,
    has_code,
    heads_of,
    is_glossary,
    orders_nothing,
    says_more,
    split_items,
    tells,
    tells_all,
)
from planfold.drafting.text.directives import Directives, take_directives
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import Reading, take_box
from planfold.drafting.text.markdown import Block, Item, ItemList, Note, Paragraph
from planfold.drafting.text.parts import (
    Context,
    Entry,
    Group,
    Numbering,
    Part,
    append,
    entries,
    point_to,
)
from planfold.drafting.text.reader import ItemReader
from planfold.drafting.text.sentences import sentences, take_connector, without_stop
from planfold.drafting.text.words import is_label_clean, is_procedure, leads_examples
from planfold.planner.tasks import NodeKind

_ONE_BY_ONE: Final = re.compile(
    r"\bin (?:this|the following|that) order\b|\bone (?:by|after)|\b(?:steps|procedure)\b",
    re.IGNORECASE,
)
_BEFOREHAND: Final = re.compile(r"\bbeforehand\W*$", re.IGNORECASE)
_SIDE_BY_SIDE: Final = re.compile(
    r"\bin (?:parallel|any order)\b|\bat the same time\b", re.IGNORECASE
)
_CHOOSE: Final = re.compile(r"(?:please\s+)?(?:choose|decide|select|pick)(?![\w-])", re.IGNORECASE)
_NO_TEXT: Final = Inline("", "")


class Lists:
    """Reads lists, with ``reader`` for their items."""

    def __init__(self, reader: ItemReader) -> None:
        self._reader = reader

    def items(
        self, block: ItemList, lead: Inline, outer: Numbering | None, context: Context
    ) -> Group:
        """The items of a list; ``lead`` is the text that introduces it."""
        ordered = self._are_in_order(block, lead, context)
        numbering = Numbering(outer) if block.ordered else outer
        group = Group(ordered, numbering=numbering)
        number = block.start
        plain = not block.ordered
        # A lead may ask for what its bullets say; among steps a statement may be one, too.
        comments = plain and not has_boxes([block]) and not lead.text and are_comments(block)
        nothing = comments and orders_nothing(block)
        plain = plain and not (asks(lead) and lead.mask.rstrip().endswith(":"))
        for item in split_items(block):
            then, beside, part = self._item(
                item, numbering, context, plain=plain, comments=comments, nothing=nothing
            )
            if part is None:
                number += block.ordered
                continue
            if block.ordered and numbering is not None:
                numbering.parts[number] = part
            number += 1
            if ordered:
                append(group.parts, part, beside and not then)
            elif then and group.parts:
                group.parts = [Group(parts=[Group(group.ordered, group.parts), part])]
            else:
                group.parts.append(part)
        return group

    def _are_in_order(self, block: ItemList, lead: Inline, context: Context) -> bool | None:
        """Whether items are steps of a procedure; None: only if one of them has effects."""
        if _SIDE_BY_SIDE.search(lead.mask):
            return False
        said = block.ordered or _ONE_BY_ONE.search(lead.mask) is not None or are_counted(block)
        said = said or any(_BEFOREHAND.search(text.mask[-40:]) for text in heads_of(block))
        procedure = self._reader.stepwise or is_procedure(lead.mask) or are_of_procedure(block)
        code = has_code(block, commands=context.guarded) and not are_names([block])
        return True if said or code or (procedure and are_steps(block)) else None

    def _item(
        self,
        item: Item,
        numbering: Numbering | None,
        context: Context,
        *,
        plain: bool,
        comments: bool,
        nothing: bool,
    ) -> tuple[bool, bool, Part | None]:
        first = next(iter(item.blocks), None)
        head = first if isinstance(first, Paragraph) else Paragraph(_NO_TEXT, "")
        blocks = item.blocks[1:] if head is first else item.blocks
        text, raw, done = take_box(head.text, head.raw)
        found = take_connector(text)
        text = found.text
        lists = [block for block in blocks if isinstance(block, ItemList)]
        more: list[Block] = [block for block in blocks if not isinstance(block, ItemList)]
        told = tells_all(text) or (comments and comments_all(text)) or nothing
        if text.is_struck or (
            told and plain and done is None and not blocks and self._reader.leave_out
        ):
            self._note(text, blocks, context)
            return found.then, found.beside, None
        above = _above(blocks, text)
        offers = not more and _ends_as_question(text) and are_choices(lists)
        belong = not offers and any(_belongs(text, above, block) for block in lists)
        if lists and (are_remarks(lists) or belong):
            lists, more = [], blocks
        reading = self._reader.read(text, context, more, raw=raw)
        reading.done = None if context.guarded else done
        if not reading.description.strip() and text.text.strip():
            reading.description = text.text.strip()  # only directives: they are its name
        if not context.guarded and not more and _asks_to_choose(reading, text, lists):
            _offer_choices(reading, lists)
            lists = []
        entry = self._reader.entry(reading, numbering)
        if not lists:
            return found.then, found.beside, entry if reading.description.strip() else None
        is_task = _is_task(reading, text, lists, more)
        part = self._parent(entry, above if is_task else text, lists, context, is_task=is_task)
        return found.then, found.beside, part

    def _note(self, text: Inline, blocks: list[Block], context: Context) -> None:
        self._reader.note(": ".join(filter(None, [context.label, text.with_targets])))
        for block in blocks:
            self._reader.note_block(block)

    def _parent(
        self, entry: Entry, text: Inline, lists: list[ItemList], context: Context, *, is_task: bool
    ) -> Part | None:
        """An item with items: a task that comes before them, or a label that they keep."""
        reading = entry.reading
        said = reading.directives
        guarded = not said.has_condition and not is_label_clean(text.mask)
        label = "" if is_task and not guarded else as_label(take_directives(text)[0])
        inside = context.within(label, guarded=guarded)
        numbering = entry.numbering
        inner = [self.items(block, text, numbering, inside) for block in lists]
        inner = [group for group in inner if group.parts]
        if not inner:
            return entry if reading.description.strip() else None
        for found in entries(Group(parts=[*inner])):
            if reading.done is not None and found.reading.done is None:
                found.reading.done = reading.done
        if not is_task:
            point_to(inner, reading.attachments)
            return Group(parts=[*inner], directives=said, numbering=numbering)
        group = Group(parts=[entry, *inner], numbering=numbering, head=entry)
        group.directives = Directives(label=said.label, after=said.after)
        reading.directives = replace(said, after=None)  # the items wait with their parent
        return group


def _above(blocks: list[Block], text: Inline) -> Inline:
    """The text right above the first list of an item."""
    for block in blocks:
        if isinstance(block, ItemList):
            break
        text = block.text if isinstance(block, Paragraph) else text
    return text


def _belongs(text: Inline, above: Inline, block: ItemList) -> bool:
    """Whether nested bullets are part of the description of their item."""
    more = says_more(text, block) or says_more(above, block)
    last = [*sentences(above)][-1:]
    return (
        more
        or tells(above, block)
        or is_glossary(block)
        or leads_examples(last[0].mask if last else "")
    )


def _ends_as_question(text: Inline) -> bool:
    """Whether the items below it are its choices: "Ship the backup tonight?"."""
    return take_directives(text)[0].mask.rstrip().endswith("?")


def _is_task(reading: Reading, text: Inline, lists: list[ItemList], more: Sequence[Block]) -> bool:
    """Whether an item with items is a task of its own."""
    visible = [block for block in more if not isinstance(block, Note)]
    if reading.action is not None or reading.kind is NodeKind.Clarification or visible:
        return True
    if text.codes and not any(map(str.isalpha, text.mask)):
        return True  # only code: a command, or what is guarded
    label = text.mask.rstrip().endswith(":") or are_names(lists)
    return reading.done is not None and not label and has_boxes([*lists])


def as_label(text: Inline) -> str:
    return without_stop(text).line.rstrip(":,;. ")


def _asks_to_choose(reading: Reading, text: Inline, lists: list[ItemList]) -> bool:
    asks = reading.kind is NodeKind.Clarification or _CHOOSE.match(text.mask) is not None
    return bool(lists) and asks and are_choices(lists)


def _offer_choices(reading: Reading, lists: list[ItemList]) -> None:
    reading.kind = NodeKind.Clarification
    reading.action = None
    reading.choices = _choices(lists)
    reading.description = reading.description.removesuffix(":")


def _choices(lists: list[ItemList]) -> list[str]:
    heads = (item.blocks[0] for block in lists for item in block.items)
    texts = (take_directives(b.text)[0] for b in heads if isinstance(b, Paragraph))
    return list(dict.fromkeys(line for text in texts if (line := _as_choice(text))))


def _as_choice(text: Inline) -> str:
    only = text.codes[0].code if len(text.codes) == 1 and not text.mask.strip("\0") else None
    return (only or text.line).strip()
