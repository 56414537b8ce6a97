"""Plans as rows of a table: what the examples and the outlines are compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.planner.tasks import Attachment, FileRef, ImageRef, Link

Row = tuple[int | None, list[int | str], str, str, dict[str, Any]]


def row_of(task: TaskDraft) -> Row:
    """Id, dependencies, kind (and tool), description, and every other field that is set."""
    more: dict[str, Any] = msgspec.to_builtins(task)
    for name in ("id", "description", "kind", "tool", "depends_on"):
        more.pop(name, None)
    if task.tool in ("shell", "http"):
        more |= more.pop("arguments")
    if task.retry is not None:
        more["retry"] = task.retry.attempts
    if task.attachments:
        more["attachments"] = [shown(attachment) for attachment in task.attachments]
    kind = f"{task.kind.value}" if task.kind else ""
    return task.id, task.depends_on, f"{kind} {task.tool or ''}".strip(), task.description, more


def shown(attachment: Attachment) -> str:
    match attachment:
        case Link(address, title):
            return f"link {address} {title}".strip()
        case ImageRef(address, title):
            return f"image {address} {title}".strip()
        case FileRef(address, title):
            return f"file {address} {title}".strip()


def outline_of(draft: PlanDraft) -> str:
    """One line per task, for people to read and for tests to compare."""
    return "\n".join([draft.title, *_lines(map(row_of, draft.tasks))]) + "\n"


def _lines(rows: Iterable[Row]) -> Iterable[str]:
    for task_id, waits_for, kind, description, more in rows:
        names = ",".join(map(str, waits_for)) or "-"
        said = json.dumps(description, ensure_ascii=False)
        rest = f"  {json.dumps(more, ensure_ascii=False)}" if more else ""
        yield f"{task_id:>3} after {names:<8} {kind:<18} {said}{rest}"
