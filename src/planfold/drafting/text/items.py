"""One item of a text (a list item, a numbered heading, a sentence) as a task.

An item is a command only if all that it asks for is that command; else it is work.
"""

# ruff: noqa: RUF001 (people write curly quotes and long dashes too)
from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from planfold.drafting.text import markdown
from planfold.drafting.text.commands import (
    Action,
    ShellCommand,
    ShellScript,
    WrittenCall,
    call_in,
    command_in,
    is_question,
    lead_folder,
    only_code,
    request_in,
)
from planfold.drafting.text.directives import NONE, Directives, take_directives, take_trailing
from planfold.drafting.text.inline import Inline
from planfold.drafting.text.mood import is_remark
from planfold.drafting.text.sentences import sentences, take_connector
from planfold.drafting.text.shell import (
    block_of,
    comments_of,
    count_commands,
    ends_with_shell,
    is_interactive,
    is_prompted,
    only_looks,
    only_sets,
    printed,
    without_prompt,
)
from planfold.drafting.text.words import (
    asks_for_change,
    is_conditional,
    is_example,
    is_guarding_heading,
    is_lead,
    says_prompted,
)
from planfold.planner.tasks import Attachment, FileRef, ImageRef, Link, NodeKind

BOX: Final = re.compile(r"\[([ xX✓✔]?)\](?:\s+|$)")
_NUMBERED: Final = re.compile(
    r"(?:(?:step|phase|stage|task|part)\s+\d{1,3}(?:\.\d{1,3})*(?:\s?[.:)]|\s?[—–-](?=\s))?"
    r"|\d{1,3}(?:\.\d{1,3})*(?:[.:)]|\s?[—–-](?=\s))|\d{1,2}\.\d{1,2}(?=\s(?-i:[A-Z]))|(?:[a-zA-Z]|[ivx]{2,5}|[IVX]{2,5})[.)])"
    r"\s+(?=\S)",
    re.IGNORECASE,
)
_IN_BRACKETS: Final = re.compile(r"[?？]\s?[(\[]([^()\[\]\n]{1,200})[)\]]\.?$")
_PRINTED: Final = frozenset(["console", "log", "output", "text", "txt"])
_CONDITION_FIRST: Final = re.compile(
    r"(?:(?:only\s)?(?:if|when)|unless|whenever|in\scase)\b[^,:;.]{1,200}[,:]\s*(?:then\s)?", re.I
)
_CONDITION_LAST: Final = re.compile(
    r",?\s(?:but\s)?(?:(?:only\s)?(?:if|when)|unless)\b[^,:;.]{1,200}\.?$", re.I
)
_SAID: Final = re.compile(r"\s?(?:[/|,]|\bor\b)\s?")


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
    notes: list[str] = field(default_factory=list)  # what is not part of the task
    captioned: bool = False  # it is called by its heading


def read_item(
    text: Inline,
    raw: str | None,
    known_tools: Collection[str],
    more: Sequence[markdown.Block] = (),
    *,
    guarded: bool = False,
) -> Reading:
    """``text`` is what the item says, ``raw`` the same as written, ``more`` what else is in it.

    ``guarded``: its context is conditional, so nothing in it is an action.
    """
    more = _flattened(more)
    reading = _read_raw(raw, text, known_tools, more, guarded) if raw is not None else None
    reading = reading or _read_text(text, more, guarded)
    if guarded:
        reading.action = None
        reading.kind = NodeKind.Processing
    elif reading.action is not None:
        reading.kind = NodeKind.ToolCall
    return reading


def _read_text(text: Inline, more: Sequence[markdown.Block], guarded: bool) -> Reading:
    whole = text.text.strip()
    text, said = take_directives(text)
    reading = Reading(text.shown, directives=said, attachments=text.attachments())
    chosen = bracketed_choices(text)
    if not guarded and (chosen or is_question(text)):
        reading.kind = NodeKind.Clarification
        reading.choices = chosen
        if chosen:
            reading.description = text.slice(0, text.mask.rindex("?") + 1).line
    elif not guarded and "~~" not in text.text:
        order = _without_condition(text) if said.has_condition else text
        reading.action = _action_of(order, more)
        if isinstance(reading.action, ShellCommand) and only_code(text) is not None:
            reading.description = reading.action.line  # called by it, without the backticks
            reading.attachments = []
    script = isinstance(reading.action, ShellScript) and bool(_scripts(more))
    if script:
        reading.description = reading.description.removesuffix(":")
    _add_blocks(reading, more, shown_as_script=script)
    if not reading.description and isinstance(reading.action, ShellScript):
        reading.description = first_line(reading.action.text)
    reading.description = reading.description or whole  # only directives
    return reading


