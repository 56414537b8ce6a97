"""``Candidates``: tasks as a model writes them, before they join a plan.

Each is checked by the plan compiler as soon as it is complete. A task that refers to a later one
is held back; a task with faults waits until the model corrects it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import Fault, Limits, PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, excerpt, quoted
from planfold.drafting.model.answer import read_task
from planfold.drafting.model.offered_plans import NO_PLANS, OfferedPlans
from planfold.errors import InvalidPlan
from planfold.planner.conditions import ConditionFault, read_condition
from planfold.planner.references import (
    ITEM,
    OCCURRENCE,
    OF_UNDO,
    find_references,
    whole_reference,
)
from planfold.planner.sub_plans import ROUTE
from planfold.planner.tasks import Effect, NodeKind, TaskSpec, Undo
from planfold.tools.tool import Tool, Toolbox

_SEVERITY: Final = {Effect.Safe: 0, Effect.Keyed: 1, Effect.Once: 2}
_MOST: Final = Limits().tasks
_ANOTHER: Final = "use another label"
_LEAVE_OUT: Final = "leave this task out, or give it another label if it is another task"


@dataclass(eq=False)
class _Candidate:
    label: str
    value: Any
    draft: TaskDraft
    round: int
    faults: list[Fault] = field(default_factory=list)


class Candidates:
    """Tasks offered by a model, of which ``accepted`` (by id) may go into the plan.

    ``existing`` are tasks of the plan that new ones may depend on, ``closed`` those that they may
    not, with the reason ("has failed"). A new task whose label is in ``replaceable`` takes the id
    given there; all others get ids above ``above`` and above every known one. Accepted tasks are
    ``proposed``, and ``tainted`` where the model has read untrusted text. None has a milder effect
    than its tool declares. ``plans`` are those that tasks may run.
    """

    def __init__(
        self,
        tools: Toolbox,
        *,
        existing: Mapping[int, TaskSpec] | None = None,
        closed: Mapping[int, str] | None = None,
        labels_closed: Mapping[str, int] | None = None,
        replaceable: Mapping[str, int] | None = None,
        above: int = 0,
        tainted: bool = False,
        plans: OfferedPlans = NO_PLANS,
    ) -> None:
        self.accepted: dict[int, TaskSpec] = {}
        self.plans = plans
        self.round = 0
        self.offered = 0
        self._tools = tools
        self._known: dict[int, TaskSpec] = {}
        self._ids: dict[str, int] = {}  # by label, of all that is known
        self._closed = dict(closed or {})
        self._labels_closed = dict(labels_closed or {})
        self._replaceable = dict(replaceable or {})
        self._tainted = tainted
        self._next_id = above + 1
        self._pending: list[_Candidate] = []
        self._waiting: dict[str, list[_Candidate]] = {}  # by a name that is not known yet
        self._written: dict[str, _Candidate] = {}  # accepted ones, as the model wrote them
        self.adopt((existing or {}).values())

    def start_above(self, task_id: int) -> None:
        """Give new tasks higher ids than this one."""
        self._next_id = max(self._next_id, task_id + 1)

    def adopt(self, specs: Iterable[TaskSpec]) -> None:
        """Let new tasks depend on these, which are in the plan already."""
        for spec in specs:
            self._know(spec)
            self.start_above(spec.id)

    def recover(self, specs: Iterable[TaskSpec]) -> None:
        """Keep tasks that were accepted before a crash."""
        for spec in specs:
            self.accepted[spec.id] = spec
            self.adopt([spec])

    def offer(self, value: Any) -> list[TaskSpec]:
        """Add a task as the model wrote it. Returns the tasks that can be accepted now: it, and
        those that waited for it. None where it has faults or has to wait."""
        self.offered += 1
        candidate = self._candidate(value)
        if self._repeats(candidate):
            return []
        self._pending = [
            other
            for other in self._pending
            if other.label != candidate.label or other.round == candidate.round
        ]
        self._pending.append(candidate)
        found: list[TaskSpec] = []
        due = [candidate]
        for each in due:
            if each in self._pending and (spec := self._judge(each)) is not None:
                found.append(spec)
                due += self._waiting.pop(each.label, [])
        return found

    def end_round(self, *, broke_off: bool = False) -> tuple[list[TaskSpec], list[Fault]]:
        """End a round, and check the remaining tasks together. Returns those that can be accepted,
        and the faults that the model should correct. Where the answer was truncated
        (``broke_off``), tasks that wait for others may still get them.

        What has faults is dropped unless the next round writes it again.
        """
        pending, own = self._pending, [f for c in self._pending for f in c.faults]
        self.drop_pending()
        if pending and not broke_off:
            accepted, own = self._judge_together(pending, own)
            if accepted:
                return accepted, []
        wrong = {fault.task for fault in own}
        self._pending = [c for c in pending if not c.faults and excerpt(c.label) not in wrong]
        for candidate in list(self._pending):  # they wait on
            self._judge(candidate)
        return [], own

    def drop_pending(self) -> None:
        """Forget what is not accepted, and begin another round."""
        self._pending = []
        self._waiting.clear()
        self.round, self.offered = self.round + 1, 0

    def _judge_together(
        self, pending: list[_Candidate], own: list[Fault]
    ) -> tuple[list[TaskSpec], list[Fault]]:
        plan = PlanDraft(tasks=[candidate.draft for candidate in pending])
        try:  # without ids, so that faults name the tasks as the model does
            compile_plan(plan, self._tools, existing=self._known)
        except InvalidPlan as invalid:
            faulty = {excerpt(c.label) for c in pending if c.faults}
            return [], [*own, *(f for f in invalid.faults if f.task not in faulty)]
        if own:
            return [], own
        ids = {self._id_for(c.label, place): c for place, c in enumerate(pending)}
        plan.tasks = [msgspec.structs.replace(c.draft, id=i) for i, c in ids.items()]
        specs = compile_plan(plan, self._tools, existing=self._known)
        return [self._accept(ids[spec.id], spec) for spec in specs], []

    @property
    def waiting(self) -> list[str]:
        """Labels of tasks that are neither accepted nor given up."""
        return [candidate.label for candidate in self._pending]

    def _candidate(self, value: Any) -> _Candidate:
        faults = Faults()
        place = self.offered
        draft = read_task(value, place, self._tools, faults, self.plans)
        if draft.label is None:
            draft.label = self._free_label(place)
        candidate = _Candidate(draft.label, value, draft, self.round)
        name = excerpt(candidate.label)
        candidate.faults = [msgspec.structs.replace(fault, task=name) for fault in faults.found]
        return candidate

    def _free_label(self, place: int) -> str:
        label = f"task_{place}"
        while label in self._ids or any(c.label == label for c in self._pending):
            label += "_"
        return label

    def _repeats(self, candidate: _Candidate) -> bool:
        """Whether the model only repeats an accepted task, which stays as it is."""
        label = candidate.label
        earlier = self._written.get(label)
        if earlier is None:
            waiting = (c for c in self._pending if c.label == label and c.round == candidate.round)
            earlier = next(waiting, None)
        known = self._ids.get(label)
        if earlier is not None:
            same = earlier.value == candidate.value
            repeats = same or (earlier.draft == candidate.draft and not candidate.faults)
        elif known is not None:
            repeats = known in self.accepted and _is_same(candidate.draft, self._known[known])
        else:
            return False
        if repeats:
            return True
        if earlier is not None and earlier.round == candidate.round:
            message, fix = f"{quoted(label)} is also the label of an earlier task", _ANOTHER
        else:
            name = "an accepted task" if known in self.accepted else f"task {known}"
            message, fix = f"{quoted(label)} is the label of {name}, which stays", _LEAVE_OUT
        self._refuse_label(candidate, message, fix)
        return False

    def _refuse_label(self, candidate: _Candidate, message: str, fix: str) -> None:
        candidate.faults.append(Fault(message, excerpt(candidate.label), "label", fix))
        candidate.draft.label = candidate.label = self._free_label(self.offered)

    def _judge(self, candidate: _Candidate) -> TaskSpec | None:
        if candidate.faults:
            return None
        if len(self.accepted) >= _MOST:
            fix = "split the plan"
            candidate.faults.append(Fault(f"more than {_MOST:,} tasks", field="tasks", fix=fix))
            return None
        needed: dict[int, TaskSpec] = {}
        for name in self._names_in(candidate.draft):
            task_id = self._find(name)
            if task_id is not None:
                needed[task_id] = self._known[task_id]
            elif (reason := self._closed_for(name)) is not None:
                candidate.faults.append(_closed_fault(candidate, name, reason))
                return None
            else:
                self._waiting.setdefault(name, []).append(candidate)
                return None
        task_id = self._id_for(candidate.label)
        draft = msgspec.structs.replace(candidate.draft, id=task_id)
        try:
            (spec,) = compile_plan(PlanDraft(tasks=[draft]), self._tools, existing=needed)
        except InvalidPlan as invalid:
            ids = {task_id: candidate}
            candidate.faults = [_renamed(fault, ids) for fault in invalid.faults]
            return None
        self._pending.remove(candidate)
        return self._accept(candidate, spec)

    def _names_in(self, draft: TaskDraft) -> dict[str, None]:
        tool = self._tools.get(draft.tool) if draft.tool else None
        literal = tool.literal if tool else ()
        names = dict.fromkeys(str(target) for target in draft.depends_on)
        if draft.arguments:
            found = find_references(draft.arguments, literal=literal)
            names |= dict.fromkeys(reference.target for reference in found)
        if draft.undo is not None:
            found = find_references(draft.undo.arguments)
            names |= {r.target: None for r in found if r.target not in OF_UNDO}
        if draft.key:
            names |= dict.fromkeys(found.target for found in find_references(draft.key))
        if draft.when:
            with contextlib.suppress(ConditionFault):  # the compiler says what is wrong
                wanted = read_condition(draft.when).references.values()
                names |= dict.fromkeys(reference.target for reference in wanted)
        if draft.for_each is not None:
            listed = whole_reference(str(draft.for_each).strip())
            names |= {} if listed is None else {listed.target: None}
            names = {name: None for name in names if name not in ITEM}
        names.pop(OCCURRENCE, None)  # the time that the plan runs for
        names.pop(draft.label or "", None)  # that one waits for itself: the compiler says so
        return names

    def _find(self, name: str) -> int | None:
        if name.isascii() and name.isdecimal() and len(name) < 12:
            return int(name) if int(name) in self._known else None
        return self._ids.get(name)

    def _closed_for(self, name: str) -> str | None:
        if name.isascii() and name.isdecimal() and len(name) < 12:
            return self._closed.get(int(name))
        return self._closed.get(self._labels_closed.get(name, -1))

    def _id_for(self, label: str, ahead: int = 0) -> int:
        return self._replaceable.get(label, self._next_id + ahead)

    def _know(self, spec: TaskSpec) -> None:
        self._known[spec.id] = spec
        if spec.label:
            self._ids[spec.label] = spec.id

    def _accept(self, candidate: _Candidate, spec: TaskSpec) -> TaskSpec:
        tool = self._tools.get(spec.tool.name) if spec.tool else None
        effect = least_effect(spec, tool)
        undo = _strict_undo(spec.undo, self._tools)
        spec = msgspec.structs.replace(
            spec, effect=effect, undo=undo, proposed=True, tainted=self._tainted
        )
        self.accepted[spec.id] = spec
        self._written[candidate.label] = candidate
        self.adopt([spec])
        return spec


def _strict_undo(undo: Undo | None, tools: Toolbox) -> Undo | None:
    """The undo of a proposed task: with the effect that its tool declares, at least."""
    tool = None if undo is None else tools.get(undo.tool.name)
    if undo is None or tool is None:
        return undo
    effect = max(undo.effect, tool.effect, key=_SEVERITY.__getitem__)
    return msgspec.structs.replace(undo, effect=effect)


def least_effect(spec: TaskSpec, tool: Tool | None) -> Effect:
    """The effect class of a task that a model proposed: the stricter one of what it says and what
    the tool declares. Work without a tool is always ``once``."""
    if spec.kind is NodeKind.Clarification:
        return Effect.Safe
    if spec.wait is not None and spec.wait.plan is not None:
        return spec.effect  # of the tasks of that plan, which the model has not written
    declared = tool.effect if tool is not None else Effect.Once
    return max(spec.effect, declared, key=_SEVERITY.__getitem__)


def _is_same(draft: TaskDraft, spec: TaskSpec) -> bool:
    """Whether ``draft`` repeats ``spec``, which an earlier attempt has added to the plan."""
    tool = spec.tool.name if spec.tool else None
    called = draft.tool if draft.plan is None else ROUTE
    return draft.description.strip() == spec.description.strip() and called == tool


def _closed_fault(candidate: _Candidate, name: str, reason: str) -> Fault:
    message = f"it needs task {excerpt(name)}, which {reason}"
    fix = "remove the dependency, or plan a new task that replaces it"
    return Fault(message, excerpt(candidate.label), "depends_on", fix)


def _renamed(fault: Fault, ids: Mapping[int, _Candidate]) -> Fault:
    """The fault with labels in place of ids: the compiler names tasks by id, the model by label."""
    if fault.task is None or not fault.task.isdecimal() or int(fault.task) not in ids:
        return fault
    return msgspec.structs.replace(fault, task=excerpt(ids[int(fault.task)].label))
