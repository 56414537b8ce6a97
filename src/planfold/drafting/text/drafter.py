"""The text drafter: plain text or Markdown becomes a plan, by fixed rules and offline.

    blocks (markdown) > outline (items, prose, actions) > order > PlanDraft

docs/reference/plan-text.md is the language; its examples are tests.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.text.actions import Action, Call, Command, Request, Script
from planfold.drafting.text.directives import Directives, take_directives
from planfold.drafting.text.markdown import (
    Block,
    Heading,
    Item,
    ItemList,
    Paragraph,
    Quote,
    read_blocks,
)
from planfold.drafting.text.order import Order
from planfold.drafting.text.outline import Entry, outline
from planfold.drafting.text.shell import Rename, escape_dollars, shell_arguments
from planfold.planner.tasks import NodeKind

_TITLE: Final = 80  # characters of a title that is only the first line
_LONGEST_TITLE: Final = 200  # the compiler's limit for names


def parse_text(text: str, *, known_tools: Collection[str] = ()) -> PlanDraft:
    """Read ``text`` as a plan. Never raises; a text without anything to do has no tasks.

    ``known_tools`` makes ``@name`` without JSON a call of that tool; ``@name {...}`` always is.
    """
    blocks = read_blocks(text)
    order = Order(outline(blocks, known_tools))
    tasks = [_task(entry, order) for entry in order.entries]
    return PlanDraft(tasks=tasks, title=_title(blocks), goal=text.replace("\0", "\ufffd"))


def _task(entry: Entry, order: Order) -> TaskDraft:
    reading = entry.reading
    said = reading.directives
    tool, arguments = _call(reading.action, lambda target: order.rename(entry, target))
    draft = TaskDraft(
        id=entry.id,
        description=reading.description,
        kind=reading.kind,
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
        done=reading.done is True,
    )
    if reading.kind is NodeKind.Clarification or said.default or said.deadline:
        draft.choices = reading.choices
        draft.default = _default(said, reading.choices)
        draft.deadline = said.deadline
    return draft


def _call(action: Action | None, rename: Rename) -> tuple[str | None, dict[str, Any] | None]:
    match action:
        case Command(line):
            return "shell", shell_arguments(line, rename)
        case Script(text):
            return "shell", {"script": text}
        case Request(url, method):
            return "http", {"url": escape_dollars(url, rename), "method": method}
        case Call(tool, arguments):
            return tool, arguments
        case None:
            return None, None


def _default(said: Directives, choices: list[str]) -> str | None:
    """The default as the choice spells it: {default=yes} means "Yes"."""
    if said.default is None:
        return None
    same = (choice for choice in choices if choice.lower() == said.default.lower())
    return next(same, said.default)


def _title(blocks: list[Block]) -> str:
    heading = next((block for block in blocks if isinstance(block, Heading)), None)
    if heading is not None:
        return _shortened(take_directives(heading.text)[0].line, _LONGEST_TITLE)
    return _shortened(_first_line(blocks), _TITLE)


def _first_line(blocks: list[Block]) -> str:
    inner: list[Block | Item] = [*blocks]
    while inner:
        block = inner.pop(0)
        match block:
            case Paragraph(text) if text.text.strip():
                line = take_directives(text.cut(0, (text.text + "\n").index("\n")))[0]
                return line.line.removeprefix("[ ] ").removesuffix(":")
            case ItemList(items=items):
                inner = [*items, *inner]
            case Item() | Quote():
                inner = [*block.blocks, *inner]
            case _:
                pass
    return ""


def _shortened(text: str, length: int) -> str:
    """``text``, or as many of its first words as fit."""
    if len(text) <= length:
        return text
    cut = text[: length + 1].rfind(" ")
    return text[: cut if cut > 0 else length].rstrip(" ,;:-")
