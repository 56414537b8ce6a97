"""A plan before it runs, as text: each task with what it does, what it needs, and its risk."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from planfold.cli.terminal import Line, clean, clean_lines, duration, in_json, wrapped
from planfold.planner.references import references_in, unescape
from planfold.planner.structure import critical_path, waves
from planfold.planner.tasks import Effect, NodeKind, RetryPolicy, TaskSpec, ToolCall
from planfold.readmodels.labels import kind_words, labelled, manner_of, name_of
from planfold.readmodels.layout import graph_of, reading_order

if TYPE_CHECKING:
    from planfold.drafting.parameters import ParameterValue

MOST_TASKS: Final = 200
_INDENT: Final = "    "
_ESCAPED: Final = re.compile(r"(?<!\S)\\(\$[\w.]+)(?!\S)")
_IN_QUOTES: Final = re.compile(r'["\\`$]')


def task_names(specs: Iterable[TaskSpec]) -> dict[int, str]:
    return {spec.id: name_of(spec) for spec in specs}


def command_of(spec: TaskSpec) -> list[str]:
    """What a task's tool call will do; nothing without one."""
    return [] if spec.tool is None else call_lines(spec.tool)


def call_lines(call: ToolCall) -> list[str]:
    """What a tool call will do, line by line and complete, because a person approves it."""
    arguments = dict(call.arguments)
    if call.name != "shell":
        return [f"{clean(call.name)} {in_json(arguments) if arguments else ''}".rstrip()]
    argv, script = arguments.pop("argv", None), arguments.pop("script", None)
    lines: list[str] = []
    if isinstance(argv, (list, tuple)):
        *words, last = [str(word) for word in argv] or [""]
        if "\n" in last:  # a script for a shell that is named: bash -ec "..."
            lines.append("$ " + clean(" ".join(map(_word, words))))
            lines += [f"  {line}" for line in clean_lines(unescape(last))]
        else:
            lines.append("$ " + clean(" ".join(map(_word, [*words, last]))))
    elif isinstance(script, str):
        lines += [f"$ {line}" for line in clean_lines(script)]
    if arguments:
        lines.append("with " + in_json(arguments))
    return lines


def _word(text: str) -> str:
    """A word of a command line. Quoted as a shell needs it, except that references look as they do
    in the plan: ``$build.stdout``, in a longer text ``"made $build.stdout"``."""
    found = [(start, end) for _, start, end in references_in(text)]
    if not found:
        return shlex.quote(unescape(text))
    starts, ends = [0, *(end for _, end in found)], [*(start for start, _ in found), len(text)]
    between = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    if all(shlex.quote(part) in (part, "''") for part in between):
        return text
    quoted = (_IN_QUOTES.sub(r"\\\g<0>", unescape(part)) for part in between)
    inner = "".join(
        part + text[start:end]
        for part, (start, end) in zip(quoted, [*found, (len(text), len(text))], strict=True)
    )
    return f'"{inner}"'


def question_warnings(specs: Iterable[TaskSpec]) -> list[str]:
    """Questions that refer to results, which are not filled in there."""
    specs = list(specs)
    tasks = {name for spec in specs for name in (str(spec.id), spec.label)}
    return [
        f"task {spec.id} shows {clean(reference.text)} to a person as it is written here, not the "
        "value; a tool that asks (context.ask) can show it"
        for spec in specs
        if spec.kind is NodeKind.Clarification
        for reference, _, _ in references_in(spec.description)
        if reference.target in tasks
    ]


def tool_warnings(specs: Iterable[TaskSpec], tools: Collection[str]) -> list[str]:
    """Commands that begin with the name of a tool: a text was perhaps meant to call it."""
    return [
        f"task {spec.id} runs the command {clean(word)}, not the tool of that name; to call the "
        f"tool, write @{clean(word)} with its arguments as JSON, or a plan file with `tool`"
        for spec in specs
        if (word := _first_word(spec)) in tools and word != "http"  # HTTPie's command
    ]


def _first_word(spec: TaskSpec) -> str:
    if spec.tool is None or spec.tool.name != "shell":
        return ""
    argv, script = spec.tool.arguments.get("argv"), spec.tool.arguments.get("script")
    words = argv if isinstance(argv, (list, tuple)) else str(script or "").split()
    return str(words[0]) if words else ""


