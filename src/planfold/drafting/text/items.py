"""One item of a text (a list item, a sentence, a paragraph) as a task."""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from planfold.drafting.text import markdown
from planfold.drafting.text.actions import (
    Action,
    Call,
    Command,
    Script,
    call_in,
    command_in,
    is_question,
    request_in,
)
from planfold.drafting.text.directives import NONE, Directives, take_directives, take_trailing
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.shell import is_prompted, script_of, without_prompt
from planfold.planner.tasks import Attachment, FileRef, ImageRef, Link, NodeKind

_BOX: Final = re.compile(r"\[([ xX✓✔]?)\](?:\s+|$)")
_NUMBERED: Final = re.compile(
    r"(?:(?:step|phase|stage|task|part)\s+\d{1,3}(?:\.\d{1,3})*(?:\s*[.:)]|\s*[—–-](?=\s))?"
    r"|\d{1,3}(?:\.\d{1,3})*(?:[.:)]|\s*[—–-](?=\s)))\s+(?=\S)",
    re.IGNORECASE,
)
_ALONE: Final = re.compile(r"\S*[./]\S*|\0+")  # a name, not an instruction


@dataclass
class Reading:
    """What an item says. Without an action it is a question or work to be done."""

    description: str
    kind: NodeKind = NodeKind.Processing
    action: Action | None = None
    directives: Directives = NONE
    attachments: list[Attachment] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    done: bool | None = None  # as its check box says
    bare: bool = False  # the name of something: needs what stands above it to make sense
    only_code: bool = False


def read_item(
    text: Inline,
    raw: str | None,
    known_tools: Collection[str],
    more: Sequence[markdown.Block] = (),
) -> Reading:
    """``text`` is what the item says, ``raw`` the same as written, ``more`` what else is in it."""
    done: bool | None = None
    if box := _BOX.match(text.mask):
        done = box[1] not in ("", " ")
        text = text.cut(box.end())
        raw = None if raw is None else _BOX.sub("", raw, count=1)
    reading = _read_raw(raw, text, known_tools, more) if raw is not None else None
    reading = reading or _read_inline(text, known_tools)
    reading.done = done
    _add_blocks(reading, more)
    if reading.action is not None:
        reading.kind = NodeKind.ToolCall
    return reading


def _read_raw(
    raw: str, text: Inline, known_tools: Collection[str], more: Sequence[markdown.Block]
) -> Reading | None:
    """Items in which every character counts: ``$ command`` and ``@tool {...}``."""
    if is_prompted(raw):
        return _read_prompt(raw)
    if not raw.lstrip("`").startswith("@") and ": @" not in raw:
        return None
    only = text.codes[0].code if len(text.codes) == 1 and not text.mask.strip("\0. ") else None
    fence = next((b for b in more if isinstance(b, markdown.Code) and b.language == "json"), None)
    source = f"{raw} {fence.content}" if fence and raw.startswith("@") else only or raw
    found = call_in(source, known_tools)
    if found is None:
        return None
    call, before, behind = found
    behind, said = take_trailing(" " + behind)
    description = " ".join(part for part in (before, behind.strip()) if part)
    shown = source.strip()[: 200 if fence else None]
    return Reading(
        description=(description or take_trailing(shown)[0]).replace("\n", " "),
        action=call,
        directives=said,
        attachments=[a for a in text.attachments() if not _is_argument(a, call)],
    )


def _read_prompt(raw: str) -> Reading:
    lines = raw.split("\n")
    lines[-1], said = take_trailing(lines[-1])
    commands: list[str] = []
    notes: list[str] = []
    for line in lines:
        if commands and commands[-1].endswith("\\"):
            commands[-1] += "\n" + line
        elif is_prompted(line):
            commands.append(without_prompt(line))
        elif line.strip():
            notes.append(line.strip())
    single = len(commands) == 1 and "\n" not in commands[0]
    action = Command(commands[0]) if single else Script("\n".join(commands))
    description = "\n".join([*commands, *notes])
    return Reading(description, action=action, directives=said, only_code=True)


def _is_argument(attachment: Attachment, call: Call) -> bool:
    match attachment:
        case Link(url=address) | FileRef(path=address):
            return any(address.startswith(str(value)) for value in call.arguments.values()) or any(
                str(value) in address or address in str(value) for value in call.arguments.values()
            )
        case ImageRef():
            return False


def _read_inline(text: Inline, known_tools: Collection[str]) -> Reading:
    text, said = take_directives(text)
    reading = Reading(text.line, directives=said, attachments=text.attachments())
    reading.bare = _ALONE.fullmatch(text.mask) is not None
    command = command_in(text)
    reading.action = command or request_in(text)
    if command is not None and not text.mask.strip("\0.;:, "):
        reading.only_code = True
        reading.description = command.line if isinstance(command, Command) else command.text
        reading.attachments = []
    if is_question(text):
        reading.kind = NodeKind.Clarification
    return reading


def _add_blocks(reading: Reading, more: Sequence[markdown.Block]) -> None:
    """Commands and further text that stand below the item's first paragraph."""
    scripts: list[str] = []
    notes: list[str] = []
    for block in _flattened(more):
        match block:
            case markdown.Code(language, content):
                script = script_of(language, content)
                if script is not None and not isinstance(reading.action, Call):
                    scripts.append(script)
                elif not (isinstance(reading.action, Call) and language == "json"):
                    notes.append(content.strip("\n"))
            case markdown.Paragraph(text):
                text, said = take_directives(text)
                reading.directives |= said
                reading.attachments += [
                    a for a in text.attachments() if a not in reading.attachments
                ]
                notes.append(text.line)
            case _:
                pass
    if scripts:
        reading.description = reading.description.removesuffix(":")
        earlier = [_source(reading.action)] if reading.only_code else []
        reading.action = Script("\n".join([*filter(None, earlier), *scripts]))
    reading.description = "\n".join(filter(None, [reading.description, *notes]))
    if not reading.description:
        reading.description = first_line("\n".join(scripts))


def _flattened(blocks: Sequence[markdown.Block]) -> list[markdown.Block]:
    """Quotes inside an item are only a way to set its commands off."""
    flat: list[markdown.Block] = []
    for block in blocks:
        flat += _flattened(block.blocks) if isinstance(block, markdown.Quote) else [block]
    return flat


def _source(action: Action | None) -> str:
    match action:
        case Command(line):
            return line
        case Script(text):
            return text
        case _:
            return ""


def first_line(script: str) -> str:
    """The first line of a script that does something: what it is called by."""
    lines = [line.strip() for line in script.split("\n") if line.strip()]
    return next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")


def without_number(text: Inline) -> Inline | None:
    """What follows "Step 2:" or "2." at the beginning, or None when there is no number."""
    match = _NUMBERED.match(text.mask)
    return text.cut(match.end()) if match else None


def capitalised(text: Inline) -> Inline:
    """With a capital first letter, but for names, paths and commands."""
    first = text.text[:1]
    word = re.match(r"[^\s\0]*", text.mask)
    if not first.islower() or word is None or not re.fullmatch(r"[^\W\d_]+[,:;.]?", word[0]):
        return text
    if word[0] != word[0].lower() or text.mask[:1] != first:
        return text
    upper = first.upper()
    if len(upper) != 1:
        return text
    return Inline(upper + text.text[1:], upper + text.mask[1:], text.spans)
