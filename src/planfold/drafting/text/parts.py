"""What an outline is made of: tasks-to-be, in groups in sequence or side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from planfold.drafting.text.directives import NONE, Directives
from planfold.drafting.text.items import Reading
from planfold.planner.tasks import Attachment

_MOST_TARGETS: Final = 20


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
    """The numbers that a reader sees in one numbered list, and the items that they refer to."""

    outer: Numbering | None = None
    parts: dict[int, Part] = field(default_factory=dict)


class Context(NamedTuple):
    """The context of an item: ``label`` is put before its description. ``guarded``: the text is
    conditional or only a statement, so nothing in it is an action."""

    label: str = ""
    guarded: bool = False

    def within(self, label: str, *, guarded: bool) -> Context:
        label = ": ".join(filter(None, [self.label, label]))
        return Context(label, guarded or self.guarded)


def append(parts: list[Part], part: Part, beside: bool) -> None:
    """Put ``part`` after the others, or beside the last one of them."""
    if not beside or not parts:
        parts.append(part)
        return
    last = parts[-1]
    if isinstance(last, Group) and last.ordered is False and last.numbering is None:
        last.parts.append(part)
    else:
        parts[-1] = Group(False, [last, part])


def point_to(parts: Sequence[Part], targets: Sequence[Attachment]) -> None:
    """Attach what a label points to to the tasks that have it in front."""
    if 0 < len(targets) <= _MOST_TARGETS:  # else a megabyte of text could become gigabytes
        for entry in entries(Group(parts=[*parts])):
            own = entry.reading.attachments
            entry.reading.attachments = own + [target for target in targets if target not in own]


def entries(part: Part) -> Iterator[Entry]:
    if isinstance(part, Entry):
        yield part
    else:
        for inner in part.parts:
            yield from entries(inner)
