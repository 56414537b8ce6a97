"""A document as an outline: what in it is a task, and what comes after or beside what."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from planfold.drafting.text.commands import Script, is_question
from planfold.drafting.text.directives import NONE, take_directives
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import Reading, first_line, without_number
from planfold.drafting.text.lists import Lists, as_label
from planfold.drafting.text.markdown import Block, Code, Heading, ItemList, Paragraph, text_of
from planfold.drafting.text.parts import Context, Entry, Group, Part, append
from planfold.drafting.text.prose import Clause, read_request, read_sentences
from planfold.drafting.text.reader import Reader
from planfold.drafting.text.sections import (
    Section,
    alternative_names,
    alternatives,
    are_names,
    comments_all,
    continued,
    is_contents,
    is_glossary,
    is_left_out,
    is_name,
    is_structured,
    sections,
    tells,
    tells_all,
)
from planfold.drafting.text.sentences import is_connector, sentences, take_connector, without_stop
from planfold.drafting.text.shell import block_of, is_prompted
from planfold.drafting.text.words import (
    begins_with_condition,
    is_announcement,
    is_guarding_heading,
    is_imperative_heading,
    is_label_clean,
    is_statement,
    leads_examples,
    points_below,
    says_prompted,
    starts_with_run,
    tells_below,
)
from planfold.planner.tasks import NodeKind


class Outlined(NamedTuple):
    root: Group
    notes: list[str]  # what is no task, in the order of the text


_NO_TEXT: Final = Inline("", "")
_TOP: Final = Context()


def outline(blocks: list[Block], title: Heading | None, known_tools: Collection[str]) -> Outlined:
    """The tasks in ``blocks``. A document of sentences alone is read as prose."""
    structured = is_structured(blocks, known_tools)
    for lists, leave_out in ((True, True), (True, False), (False, True), (False, False)):
        if lists and not structured:
            continue
        reader = Reader(known_tools, leave_out=leave_out)
        root = _Document(reader, lists, title).read(blocks)
        if _has_entry(root):
            return Outlined(root, reader.notes)
    reader = Reader(known_tools, leave_out=False)
    return Outlined(Group(parts=list(_headings(reader, blocks, title))), reader.notes)


def _headings(reader: Reader, blocks: list[Block], title: Heading | None) -> Iterator[Entry]:
    """A task for each heading, where there is nothing else; the title only if it is alone."""
    found = [block for block in blocks if isinstance(block, Heading)]
    for block in blocks:
        if not isinstance(block, Heading):
            reader.note(text_of(block))
    for heading in [h for h in found if h is not title] or found:
        reading = reader.read(without_number(heading.text) or heading.text, _TOP)
        if reading.description.strip():
            yield Entry(reading)


def _has_entry(part: Part) -> bool:
    return isinstance(part, Entry) or any(map(_has_entry, part.parts))


class _Document:
    """``structured``: with lists or commands, so that paragraphs are commentary at first."""

    def __init__(self, reader: Reader, structured: bool, title: Heading | None) -> None:
        self._reader = reader
        self._lists = Lists(reader)
        self._structured = structured
        self._title = title
        self._is_request = False
        self._is_name = False  # the heading of the section is only a name: it orders nothing
        self._alternatives: frozenset[str] = frozenset()

    def read(self, blocks: list[Block]) -> Group:
        root = sections(blocks)
        self._alternatives = alternative_names(blocks)
        paragraphs = [block for block in blocks if isinstance(block, Paragraph)]
        self._is_request = len(paragraphs) == 1 and len(root.sections) < 2
        return self._section(root, _TOP)

    # --- sections --------------------------------------------------------------------------------

    def _section(self, section: Section, context: Context, *, case: bool = False) -> Group:
        """``case``: one of several sections for different cases."""
        group = Group()
        heading = section.heading
        caption: Inline | None = None
        labelled = False  # its items keep the heading as their label
        if heading is not None:
            text, group.directives = take_directives(heading.text)
            is_title = heading is self._title
            left_out = not is_title and is_left_out(section, text)
            if left_out and self._reader.leave_out:
                self._note_section(section)
                return group
            caption = without_number(text) or text
            case = case or caption.line.lower() in self._alternatives
            guarding = is_guarding_heading(text.mask)
            numbered = without_number(text) is not None
            apart = left_out or case or (guarding and (numbered or not _is_sentence(text)))
            if not is_title and apart:
                context = context.within(caption.line.rstrip(":"), guarded=True)
                labelled = True
            elif not is_title and (numbered or _is_sentence(text)) and _is_step(section):
                context = context._replace(guarded=context.guarded or guarding)
                group.parts = [self._reader.entry(self._step(caption, section.blocks, context))]
                return group
            self._is_name = not is_title and not numbered
        noted = len(self._reader.notes)
        parts = self._parts(section, caption, context)
        others = alternatives(section.sections)
        group.parts = [*parts]
        apart = False  # the section before is another case
        for inner in section.sections:
            other = inner in others
            append(group.parts, self._section(inner, context, case=other), apart and other)
            apart = other
        if caption is not None and heading is not self._title and not _has_entry(group):
            parts = self._ordered(section, caption, context, noted)
            group.parts = [*parts]
        used = any(isinstance(part, Entry) and part.reading.captioned for part in parts)
        used = used or (labelled and _has_entry(group))
        if heading is not None and heading is not self._title and not used:
            self._reader.notes.insert(noted, text_of(heading))
        return group

    def _ordered(
        self, section: Section, caption: Inline, context: Context, noted: int
    ) -> list[Part]:
        """ "Update the site" above prose alone is a task, and the prose its description."""
        if not self._reader.begun or section.sections or not is_imperative_heading(caption.mask):
            return []
        del self._reader.notes[noted:]
        reading = self._step(caption, section.blocks, context._replace(guarded=True))
        reading.captioned = True
        return [self._reader.entry(reading)]

    def _step(self, caption: Inline, blocks: list[Block], context: Context) -> Reading:
        """A numbered heading with what is below it: the heading names the step."""
        first = next(iter(blocks), None)
        if is_question(caption) or first is None:
            return self._reader.read(caption, context, blocks)
        if isinstance(first, Paragraph):
            reading = self._reader.read(first.text, context, blocks[1:], raw=first.raw)
            if not first.text.mask.rstrip().endswith("?") and not reading.choices:
                kinds = {NodeKind.Clarification: NodeKind.Processing}  # "Ask Ann." is how
                reading.kind = kinds.get(reading.kind, reading.kind)
        else:
            reading = self._reader.read(_NO_TEXT, context, blocks)
            if _is_named_by_script(reading):
                reading.description = ""
        reading.description = "\n".join(filter(None, [caption.line, reading.description]))
        return reading

    def _note_section(self, section: Section) -> None:
        blocks = [section.heading, *section.blocks] if section.heading else section.blocks
        self._reader.note("\n".join(map(text_of, blocks)))
        for inner in section.sections:
            self._note_section(inner)

    def _note(self, text: str) -> None:
        if text.strip() and not text.startswith("<!--"):
            self._reader.notes.append(text.strip())

    def _parts(self, section: Section, caption: Inline | None, context: Context) -> list[Part]:
        if self._structured:
            return self._flow(section.blocks, caption, context)
        parts: list[Part] = []
        for block in section.blocks:
            if isinstance(block, Paragraph):
                read = read_request if self._is_request else read_sentences
                parts += self._prose(read(block.text), context)
            else:
                self._reader.note(text_of(block))
        return parts

    def _prose(self, clauses: list[Clause], context: Context) -> list[Part]:
        parts: list[Part] = []
        for clause in clauses:
            text, said = take_directives(clause.text)
            told = not clause.line and tells_all(text) and said == NONE
            if told and self._reader.leave_out:
                self._reader.note(text.line)
                continue
            text = text if text is clause.text else without_stop(text)
            reading = self._reader.read(text, context)
            reading.directives = said
            if reading.description.strip():
                append(parts, Entry(reading), clause.beside)
        return parts

    # --- blocks of one section, from top to bottom -----------------------------------------------

    def _flow(self, blocks: list[Block], caption: Inline | None, context: Context) -> list[Part]:
        parts: list[Part] = []
        lead: Paragraph | None = None
        blocks = continued(blocks)
        place = 0
        while place < len(blocks):
            block, first = blocks[place], place == 0
            place += 1
            following = blocks[place] if place < len(blocks) else None
            match block:
                case Paragraph(text) if text.text and isinstance(following, (Code, ItemList)):
                    lead = block
                    continue
                case Paragraph():
                    parts += self._paragraph(block, context)
                case Code():
                    codes = [block]
                    while place < len(blocks) and isinstance(more := blocks[place], Code):
                        codes.append(more)
                        place += 1
                    behind = blocks[place : place + 1]
                    behind = [b for b in behind if isinstance(b, Paragraph) and _continues(b)]
                    place += len(behind)
                    more = [*codes, *behind]
                    parts += self._code(more, lead, caption, context, first=first)
                case ItemList():
                    parts += self._list(block, lead, caption, context)
                case _:
                    self._reader.note(text_of(block))
            lead = None
        return parts

    def _paragraph(self, block: Paragraph, context: Context) -> list[Part]:
        """A paragraph is a task where it is a command or begins with a connector; from the first
        task on also where it may ask for something: it may be what the next command waits for."""
        text, said = take_directives(block.text)
        if said.label or said.after is not None:
            return self._prose(read_sentences(block.text), context)
        found = take_connector(text)
        marked = found.then or found.first or found.beside
        if is_prompted(block.raw) or block.raw.startswith("@"):
            reading = self._reader.read(block.text, context, raw=block.raw)
        else:
            reading = self._reader.read(without_stop(found.text if marked else text), context)
            reading.directives |= said
        step = reading.action is not None or starts_with_run(text.mask)
        step = step or (marked and not is_statement(found.text.mask))
        if step or (
            self._reader.begun and text.text and _may_ask(text) and not is_announcement(text.mask)
        ):
            return [self._reader.entry(reading)]
        self._reader.note(text_of(block))
        return []

    def _code(
        self,
        blocks: list[Code | Paragraph],
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
            asks = _may_ask(found) and not tells_below([*sentences(found)][-1].mask)
            if script or (asks and (self._reader.begun or text.mask.rstrip().endswith(":"))):
                raw = lead.raw if lead.raw.startswith("**") else None
                reading = self._reader.read(without_stop(found), context, [*blocks], raw=raw)
                reading.directives |= said
                return [self._reader.entry(reading)]
            self._reader.note(text_of(lead))
        elif script or (first and caption is not None and not codes[0].language):
            if not first:  # to what does it belong?
                caption, context = None, context._replace(guarded=True)
            elif caption is not None and self._is_name:
                context = context._replace(guarded=True)
            return [self._reader.entry(self._captioned(blocks, caption, context))]
        for block in blocks:
            self._reader.note(text_of(block))
        return []

    def _captioned(
        self, blocks: list[Code | Paragraph], caption: Inline | None, context: Context
    ) -> Reading:
        """Code that at most a heading is above: it is called by that, or by its first line."""
        reading = self._reader.read(_NO_TEXT, context._replace(label=""), [*blocks])
        name = context.label
        if caption is not None and not name.endswith(caption.line.rstrip(":")):
            name = ": ".join(filter(None, [name, caption.line]))
        if caption is not None and _is_named_by_script(reading):
            reading.description = ""
        reading.description = "\n".join(filter(None, [name, reading.description]))
        reading.captioned = caption is not None
        return reading

    def _list(
        self, block: ItemList, lead: Paragraph | None, caption: Inline | None, context: Context
    ) -> list[Part]:
        text, said = take_directives(lead.text if lead else _NO_TEXT)
        named = lead is not None and not text.mask.rstrip().endswith(":") and are_names([block])
        told = self._reader.leave_out and (tells(text, block) or is_glossary(block) or named)
        if is_contents(block) or told:
            if lead is not None:
                self._reader.note(text_of(lead))
            self._reader.note(text_of(block))
            return []
        if lead is not None and leads_examples(text.mask) and not block.ordered:
            if tells_all(text):
                self._reader.note(text_of(lead))
                self._reader.note(text_of(block))
                return []
            reading = self._reader.read(text, context, [block])
            reading.directives |= said
            return [self._reader.entry(reading)]
        label = ""
        guarded = False
        if lead is None and caption is not None and are_names([block]):
            label = as_label(caption)
        before: list[Part] = []
        if lead is not None and not is_connector(text):
            *others, last = list(sentences(take_connector(text).text)) or [_NO_TEXT]
            colon = last.mask.rstrip().endswith(":")
            guarded = begins_with_condition(last.mask)
            guarded = guarded or (colon and not is_label_clean(last.mask))
            if guarded or (colon and not block.ordered):
                label = as_label(last)
                self._reader.note(" ".join(other.line for other in others))
            elif colon or points_below(last.mask):
                self._reader.note(text_of(lead))
            else:
                before = self._paragraph(lead, context)
        elif lead is not None:
            self._reader.note(text_of(lead))
        group = self._lists.items(block, text, None, context.within(label, guarded=guarded))
        if before:
            return [*before, group] if group.parts else before
        group.directives = said
        return [group] if group.parts else []


def _is_sentence(text: Inline) -> bool:
    return text.mask.rstrip()[-1:] in (".", "?", "!")


def _is_named_by_script(reading: Reading) -> bool:
    action = reading.action
    return isinstance(action, Script) and reading.description == first_line(action.text)


def _continues(block: Paragraph) -> bool:
    """Whether a paragraph behind code says what else belongs to running it."""
    return says_prompted(block.text.mask[:300])


def _may_ask(text: Inline) -> bool:
    return not is_name(text) and not comments_all(text)


def _is_step(section: Section) -> bool:
    """Whether a numbered heading is one task: it has no items of its own."""
    lead = _NO_TEXT
    for block in section.blocks:
        if isinstance(block, ItemList) and not tells(lead, block) and not is_contents(block):
            return False
        lead = block.text if isinstance(block, Paragraph) else _NO_TEXT
    return not section.sections
