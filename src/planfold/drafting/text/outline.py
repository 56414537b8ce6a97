"""A document as an outline: what in it is a task, and what comes after or beside what."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from planfold.drafting.text.directives import NONE, Directives, take_directives
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import Reading, first_line, read_item, without_number
from planfold.drafting.text.markdown import Block, Code, Heading, Item, ItemList, Paragraph, Quote
from planfold.drafting.text.prose import (
    Clause,
    Connected,
    is_statement,
    read_prose,
    sentences,
    take_connector,
    without_stop,
)
from planfold.drafting.text.sections import (
    Section,
    are_choices,
    are_details,
    choices,
    is_contents,
    is_enumeration,
    is_left_out,
    is_structured,
    sections,
    split_items,
    step_as_heading,
)
from planfold.drafting.text.shell import is_prompted, script_of
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
    """Parts in sequence or side by side. ``head`` is the parent task, when the parent is one."""

    ordered: bool = True
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


_ONE_BY_ONE: Final = re.compile(
    r"\bin (?:this|the following|that) order\b|\bone (?:by|after)", re.I
)
_SIDE_BY_SIDE: Final = re.compile(r"\bin (?:parallel|any order)\b|\bat the same time\b", re.I)
_STARTS_COMMAND: Final = re.compile(r"(?:please\s+)?(?:re-?)?(?:run|execute)\b", re.IGNORECASE)
_RUN_BELOW: Final = re.compile(r"(?:then )?(?:run|execute|enter|type)\b[^`]*", re.IGNORECASE)
_LONGEST_CAPTION: Final = 160


def outline(blocks: list[Block], known_tools: Collection[str]) -> Group:
    """The tasks in ``blocks``. A document of sentences alone is read as prose."""
    for structured, leave_out in ((True, True), (True, False), (False, False)):
        if structured and not is_structured(blocks, known_tools):
            continue
        root = _Reader(known_tools, structured, leave_out).document(blocks)
        if _has_entry(root):
            return root
    return Group(parts=list(_headings(blocks, known_tools)))


def _has_entry(part: Part) -> bool:
    return isinstance(part, Entry) or any(map(_has_entry, part.parts))


def _headings(blocks: list[Block], known_tools: Collection[str]) -> Iterator[Entry]:
    """A task for each heading, where there is nothing else; the title only by itself."""
    found = [block for block in blocks if isinstance(block, Heading)]
    for heading in found[1:] or found:
        text = without_number(heading.text) or heading.text
        reading = read_item(text, None, known_tools)
        if reading.description.strip():
            yield Entry(reading)


class _Reader:
    """``structured``: with lists or commands. ``leave_out``: what only tells about something."""

    def __init__(self, known_tools: Collection[str], structured: bool, leave_out: bool) -> None:
        self._known_tools = known_tools
        self._structured = structured
        self.leave_out = leave_out

    def document(self, blocks: list[Block]) -> Group:
        title = next((b for b in blocks if isinstance(b, Heading)), None)
        if self._structured:
            blocks = [step_as_heading(block) for block in blocks]
        return self._section(sections(blocks), title)

    def _section(self, section: Section, title: Heading | None) -> Group:
        group = Group()
        heading = section.heading
        if heading is not None:
            text, group.directives = take_directives(heading.text)
            if self.leave_out and heading is not title and is_left_out(section, text):
                return group
        group.parts = self._parts(section)
        numbered = without_number(heading.text) if heading and heading is not title else None
        if not group.parts and not section.sections and numbered is not None:
            group.parts = self._numbered_heading(numbered, section)
        group.parts += [self._section(inner, title) for inner in section.sections]
        return group

    def _numbered_heading(self, text: Inline, section: Section) -> list[Part]:
        notes = [block for block in section.blocks if isinstance(block, (Paragraph, Code))]
        reading = read_item(text, None, self._known_tools, notes)
        return [Entry(reading)] if reading.description.strip() else []

    def _parts(self, section: Section) -> list[Part]:
        if not self._structured:
            texts = [block.text for block in section.blocks if isinstance(block, Paragraph)]
            return self.prose([clause for text in texts for clause in read_prose(text)])
        return _Flow(self, section).parts()

    def prose(self, clauses: list[Clause]) -> list[Part]:
        parts: list[Part] = []
        for clause in clauses:
            text, said = take_directives(clause.text)
            text = text if text is clause.text else without_stop(text)
            reading = read_item(text, None, self._known_tools)
            reading.directives = said
            if reading.description.strip():
                _append(parts, Entry(reading), clause.beside)
        return parts

    def list(self, block: ItemList, lead: str, outer: Numbering | None) -> Group:
        """``lead`` is the text that introduces the list."""
        ordered = block.ordered or bool(_ONE_BY_ONE.search(lead))
        ordered = ordered and not _SIDE_BY_SIDE.search(lead)
        numbering = Numbering(outer) if block.ordered else outer
        group = Group(ordered, numbering=numbering)
        number = block.start
        for item in split_items(block):
            found, part = self._item(item, numbering)
            if part is None:
                continue
            if block.ordered and numbering is not None:
                numbering.parts[number] = part
            number += 1
            if ordered:
                _append(group.parts, part, found.beside and not found.then)
            elif found.then and group.parts:
                group.parts = [Group(parts=[Group(False, group.parts), part])]
            else:
                group.parts.append(part)
        return group

    def _item(self, item: Item, numbering: Numbering | None) -> tuple[Connected, Part | None]:
        head = next((b for b in item.blocks if isinstance(b, Paragraph)), None)
        if item.blocks and not isinstance(item.blocks[0], Paragraph):
            head = None
        lists = [block for block in item.blocks if isinstance(block, ItemList)]
        more = [b for b in item.blocks if b is not head and not isinstance(b, ItemList)]
        found = take_connector(head.text) if head else Connected(_EMPTY)
        text, raw = found.text, head.raw if head else ""
        reading = read_item(text, raw, self._known_tools, more)
        if lists and reading.kind is NodeKind.Clarification and are_choices(lists):
            reading.choices = choices(lists)
            reading.description = reading.description.removesuffix(":")
            lists = []
        lead = reading.description
        if lists and are_details(lists):
            reading.description = "\n".join([lead, *choices(lists)])
            lists = []
        inner = [self.list(block, lead, numbering) for block in lists if not is_contents(block)]
        inner = [group for group in inner if group.parts]
        entry = Entry(reading, numbering)
        if not inner:
            return found, entry if reading.description.strip() else None
        group = Group(parts=[*inner], directives=reading.directives, numbering=numbering)
        if reading.action is not None:
            group = Group(parts=[entry, *inner], numbering=numbering, head=entry)
            said = reading.directives
            group.directives = Directives(label=said.label, after=said.after)
            reading.directives = replace(said, after=None)  # the items wait with their parent
        else:
            _pass_down(group, reading)
        return found, group


_EMPTY: Final = Inline("", "")


class _Flow:
    """The blocks of one section in a document with lists or commands, from top to bottom."""

    def __init__(self, reader: _Reader, section: Section) -> None:
        self._reader = reader
        self._heading = section.heading
        self._blocks = section.blocks
        self._found: list[Part] = []
        self._lead: Paragraph | None = None  # the paragraph right above
        self._numbering: Numbering | None = None  # of the last list, which may go on
        self._next_number = 1

    def parts(self) -> list[Part]:
        for place, block in enumerate(self._blocks):
            match block:
                case Paragraph():
                    self._paragraph(block)
                    continue
                case ItemList() if not is_contents(block):
                    self._list(block)
                case Code(language, content):
                    following = self._blocks[place + 1 : place + 2]
                    self._code(block, script_of(language, content), following)
                case Quote():
                    continue
                case _:
                    pass
            self._lead = None
        return self._found

    def _paragraph(self, block: Paragraph) -> None:
        self._lead = None
        tools = self._reader._known_tools
        text, said = take_directives(block.text)
        if is_prompted(block.raw) or block.raw.startswith("@"):
            reading = read_item(block.text, block.raw, tools)
            if reading.action is not None:
                self._found.append(Entry(reading))
                return
        if text.mask.rstrip().endswith(":"):
            self._lead = block
            return
        if said.label or said.after is not None:
            self._found += self._reader.prose(read_prose(block.text))
            return
        clauses = [clause for clause in read_prose(block.text) if self._is_instruction(clause)]
        for part in self._reader.prose(clauses):
            self._found.append(part)
        if not clauses:
            self._lead = block

    def _is_instruction(self, clause: Clause) -> bool:
        """Paragraphs beside lists are commentary, unless they clearly tell what to do when."""
        if clause.connected:
            return not is_statement(clause.text)
        reading = read_item(clause.text, None, self._reader._known_tools)
        if reading.action is None:
            return False
        return reading.only_code or _STARTS_COMMAND.match(clause.text.mask) is not None

    def _list(self, block: ItemList) -> None:
        lead = self._lead.text if self._lead else _EMPTY
        if self._reader.leave_out and is_enumeration(block, lead):
            return
        text, said = take_directives(lead)
        group = self._reader.list(block, text.text, None)
        group.directives = said
        if not group.parts:
            return
        if block.ordered and group.numbering:
            if self._numbering and block.start == self._next_number and block.start > 1:
                self._numbering.parts |= group.numbering.parts
                _renumber(group, group.numbering, self._numbering)
            else:
                self._numbering = group.numbering
            self._next_number = block.start + len(block.items)
        self._found.append(group)

    def _code(self, block: Code, script: str | None, following: list[Block]) -> None:
        if script is None:
            return
        tools = self._reader._known_tools
        last = self._last_item()
        if self._lead is None and last is not None and _waits_for_code(last, following):
            merged = read_item(_EMPTY, None, tools, [block])
            last.reading.action = merged.action
            last.reading.kind = NodeKind.ToolCall
            last.reading.description = last.reading.description.removesuffix(":")
            return
        reading = read_item(_caption(self._lead), None, tools, [block])
        if self._lead is None and self._heading is not None and not self._found:
            text = without_number(self._heading.text) or self._heading.text
            reading = read_item(take_directives(text)[0], None, tools, [block])
        reading.kind = NodeKind.ToolCall
        if self._lead is not None:
            reading.directives |= take_directives(self._lead.text)[1]
        self._found.append(Entry(reading))

    def _last_item(self) -> Entry | None:
        part: Part | None = self._found[-1] if self._found else None
        if not isinstance(part, Group):
            return None
        last = part.parts[-1] if part.parts else None
        return last if isinstance(last, Entry) else None


def _append(parts: list[Part], part: Part, beside: bool) -> None:
    """Put ``part`` after the others, or beside the last one of them."""
    if not beside or not parts:
        parts.append(part)
        return
    last = parts[-1]
    if isinstance(last, Group) and not last.ordered and last.numbering is None:
        last.parts.append(part)
    else:
        parts[-1] = Group(False, [last, part])


def _waits_for_code(entry: Entry, following: list[Block]) -> bool:
    """Whether a block that is not indented still belongs to the list item above it."""
    if entry.reading.kind is not NodeKind.Processing:
        return False
    goes_on = bool(following) and isinstance(following[0], ItemList)
    text = entry.reading.description
    return goes_on or text.endswith(":") or _RUN_BELOW.fullmatch(text) is not None


def _caption(lead: Paragraph | None) -> Inline:
    if lead is None:
        return _EMPTY
    text, _ = take_directives(lead.text)
    found = list(sentences(text))
    last = take_connector(found[-1]).text if found else _EMPTY
    stripped = last.mask.rstrip(":. ")
    return last.cut(0, len(stripped)) if len(stripped) <= _LONGEST_CAPTION else _EMPTY


def _pass_down(group: Group, parent: Reading) -> None:
    """What a label says of its items: that they are done, and what they are items of."""
    for entry in _entries(group, deep=True) if parent.done is not None else ():
        if entry.reading.done is None:
            entry.reading.done = parent.done
    context = first_line(parent.description)
    named = list(_entries(group, deep=False))
    names_only = context.endswith(":") and _are_names([entry.reading for entry in named])
    for entry in named:
        if context and entry.reading.action is None and (names_only or entry.reading.bare):
            entry.reading.description = f"{context.rstrip(': ')}: {entry.reading.description}"


def _are_names(readings: list[Reading]) -> bool:
    """Whether the items are words such as "mail" or "chat", not instructions."""
    words = [reading.description.split() for reading in readings]
    return any(len(found) == 1 for found in words) and all(
        len(found) <= 3 and found[0].islower() and len(found[0]) > 2 for found in words if found
    )


def _entries(group: Group, deep: bool) -> Iterator[Entry]:
    for listed in group.parts:
        for part in listed.parts if isinstance(listed, Group) else [listed]:
            if isinstance(part, Entry):
                yield part
            elif deep:
                yield from _entries(Group(parts=[part]), deep)


def _renumber(group: Group, old: Numbering, new: Numbering) -> None:
    """Make a list that goes on after a paragraph or a block one with what came before it."""
    stack: list[Part] = [group]
    while stack:
        part = stack.pop()
        if part.numbering is old:
            part.numbering = new
        elif part.numbering is not None and part.numbering.outer is old:
            part.numbering.outer = new
        if isinstance(part, Group):
            stack += part.parts