def _without_condition(text: Inline) -> Inline:
    """The order in "If the disk is full, run `make clean`", where a directive has the condition.
    Two conditions are one more than the directive can be."""
    first = _CONDITION_FIRST.match(text.mask)
    last = _CONDITION_LAST.search(text.mask, first.end() if first else 0)
    if first is not None:
        return text if last else text.slice(first.end())
    return text.slice(0, last.start()) if last else text


def bracketed_choices(text: Inline) -> list[str]:
    """The choices in "Do we deploy? (yes/no)"."""
    match = _IN_BRACKETS.search(text.mask[-250:])
    found = [part.strip() for part in _SAID.split(match[1])] if match else []
    return list(dict.fromkeys(filter(None, found))) if len(found) > 1 else []


# --- actions -------------------------------------------------------------------------------------


def _action_of(text: Inline, more: Sequence[markdown.Block]) -> Action | None:
    if _scripts(more):
        return script_in(text, more)
    if _has_input(text, more) or not _only_remarks(more) or says_prompted(text.mask):
        return None
    action = command_in(text) or request_in(text)
    match action:
        case ShellCommand(line) | ShellScript(line) if is_interactive(line) or only_sets(line):
            return None
        case _:
            return action


def _scripts(more: Sequence[markdown.Block]) -> list[tuple[str, str]]:
    code = [block for block in more if isinstance(block, markdown.Code)]
    return [found for block in code if (found := block_of(block.language, block.content))]


def _has_input(text: Inline, more: Sequence[markdown.Block]) -> bool:
    """Whether a block that is not a script is input, and not the output of a command."""
    above = text
    for block in more:
        match block:
            case markdown.Paragraph(said):
                above = said
            case markdown.Code(language, content) if not block_of(language, content):
                told = [*sentences(above)][-1:]
                shown = told and told[0].mask.endswith(":") and is_remark(told[0].mask)
                if language not in _PRINTED and not shown:
                    return True
            case _:
                pass
    return False


def _only_remarks(more: Sequence[markdown.Block]) -> bool:
    notes = [block.text for block in more if isinstance(block, markdown.Paragraph)]
    told = [s for note in notes for s in sentences(take_directives(note)[0])]
    return all(
        is_remark(s.mask) and not is_conditional(s.mask) and not says_prompted(s.mask) for s in told
    )


def script_in(text: Inline, more: Sequence[markdown.Block]) -> ShellScript | None:
    """The script in the shell blocks of an item, where the item asks for nothing else.

    Every block may have one sentence above it that asks for what it does; all other sentences
    are remarks, and no sentence or comment sets a condition.
    """
    script: list[str] = []
    shells: set[str] = set()
    folders: set[str] = set()
    asked: list[Inline] = []
    bare = False  # two scripts with no text between them: which of them?
    leads = not text.mask.strip()
    blocks = [markdown.Paragraph(text, ""), *more]
    for block, below in zip(blocks, [*blocks[1:], None], strict=True):
        if isinstance(block, markdown.Paragraph):
            said, folder = lead_folder(take_connector(take_directives(block.text)[0]).text)
            folders |= {folder} if folder else set()
            found = _asking(said, block.raw.startswith("**"), isinstance(below, markdown.Code))
            if found is None:
                return None
            asked += found
            leads = leads or bool(found or folder)
            bare = False
        elif isinstance(block, markdown.Code) and (code := block_of(block.language, block.content)):
            lines = count_commands(code[0])
            if (
                bare
                or len(asked) > 1
                or not all(is_lead(sentence.mask, lines) for sentence in asked)
            ):
                return None
            changes = any(asks_for_change(sentence.mask) for sentence in asked)
            if (changes and only_looks(code[0])) or not _runs_alone(code[0]):
                return None
            asked, bare = [], True
            script.append(code[0])
            shells.add(code[1])
    if asked or not leads or len(shells) != 1 or len(folders) > 1 or _has_input(text, more):
        return None
    if ends_with_shell("\n".join(script)):
        return None
    return ShellScript("\n".join(script), shells.pop(), next(iter(folders), ""))


def _runs_alone(code: str) -> bool:
    """Whether a block needs no person to be there, and sets no condition."""
    return not is_interactive(code) and not any(map(is_guarding_heading, comments_of(code)))