def meta_of(spec: TaskSpec, *, after: bool = True) -> str:
    """Kind, effect and everything unusual about a task, in a few words."""
    words = [kind_words(spec)]
    if spec.tool is not None:
        words.append(str(spec.effect.value))
    if spec.prompt is not None:
        prompt = spec.prompt
        if prompt.choices:
            words.append(" / ".join(map(clean, prompt.choices)))
        if prompt.default is not None:
            wait = f" after {duration(prompt.deadline)}" if prompt.deadline else ""
            words.append(f"default {clean(prompt.default)!r}{wait}")
    if spec.retry != RetryPolicy():
        words.append(f"{spec.retry.attempts} attempts")
    if spec.stall_timeout is not None:
        words.append(f"at most {duration(spec.stall_timeout)} without progress")
    if spec.timeout is not None and spec.wait is None:
        words.append(f"timeout {duration(spec.timeout)}")
    if spec.route is not None and not spec.drafts:
        words.append(f"route {clean(spec.route)}")
    if manner := manner_of(spec):
        words.append(manner)
    if spec.on_failure == "continue":
        words.append("its dependents run even if it fails")
    if spec.done:
        words.append("already done")
    if after and spec.depends_on:
        words.append("after " + _ids(spec.depends_on))
    return ", ".join(words)


def _ids(ids: Sequence[int], most: int = 12) -> str:
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(map(str, ids[:most])) + more


def _tasks(ids: Sequence[int]) -> str:
    return ("task " if len(ids) == 1 else "tasks ") + _ids(ids)


def preview_lines(
    specs: Iterable[TaskSpec], width: int, *, most: int | None = MOST_TASKS
) -> list[Line]:
    """The tasks in reading order. Commands are never cut: a person approves them."""
    ordered = reading_order(labelled(specs))
    pad = len(str(max((spec.id for spec in ordered), default=0)))
    lines: list[Line] = []
    for spec in ordered[:most]:
        lines += _task_lines(spec, pad, width)
    if most is not None and len(ordered) > most:
        lines.append([(f"... and {len(ordered) - most:,} more tasks", "bold")])
    return lines


def _task_lines(spec: TaskSpec, pad: int, width: int, *, brief: bool = False) -> list[Line]:
    """``brief``: without what is only known when the task is checked."""
    head = f"{spec.id:>{pad}}"
    label = f"{clean(spec.label)}: " if spec.label else ""
    room = width - pad - 2
    indent = " " * (pad + 2)
    texts = clean_lines(label + spec.description) or [""]
    parts = [part for text in texts for part in (wrapped(text, room) or [""])]
    lines: list[Line] = [
        [(f"{head}  " if index == 0 else indent, "bold"), (part, "")]
        for index, part in enumerate(parts)
    ]
    commands = command_of(spec)
    if not (len(commands) == 1 and _says(spec.description, commands[0].removeprefix("$ "))):
        lines += [
            [(indent, ""), (part, "busy")]
            for command in commands
            for part in wrapped(command, room, "", _INDENT)
        ]
    meta = manner_of(spec) if brief else meta_of(spec)
    lines += [[(indent, ""), (part, "dim")] for part in wrapped(meta, room)]
    lines += undo_lines(spec, indent, room)
    for line in _sub_plan_lines(spec, max(room - len(_INDENT), 20)):
        lines.append([(indent + _INDENT, ""), *line])
    return lines


def _sub_plan_lines(spec: TaskSpec, width: int) -> list[Line]:
    """The tasks of a task's plan, which are approved with it."""
    if spec.wait is None or not spec.wait.plan:
        return []
    from planfold.drafting.sub_plans import sketch_of

    return [
        line
        for each in reading_order(sketch_of(spec.wait.plan))
        for line in _task_lines(each, 1, width, brief=True)
    ]


def undo_lines(spec: TaskSpec, indent: str, room: int) -> list[Line]:
    """What undoes a task: its command, in full."""
    if spec.undo is None:
        return []
    lines: list[Line] = []
    for place, command in enumerate(call_lines(spec.undo.tool)):
        head = "undo: " if place == 0 else "      "
        parts = wrapped(command, room - len(head), "", _INDENT)
        lines += [
            [(indent, ""), (head if first == 0 else "      ", "dim"), (part, "busy")]
            for first, part in enumerate(parts)
        ]
    return lines


def undo_notes(specs: Sequence[TaskSpec], policy: str, width: int) -> list[Line]:
    """What happens when the plan fails, and what cannot be undone then. Nothing where no task has
    an undo."""
    if not any(spec.undo is not None for spec in specs):
        return []
    said = {
        "ask": "if the plan fails or is cancelled, a person is asked whether to undo what it did",
        "always": "if the plan fails or is cancelled, what it did is undone",
        "never": "nothing is undone unless a person wants it",
    }[policy]
    facts = {"Undo": said}
    if left := cannot_be_undone(specs):
        does = "it does" if len(left) == 1 else "they do"
        facts["Not undone"] = f"{_tasks(left)}: what {does} stays"
    return fact_lines(facts, width)


