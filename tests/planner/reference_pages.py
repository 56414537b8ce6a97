"""The generated parts of docs/reference. Run it to rewrite them; it prints the files that it wrote.
A test compares the pages with what it makes."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import get_args

import msgspec

from planfold.planner import commands, events, tasks
from planfold.planner.tasks import TaskStatus as S
from planfold.planner.transitions import TRANSITIONS, TRIGGERS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"

VALUES = (
    tasks.TaskSpec,
    tasks.ToolCall,
    tasks.RetryPolicy,
    tasks.Prompt,
    tasks.ForEach,
    tasks.Wait,
    *get_args(tasks.Attachment),
    commands.PlannerConfig,
    events.PlanSummary,
)


def sections() -> dict[str, tuple[type, ...]]:
    return {
        "Commands": get_args(commands.Command),
        "Executor events": get_args(commands.ExecutorEvent),
        "Events": get_args(events.Event),
        "Values in them": VALUES,
    }


def task_status() -> str:
    return f"```mermaid\n{mermaid()}\n```\n\n{markdown_table()}"


def mermaid() -> str:
    """The table as a Mermaid state diagram, one arrow for each change of status."""
    arrows: dict[tuple[S, S], list[str]] = {}
    for (before, trigger), after in TRANSITIONS.items():
        arrows.setdefault((before, after), []).append(trigger.replace(":", " "))
    lines = ["stateDiagram-v2", f"    [*] --> {S.Planned.name}"]
    lines += [
        f"    {before.name} --> {after.name}: {', '.join(triggers)}"
        for (before, after), triggers in arrows.items()
    ]
    return "\n".join(lines)


def markdown_table() -> str:
    """The table as Markdown, one row per trigger, a dash where the change is not legal."""
    head = "| event | " + " | ".join(status.name for status in S) + " |"
    rows = [
        f"| {trigger} | "
        + " | ".join(
            TRANSITIONS[status, trigger].name if (status, trigger) in TRANSITIONS else "-"
            for status in S
        )
        + " |"
        for trigger in TRIGGERS
    ]
    return "\n".join([head, "| --- " * (len(S) + 1) + "|", *rows])


def event_reference() -> str:
    parts: list[str] = []
    for title, types in sections().items():
        parts.append(f"## {title}")
        parts += [_described(each) for each in types]
    return "\n\n".join(parts)


def _described(each: type) -> str:
    lines = [f"### {each.__name__}", ""]
    if each.__doc__ and not each.__doc__.startswith(f"{each.__name__}("):
        lines += [_text(each.__doc__), ""]
    rows = [_row(each, field) for field in msgspec.structs.fields(each)]
    return "\n".join([*lines, "| field | type | default |", "| --- | --- | --- |", *rows])


def _text(docstring: str) -> str:
    """A docstring as Markdown, its lists kept, without its example, which is on the API pages."""
    text = inspect.cleandoc(docstring).partition("\n\nExample:\n")[0].replace("``", "`")
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text)
    blocks = [re.split(r"\n(?=- )", block) for block in text.split("\n\n")]
    return "\n\n".join("\n".join(" ".join(line.split()) for line in block) for block in blocks)


def _row(each: type, field: msgspec.structs.FieldInfo) -> str:
    annotation = str(each.__annotations__[field.name]).replace("|", "\\|").replace("Any", "JSON")
    default = "required" if field.required else f"`{_default(field)}`"
    return f"| `{field.encode_name}` | `{annotation}` | {default} |"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.UNSET:
        return "left out"
    if field.default is msgspec.NODEFAULT:
        return repr(field.default_factory())
    value = field.default
    if isinstance(value, msgspec.Struct):
        return f"{type(value).__name__}()"
    return "null" if value is None else msgspec.json.encode(value).decode()


PAGES = {"task-status.md": task_status, "events.md": event_reference}


def generated(text: str) -> str:
    """The generated part of a page."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def rewrite() -> None:
    for name, make in PAGES.items():
        text = (REFERENCE / name).read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        new = f"{before}{BEGIN}\n\n{make()}\n\n{END}{after}"
        (REFERENCE / name).write_text(new, encoding="utf-8")
        sys.stdout.write(f"{REFERENCE / name}{' (no change)' if new == text else ''}\n")


if __name__ == "__main__":
    rewrite()
