"""Dependencies: names become ids, references become dependencies, cycles are found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from planfold.drafting.conditions import ConditionChecks
from planfold.drafting.draft import Limits, TaskDraft
from planfold.drafting.faults import Faults, excerpt, listed, quoted
from planfold.drafting.fields import MAX_ID
from planfold.drafting.reference_lint import doubtful_references
from planfold.drafting.result_fields import ResultChecks
from planfold.drafting.shape import task_name
from planfold.planner.references import (
    ITEM,
    OCCURRENCE,
    OF_UNDO,
    PARAMS,
    SELF,
    Reference,
    find_references,
    whole_reference,
)
from planfold.planner.structure import find_cycles
from planfold.planner.tasks import TaskSpec
from planfold.tools.tool import Tool, Toolbox

_BARE: Final = ("when", "for_each")  # where a dollar sign is never text
_INT_DIGITS: Final = len(str(MAX_ID))


class Numbered:
    """A draft's tasks with their ids and names.

    ``ids`` and ``names`` go by place in the list; ``labels`` and ``known`` include the tasks of
    ``existing``, to which new ones may refer.
    """

    def __init__(
        self, tasks: list[TaskDraft], existing: Mapping[int, TaskSpec], faults: Faults
    ) -> None:
        self.tasks = tasks
        self.existing = existing
        self.names = [task_name(t.id, t.label, place) for place, t in enumerate(tasks, start=1)]
        self.ids = _ids(tasks, existing)
        self.labels = {spec.label: spec.id for spec in existing.values() if spec.label}
        self.known = set(existing)
        self.place: dict[int, int] = {}  # of the first task with that id
        for place, (task, task_id) in enumerate(zip(tasks, self.ids, strict=True)):
            self._check_id(task, task_id, place, existing, faults)
            self._check_label(task, task_id, place, faults)
            self.place.setdefault(task_id, place)
        self.known.update(self.place)

    def _check_id(
        self,
        task: TaskDraft,
        task_id: int,
        place: int,
        existing: Mapping[int, TaskSpec],
        faults: Faults,
    ) -> None:
        name = self.names[place]
        if task_id in existing:
            message = f"{quoted(task_id)} is the id of a task that has already started"
            fix = "use another id, or leave it out"
        elif task_id in self.place:
            first = self.place[task_id] + 1
            message = f"{quoted(task_id)} is also the id of the task at place {first}"
            fix = "use another id"
            if task.id is None or self.tasks[first - 1].id is None:
                message += " (without an id, a task's id is its place)"
                fix = "give every task an id, or none"
        else:
            return
        faults.add(message, task=name, field="id", fix=fix)

    def _check_label(self, task: TaskDraft, task_id: int, place: int, faults: Faults) -> None:
        if task.label is None:
            return
        if task.label == OCCURRENCE:
            message = f"{quoted(OCCURRENCE)} is what the time of a plan is called"
            fault_of = self.names[place]
            faults.add(message, task=fault_of, field="label", fix="use another label")
        if task.label in self.labels:
            message = f"{quoted(task.label)} is also the label of another task"
            message += f" (id {quoted(self.labels[task.label])})"
            name = self.names[place]
            faults.add(message, task=name, field="label", fix="use another label")
        else:
            self.labels[task.label] = task_id

    def find(self, target: int | str) -> int | None:
        """The id of the task that is called ``target`` (a label, or an id, also as digits)."""
        if isinstance(target, str):
            if not (target.isascii() and target.isdecimal()):
                return self.labels.get(target)
            if len(target.lstrip("0")) > _INT_DIGITS:
                return None
            target = int(target)
        return target if target in self.known else None


class Links:
    """Collects what each task depends on. ``parents`` goes by place in the list."""

    def __init__(self, numbered: Numbered, tools: Toolbox, limits: Limits, faults: Faults) -> None:
        self._numbered = numbered
        self._limits = limits
        self._faults = faults
        self._results = ResultChecks(numbered, tools, faults)
        self.parents: list[set[int]] = [set() for _ in numbered.tasks]

    def add_explicit(self, place: int) -> None:
        for target in dict.fromkeys(self._numbered.tasks[place].depends_on):
            self._link(place, target, "depends_on", f"there is no task {quoted(target)}")

    def add_references(
        self,
        place: int,
        arguments: dict[str, Any],
        tool: Tool | None,
        within: str = "arguments.",
        known: Collection[str] = (),
    ) -> None:
        """Link what arguments refer to. The ``known`` targets do not name tasks."""
        literal = tool.literal if tool else ()
        for key, value in arguments.items():
            if key in literal:
                continue
            field = f"{within}{excerpt(key)}"
            for doubtful in doubtful_references(
                value,
                lambda target: (
                    target in known
                    or self._is_no_task(place, target)
                    or self._numbered.find(target) is not None
                ),
            ):
                message = f"{excerpt(doubtful.text)}: {doubtful.why}"
                name = self._numbered.names[place]
                self._faults.add(message, task=name, field=field, fix=doubtful.fix)
            found = find_references(value)
            for reference in {each.text: each for each in found}.values():
                if reference.target not in known and not self._is_no_task(place, reference.target):
                    self._results.check(reference, self._numbered.names[place], field)
            for target, reference in _first_of_each(found).items():
                if target in known or self._is_no_task(place, target):
                    self._check_time(place, reference, field)
                    continue
                shown = excerpt(target) if target.isdecimal() else quoted(target)
                message = f"{excerpt(reference.text)}: there is no task {shown}"
                self._link(place, target, field, message, reference)

    def add_undo(self, place: int, arguments: dict[str, Any], tool: Tool) -> None:
        """Link what the undo of a task refers to besides that task."""
        name = self._numbered.names[place]
        for reference in find_references(arguments, literal=tool.literal):
            target = reference.target
            if target in OF_UNDO and target in self._numbered.labels:
                message = f"${target} is about the task here, but a task is called {quoted(target)}"
                fix = "give that task another label"
            elif self._numbered.find(target) == self._numbered.ids[place]:
                message = f"{excerpt(reference.text)} is the result of the task itself"
                fix = f"write ${SELF}"
            else:
                continue
            self._faults.add(message, task=name, field="undo.arguments", fix=fix)
            return
        self.add_references(place, arguments, tool, "undo.arguments.", OF_UNDO)

    def add_list(self, place: int, text: str) -> None:
        """Link the list of a map."""
        whole = whole_reference(text)
        if whole is not None and whole.target not in (*ITEM, OCCURRENCE):
            message = f"{excerpt(whole.text)}: there is no task {quoted(whole.target)}"
            self._link(place, whole.target, "for_each", message, whole)
            self._check_list(whole, self._numbered.names[place])
        for label in ITEM:
            if label in self._numbered.labels:
                message = f"${label} is the element here, but a task is called {quoted(label)}"
                name, fix = self._numbered.names[place], "give that task another label"
                self._faults.add(message, task=name, field="for_each", fix=fix)

    def _check_list(self, reference: Reference, name: str) -> None:
        self._results.check(reference, name, "for_each")
        if not reference.path and self._results.is_question(reference.target):
            message = f"{reference.text}: the answer to a question is a text, not a list"
            fix = "let a task make a list of it"
            self._faults.add(message, task=name, field="for_each", fix=fix)

    def add_conditions(self, place: int, text: str) -> None:
        """Link what the condition of a task refers to, and check the condition."""
        name = self._numbered.names[place]
        checks = ConditionChecks(self._numbered, self._results, self._faults)
        for reference in checks.read(text, name):
            target = reference.target
            if self._is_no_task(place, target):
                self._check_time(place, reference, "when")
                continue
            shown = excerpt(target) if target.isdecimal() else quoted(target)
            message = f"{excerpt(reference.text)}: there is no task {shown}"
            self._link(place, target, "when", message, reference)
        checks.check(name, self._numbered.tasks[place].run_if)

    def _link(
        self, place: int, target: int | str, field: str, missing: str, by: Reference | None = None
    ) -> None:
        name = self._numbered.names[place]
        parent = self._numbered.find(target)
        if parent is None:
            fix = self._suggest(target, is_reference=by is not None and field not in _BARE)
            self._faults.add(missing, task=name, field=field, fix=fix)
        elif parent == self._numbered.ids[place]:
            message = f"{excerpt(by.text)} is the task's own result" if by else "it is the task"
            message = f"the task waits for itself: {message}"
            self._faults.add(message, task=name, field=field, fix="remove it")
        else:
            self.parents[place].add(parent)
            if by is not None:
                self._check_has_result(parent, by, name, field)

    def _is_no_task(self, place: int, target: str) -> bool:
        """Whether the target is the element of a map, or the time that the plan runs for."""
        if target == OCCURRENCE:
            return target not in self._numbered.labels
        return target in ITEM and self._numbered.tasks[place].for_each is not None

    def _check_time(self, place: int, reference: Reference, field: str) -> None:
        if reference.target == OCCURRENCE and reference.about:
            message = f"{excerpt(reference.text)}: a time has no {reference.about}"
            name, fix = self._numbered.names[place], f"write ${OCCURRENCE}"
            self._faults.add(message, task=name, field=field, fix=fix)

    def _suggest(self, target: int | str, *, is_reference: bool) -> str:
        text = str(target)[:100] if isinstance(target, str) else ""
        if text == PARAMS:
            return "a plan with parameters declares them in params; or write $$ for a dollar sign"
        if text in ITEM and is_reference:
            return "only a task with for_each has an element; or write $$ for a dollar sign"
        names = [*self._numbered.labels, OCCURRENCE] if is_reference else self._numbered.labels
        near = "" if text.isdecimal() else self._faults.nearest(text, names)
        fix = near or self._overview
        if not is_reference:
            return fix
        return fix + (" or" if near else "; or") + " write $$ for a dollar sign"

    @cached_property
    def _overview(self) -> str:
        ids, labels = self._numbered.known, self._numbered.labels
        named = f"; labels: {listed(labels, 8)}" if labels else ""
        return f"ids: {quoted(min(ids))} to {quoted(max(ids))}{named}"

    def _check_has_result(self, parent: int, by: Reference, name: str, field: str) -> None:
        place = self._numbered.place.get(parent)
        done = place is not None and self._numbered.tasks[place].done
        if done and by.needs_result:
            message = f"{excerpt(by.text)}: a task that is done before the plan has no result"
            fix = "write the value itself, or let that task run"
            self._faults.add(message, task=name, field=field, fix=fix)

    def check(self) -> None:
        """The checks that need all links: their number, circles, and what is done."""
        graph: dict[int, list[int]] = {}
        for place, parents in enumerate(self.parents):
            name = self._numbered.names[place]
            if len(parents) > self._limits.dependencies_per_task:
                message = f"{len(parents):,} dependencies; the limit dependencies_per_task is "
                message += f"{self._limits.dependencies_per_task:,}"
                fix = "gather them in tasks between"
                self._faults.add(message, task=name, field="depends_on", fix=fix)
            graph.setdefault(self._numbered.ids[place], sorted(parents))
            if self._numbered.tasks[place].done:
                self._check_done(parents, name)
            if not parents and self._numbered.tasks[place].run_if == "failed":
                message = "there is nothing before it that could fail"
                fix = "add what may fail to depends_on, or leave run_if out"
                self._faults.add(message, task=name, field="run_if", fix=fix)
        for cycle in find_cycles(graph):
            names = [self._numbered.names[self._numbered.place[task_id]] for task_id in cycle]
            ring = " -> ".join([*names, names[0]] if len(names) <= 50 else [*names[:50], "..."])
            message = f"a cycle, in which each task waits for the next: {ring}"
            fix = "remove one of these dependencies or references"
            self._faults.add(message, task=names[0], field="depends_on", fix=fix)

    def _check_done(self, parents: Iterable[int], name: str) -> None:
        for parent in sorted(parents):
            place = self._numbered.place.get(parent)
            if place is not None and not self._numbered.tasks[place].done:
                message = f"it depends on task {self._numbered.names[place]}, which is not done"
                fix = "mark that one done too, or this one not"
                self._faults.add(message, task=name, field="done", fix=fix)


def _ids(tasks: list[TaskDraft], existing: Mapping[int, TaskSpec]) -> list[int]:
    if not existing:
        return [place if t.id is None else t.id for place, t in enumerate(tasks, start=1)]
    highest = max([*existing, *(t.id for t in tasks if t.id is not None and t.id <= MAX_ID)])
    ids = []
    for task in tasks:
        if task.id is None:
            highest += 1
        ids.append(highest if task.id is None else task.id)
    return ids


def _first_of_each(references: Iterable[Reference]) -> dict[str, Reference]:
    first: dict[str, Reference] = {}
    for reference in references:
        first.setdefault(reference.target, reference)
    return first
