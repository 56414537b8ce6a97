"""Checks of a task's condition: its syntax, and the fields and types that are known of results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from planfold.drafting.faults import Faults, excerpt, listed
from planfold.drafting.fields import kind_of
from planfold.errors import ConfigurationError
from planfold.planner.cel import Type
from planfold.planner.conditions import (
    Condition,
    ConditionFault,
    check_condition,
    read_condition,
)
from planfold.planner.references import OCCURRENCE, Reference
from planfold.planner.tasks import NodeKind, RunIf
from planfold.tools.tool import Toolbox

if TYPE_CHECKING:
    from planfold.drafting.dependencies import Numbered

_TEXT_IS: Final = "the answer to a question is a text and has no fields"


class ConditionChecks:
    """Checks one condition: first what it refers to, then the rest, which needs the CEL library."""

    def __init__(
        self, numbered: Numbered, tools: Toolbox, faults: Faults, field: str = "when"
    ) -> None:
        self._field = field
        self._numbered = numbered
        self._tools = tools
        self._faults = faults
        self._condition: Condition | None = None

    def read(self, text: str, name: str) -> list[Reference]:
        """Its references. None where it cannot be read, which is a fault."""
        if not text.strip():
            self._add(name, "is empty", "write a condition, or leave it out")
            return []
        try:
            self._condition = read_condition(text)
        except ConditionFault as fault:
            self._add(name, fault.why, fault.fix)
            return []
        return list({r.target: r for r in self._condition.references.values()}.values())

    def check(self, name: str, run_if: RunIf) -> None:
        """Its fields and types, as far as they are known before anything has run."""
        if self._condition is None:
            return
        types: dict[str, Type] = {}
        for variable, reference in self._condition.references.items():
            found = self._type_of(reference)
            if found is not None and variable not in self._condition.tests:
                types[variable] = found
            self._check_fields(reference, name)
            if run_if == "completed" and reference.about == "status":
                self._check_reachable(variable, reference, name)
        try:
            check_condition(self._condition, types)
        except ConditionFault as fault:
            fix = fault.fix
            if fault.unknown and fault.unknown not in self._numbered.labels:
                fix = self._faults.nearest(fault.unknown, self._numbered.labels) or fix
            self._add(name, fault.why, fix)
        except ConfigurationError as fault:
            self._add(
                name, str(fault), "or leave the condition out of the plan, if a person agrees"
            )

    def check_list(self, reference: Reference, name: str) -> None:
        """The list of a map, as far as its task's results are known before anything has run."""
        self._check_fields(reference, name)
        if not reference.path and self._is_question(reference):
            fix = "let a task make a list of it"
            self._add(
                name, f"{reference.text}: the answer to a question is a text, not a list", fix
            )

    def _add(self, name: str, message: str, fix: str) -> None:
        self._faults.add(excerpt(message, 300), task=name, field=self._field, fix=excerpt(fix, 300))

    def _type_of(self, reference: Reference) -> Type | None:
        if reference.about == "status" or self._is_time(reference):
            return "string"
        plain = not reference.path and reference.needs_result
        return "string" if plain and self._is_question(reference) else None

    def _check_reachable(self, variable: str, reference: Reference, name: str) -> None:
        """A failure skips the task before its condition is looked at."""
        task_id = self._numbered.find(reference.target)
        place = None if task_id is None else self._numbered.place.get(task_id)
        source = self._condition.source if self._condition else ""
        asked = re.search(rf"{variable}\s*==\s*[\"'](failed|cancelled)[\"']", source)
        if asked and place is not None and self._numbered.tasks[place].on_failure == "stop":
            message = f"{reference.text} is never {asked[1]} where this task runs"
            fix = "add run_if: failed (or ended), or let that task have on_failure: continue"
            self._add(name, message, fix)

    def _is_time(self, reference: Reference) -> bool:
        return reference.target == OCCURRENCE and OCCURRENCE not in self._numbered.labels

    def _is_question(self, reference: Reference) -> bool:
        task_id = self._numbered.find(reference.target)
        place = None if task_id is None else self._numbered.place.get(task_id)
        task = None if place is None else self._numbered.tasks[place]
        asks = task is not None and kind_of(task) is NodeKind.Clarification
        return asks and task is not None and task.for_each is None

    def _check_fields(self, reference: Reference, name: str) -> None:
        step = reference.path[0] if reference.path else None
        if step is None:
            return
        if self._is_question(reference):
            self._add(name, f"{reference.text}: {_TEXT_IS}", f"write ${reference.target}")
            return
        task_id = self._numbered.find(reference.target)
        place = None if task_id is None else self._numbered.place.get(task_id)
        if place is not None and self._numbered.tasks[place].for_each is not None:
            return  # a list
        tool_name = None if place is None else self._numbered.tasks[place].tool
        tool = self._tools.get(tool_name) if tool_name else None
        fields = tool.result_fields if tool is not None else ()
        if tool is not None and fields and step not in fields:
            near = self._faults.nearest(step, fields) if isinstance(step, str) else ""
            message = f"{reference.text}: the result of {tool.name} has no field {step!r}"
            self._add(name, message, near or f"it has: {listed(fields, 20)}")
