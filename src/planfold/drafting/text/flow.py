"""The blocks of one section, from top to bottom: paragraphs, code and lists as parts of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from planfold.drafting.text.bullets import (
    are_links,
    are_names,
    asks,
    choices_of_place,
    gives_example,
    introduces,
    is_aside,
    is_contents,
    is_glossary,
    mostly_orders,
    names_below,
    orders_nothing,
    tells,
    tells_all,
)
from planfold.drafting.text.commands import ShellScript
from planfold.drafting.text.directives import NONE, take_directives
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import Reading, first_line
from planfold.drafting.text.lists import Lists, as_label
from planfold.drafting.text.markdown import (
    Block,
    Code,
    ItemList,
    Paragraph,
    Quote,
    text_of,
)
from planfold.drafting.text.mood import is_note_that_orders, is_statement, is_unfinished
from planfold.drafting.text.parts import Context, Entry, Part, append, entries, point_to
from planfold.drafting.text.prose import Clause, read_sentences
from planfold.drafting.text.reader import ItemReader
from planfold.drafting.text.sections import (
    continued,
    is_danger,
    is_set_off,
    is_tag,
)
from planfold.drafting.text.sentences import is_connector, sentences, take_connector, without_stop
from planfold.drafting.text.shell import block_of, is_prompted
from planfold.drafting.text.words import (
    begins_with_condition,
    is_conditional,
    is_label_clean,
    is_option,
    is_warning,
    leads_examples,
    leads_on,
    offers,
    points_below,
    says_prompted,
    says_usual,
    starts_with_run,
)
from planfold.planner.tasks import NodeKind

_NO_TEXT: Final = Inline("", "")


class Flow:
    """Reads the blocks of a section. ``is_name``: its heading is a name, and orders nothing."""

    def __init__(self, reader: ItemReader) -> None:
        self._reader = reader
        self._lists = Lists(reader)
        self.is_name = False
        self.in_section = False
        self.is_about = False  # its heading says that it has rules, requirements or the like

    @property
    def _counts(self) -> bool:
        """Whether a paragraph may be a task: the first ones of a text introduce it."""
        return self._reader.begun or self.in_section

    def prose(self, clauses: list[Clause], context: Context) -> list[Part]:
        parts: list[Part] = []
        for clause in clauses:
            text, said = take_directives(clause.text)
            told = not clause.line and tells_all(text) and said == NONE
            if told and self._reader.leave_out:
                self._reader.note(text.with_targets)
                continue
            text = text if text is clause.text else without_stop(text)
            reading = self._reader.read(text, context)
            reading.directives = said
            if reading.description.strip():
                append(parts, Entry(reading), clause.beside)
        return parts

    def read(self, blocks: list[Block], caption: Inline | None, context: Context) -> list[Part]:
        parts: list[Part] = []
        lead: Paragraph | None = None
        warnings: list[str] = []  # for the step below them
        blocks = continued(self._without_tags(blocks))
        place = 0
        while place < len(blocks):
            block, first = blocks[place], place == 0
            place += 1
            if _warns(block) and lead is None:
                warnings.append(text_of(block))
                continue
            before = len(parts)
            following = blocks[place] if place < len(blocks) else None
            match block:
                case _ if is_set_off(block):
                    self._reader.note_block(block)
                case Paragraph(text) if text.text and _is_led(following):
                    lead = block
                    continue
                case Paragraph():
                    own = _without_option(block, blocks[place - 2 : place - 1], parts)
                    parts += self._paragraph(own, context)
                case Code():
                    codes = _code_at(blocks, place - 1)
                    place += len(codes) - 1
                    parts += self._code(codes, lead, caption, context, first=first)
                case ItemList():
                    parts += self._list(block, lead, caption, context)
                case _:
                    self._more(block, parts)
            lead = None
            if len(parts) > before and warnings:
                _warn(parts[before], warnings)
                warnings = []
        if warnings and parts:  # behind the last step
            _warn(parts[-1], warnings)
        for warning in warnings if not parts else ():
            self._reader.note(warning)
        return parts

    def _more(self, block: Block, parts: list[Part]) -> None:
        """A quotation is a note, or what is asked for beside the step above it."""
        if parts and isinstance(block, Quote) and _orders_more(block):
            _warn(parts[-1], [text_of(block)])
        else:
            self._reader.note_block(block)

    def _without_tags(self, blocks: list[Block]) -> list[Block]:
        """``blocks`` without the tags of a site generator between them."""
        for tag in filter(is_tag, blocks):
            self._reader.note_block(tag)
        return [block for block in blocks if not is_tag(block)]

    def _paragraph(self, block: Paragraph, context: Context) -> list[Part]:
        """A paragraph is a task where it is a command or begins with a connector; from the first
        task on also where it may ask for something: it may be what the next command waits for."""
        text, said = take_directives(block.text)
        if said.label or said.after is not None:
            return self.prose(read_sentences(block.text), context)
        if _jumps(text) or is_aside(text):
            self._reader.note_block(block)
            return []
        found = take_connector(text)
        marked = found.then or found.first or found.beside
        if is_prompted(block.raw) or block.raw.startswith("@"):
            reading = self._reader.read(block.text, context, raw=block.raw)
        else:
            reading = self._reader.read(without_stop(found.text if marked else text), context)
            reading.directives |= said
        step = reading.action is not None or starts_with_run(text.mask)
        step = step or (marked and not is_statement(found.text.mask))
        if step or (self._counts and text.text and asks(text)):
            return [self._reader.entry(reading)]
        self._reader.note_block(block)
        return []

    def _code(
        self,
        blocks: list[Block],
        lead: Paragraph | None,
        caption: Inline | None,
        context: Context,
        *,
        first: bool,
    ) -> list[Part]:
        """Code, and what belongs to it, with the paragraph right above it, or with the heading."""
        codes = [block for block in blocks if isinstance(block, Code)]
        script = any(block_of(code.language, code.content) for code in codes)
        if lead is not None:
            text, said = take_directives(lead.text)
            found = take_connector(text).text
            told = gives_example(text) or (is_aside(text) and not script)
            if told and self._reader.leave_out and said == NONE:
                return self._noted([lead, *blocks])
            if script or (asks(found) and (self._counts or text.mask.rstrip().endswith(":"))):
                if any(isinstance(b, Paragraph) and says_usual(b.text.mask) for b in blocks):
                    context = context._replace(guarded=True)  # which of the values?
                raw = lead.raw if lead.raw.startswith("**") else None
                reading = self._reader.read(without_stop(found), context, [*blocks], raw=raw)
                reading.directives |= said
                return [self._reader.entry(reading)]
            self._reader.note_block(lead)
        elif script or (first and caption is not None and not codes[0].language):
            if not first:  # to what does it belong?
                caption, context = None, context._replace(guarded=True)
            elif caption is not None and self.is_name:
                context = context._replace(guarded=True)
            return [self._reader.entry(self._captioned(blocks, caption, context))]
        return self._noted(blocks)

    def _noted(self, blocks: Sequence[Block]) -> list[Part]:
        for block in blocks:
            self._reader.note_block(block)
        return []

    def _captioned(self, blocks: list[Block], caption: Inline | None, context: Context) -> Reading:
        """Code that at most a heading is above: it is called by that, or by its first line."""
        reading = self._reader.read(_NO_TEXT, context._replace(label=""), [*blocks])
        name = context.label
        if caption is not None and not name.endswith(caption.line.rstrip(":")):
            name = ": ".join(filter(None, [name, caption.line]))
        if caption is not None and is_named_by_script(reading):
            reading.description = ""
        reading.description = "\n".join(filter(None, [name, reading.description]))
        reading.captioned = caption is not None
        return reading

    def _told(self, block: ItemList, lead: Paragraph | None, context: Context) -> list[Part]:
        """Items that are not tasks but explain the text above them."""
        if lead is not None and (choices := choices_of_place(lead.text, block)):
            reading = self._reader.read(without_stop(lead.text), context)
            if not context.guarded:
                reading.kind, reading.choices = NodeKind.Clarification, choices
            return [self._reader.entry(reading)]
        if lead is not None and asks(lead.text) and not is_contents(block) and self._counts:
            reading = self._reader.read(take_connector(lead.text).text, context, [block])
            return [self._reader.entry(reading)]
        if lead is not None:
            self._reader.note_block(lead)
        self._reader.note_block(block)
        return []

    def _list(
        self, block: ItemList, lead: Paragraph | None, caption: Inline | None, context: Context
    ) -> list[Part]:
        text, said = take_directives(lead.text if lead else _NO_TEXT)
        named = lead is not None and not text.mask.rstrip().endswith(":") and are_names([block])
        linked = lead is None and caption is not None and are_links(block)
        told = tells(text, block) or is_glossary(block) or named or linked
        if lead is not None:
            named = self._reader.begun and names_below(text, block)
            told = told or named or introduces(text, block)
        told = told or (self.is_about and orders_nothing(block))
        told = told and self._reader.leave_out
        if is_contents(block) or told:
            return self._told(block, lead, context)
        if lead is not None and leads_examples(text.mask) and not block.ordered:
            if tells_all(text):
                return self._told(block, lead, context)
            reading = self._reader.read(text, context, [block])
            reading.directives |= said
            return [self._reader.entry(reading)]
        label, guarded = "", False
        if lead is None and caption is not None and are_names([block]):
            own = as_label(caption)
            label = "" if context.label.endswith(own) else own
        before: list[Part] = []
        if lead is not None and not is_connector(text):
            label, guarded, before = self._lead(lead, text, block, context)
        group = self._lists.items(block, text, None, context.within(label, guarded=guarded))
        if label:
            point_to([group], text.attachments())
        if before:
            return [*before, group] if group.parts else before
        group.directives = said
        return [group] if group.parts else []

    def _lead(
        self, lead: Paragraph, text: Inline, block: ItemList, context: Context
    ) -> tuple[str, bool, list[Part]]:
        """What the items keep of the text above them, whether that is a case, and its own task."""
        *others, last = list(sentences(take_connector(text).text)) or [_NO_TEXT]
        colon = last.mask.rstrip().endswith(":")
        guarded = begins_with_condition(last.mask)
        guarded = guarded or (colon and not is_label_clean(last.mask))
        guarded = guarded or (colon and not block.ordered and not asks(text))
        named = not block.ordered or (asks(last) and orders_nothing(block))
        asked = any(asks(other) and not points_below(other.mask) for other in others)
        if guarded or (colon and named) or is_unfinished(last.mask):
            if asked:
                return as_label(text), guarded, []
            self._reader.note(" ".join(other.with_targets for other in others))
            return as_label(last), guarded, []
        if not colon and offers(last.mask) and mostly_orders(block):
            reading = self._reader.read(without_stop(text), context)
            return "", False, [self._reader.entry(reading)]
        leads = any(points_below(sentence.mask) for sentence in [*others, last] if asks(sentence))
        if asked or not (colon or leads or points_below(last.mask)):
            return "", False, self._paragraph(lead, context)
        self._reader.note_block(lead)
        return "", False, []


def is_named_by_script(reading: Reading) -> bool:
    action = reading.action
    return isinstance(action, ShellScript) and reading.description == first_line(action.text)


def _is_led(block: Block | None) -> bool:
    return isinstance(block, (Code, ItemList)) and not is_set_off(block)


def _code_at(blocks: list[Block], place: int) -> list[Block]:
    """The code from ``place`` on, and a paragraph behind it that belongs to it."""
    found: list[Block] = []
    while place < len(blocks) and isinstance(blocks[place], Code):
        found.append(blocks[place])
        place += 1
    behind = blocks[place : place + 2]
    if _is_usual(behind):
        return found + behind
    behind = blocks[place : place + 1]
    return found + [b for b in behind if isinstance(b, Paragraph) and _continues(b)]


def _without_option(block: Paragraph, above: list[Block], parts: list[Part]) -> Paragraph:
    """A paragraph without what it begins with, if that is an option of the command above it."""
    first, *others = list(sentences(block.text)) or [_NO_TEXT]
    coded = bool(above) and isinstance(above[0], Code)
    if not (parts and coded and others and is_option(first.mask)):
        return block
    _warn(parts[-1], [first.line])
    return Paragraph(block.text.slice(block.text.mask.index(others[0].mask)), "")


def _is_usual(blocks: list[Block]) -> bool:
    """Whether a block says what the value in the code above it usually is."""
    paragraph, code = [*blocks, None, None][:2]
    said = isinstance(paragraph, Paragraph) and says_usual(paragraph.text.mask)
    return said and isinstance(code, Code)


def _orders_more(block: Quote) -> bool:
    first = block.blocks[0] if block.blocks else None
    return isinstance(first, Paragraph) and is_note_that_orders(first.text.mask)


def _warns(block: Block) -> bool:
    if is_danger(block):
        return True
    first = block.blocks[0] if isinstance(block, Quote) and block.blocks else block
    return isinstance(first, Paragraph) and is_warning(first.text.mask)


def _warn(part: Part, warnings: list[str]) -> None:
    """Add the warnings beside a step to it; one with a condition keeps the step from running."""
    entry = next(entries(part), None)
    if entry is None:
        return
    reading = entry.reading
    reading.description = "\n".join([reading.description, *warnings])
    if reading.action is not None and any(map(is_conditional, warnings)):
        reading.action, reading.kind = None, NodeKind.Processing


def _continues(block: Paragraph) -> bool:
    """Whether a paragraph behind code says what else belongs to running it, or ends a sentence."""
    mask = block.text.mask[:300]
    if block.text.mask.rstrip().endswith(":"):
        return False  # it leads to the next block
    return says_prompted(mask) or mask.startswith(("where ", "which "))


def _jumps(text: Inline) -> bool:
    """Whether a paragraph only leads to another place of the text."""
    last = text.spans[-1] if text.spans else None
    ends = last is not None and last.anchor and last.end >= len(text.text) - 1
    return ends and leads_on(text.mask)