def _asking(text: Inline, bold: bool, above: bool) -> list[Inline] | None:
    """The sentences that ask for something; None where one says that a block is not a step.

    ``bold``: it begins with a bold label ("**Careful**: ..."); ``above``: a block is below it.
    """
    if is_conditional(text.mask) or is_example(text.mask) or "~~" in text.text:
        return None
    if says_prompted(text.mask):
        return None
    found = list(sentences(text))
    asked = [take_connector(s).text for s in found if not is_remark(s.mask)]
    if bold and len(found) == 1 and 0 < text.mask.find(":") < 40:
        return []
    if above and found and found[-1].mask.endswith(":") and is_remark(found[-1].mask):
        return None  # For example: ...
    return asked


def _read_raw(
    raw: str,
    text: Inline,
    known_tools: Collection[str],
    more: Sequence[markdown.Block],
    guarded: bool,
) -> Reading | None:
    """Items in which every character counts: ``$ command`` and ``@tool {...}``."""
    if is_prompted(raw):
        return _read_prompt(raw, more)
    if guarded or (not raw.lstrip("`").startswith("@") and ": @" not in raw):
        return None
    only = text.codes[0].code if len(text.codes) == 1 and not text.mask.strip("\0. ") else None
    fence = next((b for b in more if isinstance(b, markdown.Code) and b.language == "json"), None)
    source = f"{raw} {fence.content}" if fence and raw.startswith("@") else only or raw
    found = call_in(source, known_tools)
    if found is None or (found[1] and not is_lead(found[1])):
        return None
    call, before, behind = found
    behind, said = take_trailing(" " + behind)
    description = " ".join(part for part in (before, behind.strip()) if part)
    shown = source.strip()[: 200 if fence else None]
    reading = Reading(
        description=(description or take_trailing(shown)[0]).replace("\n", " "),
        action=call,
        directives=said,
        attachments=[a for a in text.attachments() if not _is_argument(a, call)],
    )
    _add_blocks(reading, [block for block in more if block is not fence])
    return reading


def _read_prompt(raw: str, more: Sequence[markdown.Block]) -> Reading:
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
    action = ShellCommand(commands[0]) if single else ShellScript("\n".join(commands))
    alone = (
        not notes
        and not is_interactive("\n".join(commands))
        and not _scripts(more)
        and _only_remarks(more)
    )
    reading = Reading("\n".join([*commands, *notes]), directives=said)
    reading.action = action if alone else None
    _add_blocks(reading, more)
    return reading


def _is_argument(attachment: Attachment, call: WrittenCall) -> bool:
    match attachment:
        case Link(url=address) | FileRef(path=address):
            return any(address.startswith(str(value)) for value in call.arguments.values()) or any(
                str(value) in address or address in str(value) for value in call.arguments.values()
            )
        case ImageRef():
            return False


def _add_blocks(
    reading: Reading, more: Sequence[markdown.Block], *, shown_as_script: bool = False
) -> None:
    """Add the text below the item's first paragraph to its description."""
    parts = [reading.description]
    for block in more:
        match block:
            case markdown.Paragraph(text):
                text, said = take_directives(text)
                reading.directives |= said
                reading.attachments += [
                    a for a in text.attachments() if a not in reading.attachments
                ]
                parts.append(text.shown)
            case markdown.Code(language, content):
                script = block_of(language, content) if shown_as_script else None
                if script is None:
                    parts.append(content.strip("\n"))
                else:
                    reading.notes += printed(content, script[0])
            case markdown.Note(note):
                reading.notes.append(note)
            case _:
                found = [a for p in markdown.paragraphs(block) for a in p.text.attachments()]
                reading.attachments += [a for a in found if a not in reading.attachments]
                parts.append(markdown.text_of(block))
    reading.description = "\n".join(filter(None, parts))


def _flattened(blocks: Sequence[markdown.Block]) -> list[markdown.Block]:
    """Quotes inside an item are only a way to set its text off."""
    flat: list[markdown.Block] = []
    for block in blocks:
        flat += _flattened(block.blocks) if isinstance(block, markdown.Quote) else [block]
    return flat


def first_line(script: str) -> str:
    """The first line of a script that does something: what it is called by."""
    lines = [line.strip() for line in script.split("\n") if line.strip()]
    return next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")


def take_box(text: Inline, raw: str) -> tuple[Inline, str, bool | None]:
    """``text`` without its check box, and whether that is ticked."""
    box = BOX.match(text.mask)
    if box is None:
        return text, raw, None
    return text.slice(box.end()), BOX.sub("", raw, count=1), box[1] not in ("", " ")


def without_number(text: Inline) -> Inline | None:
    """What follows "Step 2:", "2." or "b)" at the beginning, or None when there is no number."""
    match = _NUMBERED.match(text.mask)
    return text.slice(match.end()) if match else None
