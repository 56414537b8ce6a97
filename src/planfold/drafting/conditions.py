"""Checks of a task's condition: its syntax, and the fields and types that are known of results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from planfold.drafting.faults import Faults, excerpt
from planfold.errors import ConfigurationError
from planfold.planner.cel import Type
from planfold.planner.conditions import (
    Condition,
    ConditionFault,
    check_condition,
    read_condition,
)
from planfold.planner.references import OCCURRENCE, Reference
from planfold.planner.tasks import RunIf

if TYPE_CHECKING:
    from planfold.drafting.dependencies import Numbered
    from planfold.drafting.result_fields import ResultChecks

_FIELD: Final = "when"


class ConditionChecks:
    """Checks one condition: first what it refers to, then the rest, which needs the CEL library."""

    def __init__(self, numbered: Numbered, results: ResultChecks, faults: Faults) -> None:
        self._numbered = numbered
        self._results = results
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
            self._results.check(reference, name, _FIELD)
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

    def _add(self, name: str, message: str, fix: str) -> None:
        self._faults.add(excerpt(message, 300), task=name, field=_FIELD, fix=excerpt(fix, 300))

    def _type_of(self, reference: Reference) -> Type | None:
        if reference.about == "status" or self._is_time(reference):
            return "string"
        plain = not reference.path and reference.needs_result
        return "string" if plain and self._results.is_question(reference.target) else None

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
