"""Words and marks for tasks and times, the same in the terminal and in pictures."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from planfold.planner.items import id_text, map_of
from planfold.planner.references import rename_references
from planfold.planner.undo import was_undone
from planfold.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from planfold.planner.state import PlannerState
    from planfold.planner.tasks import Task, TaskSpec, ToolCall

SHOWN: Final = 5  # tasks that a text names

JOINERS: Final = "\u200c\u200d"  # inside words and emoji; invisible on their own
STATUS_MARKS: Final = {
    "planned": "·",
    "running": "▸",
    "needs_clarification": "?",
    "completed": "✓",
    "failed": "✗",
    "cancelled": "⊘",
    "skipped": "-",
    "undone": "↺",
}


def clean(text: str) -> str:
    """``text`` on one line, safe to print."""
    if text.isprintable():
        return text
    return printable(" ".join(text.split()), JOINERS)


def width_of(text: str) -> int:
    """How many columns ``text`` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, width: int, mark: str = "…") -> str:
    """``text`` in at most ``width`` columns, with a mark where something is left out."""
    if width_of(text) <= width:
        return text
    if width < 2:
        return text[: max(width, 0)]
    if text.isascii():
        return text[: width - 1].rstrip() + mark
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1).rstrip() + mark


def duration(seconds: float) -> str:
    """Seconds as people say it: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def counted(count: int, what: str) -> str:
    """ "1 task", "3 tasks"."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def shown_as(state: PlannerState, task: Task) -> str:
    """The status of a task, or "undone" where what it did was undone."""
    return "undone" if was_undone(state, task) else task.status.value


def status_word(status: str) -> str:
    """A status of a task or a plan, wherever it is shown; the page has the same words."""
    return "awaiting answer" if status == "needs_clarification" else status.replace("_", " ")


def name_of(spec: TaskSpec) -> str:
    """Id and label: "3 build", "3[0] an invoice"."""
    return id_and_label(spec.id, spec.label)


def id_and_label(task_id: int, label: str | None) -> str:
    """The same as :func:`name_of`, for a task of which only id and label are known."""
    return f"{id_text(task_id)} {clean(label)}" if label else id_text(task_id)


def name_in_commands(spec: TaskSpec) -> str:
    """The name of a task in commands: its label, else its id. Items always use the id."""
    return id_text(spec.id) if map_of(spec.id) else spec.label or id_text(spec.id)


def map_words(spec: TaskSpec) -> str:
    """The words for a map: "for each of $1.invoices, 5 at once"; else empty."""
    of = spec.for_each
    if of is None:
        return ""
    also = ", the others run if one fails" if of.on_item_failure == "continue" else ""
    also += ", item by item" if of.item_by_item else ""
    at_once = f"at most {of.max_items:,}, {of.concurrency:,} at once"
    return f"for each of {clean(of.items)} ({at_once}{also})"


def _span(seconds: float | None) -> str:
    """A time in the largest unit that gives a whole number: "2 h", "90 s"."""
    seconds = seconds or 0.0
    units = (("d", 86_400), ("h", 3_600), ("min", 60))
    whole = (f"{seconds / size:g} {name}" for name, size in units if not seconds % size)
    return next(whole, f"{seconds:g} s")


def _sub_plan_words(plan: Mapping[str, Any]) -> str:
    """The words for a sub-plan: "runs the plan Release (3 tasks)"; the plan of an item is named at
    its map."""
    title = f" {clean(plan['title'])}" if plan.get("title") else ""
    tasks = f" ({counted(len(plan['tasks']), 'task')})" if plan.get("tasks") else ""
    return f"runs {'the' if title else 'a'} plan{title}{tasks}"


def wait_words(spec: TaskSpec) -> str:
    """The words for a wait: "waits 7200 s", "waits for the signal payment.settled with the key
    $1.id"."""
    wait = spec.wait
    if wait is None:
        return ""
    if wait.plan is not None:
        return _sub_plan_words(wait.plan)
    if wait.signal is None:
        return (
            f"waits until {clean(wait.written)}" if wait.written else f"waits {_span(wait.seconds)}"
        )
    key = f" with the key {clean(wait.key)}" if wait.key else ""
    limit = "" if spec.timeout is None else f", at most {_span(spec.timeout)}"
    otherwise = "" if wait.default is UNSET else ", then takes its default"
    return f"waits for the signal {clean(wait.signal)}{key}{limit}{otherwise}"


