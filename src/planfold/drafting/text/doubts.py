"""Faults of a text that could be read as a plan, but hardly as its author meant it: a directive, a
reference or a tool that is misspelt would silently be words of a task."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from planfold.drafting.draft import TaskDraft
from planfold.drafting.faults import Faults, excerpt, quoted
from planfold.drafting.text.arguments import ANSWER_PREFIX
from planfold.drafting.text.commands import HttpRequest, ShellCommand, ShellScript
from planfold.drafting.text.misspelt import FORMS
from planfold.drafting.text.order import Order, mentioned_in
from planfold.drafting.text.parts import Entry, Group, Part
from planfold.planner.references import ITEM, OCCURRENCE

_ALONE: Final = re.compile(r"(?:^|: )@([A-Za-z_][\w.-]{0,200})$")
_CALL: Final = re.compile(r"(?:^|\s)@([A-Za-z_][\w.-]{0,200})\s{0,9}\{")
_NEAR: Final = 0.75  # one wrong letter of four, or two that changed places in a name of five


def add_doubts(
    root: Group,
    order: Order,
    tasks: Collection[TaskDraft],
    known_tools: Collection[str],
    faults: Faults,
) -> None:
    """Add what is misspelt to ``faults``. ``tasks`` are those of the entries of ``order``."""
    for part in _parts(root):
        name = _name(part) if isinstance(part, Entry) else None
        for wrong in part.directives.wrong:
            near = faults.closest(wrong.unknown, FORMS) if wrong.unknown else ""
            fix = f"did you mean {near!r}? write {FORMS[near]}" if near else wrong.fix
            faults.add(f"{excerpt(wrong.written)}: {wrong.fault}", task=name, fix=fix)
    for entry, task in zip(order.entries, tasks, strict=True):
        _add_references(entry, task, order, faults)
        alone = _ALONE.search(task.description) if task.tool is None else None
        if alone is not None and (near := faults.nearest(alone[1], known_tools, _NEAR)):
            message = f"there is no tool {quoted(alone[1])}"
            faults.add(message, task=_name(entry), field="tool", fix=near)
        called = _CALL.search(task.description) if task.tool is None else None
        if called is not None and called[1] in known_tools:
            message = f"the call of @{called[1]} is only a part of the text, so it would be words"
            fix = f"begin with it: @{called[1]} and its arguments as JSON"
            faults.add(message, task=_name(entry), field="tool", fix=fix)


def _parts(part: Part) -> Iterator[Part]:
    yield part
    if isinstance(part, Group):
        for inner in part.parts:
            yield from _parts(inner)


def _name(entry: Entry) -> str:
    return entry.directives.label or str(entry.id)


def _add_references(entry: Entry, task: TaskDraft, order: Order, faults: Faults) -> None:
    """Names behind a dollar that are nearly a label."""
    match entry.reading.action:
        case ShellCommand() | ShellScript():
            asked: dict[str, str] = (task.arguments or {}).get("env", {})
            names = [
                name
                for name, value in asked.items()
                if not name.startswith(ANSWER_PREFIX) and value[1:].isdecimal()  # it is asked for
            ]
        case HttpRequest(url, _):
            names = mentioned_in(url)
        case None:
            names = mentioned_in(entry.reading.description.partition("\n")[0])  # blocks are below
        case _:
            names = []  # the compiler checks them
    of_map = entry.reading.directives.for_each is not None
    for name in dict.fromkeys(names):
        if of_map and name in ITEM:
            continue
        if order.rename(entry, name) is not None or name.isdecimal():
            continue
        if near := faults.nearest(name, [*order.labels, OCCURRENCE], _NEAR):
            message = f"there is no task {quoted(name)}, which ${excerpt(name)} refers to"
            faults.add(message, task=_name(entry), fix=near)
