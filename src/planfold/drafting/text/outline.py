"""A document as an outline: what in it is a task, and what comes after or beside what."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import product
from typing import Final, NamedTuple

from planfold.drafting.text.bullets import (
    asks,
    is_contents,
    tells,
)
from planfold.drafting.text.cases import alternative_names, alternatives
from planfold.drafting.text.commands import is_question
from planfold.drafting.text.directives import NONE, Directives, take_directives
from planfold.drafting.text.flow import Flow, is_named_by_script
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import Reading, without_number
from planfold.drafting.text.markdown import (
    Block,
    Heading,
    ItemList,
    Paragraph,
    text_of,
)
from planfold.drafting.text.mood import is_order_heading, orders
from planfold.drafting.text.parts import Context, Entry, Group, Part, append, entries
from planfold.drafting.text.prose import read_request, read_sentences
from planfold.drafting.text.reader import ItemReader
from planfold.drafting.text.repeats import Repeats
from planfold.drafting.text.sections import (
    Section,
    is_about,
    is_for_trouble,
    is_left_out,
    is_structured,
    sections,
)
from planfold.drafting.text.sentences import sentences
from planfold.drafting.text.words import (
    is_guarding_heading,
    is_object_heading,
    is_procedure,
)
from planfold.planner.tasks import NodeKind


class Outlined(NamedTuple):
    root: Group
    notes: list[str]  # texts that are not tasks, in the order of the text


_NO_TEXT: Final = Inline("", "")
_FAQ: Final = re.compile(
    r"(?:when|why|what|how|who|where|\w+(?=\?))\b[^.?!]{0,200}\?\W*$", re.IGNORECASE
)
_TOP: Final = Context()


def _unguarded(inside: Context, outer: Context, said: Directives) -> Context:
    """The context of a section without the guard of its heading, if a directive has the
    condition."""
    return inside._replace(guarded=outer.guarded) if said.has_condition else inside


def outline(blocks: list[Block], title: Heading | None, known_tools: Collection[str]) -> Outlined:
    """The tasks in ``blocks``. A document of sentences alone is read as prose."""
    structured = is_structured(blocks, known_tools)
    stepwise = any(isinstance(b, Heading) and is_procedure(b.text.mask) for b in blocks)
    ways = [(True, True), (False, True), (False, False)]
    for lists, (by_name, leave_out) in product((True, False), ways):
        if lists and not structured:
            continue
        reader = ItemReader(known_tools, leave_out=leave_out, stepwise=stepwise)
        root = _Document(reader, lists, title, by_name=by_name).read(blocks)
        if _has_entry(root):
            return Outlined(root, reader.notes)
    reader = ItemReader(known_tools, leave_out=False)
    return Outlined(Group(parts=list(_headings(reader, blocks, title))), reader.notes)


def _headings(reader: ItemReader, blocks: list[Block], title: Heading | None) -> Iterator[Entry]:
    """A task for each heading, where there is nothing else; the title only if it is alone."""
    found = [block for block in blocks if isinstance(block, Heading)]
    for block in blocks:
        if not isinstance(block, Heading):
            reader.note_block(block)
    for heading in [h for h in found if h is not title] or found:
        reading = reader.read(without_number(heading.text) or heading.text, _TOP)
        if reading.description.strip():
            yield Entry(reading)


def _has_entry(part: Part) -> bool:
    return isinstance(part, Entry) or any(map(_has_entry, part.parts))


class _Document:
    """``structured``: with lists or commands, so that paragraphs are commentary at first."""

    def __init__(
        self, reader: ItemReader, structured: bool, title: Heading | None, *, by_name: bool
    ) -> None:
        self._by_name = by_name  # sections about something else are left out
        self._reader = reader
        self._flow = Flow(reader)
        self._structured = structured
        self._title = title
        self._is_request = False
        self._details: dict[
            str, tuple[Group, Group]
        ] = {}  # sections by name, with what they are in
        self._alternatives: frozenset[str] = frozenset()
        self._repeats = Repeats()

    def read(self, blocks: list[Block]) -> Group:
        root = sections(blocks)
        self._alternatives = alternative_names(blocks)
        paragraphs = [block for block in blocks if isinstance(block, Paragraph)]
        self._is_request = len(paragraphs) == 1 and len(root.sections) < 2
        plan = self._section(root, _TOP)
        if self._details:
            _place(plan, self._details)
        return plan

    # --- sections --------------------------------------------------------------------------------

    def _section(self, section: Section, context: Context, *, case: bool = False) -> Group:
        """``case``: one of several sections for different cases."""
        group = Group()
        heading = section.heading
        caption: Inline | None = None
        labelled = False  # its items keep the heading as their label
        if heading is not None:
            text, group.directives = take_directives(heading.text)
            caption = without_number(text) or text
            if heading is not self._title:
                if is_left_out(section, text) and self._by_name:
                    self._note_section(section)
                    return group
                if (step := self._numbered(section, text, context, case=case)) is not None:
                    group.parts = [self._reader.entry(step)]
                    return group
                inside = self._within(section, text, context, case=case)
                inside = _unguarded(inside, context, group.directives)
                if inside is context and _is_one_step(section, caption):
                    group.parts = [
                        self._reader.entry(self._ordered_step(section, caption, context))
                    ]
                    return group
                context, labelled = inside, inside is not context
            self._flow.is_about = is_about(text)
            self._flow.in_section = heading is not self._title
            self._flow.is_name = heading is not self._title and without_number(text) is None
        if heading is not None and is_for_trouble(heading.text):
            context = context._replace(guarded=True)
        noted = len(self._reader.notes)
        parts = self._parts(section, caption, context)
        group.parts = [*parts]
        self._add_sections(group, section, context)
        if caption is not None and heading is not self._title and not _has_entry(group):
            parts = self._ordered(section, caption, context, noted)
            group.parts = [*parts]
        used = any(isinstance(part, Entry) and part.reading.captioned for part in parts)
        used = used or (labelled and _has_entry(group))
        if heading is not None and heading is not self._title and not used:
            self._reader.notes.insert(noted, text_of(heading, targets=True))
        return group

    def _numbered(
        self, section: Section, text: Inline, context: Context, *, case: bool
    ) -> Reading | None:
        """A heading that is an item: it has a number, or is a sentence of its own."""
        caption = without_number(text)
        guarding = is_guarding_heading((caption or text).mask)
        if caption is None and not _is_sentence(text):
            return None
        apart = case or self._is_case(text) or is_left_out(section, text)
        if apart or (guarding and caption is not None) or not _is_step(section):
            return None
        context = context._replace(guarded=context.guarded or guarding)
        return self._step(caption or text, section.blocks, context)

    def _within(self, section: Section, text: Inline, context: Context, *, case: bool) -> Context:
        """The context of a section: a heading that names a case or a thing is its label."""
        label = (without_number(text) or text).line.rstrip(":")
        if case or self._is_case(text) or is_left_out(section, text):
            return context.within(label, guarded=True)
        numbered = without_number(text) is not None
        guarding = is_guarding_heading((without_number(text) or text).mask)
        if guarding and (numbered or not _is_sentence(text)):
            return context.within(label, guarded=True)
        if not section.sections and _carries(text):
            return context.within(label, guarded=False)
        return context

    def _is_case(self, text: Inline) -> bool:
        return (without_number(text) or text).line.lower() in self._alternatives

    def _add_sections(self, group: Group, section: Section, context: Context) -> None:
        """Add the sections in ``section``; those for different cases do not wait for each other."""
        others = alternatives(section.sections)
        apart = False  # the section before is another case
        top = section.heading is None or section.heading is self._title
        for inner in section.sections:
            other = any(inner is found for found in others)
            noted, before = len(self._reader.notes), len(self._repeats)
            part = self._section(inner, context, case=other)
            found = [*entries(part)]
            if top and not other and self._repeats.are(found, before):
                del self._reader.notes[noted:]
                self._note_section(inner)
                continue
            self._repeats.add(found)
            if not found and part.directives == NONE:
                continue  # it is only a statement, and does not separate the cases around it
            append(group.parts, part, apart and other)
            apart = other
            name = _name(inner.heading.text.line) if inner.heading is not None else ""
            if not other and part.parts and name not in self._details:
                self._details[name] = (part, group)

    def _ordered(
        self, section: Section, caption: Inline, context: Context, noted: int
    ) -> list[Part]:
        """ "Update the site" above prose alone is a task, and the prose its description. So is
        "2. Update sites", also above other sections, where nothing below it is a task."""
        heading = section.heading
        numbered = heading is not None and without_number(heading.text) is not None
        if numbered:
            names = not orders(caption.mask)
        else:
            names = not self._reader.begun or not is_order_heading(caption.mask)
        if names or (section.sections and not numbered):
            return []
        del self._reader.notes[noted:]
        for inner in section.sections:
            self._note_section(inner)
        return [self._reader.entry(self._ordered_step(section, caption, context))]

    def _ordered_step(self, section: Section, caption: Inline, context: Context) -> Reading:
        reading = self._step(caption, section.blocks, context._replace(guarded=True))
        reading.captioned = True
        return reading

    def _step(self, caption: Inline, blocks: list[Block], context: Context) -> Reading:
        """A numbered heading with what is below it: the heading names the step."""
        name = ": ".join(filter(None, [context.label, caption.line]))
        first = next(iter(blocks), None)
        if is_question(caption) or first is None:
            return self._reader.read(caption, context, blocks)
        context = context._replace(label="")
        if isinstance(first, Paragraph):
            reading = self._reader.read(first.text, context, blocks[1:], raw=first.raw)
            if not first.text.mask.rstrip().endswith("?") and not reading.choices:
                kinds = {NodeKind.Clarification: NodeKind.Processing}  # "Ask Ann." is how
                reading.kind = kinds.get(reading.kind, reading.kind)
        else:
            reading = self._reader.read(_NO_TEXT, context, blocks)
            if is_named_by_script(reading):
                reading.description = ""
        reading.description = "\n".join(filter(None, [name, reading.description]))
        return reading

    def _note_section(self, section: Section) -> None:
        blocks = [section.heading, *section.blocks] if section.heading else section.blocks
        self._reader.note("\n".join(text_of(block, targets=True) for block in blocks))
        for inner in section.sections:
            self._note_section(inner)

    def _note(self, text: str) -> None:
        if text.strip() and not text.startswith("<!--"):
            self._reader.notes.append(text.strip())

    def _parts(self, section: Section, caption: Inline | None, context: Context) -> list[Part]:
        if self._structured:
            return self._flow.read(section.blocks, caption, context)
        parts: list[Part] = []
        for block in section.blocks:
            if isinstance(block, Paragraph):
                read = read_request if self._is_request else read_sentences
                parts += self._flow.prose(read(block.text), context)
            else:
                self._reader.note_block(block)
        return parts


def _carries(text: Inline) -> bool:
    """Whether tasks need the heading above them, because it names what they are done to."""
    return is_object_heading(text.mask) and not is_procedure(text.mask)


def _is_sentence(text: Inline) -> bool:
    if _FAQ.match(text.mask):
        return False  # the text below it answers
    return text.mask.rstrip()[-1:] in (".", "?", "!") or len(list(sentences(text))) > 1


def _name(text: str) -> str:
    return text.strip(" .:!").casefold()


def _place(plan: Group, details: dict[str, tuple[Group, Group]]) -> None:
    """Put a section behind the item of a list that it is about: they have the same name. A section
    is never about an item of its own."""
    inner: list[tuple[Group, tuple[Group, ...]]] = [(plan, (plan,))]
    while inner:
        group, around = inner.pop()
        for place, part in enumerate(group.parts):
            if isinstance(part, Group):
                inner.append((part, (*around, part)))
                continue
            name = _name(part.reading.description)
            if name in details and not any(details[name][0] is each for each in around):
                section, outer = details.pop(name)
                if part.id == 0 and section is not group and section in outer.parts:
                    outer.parts.remove(section)
                    group.parts[place] = Group(parts=[part, section], head=part)


def _is_one_step(section: Section, caption: Inline) -> bool:
    """Whether prose below a heading that orders asks for nothing beside it."""
    texts = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    prose = len(texts) == len(section.blocks) and not section.sections
    return prose and sum(map(asks, texts)) == 1 and is_order_heading(caption.mask)


def _is_step(section: Section) -> bool:
    """Whether a numbered heading is one task: it has no items of its own."""
    lead = _NO_TEXT
    for block in section.blocks:
        if isinstance(block, ItemList) and not tells(lead, block) and not is_contents(block):
            return False
        lead = block.text if isinstance(block, Paragraph) else _NO_TEXT
    return not section.sections
