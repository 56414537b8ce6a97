"""Checks of the call that undoes a task, and the undo of a compiled task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from planfold.drafting.arguments import ArgumentChecks
from planfold.drafting.dependencies import Links, Numbered
from planfold.drafting.draft import Limits, TaskDraft, UndoDraft
from planfold.drafting.faults import Faults, listed, quoted
from planfold.drafting.fields import MAX_SECONDS, check_retry, kind_of
from planfold.drafting.result_fields import ResultChecks
from planfold.drafting.shared_limits import shared_limits_of
from planfold.drafting.waits import is_wait
from planfold.planner.references import (
    ARGUMENTS,
    SELF,
    Reference,
    find_references,
    rename_references,
)
from planfold.planner.tasks import NodeKind, TaskSpec, ToolCall, Undo
from planfold.printable import unicode_fault
from planfold.tools.tool import Toolbox

_FIELD: Final = "undo."


class UndoChecks:
    """Checks the undo of each task of a draft; keeps the compiled schemas of tools."""

    def __init__(self, tools: Toolbox, limits: Limits, faults: Faults) -> None:
        self._tools = tools
        self._faults = faults
        self._own = Faults()  # of which the fields are those of the undo
        self._arguments = ArgumentChecks(limits, self._own)

    def check(self, place: int, numbered: Numbered, links: Links) -> None:
        """Check the undo of the task at ``place``, and link what it refers to."""
        task, name = numbered.tasks[place], numbered.names[place]
        if (undo := task.undo) is None:
            return
        self._check_fields(task, undo, name, ResultChecks(numbered, self._tools, self._own))
        for fault in self._own.found:
            field = f"{_FIELD}{fault.field or ''}".removesuffix(".")
            self._faults.add(fault.message, task=name, field=field, fix=fault.fix)
        tool = self._tools.get(undo.tool)
        if tool is not None and not self._own.found:
            links.add_undo(place, undo.arguments, tool)
        self._own.found.clear()

    def _check_fields(
        self, task: TaskDraft, undo: UndoDraft, name: str, results: ResultChecks
    ) -> None:
        add = self._own.add
        if kind_of(task) is NodeKind.Clarification or is_wait(task) or task.done:
            what = "a question" if kind_of(task) is NodeKind.Clarification else "this task"
            add(f"{what} changes nothing that could be undone", fix="leave it out")
        if message := unicode_fault(undo.tool):
            add(message, field="tool", fix="remove that character")
            return
        tool = self._tools.get(undo.tool)
        if tool is None:
            names = [known.name for known in self._tools]
            near = self._own.nearest(undo.tool, names)
            fix = f"{near + ' ' if near else ''}tools: {listed(names) or 'none'}"
            add(f"there is no tool {quoted(undo.tool)}", field="tool", fix=fix)
        if self._arguments.check(undo.arguments, tool, name) is not None:
            literal = tool.literal if tool is not None else ()
            found = find_references(undo.arguments, literal=literal)
            self._check_references(task, found)
            for reference in {each.text: each for each in found if each.target == SELF}.values():
                results.check_own(reference, task, name, "arguments")
        if undo.timeout is not None and not 0 < undo.timeout <= MAX_SECONDS:
            fix = f"use seconds, more than 0 and at most {MAX_SECONDS:,.0f}"
            add(f"{undo.timeout} is out of range", field="timeout", fix=fix)
        if undo.retry is not None:
            check_retry(undo.retry, name, self._own)

    def _check_references(self, task: TaskDraft, found: Iterable[Reference]) -> None:
        for reference in found:
            if reference.target in (SELF, ARGUMENTS) and reference.about:
                fix = f"write ${reference.target}"
                message = f"{reference.text}: what is undone has completed"
                self._own.add(message, field="arguments", fix=fix)
            if reference.target == ARGUMENTS and task.tool is None:
                message = f"{reference.text}: the task calls no tool"
                self._own.add(message, field="arguments", fix="write the value itself")
            elif reference.target == ARGUMENTS and reference.needs_result:
                self._check_argument(task, reference)

    def _check_argument(self, task: TaskDraft, reference: Reference) -> None:
        """It would be found missing when the plan has failed, and its tasks are to be undone."""
        first = reference.path[0] if reference.path else None
        names = list(task.arguments or ())
        if first is None or first in names:
            return
        near = self._own.nearest(str(first), names)
        fix = f"{near + ' ' if near else ''}its arguments: {listed(names) or 'none'}"
        message = f"{reference.text}: the task is called without {quoted(str(first))}"
        self._own.add(message, field="arguments", fix=fix)


def undo_of(task: TaskDraft, ids: Mapping[str, int], tools: Toolbox) -> Undo | None:
    """The undo of a checked task, in which labels are replaced by ids."""
    undo = task.undo
    tool = None if undo is None else tools.get(undo.tool)
    if undo is None or tool is None:
        return None
    own = tools.get(task.tool) if task.tool is not None else None
    others = {label: task_id for label, task_id in ids.items() if label not in (SELF, ARGUMENTS)}
    arguments: dict[str, Any] = rename_references(undo.arguments, others, literal=tool.literal)
    return Undo(
        tool=ToolCall(tool.name, arguments, tuple(sorted(tool.literal))),
        effect=undo.effect or tool.effect,
        retry=undo.retry or tool.retry,
        timeout=undo.timeout,
        limits=tuple(sorted({*shared_limits_of(task, own), *tool.limits})),
    )


def undo_draft(spec: TaskSpec) -> UndoDraft | None:
    """The undo of a task of a plan, as it is written."""
    undo = spec.undo
    if undo is None:
        return None
    return UndoDraft(
        tool=undo.tool.name,
        arguments=undo.tool.arguments,
        effect=undo.effect,
        retry=undo.retry,
        timeout=undo.timeout,
    )
