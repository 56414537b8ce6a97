"""The order of an outline: ids, what depends on what, and which task a name means."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final, cast

from planfold.drafting.text.commands import HttpRequest
from planfold.drafting.text.joins import keep_joins, run_first_if
from planfold.drafting.text.parts import Entry, Group, Numbering, Part
from planfold.planner.tasks import Effect

# Lists of this many links in all are written out; beyond it (two sections of thousands of
# bullets each) tasks share one list, or a megabyte of text would become gigabytes.
_LINKS: Final = 1_000_000
_REFERENCE: Final = re.compile(r"(?<![\w$])\$([0-9]+|[A-Za-z_][A-Za-z0-9_-]*)(?![0-9]*[.,]?[0-9])")
_STEPS: Final = re.compile(r"\bsteps? (\d{1,3})(?:(?: to | and |, |-)(\d{1,3}))?(?!\w|\.\d)", re.I)
_LOOK_BACK: Final = 10_000  # tasks searched for whether a dependency is implied already


class Order:
    """Numbers the tasks of ``root`` in its order and fills in their ``depends_on``. ``names`` have
    values without being tasks, such as the parameters."""

    def __init__(self, root: Group, names: Collection[str] = ()) -> None:
        self._names = names
        self.entries: list[Entry] = []
        self._labels: dict[str, Part] = {}
        self._lists: list[Numbering] = []
        self._waiting: dict[int, int] = {}  # task: the last found to wait for it
        self._shared: list[int | str] | list[int] | None = None
        self._judged: tuple[list[int], bool] = [], True
        self._links = 0
        self._guarded: list[range] = []  # groups with a ``run_if``
        self._number(root)
        self._effects = list(accumulate(map(_has_effect, self.entries), initial=0))
        self._wire(root, [])
        for entry in self.entries:
            self._add_mentioned(entry)
        keep_joins(self.entries, self._guarded)

    @property
    def labels(self) -> Collection[str]:
        """The labels that the text gives."""
        return self._labels.keys()

    def rename(self, entry: Entry, target: str) -> str | None:
        """The id that ``$target`` means in ``entry``, or None when no task is called so."""
        if target in self._names:
            return target
        if not target.isdecimal():
            part = self._labels.get(target)
            return target if part is not None and _head(part) not in (None, entry) else None
        if len(target) > 9:
            return None
        part = self._find(entry, int(target))
        if part is None:
            return None
        head = _head(part)
        if isinstance(part, Group) and head is None:
            meant = max(part.last or [0])  # a label has no result of its own
        else:
            meant = head.id if head else 0
        return str(meant) if meant not in (0, entry.id) else None

    def _number(self, part: Part) -> None:
        if isinstance(part, Entry):
            self.entries.append(part)
            part.id = len(self.entries)
            if part.directives.label:
                self._labels.setdefault(part.directives.label, part)
            return
        if part.directives.label:
            self._labels.setdefault(part.directives.label, part)
        numbering = part.numbering
        if numbering and numbering.outer is None and numbering not in self._lists:
            self._lists = [*self._lists[-1:], numbering]  # only whether there is one matters
        first = len(self.entries) + 1
        for inner in part.parts:
            if inner is not part.head:
                _inherit(inner, part)
            self._number(inner)
        part.ids = range(first, len(self.entries) + 1)

    def _wire(self, part: Part, before: list[int]) -> tuple[list[int], bool]:
        """Make ``part`` wait for ``before``; returns its last tasks, and whether it does wait."""
        after = part.directives.after
        names = None if after is None else self._resolve(part, after)
        if isinstance(part, Entry):
            if names is None and part.reading.done and not self._are_done(before):
                return [part.id], False  # out of turn: what follows waits for those before it
            self._link(part, before if names is None else names)
            return [part.id], names is None
        start = before if names is None else self._known(names)
        unknown = [name for name in names or () if name not in start]
        ordered = part.ordered if part.ordered is not None else self._has_effects(part.ids)
        last, waits = self._in_order(part, start) if ordered else self._beside(part, start)
        part.last = self._open(last, part)
        if part.directives.run_if is not None:
            self._guarded.append(part.ids)
            run_first_if(self.entries, part.ids, part.directives.run_if)
        if unknown and part.ids:  # for the compiler to report, once
            first = self.entries[part.ids.start - 1]
            first.depends_on = [*first.depends_on, *unknown]
        return part.last, waits and names is None

    def _has_effects(self, ids: range) -> bool:
        """Whether one of these tasks changes something: a call that is not said to be safe."""
        return bool(ids) and self._effects[ids.stop - 1] > self._effects[ids.start - 1]

    def _in_order(self, group: Group, before: list[int]) -> tuple[list[int], bool]:
        base, last, waits = before, list[int](), False
        for part in group.parts:
            if part.directives.after is not None:
                last += self._wire(part, [])[0]
                continue
            current = [*base, *self._open(last, group)] if last else base
            found, waited = self._wire(part, current)
            if waited:
                waits = waits or base is before
                base, last = [], list(found)
            else:
                last += found
        return last, waits

    def _beside(self, group: Group, before: list[int]) -> tuple[list[int], bool]:
        last: list[int] = []
        waits = False
        for part in group.parts:
            found, waited = self._wire(part, before)
            last += found
            waits = waits or waited
        return last, waits

    def _open(self, tasks: list[int], group: Group) -> list[int]:
        """Those of ``tasks`` that nothing in ``group`` waits for yet."""
        return [task for task in tasks if self._waiting.get(task, 0) < group.ids.start]

    def _link(self, entry: Entry, names: list[int | str] | list[int]) -> None:
        self._links += len(names)
        entry.depends_on = [*names] if self._links <= _LINKS else cast(list[int | str], names)
        if names is self._shared:  # side by side with the task before it
            return
        self._shared = names
        stack = self._known(names)
        self._waiting |= dict.fromkeys(stack, entry.id)
        while stack:
            for parent in self._known(self.entries[stack.pop() - 1].depends_on):
                if parent not in self._waiting:
                    self._waiting[parent] = entry.id
                    stack.append(parent)

    def _are_done(self, tasks: list[int]) -> bool:
        if tasks is not self._judged[0]:  # tasks side by side ask about the same list
            self._judged = tasks, all(self.entries[task - 1].reading.done for task in tasks)
        return self._judged[1]

    def _known(self, names: Sequence[int | str]) -> list[int]:
        """The ids among ``names``, without the labels and numbers that no task has."""
        return [name for name in names if isinstance(name, int) and 0 < name <= len(self.entries)]

    def _resolve(self, part: Part, names: tuple[int | str, ...]) -> list[int | str]:
        found: dict[int | str, None] = {}
        for name in names:
            meant = self._find(part, name) if isinstance(name, int) else self._labels.get(name)
            found |= dict.fromkeys([name] if meant is None else self._ends(meant, part))
        numbers = sorted(name for name in found if isinstance(name, int))
        return [*numbers, *(name for name in found if isinstance(name, str))]

    def _ends(self, meant: Part, asking: Part) -> list[int]:
        if isinstance(meant, Entry):
            return [meant.id]
        first = asking.id if isinstance(asking, Entry) else asking.ids.start
        if meant.head is not None and first in meant.ids:
            return [meant.head.id]
        return meant.last if meant.last is not None else list(meant.ids)

    def _find(self, part: Part, number: int) -> Part | None:
        """What a reader means by ``number``: an item of the list that contains the number, of a
        list around it, or of the only numbered list; else the task with that id."""
        own = part.id if isinstance(part, Entry) else part.ids.start
        numbering = part.numbering
        while numbering is not None:
            found = numbering.parts.get(number)
            if found is not None and not _holds(found, own):
                return found
            numbering = numbering.outer
        if len(self._lists) == 1 and number in self._lists[0].parts:
            found = self._lists[0].parts[number]
            if not _holds(found, own):
                return found
        return self.entries[number - 1] if 1 <= number <= len(self.entries) else None

    def numbers(self, entry: Entry) -> str:
        """What "steps 5 to 7" in ``entry`` are here, where the list has other numbers."""
        numbering = entry.numbering
        found = _STEPS.search(entry.reading.description) if numbering else None
        if numbering is None or found is None:
            return ""
        meant = {int(n): numbering.parts.get(int(n)) for n in (found[1], found[2]) if n}
        said = {n: _head(part) for n, part in meant.items() if part is not None}
        tasks = [f"step {n} is task {head.id}" for n, head in said.items() if head and head.id != n]
        return f" ({', '.join(tasks)})" if tasks else ""

    def _add_mentioned(self, entry: Entry) -> None:
        """A description that speaks of an earlier result waits for it; the compiler looks for
        references only in arguments."""
        if entry.reading.action is not None or "$" not in entry.reading.description:
            return
        names = mentioned_in(entry.reading.description)
        mentioned = (self.rename(entry, name) for name in names)
        for name in dict.fromkeys(mentioned):
            task = None if name is None else self._id_of(name)
            if task is not None and task < entry.id and not self._is_implied(entry, task):
                entry.depends_on = [*entry.depends_on, task]

    def _id_of(self, name: str) -> int | None:
        if name.isdecimal():
            return int(name)
        part = self._labels.get(name)
        head = None if part is None else _head(part)
        return head.id if head else None

    def _is_implied(self, entry: Entry, task: int) -> bool:
        seen: set[int] = set()
        stack = self._known(entry.depends_on)
        while stack and len(seen) < _LOOK_BACK:
            parent = stack.pop()
            if parent == task:
                return True
            if parent > task and parent not in seen:
                seen.add(parent)
                stack += self._known(self.entries[parent - 1].depends_on)
        return False


def _has_effect(entry: Entry) -> bool:
    action = entry.reading.action
    called = action is not None and not isinstance(action, HttpRequest)
    return called and entry.directives.effect is not Effect.Safe and not entry.reading.done


def mentioned_in(description: str) -> list[str]:
    """What a description refers to, outside of code."""
    return [found[1] for found in _REFERENCE.finditer(re.sub(r"`[^`]*`", "", description))]


def _head(part: Part) -> Entry | None:
    return part if isinstance(part, Entry) else part.head


def _holds(part: Part, task: int) -> bool:
    return part.id == task if isinstance(part, Entry) else task in part.ids


def _inherit(part: Part, outer: Group) -> None:
    if isinstance(part, Entry):
        part.reading.directives = part.reading.directives.over(outer.directives)
    else:
        part.directives = part.directives.over(outer.directives)
        if part.head is not None:
            own = replace(part.head.reading.directives)
            part.head.reading.directives = own.over(outer.directives)