def cannot_be_undone(specs: Iterable[TaskSpec]) -> list[int]:
    """Tasks that may change something, once, and have no undo."""
    return [
        spec.id
        for spec in specs
        if spec.effect is Effect.Once and spec.undo is None and spec.undoes is None
        if not (spec.done or spec.drafts)
    ]


def _says(description: str, command: str) -> bool:
    r"""Whether a description is only the command; ``\$HOME`` in the text is ``'$HOME'`` in
    the command."""
    bare = description.replace("`", "").strip().removesuffix(".")
    bare = _ESCAPED.sub(r"'\1'", bare)
    return bare == command or bare.casefold() in (f"run {command}".casefold(), f"$ {command}")


def shape_lines(specs: Sequence[TaskSpec], width: int) -> list[Line]:
    """Waves, critical path, tools and questions of a plan."""
    graph, names = graph_of(specs), task_names(specs)
    levels = waves(graph)
    _, chain = critical_path(graph, lambda _: 1.0)
    facts = {
        "Waves": f"{len(levels)}: " + " | ".join(_ids(level) for level in levels[:40]),
        "Critical path": " > ".join(names[i] for i in chain[:40])
        + (f" ... ({len(chain)} tasks)" if len(chain) > 40 else ""),
        "Tools": ", ".join(tools_needed(specs)) or "none",
    }
    asked = [spec.id for spec in specs if spec.kind is NodeKind.Clarification]
    worked_out = [spec.id for spec in specs if spec.kind is NodeKind.Processing and not spec.wait]
    if asked:
        facts["Questions"] = f"in {_tasks(asked)}"
    if worked_out:
        facts["To be worked out"] = f"{_tasks(worked_out)} (by a person, while no model is set up)"
    return fact_lines(facts, width)


def fact_lines(facts: Mapping[str, str], width: int) -> list[Line]:
    """Names and values, the values in one column and wrapped."""
    pad = max(map(len, facts)) + 2
    lines: list[Line] = []
    for name, value in facts.items():
        parts = wrapped(value, width - pad) or [""]
        lines.append([(f"{name}:".ljust(pad), "dim"), (parts[0], "")])
        lines += [[(" " * pad + part, "")] for part in parts[1:]]
    return lines


def parameter_lines(params: Sequence[ParameterValue], width: int) -> list[Line]:
    """The parameters with their values, and an empty line; nothing where there are none."""
    if not params:
        return []
    facts = {
        clean(each.name): clean(each.value if isinstance(each.value, str) else in_json(each.value))
        + f" ({each.type}{'; ' if each.description else ''}{clean(each.description)})"
        for each in params
    }
    return [[("Parameters:", "dim")], *fact_lines(facts, width), []]


def note_lines(notes: Sequence[str], width: int) -> list[Line]:
    """The notes of a text beside its tasks, so that a reader sees whether a task is missing."""
    if not notes:
        return []
    lines: list[Line] = [[("Not converted to tasks:", "dim")]]
    for note in notes:
        parts = [part for line in clean_lines(note) for part in wrapped(line, width - 4) or [""]]
        lines += [
            [("  - " if index == 0 else "    ", "dim"), (part, "dim")]
            for index, part in enumerate(parts)
        ]
    return lines


def tools_needed(specs: Iterable[TaskSpec]) -> list[str]:
    return sorted({clean(call.name) for spec in specs for call in _calls(spec)})


def _calls(spec: TaskSpec) -> Iterator[ToolCall]:
    """The calls that a task may make: its own, or those of its plan, and the one that undoes it."""
    if spec.wait is not None and spec.wait.plan:
        from planfold.drafting.sub_plans import sketch_of

        for inner in sketch_of(spec.wait.plan):
            yield from _calls(inner)
    elif spec.tool is not None:
        yield spec.tool
    if spec.undo is not None:
        yield spec.undo.tool


def shape_json(specs: Sequence[TaskSpec]) -> dict[str, Any]:
    """What ``planfold plan --json`` adds to the tasks."""
    graph = graph_of(specs)
    return {
        "waves": waves(graph),
        "critical_path": list(critical_path(graph, lambda _: 1.0)[1]),
        "tools": sorted({call.name for spec in specs for call in _calls(spec)}),
    }