def guard_of(spec: TaskSpec) -> str:
    """When a task runs, if that is unusual: "if a task before it failed, when ...", and how
    often."""
    words = {
        "failed": ["if a task before it failed"],
        "ended": ["however the tasks before it end"],
    }.get(spec.run_if, [])
    words += [f"when {clean(spec.when)}"] if spec.when else []
    return ", ".join([*words, map_words(spec)] if spec.for_each else words)


def manner_of(spec: TaskSpec) -> str:
    """How a task runs, if that is unusual: "runs when ..., waits 2 h"."""
    guard = guard_of(spec)
    words = (guard and f"runs {guard}", wait_words(spec), limit_words(spec))
    return ", ".join(filter(None, words))


def limit_words(spec: TaskSpec) -> str:
    """The shared limits of a task: "under the limits api, lock"."""
    if not spec.limits:
        return ""
    return f"under the limit{'s' * (len(spec.limits) > 1)} {', '.join(map(clean, spec.limits))}"


def kind_words(spec: TaskSpec) -> str:
    """The tool's name, or the kind of a task without a tool."""
    if spec.kind.value == "clarification":
        return "question"
    if spec.tool is not None:
        return clean(spec.tool.name)
    if spec.wait is not None:
        return "wait"
    return "a model plans" if spec.drafts else "to be worked out"


def named(ids: Sequence[int], labels: Mapping[int, str]) -> str:
    """Tasks by label, or by id where there is none: "task build", "tasks build, 4, ..."."""
    words = [clean(labels.get(i) or id_text(i)) for i in ids[:SHOWN]]
    shown = ", ".join(words) + (", ..." if len(ids) > SHOWN else "")
    return f"task {shown}" if len(ids) == 1 else f"tasks {shown}"


def labels_of(specs: Iterable[TaskSpec]) -> dict[int, str]:
    """Labels by id. Left out are labels that two tasks share because a revision replaced one, and
    items, which are named by the id of their map."""
    labels = {spec.id: spec.label for spec in specs if spec.label and not map_of(spec.id)}
    ids = {label: task_id for task_id, label in labels.items()}
    twice = {label for task_id, label in labels.items() if ids[label] != task_id}
    return {task_id: label for task_id, label in labels.items() if label not in twice}


def with_labels(spec: TaskSpec, labels: Mapping[int, str]) -> TaskSpec:
    """A task for display: its references use the labels of other tasks, as the author wrote
    them."""
    names = {str(task_id): label for task_id, label in labels.items()}
    if spec.tool is not None:
        spec = replace(spec, tool=_named_arguments(spec.tool, names))
    if spec.undo is not None:
        call = _named_arguments(spec.undo.tool, names)
        spec = replace(spec, undo=replace(spec.undo, tool=call))
    if spec.for_each is not None:
        items = rename_references(spec.for_each.items, names)
        spec = replace(spec, for_each=replace(spec.for_each, items=items))
    if spec.wait is not None and spec.wait.key is not None:
        key = rename_references(spec.wait.key, names)
        spec = replace(spec, wait=replace(spec.wait, key=key))
    if spec.when is not None:
        from planfold.planner.conditions import ConditionFault, rename_in_condition

        with suppress(ConditionFault):  # of an older version
            spec = replace(spec, when=rename_in_condition(spec.when, names))
    return spec


def _named_arguments(call: ToolCall, names: Mapping[str, str]) -> ToolCall:
    return replace(call, arguments=rename_references(call.arguments, names, literal=call.literal))


def labelled(specs: Iterable[TaskSpec]) -> list[TaskSpec]:
    """The tasks of a plan for display: see :func:`with_labels`."""
    tasks = list(specs)
    labels = labels_of(tasks)
    return [with_labels(spec, labels) for spec in tasks] if labels else tasks


def parent_labels(task: Task, tasks: Mapping[int, Task]) -> dict[int, str]:
    """The labels of the tasks that this task's references name."""
    return labels_of(tasks[i].spec for i in task.depends_on if i in tasks)


def error_with_labels(task: Task, tasks: Mapping[int, Task]) -> str:
    """The error of a task. A condition's error uses labels, as the author wrote them."""
    if task.skip_reason != "condition":
        return task.error or ""
    names = {str(task_id): label for task_id, label in parent_labels(task, tasks).items()}
    return rename_references(task.error or "", names)
