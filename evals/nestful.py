"""Reads NESTFUL: requests with the gold sequence of nested tool calls, as plans and tools.

``$var1.field$`` becomes ``$var1.field``; ``var_result``, the shape of the final answer, is not a
call and becomes no task. Where the gold calls and the tools' own specs contradict each other, the
calls are right: they are the gold plan. The spec is widened just enough to take them, and a
``Slip`` says so. Nothing is converted, left out or guessed from the request's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from evals.specs import NO_SUCH_CALL, REPEATED_LABEL, Slip, ToolSpecs
from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.errors import ConfigurationError, InvalidPlan
from planfold.planner.references import find_references
from planfold.planner.tasks import Effect, TaskSpec
from planfold.tools.tool import Tool, Toolbox

FINAL: Final = "var_result"
_REFERENCE: Final = re.compile(r"\$(var\d+(?:\.\w+|\[\d+\])*)\$")
_GLUED: Final = re.compile(r"[\w-]|\.\w|\[-?\d")  # would be read as part of the reference


class Call(msgspec.Struct, frozen=True):
    """One call as the file has it; ``label`` is unique within its request."""

    name: str
    label: str
    arguments: dict[str, Any]


class GoldPlan(msgspec.Struct, frozen=True):
    """One request: its calls as written, as a draft, and compiled."""

    id: str
    request: str
    calls: tuple[Call, ...]
    draft: PlanDraft
    tasks: tuple[TaskSpec, ...]


class Nestful(msgspec.Struct, frozen=True):
    """``results`` is the JSON schema of what each tool returns."""

    plans: tuple[GoldPlan, ...]
    toolbox: Toolbox
    results: dict[str, dict[str, Any]]
    slips: tuple[Slip, ...]


def import_nestful(
    requests: Sequence[Any], specs: Iterable[Any], *, source: str = "NESTFUL"
) -> Nestful:
    """Raises ConfigurationError, with the place, for input that is not in NESTFUL's format, and
    for a request that cannot be a plan with any tools (a reference to a later call)."""
    slips: list[Slip] = []
    read = [_request(item, f"{source}, request {n}", n, slips) for n, item in enumerate(requests)]
    known = ToolSpecs(specs, slips)
    for number, (_, calls) in enumerate(read):
        known.widen(number, [(call.name, call.label, call.arguments) for call in calls])
    toolbox = Toolbox(
        Tool(
            name=name,
            description=known.descriptions[name],
            parameters=known.parameters(name),
            effect=Effect.Safe,
        )
        for name in known.descriptions
    )
    plans = []
    for number, (request, calls) in enumerate(read):
        draft = draft_of(request, calls)
        try:
            tasks = compile_plan(draft, toolbox)
        except InvalidPlan as fault:
            raise ConfigurationError(f"{source}, request {number}: {fault}") from None
        plans.append(GoldPlan(f"nestful_{number}", request, calls, draft, tasks))
    results = {name: known.result(name) for name in known.descriptions}
    return Nestful(tuple(plans), toolbox, results, tuple(slips))


def draft_of(request: str, calls: Iterable[Call]) -> PlanDraft:
    """A task per call; only references make dependencies."""
    tasks = [
        TaskDraft(description=call.name, label=call.label, tool=call.name, arguments=call.arguments)
        for call in calls
    ]
    return PlanDraft(tasks=tasks, goal=request)


def with_references(value: Any) -> Any:
    """``$var1.field$`` as ``$var1.field``; every other dollar becomes ``$$``, which means one
    dollar."""
    if isinstance(value, dict):
        return {key: with_references(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_references(item) for item in value]
    if not isinstance(value, str):
        return value
    parts = _REFERENCE.split(value)
    for number, part in enumerate(parts):
        if number % 2 == 0:
            parts[number] = part.replace("$", "$$")
            if number and _GLUED.match(part):
                raise ConfigurationError(f"{value!r}: text right behind a reference joins it")
        else:
            parts[number] = f"${part}"
    return "".join(parts)


def _request(item: Any, where: str, number: int, slips: list[Slip]) -> tuple[str, tuple[Call, ...]]:
    if not isinstance(item, dict) or not isinstance(item.get("input"), str):
        raise ConfigurationError(f"{where}: input must be a text")
    output = item.get("output")
    if not isinstance(output, list) or not output:
        raise ConfigurationError(f"{where}: output must be a list of calls")
    calls: list[Call] = []
    answer: dict[str, Any] = {}
    for place, call in enumerate(output, 1):
        if not _is_call(call):
            raise ConfigurationError(f"{where}, call {place}: it needs a name and arguments")
        if call["name"] == FINAL:
            answer = call["arguments"]
            continue
        label = str(call.get("label") or f"var{place}")
        if label in (known.label for known in calls):
            # Where this happens the answer speaks of varN, N being the call's place.
            slips.append(Slip(number, call["name"], "label", REPEATED_LABEL, label))
            label = f"var{place}"
        arguments = with_references(call["arguments"])
        calls.append(Call(call["name"], label, arguments))
    labels = {call.label for call in calls}
    for name, value in answer.items():
        for reference in find_references(with_references(value)):
            if reference.target not in labels:
                slips.append(Slip(number, FINAL, name, NO_SUCH_CALL, reference.text))
    return item["input"], tuple(calls)


def _is_call(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and isinstance(call.get("name"), str)
        and isinstance(call.get("arguments"), dict)
    )
