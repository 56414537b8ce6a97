"""Checks of the fields that references ask of results, as far as those are known at planning."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, excerpt, listed
from planfold.drafting.fields import kind_of
from planfold.planner.references import Reference, step_text
from planfold.planner.tasks import NodeKind, TaskSpec, ToolCall
from planfold.tools.tool import Toolbox

if TYPE_CHECKING:
    from planfold.drafting.dependencies import Numbered

_MOST_NAMED = 20  # fields that a fault lists


class _Known(NamedTuple):
    """What a result is: a text, or an object with no other ``fields``; None: they are not known.
    ``fix`` is the remedy where it has none that is alike."""

    what: str
    is_text: bool = False
    fields: Collection[str] | None = None
    fix: str = ""


class ResultChecks:
    """Checks references to the tasks of a draft, and to those that it may refer to besides."""

    def __init__(self, numbered: Numbered, tools: Toolbox, faults: Faults) -> None:
        self._numbered = numbered
        self._tools = tools
        self._faults = faults

    def check(self, reference: Reference, name: str, field: str) -> None:
        """Note where ``field`` of the task ``name`` asks for what the result will not have."""
        task = self._task(reference.target)
        if task is None or not reference.path:
            return
        first, *rest = reference.path
        of = f"${reference.target}"
        if task.for_each is None:
            self._check_path(reference, reference.path, of, task, name, field)
        elif isinstance(first, int):
            self._check_path(reference, rest, f"{of}[{first}]", task, name, field)
        else:
            message = f"{reference.text}: the result of a map is a list"
            fix = f"write {of}, or {of}[0]{step_text(first)} for one item"
            self._add(message, fix, name, field)

    def check_own(self, reference: Reference, task: TaskDraft, name: str, field: str) -> None:
        """The same of ``$self`` in the undo of ``task``: in that of a map, the result of an
        item."""
        of = f"${reference.target}"
        self._check_path(reference, reference.path, of, task, name, field)

    def is_question(self, target: str) -> bool:
        """Whether the result of this task is an answer."""
        task = self._task(target)
        return task is not None and task.for_each is None and self._known(task).is_text

    def _check_path(
        self,
        reference: Reference,
        path: Sequence[str | int],
        of: str,
        task: TaskDraft | TaskSpec,
        name: str,
        field: str,
    ) -> None:
        """``path``: the steps into the result ``of``."""
        if not path:
            return
        known, step = self._known(task), path[0]
        if known.is_text:
            message = f"{reference.text}: the answer to a question is a text and has no fields"
            self._add(message, f"write {of}", name, field)
        elif known.fields is not None and step not in known.fields:
            near = self._faults.nearest(step, known.fields) if isinstance(step, str) else ""
            message = f"{reference.text}: {known.what} has no field {step!r}"
            fix = near or f"it has: {listed(known.fields, _MOST_NAMED) or 'nothing'}{known.fix}"
            self._add(message, fix, name, field)

    def _add(self, message: str, fix: str, name: str, field: str) -> None:
        self._faults.add(excerpt(message, 300), task=name, field=field, fix=excerpt(fix, 300))

    def _task(self, target: str) -> TaskDraft | TaskSpec | None:
        task_id = self._numbered.find(target)
        if task_id is None:
            return None
        place = self._numbered.place.get(task_id)
        if place is None:
            return self._numbered.existing.get(task_id)
        return self._numbered.tasks[place]

    def _known(self, task: TaskDraft | TaskSpec) -> _Known:
        kind = task.kind if isinstance(task, TaskSpec) else kind_of(task)
        if kind is NodeKind.Clarification:
            return _Known("", is_text=True)
        if isinstance(task, TaskDraft) and isinstance(task.plan, PlanDraft):
            fix = "; only what a task with a label found is in it"
            return _Known("the result of its plan", fields=_labels(task.plan), fix=fix)
        called = task.tool.name if isinstance(task.tool, ToolCall) else task.tool
        tool = self._tools.get(called) if called else None
        return _Known(f"the result of {called}", fields=(tool and tool.result_fields) or None)


def _labels(plan: PlanDraft) -> list[str]:
    tasks = plan.tasks if isinstance(plan.tasks, (list, tuple)) else ()
    return [task.label for task in tasks if isinstance(task, TaskDraft) and task.label]
