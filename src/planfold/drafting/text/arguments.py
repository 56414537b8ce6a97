"""From what an entry asks for to the arguments of a tool, with answers in place of placeholders."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import Any, Final

from planfold.drafting.draft import TaskDraft, UndoDraft
from planfold.drafting.scripts import GIVEN, variables_set, variables_used
from planfold.drafting.text.commands import HttpRequest, ShellCommand, ShellScript, WrittenCall
from planfold.drafting.text.order import Order
from planfold.drafting.text.parts import Entry
from planfold.drafting.text.placeholders import (
    Placeholder,
    example_versions,
    is_incomplete,
    placeholders,
)
from planfold.drafting.text.shell import Rename, escape_dollars, shell_arguments
from planfold.planner.references import ITEM, OF_UNDO, PARAMS, references_in
from planfold.planner.tasks import NodeKind

_LITERAL_DOCUMENT: Final = re.compile(r"<<-?\s*['\"\\]")
_NO_QUOTES: Final = re.compile(r"<<|\(\(")  # quotes in these are text, or not allowed
_MARK: Final = "\ue000"  # a private character: replaces an answer while a command is read
ANSWER_PREFIX: Final = "ANSWER_"

Result = tuple[str | None, dict[str, Any] | None]


class Answers:
    """One question for each placeholder of the commands, with ids above those of the tasks."""

    def __init__(self, entries: Sequence[Entry], text: str) -> None:
        self.examples = example_versions(text)
        self._first = len(entries) + 1
        self._asked: dict[str, TaskDraft] = {}
        self.set_somewhere: set[str] = set()
        for entry in entries:
            match entry.reading.action:
                case ShellCommand(line) | ShellScript(line):
                    self.set_somewhere |= variables_set(line)
                case _:
                    pass

    def ask(self, name: str, written: str, choices: Sequence[str] = ()) -> int:
        """The id of the question for ``name``."""
        if name not in self._asked:
            said = f"Which value replaces `{written}`?"
            task = TaskDraft(
                id=self._first + len(self._asked),
                description=said,
                kind=NodeKind.Clarification,
                choices=[*choices],
            )
            self._asked[name] = task
        return self._asked[name].id or 0

    def known(self, text: str) -> list[int]:
        """The questions whose placeholders ``text`` mentions."""
        if not self._asked:
            return []
        names = dict.fromkeys(found.name for found in placeholders(text, self.examples))
        return [self._asked[name].id or 0 for name in names if name in self._asked]

    def questions(self) -> list[TaskDraft]:
        return list(self._asked.values())


def _rename(entry: Entry, order: Order, more: Collection[str] = ()) -> Rename:
    """``more``: targets that do not name tasks."""
    maps = entry.reading.directives.for_each is not None

    def rename(target: str) -> str | None:
        known = target in more or (maps and target in ITEM)
        return target if known else order.rename(entry, target)

    return rename


def undo_of(entry: Entry, order: Order, answers: Answers) -> UndoDraft | None:
    """The call that undoes the task: a command, or the tool of a ``@tool name=value``. Without
    arguments, which the compiler reports, where a placeholder cannot be filled in safely."""
    written = entry.reading.directives.undo
    if written is None:
        return None
    rename = _rename(entry, order, OF_UNDO)
    if not written.startswith("@"):
        _, arguments = _run(written, "", "", rename, answers, single=True)
        return UndoDraft(tool="shell", arguments=arguments or {})
    tool, *pairs = shlex.split(written[1:])
    given = dict(pair.split("=", 1) for pair in pairs)
    arguments = {name: escape_dollars(value, rename) for name, value in given.items()}
    return UndoDraft(tool=tool, arguments=arguments)


def arguments_of(entry: Entry, order: Order, answers: Answers) -> Result:
    """The tool to call and its arguments; none where a placeholder cannot be filled in safely."""

    rename = _rename(entry, order)
    match entry.reading.action:
        case ShellCommand(line, cwd):
            return _run(line, "", cwd, rename, answers, single=True)
        case ShellScript(text, shell, cwd):
            return _run(text, shell, cwd, rename, answers, single=False)
        case HttpRequest(url, _) if placeholders(url) or is_incomplete(url):
            return None, None
        case HttpRequest(url, method):
            return "http", {"url": escape_dollars(url, rename), "method": method}
        case WrittenCall(tool, arguments):
            return tool, arguments
        case None:
            return None, None


def _run(
    text: str, shell: str, cwd: str, rename: Rename, answers: Answers, *, single: bool
) -> Result:
    found = placeholders(text, answers.examples)
    if is_incomplete(text) or (found and _MARK in text):
        return None, None
    arguments: dict[str, Any] | None = None
    if single and not shell:
        arguments = _argv(text, found, rename, answers)
    if arguments is None:
        arguments = _script(text, found, shell, rename, answers)
    if arguments is None:
        return None, None
    return "shell", arguments | ({"cwd": cwd} if cwd else {})


def _argv(
    text: str, found: list[Placeholder], rename: Rename, answers: Answers
) -> dict[str, Any] | None:
    """``argv`` with a reference in place of each placeholder, where nothing needs a shell."""
    arguments = shell_arguments(_replaced(text, found, lambda _: _MARK), rename)
    words = arguments.get("argv")
    if words is None:
        return None
    if any(f"{_MARK}{c}" in word for word in words for c in ".[-_$") or _followed(words):
        return None
    ids = iter([answers.ask(p.name, p.written, p.choices) for p in found])
    return {"argv": ["".join(f"${next(ids)}" if c == _MARK else c for c in w) for w in words]}


def _followed(words: list[str]) -> bool:
    """Whether a letter follows a placeholder: it would be read as part of the reference."""
    pairs = (pair for word in words for pair in pairwise(word))
    return any(a == _MARK and (b.isalnum() or b == _MARK) for a, b in pairs)


def _script(
    text: str, found: list[Placeholder], shell: str, rename: Rename, answers: Answers
) -> dict[str, Any] | None:
    """The script with a variable in place of each placeholder and of each reference that a shell
    would read as another; ``env`` has the answers and the results."""
    env: dict[str, str] = {}
    names: dict[int, str] = {}
    for placeholder in found:
        task = answers.ask(placeholder.name, placeholder.written, placeholder.choices)
        names[placeholder.start] = f"{ANSWER_PREFIX}{task}"
        env[f"{ANSWER_PREFIX}{task}"] = f"${task}"
    script = _quoted(text, found, names) if found else text
    if script is None or (shell == "fish" and found):
        return None
    script, results = _with_results(script, rename, answers.set_somewhere | GIVEN)
    env |= results
    for name in variables_used(script):
        if name not in answers.set_somewhere | env.keys():
            known = rename(name) is not None
            env[name] = f"${name if known else answers.ask(f'${name}', f'${name}')}"
    arguments: dict[str, Any] = {"script": script}
    if shell:
        arguments = {"argv": [shell, "-c" if shell == "fish" else "-ec", script.replace("$", "$$")]}
    return arguments | ({"env": env} if env else {})


def _with_results(
    script: str, rename: Rename, shell_names: Collection[str]
) -> tuple[str, dict[str, str]]:
    """``$disk.percent`` as ``$disk_percent``, and what that variable is. A plain ``$disk`` is a
    variable already; names in ``shell_names`` are not those of tasks."""
    states = _states(script)
    if states is None or _LITERAL_DOCUMENT.search(script):
        return script, {}
    env: dict[str, str] = {}
    parts: list[str] = []
    place = 0
    for reference, start, end in references_in(script):
        name = re.sub(r"\W+", "_", reference.text[1:]).strip("_")
        literal = states[start] == "'" or script[start - 1 : start] == "\\"
        target = reference.target
        plain = name == target or target.isdecimal() or target in shell_names
        if literal or plain or rename(target) is None:
            continue
        name += "_" * (name in shell_names)
        env[name] = reference.text
        written = f"${{{name}}}"
        if target == PARAMS and not states[start] and not _NO_QUOTES.search(script):
            written = f'"{written}"'  # one word, as in a command without a shell
        parts += [script[place:start], written]
        place = end
    return "".join([*parts, script[place:]]), env


def _replaced(text: str, found: list[Placeholder], by: Callable[[Placeholder], str]) -> str:
    parts: list[str] = []
    place = 0
    for placeholder in found:
        parts += [text[place : placeholder.start], by(placeholder)]
        place = placeholder.end
    return "".join([*parts, text[place:]])


def _quoted(text: str, found: list[Placeholder], names: dict[int, str]) -> str | None:
    """``text`` with each placeholder as a quoted variable; None where the quotes are ambiguous."""
    if any(mark in text for mark in ("$(", "`", "<<", "${")):
        return None
    states = _states(text)
    if states is None:
        return None

    def variable(placeholder: Placeholder) -> str:
        name = f"${{{names[placeholder.start]}}}"
        state = states[placeholder.start]
        return {"'": f"'\"{name}\"'", '"': name}.get(state, f'"{name}"')

    return _replaced(text, found, variable)


def _states(text: str) -> list[str] | None:
    """For each character the quote that it is in; None when one is left open."""
    states: list[str] = []
    quote = ""
    escaped = comment = False
    for place, char in enumerate(text):
        states.append(quote)
        if comment:
            comment = char != "\n"
        elif escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        elif char == "#" and not quote and (place == 0 or text[place - 1].isspace()):
            comment = True
    return None if quote else states
