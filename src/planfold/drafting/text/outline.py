"""A document as an outline: what in it is a task, and what comes after or beside what."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from planfold.drafting.text.commands import is_question
from planfold.drafting.text.directives import NONE, Directives, take_directives
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import Reading, read_item, take_box, without_number
from planfold.drafting.text.markdown import (
    Block,
    Code,
    Heading,
    Item,
    ItemList,
    Note,
    Paragraph,
    text_of,
)
from planfold.drafting.text.prose import Clause, read_request, read_sentences
from planfold.drafting.text.sections import (
    Section,
    are_choices,
    are_names,
    are_remarks,
    continued,
    has_boxes,
    is_contents,
    is_glossary,
    is_left_out,
    tells_all,
    is_structured,
    sections,
    split_items,
    tells,
)
from planfold.drafting.text.sentences import sentences, take_connector, without_stop
from planfold.drafting.text.shell import block_of, is_prompted
from planfold.drafting.text.words import (
    is_conditional,
    is_guarding_heading,
    is_label_clean,
    is_statement,
    starts_with_run,
)
from planfold.planner.tasks import NodeKind


@dataclass(eq=False)
class Entry:
    """A task-to-be."""

    reading: Reading
    numbering: Numbering | None = None
    id: int = 0
    depends_on: list[int | str] = field(default_factory=list)

    @property
    def directives(self) -> Directives:
        return self.reading.directives


@dataclass(eq=False)
class Group:
    """Parts in sequence or side by side. ``head`` is the parent task, when the parent is one.

    ``ordered`` None: side by side, unless one of them has effects.
    """

    ordered: bool | None = True
    parts: list[Part] = field(default_factory=list)
    directives: Directives = NONE
    head: Entry | None = None
    numbering: Numbering | None = None
    ids: range = range(0)
    last: list[int] | None = None  # the tasks that nothing in the group waits for


Part = Entry | Group


@dataclass(eq=False)
class Numbering:
    """The numbers that a reader sees in one numbered list, and what they stand for."""

    outer: Numbering | None = None
    parts: dict[int, Part] = field(default_factory=dict)


class Context(NamedTuple):
    """What an item stands in: ``label`` is put before its description; in what is ``guarded``
    (it holds only at times, or only tells about something) nothing is an action."""

    label: str = ""
    guarded: bool = False

    def within(self, label: str, *, guarded: bool) -> Context:
        label = ": ".join(filter(None, [self.label, label]))
        return Context(label, guarded or self.guarded)


class Outlined(NamedTuple):
    root: Group
    notes: list[str]  # what is no task, in the order of the text


_ONE_BY_ONE: Final = re.compile(
    r"\bin (?:this|the following|that) order\b|\bone (?:by|after)", re.IGNORECASE
)
_SIDE_BY_SIDE: Final = re.compile(
    r"\bin (?:parallel|any order)\b|\bat the same time\b", re.IGNORECASE
)
_CHOOSE: Final = re.compile(r"(?:please\s+)?(?:choose|decide|select|pick)(?![\w-])", re.IGNORECASE)
_NO_TEXT: Final = Inline("", "")
_TOP: Final = Context()


def outline(blocks: list[Block], title: Heading | None, known_tools: Collection[str]) -> Outlined:
    """The tasks in ``blocks``. A document of sentences alone is read as prose."""
    structured = is_structured(blocks, known_tools)
    for lists, leave_out in ((True, True), (True, False), (False, True), (False, False)):
        if lists and not structured:
            continue
        reader = _Reader(known_tools, lists, leave_out, title)
        root = reader.document(blocks)
        if _has_entry(root):
            return Outlined(root, reader.notes)
    reader = _Reader(known_tools, False, False, title)
    return Outlined(Group(parts=list(reader.headings(blocks))), reader.notes)


def _has_entry(part: Part) -> bool:
    return isinstance(part, Entry) or any(map(_has_entry, part.parts))


class _Reader:
    """``structured``: with lists or commands. ``leave_out``: what only tells about something."""

    def __init__(
        self,
        known_tools: Collection[str],
        structured: bool,
        leave_out: bool,
        title: Heading | None,
    ) -> None:
        self._known_tools = known_tools
        self._structured = structured
        self._leave_out = leave_out
        self._title = title
        self.notes: list[str] = []

    def document(self, blocks: list[Block]) -> Group:
        root = sections(blocks)
        paragraphs = [block for block in blocks if isinstance(block, Paragraph)]
        self._is_request = len(paragraphs) == 1 and len(root.sections) < 2
        return self._section(root, _TOP)

    def headings(self, blocks: list[Block]) -> Iterator[Entry]:
        """A task for each heading, where there is nothing else; the title only if it is alone."""
        found = [block for block in blocks if isinstance(block, Heading)]
        for block in blocks:
            if not isinstance(block, Heading):
                self._note(text_of(block))
        for heading in found[1:] or found:
            reading = self._read(without_number(heading.text) or heading.text, _TOP)
            if reading.description.strip():
                yield Entry(reading)

    # --- sections --------------------------------------------------------------------------------

    def _section(self, section: Section, context: Context) -> Group:
        group = Group()
        heading = section.heading
        caption: Inline | None = None
        if heading is not None:
            text, group.directives = take_directives(heading.text)
            is_title = heading is self._title
            left_out = not is_title and is_left_out(section, text)
            if left_out and self._leave_out:
                self._note_section(section)
                return group
            caption = without_number(text) or text
            if not is_title and (left_out or is_guarding_heading(text.mask)):
                context = context.within(caption.line.rstrip(":"), guarded=True)
            elif not is_title and without_number(text) is not None and _is_step(section):
                group.parts = [Entry(self._step(caption, section.blocks, context))]
                return group
        noted = len(self.notes)
        parts = self._parts(section, caption, context)
        used = any(isinstance(part, Entry) and part.reading.captioned for part in parts)
        if heading is not None and heading is not self._title and not used and not context.label:
            self.notes.insert(noted, text_of(heading))
        group.parts = [*parts, *(self._section(inner, context) for inner in section.sections)]
        return group

    def _step(self, caption: Inline, blocks: list[Block], context: Context) -> Reading:
        """A numbered heading with what is below it: the heading names the step."""
        first = next(iter(blocks), None)
        if is_question(caption) or first is None:
            return self._read(caption, context, blocks)
        if isinstance(first, Paragraph):
            reading = self._read(first.text, context, blocks[1:], raw=first.raw)
        else:
            reading = self._read(_NO_TEXT, context, blocks)
            if reading.action is not None:
                reading.description = ""
        reading.description = "\n".join(filter(None, [caption.line, reading.description]))
        return reading

    def _note_section(self, section: Section) -> None:
        blocks = [section.heading, *section.blocks] if section.heading else section.blocks
        self._note("\n".join(map(text_of, blocks)))
        for inner in section.sections:
            self._note_section(inner)

    def _note(self, text: str) -> None:
        if text.strip() and not text.startswith("<!--"):
            self.notes.append(text.strip())

    def _parts(self, section: Section, caption: Inline | None, context: Context) -> list[Part]:
        if self._structured:
            return self._flow(section.blocks, caption, context)
        parts: list[Part] = []
        for block in section.blocks:
            if isinstance(block, Paragraph):
                read = read_request if self._is_request else read_sentences
                parts += self._prose(read(block.text), context)
            else:
                self._note(text_of(block))
        return parts

    def _prose(self, clauses: list[Clause], context: Context) -> list[Part]:
        parts: list[Part] = []
        for clause in clauses:
            text, said = take_directives(clause.text)
            if self._leave_out and tells_all(text) and said == NONE:
                self._note(text.line)
                continue
            text = text if text is clause.text else without_stop(text)
            reading = self._read(text, context)
            reading.directives = said
            if reading.description.strip():
                _append(parts, Entry(reading), clause.beside)
        return parts

    # --- blocks of one section, from top to bottom -----------------------------------------------

    def _flow(self, blocks: list[Block], caption: Inline | None, context: Context) -> list[Part]:
        parts: list[Part] = []
        lead: Paragraph | None = None
        blocks = continued(blocks)
        for place, block in enumerate(blocks):
            following = blocks[place + 1] if place + 1 < len(blocks) else None
            match block:
                case Paragraph(text) if text.text and isinstance(following, (Code, ItemList)):
                    lead = block
                    continue
                case Paragraph():
                    parts += self._paragraph(block, context)
                case Code():
                    parts += self._code(block, lead, caption if place == 0 else None, context)
                case ItemList():
                    parts += self._list(block, lead, context)
                case _:
                    self._note(text_of(block))
            lead = None
        return parts

    def _paragraph(self, block: Paragraph, context: Context) -> list[Part]:
        """Paragraphs are commentary, unless they are a command or begin with a connector."""
        text, said = take_directives(block.text)
        if said.label or said.after is not None:
            return self._prose(read_sentences(block.text), context)
        found = take_connector(text)
        marked = found.then or found.first or found.beside
        if is_prompted(block.raw) or block.raw.startswith("@"):
            reading = self._read(block.text, context, raw=block.raw)
        else:
            reading = self._read(without_stop(found.text if marked else text), context)
            reading.directives |= said
        step = reading.action is not None or starts_with_run(text.mask)
        if step or (marked and not is_statement(found.text.mask)):
            return [Entry(reading)]
        self._note(text_of(block))
        return []

    def _code(
        self, block: Code, lead: Paragraph | None, caption: Inline | None, context: Context
    ) -> list[Part]:
        script = block_of(block.language, block.content)
        if lead is not None:
            text, said = take_directives(lead.text)
            found = take_connector(text).text
            told = tells_all(found) or not text.mask.rstrip().endswith(":")
            if script is not None or not told:
                raw = lead.raw if lead.raw.startswith("**") else None
                reading = self._read(without_stop(found), context, [block], raw=raw)
                reading.directives |= said
                return [Entry(reading)]
            self._note(text_of(lead))
        if script is None:
            self._note(text_of(block))
            return []
        if caption is None:
            context = context.within("", guarded=True)  # to what does it belong?
        reading = self._read(_NO_TEXT, context._replace(label=""), [block])
        if caption is not None:
            named = reading.action is not None
            reading.description = "\n".join(
                [caption.line] if named else [caption.line, reading.description]
            )
            reading.captioned = True
        elif context.label:
            reading.description = f"{context.label}: {reading.description}"
        return [Entry(reading)]

    def _list(self, block: ItemList, lead: Paragraph | None, context: Context) -> list[Part]:
        text, said = take_directives(lead.text if lead else _NO_TEXT)
        told = self._leave_out and (tells(text, block) or is_glossary(block))
        if is_contents(block) or told:
            if lead is not None:
                self._note(text_of(lead))
            self._note(text_of(block))
            return []
        label = ""
        guarded = False
        if lead is not None:
            *others, last = list(sentences(take_connector(text).text)) or [_NO_TEXT]
            colon = last.mask.rstrip().endswith(":")
            guarded = not is_label_clean(last.mask) if colon else is_conditional(last.mask)
            if guarded or (colon and not block.ordered):
                label = without_stop(last).line.rstrip(": ")
                self._note(" ".join(other.line for other in others))
            else:
                self._note(text_of(lead))
        group = self._items(block, text, None, context.within(label, guarded=guarded))
        group.directives = said
        return [group] if group.parts else []

    # --- lists -----------------------------------------------------------------------------------

    def _items(
        self, block: ItemList, lead: Inline, outer: Numbering | None, context: Context
    ) -> Group:
        """The items of a list; ``lead`` is the text that introduces it."""
        ordered = block.ordered or bool(_ONE_BY_ONE.search(lead.mask)) or None
        if _SIDE_BY_SIDE.search(lead.mask):
            ordered = False
        numbering = Numbering(outer) if block.ordered else outer
        group = Group(ordered, numbering=numbering)
        number = block.start
        plain = not block.ordered and not has_boxes([block])
        for item in split_items(block):
            then, beside, part = self._item(item, numbering, context, plain=plain)
            if part is None:
                number += block.ordered
                continue
            if block.ordered and numbering is not None:
                numbering.parts[number] = part
            number += 1
            if ordered:
                _append(group.parts, part, beside and not then)
            elif then and group.parts:
                group.parts = [Group(parts=[Group(group.ordered, group.parts), part])]
            else:
                group.parts.append(part)
        return group

    def _item(
        self, item: Item, numbering: Numbering | None, context: Context, *, plain: bool
    ) -> tuple[bool, bool, Part | None]:
        first = next(iter(item.blocks), None)
        head = first if isinstance(first, Paragraph) else Paragraph(_NO_TEXT, "")
        blocks = item.blocks[1:] if head is first else item.blocks
        text, raw, done = take_box(head.text, head.raw)
        found = take_connector(text)
        text = found.text
        lists = [block for block in blocks if isinstance(block, ItemList)]
        more = [block for block in blocks if not isinstance(block, ItemList)]
        only_tells = plain and not blocks and self._leave_out and tells_all(text)
        if text.is_struck or only_tells:
            self._note(": ".join(filter(None, [context.label, text.text])))
            for block in blocks:
                self._note(text_of(block))
            return found.then, found.beside, None
        if lists and (are_remarks(lists) or any(tells(text, block) for block in lists)):
            lists, more = [], blocks
        reading = self._read(text, context, more, raw=raw)
        reading.done = done
        asks = reading.kind is NodeKind.Clarification or _CHOOSE.match(text.mask) is not None
        if lists and asks and are_choices(lists) and not context.guarded and not more:
            reading.kind = NodeKind.Clarification
            reading.action = None
            reading.choices = choices(lists)
            reading.description = reading.description.removesuffix(":")
            lists = []
        entry = Entry(reading, numbering)
        if not lists:
            return found.then, found.beside, entry if reading.description.strip() else None
        part = self._parent(entry, text, lists, context, is_task=_is_task(reading, text, lists, more))
        return found.then, found.beside, part

    def _parent(
        self, entry: Entry, text: Inline, lists: list[ItemList], context: Context, *, is_task: bool
    ) -> Part | None:
        """An item with items: a task that comes before them, or a label that they keep."""
        reading = entry.reading
        said = reading.directives
        label = "" if is_task else take_directives(text)[0].line.rstrip(": .")
        guarded = not is_label_clean(text.mask)
        if guarded:
            label = take_directives(text)[0].line.rstrip(": .")
        inside = context.within(label, guarded=guarded)
        numbering = entry.numbering
        inner = [self._items(block, text, numbering, inside) for block in lists]
        inner = [group for group in inner if group.parts]
        if not inner:
            return entry if reading.description.strip() else None
        if is_task:
            group = Group(parts=[entry, *inner], numbering=numbering, head=entry)
            group.directives = Directives(label=said.label, after=said.after)
            reading.directives = replace(said, after=None)  # the items wait with their parent
            return group
        group = Group(parts=[*inner], directives=said, numbering=numbering)
        for found in _entries(group) if reading.done is not None else ():
            if found.reading.done is None:
                found.reading.done = reading.done
        return group

    def _read(
        self,
        text: Inline,
        context: Context,
        more: list[Block] | None = None,
        raw: str | None = None,
    ) -> Reading:
        reading = read_item(text, raw, self._known_tools, more or [], guarded=context.guarded)
        if context.label and reading.description:
            reading.description = f"{context.label}: {reading.description}"
        for note in reading.notes:
            self._note(note)
        return reading


def _is_step(section: Section) -> bool:
    """Whether a numbered heading is one task: it has no items of its own."""
    lead = _NO_TEXT
    for block in section.blocks:
        if isinstance(block, ItemList) and not tells(lead, block) and not is_contents(block):
            return False
        lead = block.text if isinstance(block, Paragraph) else _NO_TEXT
    return not section.sections


def _is_task(reading: Reading, text: Inline, lists: list[ItemList], more: list[Block]) -> bool:
    """Whether an item with items is a task of its own."""
    visible = [block for block in more if not isinstance(block, Note)]
    if reading.action is not None or reading.kind is NodeKind.Clarification or visible:
        return True
    label = text.mask.rstrip().endswith(":") or are_names(lists)
    return reading.done is not None and not label and has_boxes([*lists])


def choices(lists: list[ItemList]) -> list[str]:
    heads = (item.blocks[0] for block in lists for item in block.items)
    texts = (take_directives(b.text)[0] for b in heads if isinstance(b, Paragraph))
    return list(dict.fromkeys(line for text in texts if (line := _as_choice(text))))


def _as_choice(text: Inline) -> str:
    only = text.codes[0].code if len(text.codes) == 1 and not text.mask.strip("\0") else None
    return (only or text.line).strip()


def _append(parts: list[Part], part: Part, beside: bool) -> None:
    """Put ``part`` after the others, or beside the last one of them."""
    if not beside or not parts:
        parts.append(part)
        return
    last = parts[-1]
    if isinstance(last, Group) and last.ordered is False and last.numbering is None:
        last.parts.append(part)
    else:
        parts[-1] = Group(False, [last, part])


def _entries(part: Part) -> Iterator[Entry]:
    if isinstance(part, Entry):
        yield part
    else:
        for inner in part.parts:
            yield from _entries(inner)
