"""The text drafter: plain text or Markdown becomes a plan, by fixed rules and offline.

    blocks (markdown) > outline (items, prose, commands) > order > placeholders > PlanDraft

docs/reference/plan-text.md is the language; its examples are tests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.faults import Faults
from planfold.drafting.text.arguments import Answers, arguments_of, undo_of
from planfold.drafting.text.commands import ShellCommand, ShellScript
from planfold.drafting.text.directives import (
    MAP_DIRECTIVES,
    WAIT_DIRECTIVES,
    Directives,
    take_directives,
)
from planfold.drafting.text.doubts import add_doubts
from planfold.drafting.text.front import read_front_matter
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import take_box, without_number
from planfold.drafting.text.markdown import (
    Block,
    Heading,
    Item,
    ItemList,
    Note,
    Paragraph,
    Quote,
    read_blocks,
)
from planfold.drafting.text.order import Order
from planfold.drafting.text.outline import outline
from planfold.drafting.text.parts import Entry
from planfold.planner.conditions import ConditionFault, read_condition, rename_in_condition
from planfold.planner.references import (
    OCCURRENCE,
    PARAMS,
    find_references,
    rename_references,
    rename_whole,
    whole_reference,
)
from planfold.planner.tasks import NodeKind

_TITLE: Final = 80  # characters of a title that is only the first line
_LONGEST_TITLE: Final = 200  # the compiler's limit for names


def parse_text(text: str, *, known_tools: Collection[str] = ()) -> PlanDraft:
    """Read ``text`` as a plan. Never raises; a text without anything to do has no tasks.

    ``known_tools`` makes ``@name`` without JSON a call of that tool; ``@name {...}`` always is.
    The draft's ``notes`` are what the text says beside its tasks.
    """
    return _read(text, known_tools, Faults())


def load_text(text: str, *, known_tools: Collection[str] = ()) -> PlanDraft:
    """The same for a plan that its author wrote. Raises InvalidPlan: a directive, a reference or a
    tool is misspelt."""
    faults = Faults()
    draft = _read(text, known_tools, faults)
    faults.raise_any()
    return draft


def _read(text: str, known_tools: Collection[str], faults: Faults) -> PlanDraft:
    blocks = read_blocks(text)
    heading = next((block for block in blocks if isinstance(block, Heading)), None)
    matter = next((b for b in blocks[:1] if isinstance(b, Note)), None)
    front = matter if matter is not None and matter.title else None
    titled = heading is not None and (heading.level == 1 or front is None)
    numbered = heading is not None and without_number(heading.text) is not None
    root, notes = outline(blocks, heading if titled and not numbered else None, known_tools)
    said = read_front_matter(text, faults)
    if said.says_something and matter is not None:  # it is converted
        notes = [note for note in notes if note != matter.text]
    order = Order(root, (OCCURRENCE, PARAMS) if said.params else (OCCURRENCE,))
    answers = Answers(order.entries, text)
    tasks = [_task(entry, order, answers) for entry in order.entries]
    add_doubts(root, order, tasks, known_tools, faults)
    for task in tasks:
        known = answers.known(task.description) if task.tool is None else []
        if known:  # the answer is of use there, too
            task.depends_on = [*task.depends_on, *known]
    return PlanDraft(
        tasks=[*tasks, *answers.questions()],
        title=_title(blocks, heading if titled else None, front),
        goal=text.replace("\0", "\ufffd"),
        notes=[*notes, *_comments(text)],
        **said._asdict(),
    )


def _task(entry: Entry, order: Order, answers: Answers) -> TaskDraft:
    reading = entry.reading
    said = reading.directives
    tool, arguments = arguments_of(entry, order, answers)
    description = reading.description
    if tool is None and isinstance(reading.action, (ShellCommand, ShellScript)):
        code = (
            reading.action.line if isinstance(reading.action, ShellCommand) else reading.action.text
        )
        description = description if code in description else f"{description}:\n{code}"
    description += order.numbers(entry) if tool is None else ""
    draft = TaskDraft(
        id=entry.id,
        description=description,
        kind=reading.kind if tool or reading.action is None else NodeKind.Processing,
        label=said.label,
        tool=tool,
        arguments=arguments,
        depends_on=entry.depends_on,
        attachments=reading.attachments,
        effect=said.effect,
        retry=said.retry,
        timeout=said.timeout,
        route=said.route,
        on_failure="continue" if said.carry_on else "stop",
        when=None if reading.done else _condition(entry, order),
        run_if="completed" if reading.done else said.run_if or "completed",
        **({} if reading.done else _map_fields(entry, order)),
        done=reading.done is True,
        stall_timeout=said.stall_timeout,
        undo=None if reading.done else undo_of(entry, order, answers),
        limits=list(said.limits or ()),
    )
    if waits := _waiting_fields(entry, order):
        return msgspec.structs.replace(draft, **waits)
    if reading.kind is NodeKind.Clarification or said.default or said.deadline:
        draft.choices = reading.choices
        draft.default = _default(said, reading.choices)
        draft.deadline = said.deadline
    return draft


def _condition(entry: Entry, order: Order) -> str | None:
    """The condition of an entry, in which numbers of the text are ids."""
    said = entry.reading.directives.when
    if said is None:
        return None
    try:
        targets = {r.target for r in read_condition(said).references.values()}
    except ConditionFault:
        return said  # the compiler says why
    found = {target: order.rename(entry, target) for target in targets}
    ids = {target: int(name) for target, name in found.items() if name and name.isdecimal()}
    return rename_in_condition(said, ids)


def _map_fields(entry: Entry, order: Order) -> dict[str, Any]:
    """What the directives say of a map. Numbers of the text are ids."""
    said = entry.reading.directives
    fields = {name: getattr(said, name) for name in MAP_DIRECTIVES}
    if said.for_each is not None and (whole := whole_reference(said.for_each)) is not None:
        meant = order.rename(entry, whole.target)
        if meant is not None and meant.isdecimal():
            fields["for_each"] = rename_whole(said.for_each, {whole.target: int(meant)})
    return fields


def _waiting_fields(entry: Entry, order: Order) -> dict[str, Any]:
    """What the directives say of a wait or a sub-plan; empty where the task has work of its own."""
    if entry.reading.done:
        return {}
    return _wait_fields(entry, order) or _plan_fields(entry, order)


def _wait_fields(entry: Entry, order: Order) -> dict[str, Any]:
    """What the directives say of a wait; empty without one. Numbers of the text are ids."""
    said = entry.reading.directives
    fields = {name: getattr(said, name) for name in WAIT_DIRECTIVES}
    if all(value is None for value in fields.values()):
        return {}
    if said.key is not None:
        fields["key"] = _numbered(said.key, entry, order)
    kind = {"kind": None} if entry.reading.kind is not NodeKind.ToolCall else {}
    return {**fields, **kind, "default": said.default, "deadline": said.deadline}


def _plan_fields(entry: Entry, order: Order) -> dict[str, Any]:
    """What the directives say of a sub-plan; empty without one."""
    said = entry.reading.directives
    if said.plan is None and said.values is None:
        return {}
    kind = {"kind": None} if entry.reading.kind is not NodeKind.ToolCall else {}
    values = {name: _numbered(text, entry, order) for name, text in (said.values or {}).items()}
    return {**kind, "plan": said.plan, "arguments": values or None}


def _numbered(text: str, entry: Entry, order: Order) -> str:
    """``text`` with ids instead of numbers of the text."""
    targets = {found.target for found in find_references(text)}
    found = {target: order.rename(entry, target) for target in targets}
    ids = {target: int(name) for target, name in found.items() if name and name.isdecimal()}
    return rename_references({"": text}, ids)[""]


def _default(said: Directives, choices: list[str]) -> str | None:
    """The default as the choice spells it: {default=yes} means "Yes"."""
    if said.default is None:
        return None
    same = (choice for choice in choices if choice.lower() == said.default.lower())
    return next(same, said.default)


def _comments(text: str) -> Iterator[str]:
    """What the HTML comments of a text say."""
    start = text.find("<!--")
    while start >= 0 and (end := text.find("-->", start + 4)) >= 0:
        if comment := text[start + 4 : end].strip():
            yield comment
        start = text.find("<!--", end)


def _title(blocks: list[Block], heading: Heading | None, front: Note | None) -> str:
    if heading is not None:
        return _shortened(take_directives(heading.text)[0].line, _LONGEST_TITLE)
    if front is not None:
        return _shortened(front.title, _LONGEST_TITLE)
    return _shortened(_first_line(blocks), _TITLE)


def _first_line(blocks: list[Block]) -> str:
    inner: list[Block | Item] = [*blocks]
    while inner:
        block = inner.pop(0)
        match block:
            case Paragraph(text, raw) if text.text.strip():
                text = take_box(text, raw)[0]
                first = text.slice(0, (text.text + "\n").index("\n"))
                return _plain(take_directives(first)[0])
            case ItemList(items=items):
                inner = [*items, *inner]
            case Item() | Quote():
                inner = [*block.blocks, *inner]
            case _:
                pass
    return ""


def _plain(text: Inline) -> str:
    return text.line.removesuffix(":")


def _shortened(text: str, length: int) -> str:
    """``text``, or as many of its first words as fit."""
    if len(text) <= length:
        return text
    cut = text[: length + 1].rfind(" ")
    return text[: cut if cut > 0 else length].rstrip(" ,;:-")
