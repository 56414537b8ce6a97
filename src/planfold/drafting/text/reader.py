"""Reads items of one text, and keeps the parts that are not tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from planfold.drafting.scripts import leads_elsewhere
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import Reading, read_item
from planfold.drafting.text.markdown import Block, Code, text_of
from planfold.drafting.text.parts import Context, Entry, Numbering
from planfold.drafting.text.words import is_conditional


class ItemReader:
    """``leave_out``: a statement becomes a note and not a task. ``stepwise``: the text is the
    procedure of a release, an upgrade or the like."""

    def __init__(
        self, known_tools: Collection[str], *, leave_out: bool, stepwise: bool = False
    ) -> None:
        self.stepwise = stepwise
        self._known_tools = known_tools
        self.leave_out = leave_out
        self.notes: list[str] = []
        self.begun = False  # there is a task already
        self._elsewhere = False  # work has led to another folder or machine

    def note(self, text: str) -> None:
        if any(map(str.isalnum, text)) and not text.startswith("<!--"):
            self.notes.append(text.strip())

    def note_block(self, block: Block) -> None:
        self.note(text_of(block, targets=True))

    def entry(self, reading: Reading, numbering: Numbering | None = None) -> Entry:
        self.begun = True
        return Entry(reading, numbering)

    def read(
        self,
        text: Inline,
        context: Context,
        more: Sequence[Block] = (),
        raw: str | None = None,
    ) -> Reading:
        """Read an item in its context: the label of its list is put before its description."""
        reading = read_item(text, raw, self._known_tools, more, guarded=context.guarded)
        if self._elsewhere and reading.action is not None:
            reading = read_item(text, raw, self._known_tools, more, guarded=True)
        if reading.action is None and not context.guarded and not is_conditional(text.mask):
            only_code = not text.mask.strip("\0 ")
            codes = [code.code or "" for code in text.codes] if only_code else []
            codes += [block.content for block in more if isinstance(block, Code)]
            self._elsewhere = self._elsewhere or any(map(leads_elsewhere, codes))
        if context.label and reading.description:
            reading.description = f"{context.label}: {reading.description}"
        for note in reading.notes:
            self.note(note)
        return reading
