"""How two plans differ, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from planfold.cli.amount_text import spent_words
from planfold.cli.event_text import words_for
from planfold.cli.terminal import Line, clean, counted, duration, in_json
from planfold.planner.tasks import TaskStatus
from planfold.readmodels.labels import id_and_label
from planfold.readmodels.plan_difference import Divergence, PlanDifference, TaskDifference

_SAME: Final[Line] = [("They are equal, except for times.", "good")]


def difference_lines(found: PlanDifference, one: str, other: str) -> list[Line]:
    """What ``diff`` prints; ``one`` and ``other`` are the names of the plans."""
    changed = [task for task in found.tasks if task.changes]
    lines: list[Line] = [
        [("- ", "bad"), (clean(one), "")],
        [("+ ", "good"), (clean(other), "")],
    ]
    if found.divergence is None and not (changed or found.removed or found.added):
        lines.append(_SAME)
    if found.divergence is not None:
        lines += [[], *_divergence_lines(found.divergence, found)]
    if changed or found.removed or found.added:
        lines += [[], [("Tasks", "bold")]]
        lines += [line for task in changed for line in _task_lines(task, found.labels)]
        for mark, style, ids in (("-", "bad", found.removed), ("+", "good", found.added)):
            lines += [
                [(f"{mark} {id_and_label(task_id, found.labels.get(task_id))}", style)]
                for task_id in ids
            ]
        if same := len(found.tasks) - len(changed):
            lines.append([(f"  {counted(same, 'task')} with the same outcome", "dim")])
    lines += [[], [(f"took {_arrow(*map(duration, found.seconds))}", "")]]
    spent = tuple(spent_words(amount) or "nothing" for amount in found.spent)
    if found.spent[0] != found.spent[1]:
        lines.append([(f"spent {_arrow(*spent)}", "")])
    return lines


def _arrow(was: str, now: str) -> str:
    return f"{was} -> {now}"


def _divergence_lines(divergence: Divergence, found: PlanDifference) -> list[Line]:
    names = {task.id: task.label for task in found.tasks if task.label} | found.labels
    task_id = divergence.task_id
    about = "the plan" if task_id is None else f"task {id_and_label(task_id, names.get(task_id))}"
    lines: list[Line] = [[("First divergence", "bold"), (f": {about}", "")]]
    sides = zip("-+", ("bad", "good"), divergence.versions, divergence.events, strict=True)
    for (mark, style, version, event), cause in zip(sides, divergence.causes, strict=True):
        if event is None:
            lines.append([(f"{mark} ", style), ("no such event", "dim")])
            continue
        words = words_for(event)
        said = f"event {version}: {words.verb} {words.detail}".rstrip()
        lines.append([(f"{mark} ", style), (said, ""), (f" ({cause})" if cause else "", "dim")])
    return lines


def _task_lines(task: TaskDifference, labels: Mapping[int, str]) -> list[Line]:
    took = ""
    if task.seconds != (None, None):
        statuses = task.changes.get("status", (None, None))
        took = f"  {_arrow(*map(_took, task.seconds, statuses))}"
    lines: list[Line] = [
        [
            ("~ ", "ask"),
            (f"{id_and_label(task.id, task.label)}: {clean(task.description)}", ""),
            (took, "dim"),
        ]
    ]
    for name, values in task.changes.items():
        for mark, style, value in zip("-+", ("bad", "good"), values, strict=True):
            shown = _names(value, labels) if name == "depends_on" else _shown(value)
            lines.append([(f"  {mark} ", style), (f"{name} {shown}", "")])
    return lines


def _names(ids: Sequence[int], labels: Mapping[int, str]) -> str:
    return ", ".join(id_and_label(i, labels.get(i)) for i in ids) or "none"


def _took(seconds: float | None, status: Any) -> str:
    if seconds is not None:
        return duration(seconds)
    return "did not run" if status == TaskStatus.Skipped else "not ended"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return clean(value) if isinstance(value, str) else in_json(msgspec.to_builtins(value))


def difference_json(found: PlanDifference) -> dict[str, Any]:
    """What ``diff --json`` prints: every key is always there."""
    divergence = found.divergence
    values: dict[str, Any] = msgspec.to_builtins(found)
    values["spent"] = [msgspec.to_builtins(msgspec.structs.asdict(s)) for s in found.spent]
    if divergence is not None:
        values["divergence"]["events"] = [_event_json(event) for event in divergence.events]
    return values


def _event_json(event: Any) -> Any:
    return None if event is None else {type(event).__name__: msgspec.to_builtins(event)}
