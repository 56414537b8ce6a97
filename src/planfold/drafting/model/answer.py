"""What a model answers when it plans: the JSON schema of it, and how a task of it is read.

A smaller language than that of plan files: a model chooses neither ids nor routes nor retries, and
cannot say that something is done. What is not offered to it, such as plans or shared limits where
there are none, is not in the schema.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

import msgspec

from planfold.drafting.attachments import attachment_for
from planfold.drafting.draft import TaskDraft
from planfold.drafting.faults import Faults, excerpt, quoted
from planfold.drafting.model.elements import Unreadable
from planfold.drafting.model.offered_plans import (
    NO_PLANS,
    OfferedPlan,
    OfferedPlans,
    gets_values_first,
    plan_parameters,
    with_offered_plan,
)
from planfold.drafting.model.strict import (
    AS_TEXT,
    CONDITION,
    LIST,
    NULL,
    Inexpressible,
    closed,
    constant,
    over_limit,
    own_arguments,
    strict_parameters,
)
from planfold.drafting.schema import DESCRIPTIONS
from planfold.drafting.shape import task_from, task_name
from planfold.planner.tasks import Effect, NodeKind, RunIf
from planfold.planner.waits import SIGNAL_NAME
from planfold.tools.tool import Tool, Toolbox

MOST_LISTED: Final = 250  # tools that the schema lists; with more of them any name will do

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_SOME_TEXTS: Final = {**_TEXTS, "maxItems": 20}  # a small model may write the same for ever
_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "label": {**_TEXT, "description": "A short name, unique, such as fetch_page."},
    "description": _TEXT,
    "kind": {**_TEXT, "enum": [str(kind.value) for kind in NodeKind]},
    "tool": _TEXT,
    "plan": {**_TEXT, "description": "Instead of a tool, a plan that the task runs."},
    "arguments": {"type": "object", "description": "As the tool's or plan's parameters ask."},
    "depends_on": {**_TEXTS, "description": "Labels of tasks that must be completed before."},
    "choices": {**_SOME_TEXTS, "description": "Answers to choose from, for a clarification."},
    "default": {**_TEXT, "description": "The choice that you would take, for a clarification."},
    "attachments": {**_SOME_TEXTS, "description": "Addresses and paths that belong to the task."},
    "resources": {**_SOME_TEXTS, "description": "What else it needs: access, programs, hardware."},
    "effect": {**_TEXT, "enum": [str(effect.value) for effect in Effect]},
    "on_failure": {**_TEXT, "enum": ["stop", "continue"]},
    "when": _TEXT,
    "run_if": {**_TEXT, "enum": list(get_args(RunIf))},
    "for_each": _TEXT,
    "max_items": {"type": "integer"},
    "concurrency": {"type": "integer"},
    "on_item_failure": {**_TEXT, "enum": ["stop", "continue"]},
    "item_by_item": {"type": "boolean"},
    "timeout": {"type": "number", "description": "Seconds, where a limit makes sense."},
    "stall_timeout": {"type": "number"},
    "wait": {"type": "number"},
    "at": _TEXT,
    "wait_for": _TEXT,
    "key": _TEXT,
    "undo": {"type": "object"},
    "limits": _SOME_TEXTS,
}
for _name in (
    *("description", "on_failure", "when", "run_if"),
    *("for_each", "max_items", "concurrency", "on_item_failure", "item_by_item", "stall_timeout"),
    *("wait", "at", "wait_for", "key", "undo", "limits"),
):
    _FIELDS[_name] = {**_FIELDS[_name], "description": DESCRIPTIONS["TaskDraft"][_name]}
_LABEL: Final = {"label": {**_TEXT, "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,63}$"}}
_LABELS: Final = {"type": "array", "items": {**_TEXT, "pattern": "^[A-Za-z0-9_-]{1,200}$"}}
# Where a task has no condition, list or undo, its text is empty, and a number is 0: a vendor takes
# 16 unions in all, which are left to the arguments.
_ORDER: Final = {
    "depends_on": _LABELS,
    "when": {**_TEXT, "pattern": CONDITION},
    "run_if": {**_TEXT, "enum": list(get_args(RunIf))},
}
_MAP: Final = {
    "for_each": {**_TEXT, "pattern": LIST},
    "on_item_failure": {**_TEXT, "enum": ["stop", "continue"]},
    "concurrency": {"type": "integer", "minimum": 0, "maximum": 1_000},
    "item_by_item": {"type": "boolean"},
}
_WHOLE_SECONDS: Final = {"type": "integer", "minimum": 0, "maximum": 86_400}
_LONG: Final = {"type": "integer", "minimum": 1, "maximum": 31_536_000}
_WAITS: Final[tuple[dict[str, Any], ...]] = (
    {"wait": _LONG},
    {"at": _TEXT},
    {
        "wait_for": {**_TEXT, "pattern": f"^{SIGNAL_NAME.pattern}$"},
        "key": _TEXT,  # empty: the plan's id
        "timeout": _LONG,
    },
)
_UNDO: Final = {"undo": _TEXT}  # a JSON object
_EFFECTS: Final = (Effect.Safe, Effect.Keyed, Effect.Once)
_OPTIONAL: Final = _FIELDS.keys() - {"label", "description", "kind"}
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})
_NONE_AS_ZERO: Final = ("timeout", "stall_timeout", "concurrency", "max_items")


class AnswerForm(msgspec.Struct, frozen=True):
    """The ``schema`` that a model's answer is held to, and a ``plain`` one for vendors that cannot
    enforce it. ``notes`` say where it allows calls that the tool does not take, and why."""

    schema: dict[str, Any]
    plain: dict[str, Any]
    notes: tuple[str, ...] = ()


def answer_form(tools: Toolbox, plans: OfferedPlans = NO_PLANS) -> AnswerForm:
    """The strict schema of a plan, with one alternative per tool and per plan that is offered, or
    the plain one where the strict one would exceed what vendors take.

    A tool whose arguments have no fixed form takes them as a text of JSON.
    """
    notes: list[str] = []
    limits = _limits(tools)
    calls = [_call(tool, notes, limits) for tool in tools]
    calls += [_sub_plan(name, plans[name], notes) for name in sorted(plans)]
    schema = _plan({"anyOf": [*calls, _work(limits), _question(), *map(_wait, _WAITS)]})
    plain = plain_schema(tools, plans)
    if limit := over_limit(schema):
        return AnswerForm(plain, plain, (f"The schema of the plan is not strict: {limit}",))
    return AnswerForm(schema, plain, tuple(notes))


def _limits(tools: Toolbox) -> dict[str, Any]:
    """The schema of the field ``limits``; none if no limits are declared."""
    names = sorted(tools.limits)
    return {"limits": {"type": "array", "items": {**_TEXT, "enum": names}}} if names else {}


def _call(tool: Tool, notes: list[str], limits: dict[str, Any]) -> dict[str, Any]:
    stricter = [str(effect.value) for effect in _EFFECTS[_EFFECTS.index(tool.effect) :]]
    fields = {
        "tool": constant(tool.name),  # first: vendors distinguish alternatives by their first field
        **_called(_arguments(tool.name, tool.parameters, tool.literal, notes)),
        **({"effect": {**_TEXT, "enum": stricter}} if len(stricter) > 1 else {}),
        "timeout": _WHOLE_SECONDS,
        "stall_timeout": _WHOLE_SECONDS,
        **({} if tool.effect is Effect.Safe else _UNDO),
        **limits,
    }
    return closed(fields)


def _sub_plan(name: str, plan: OfferedPlan, notes: list[str]) -> dict[str, Any]:
    """The schema of a task that runs a plan: it has neither an effect nor time-outs of its own."""
    parameters = plan_parameters(plan)
    literal = parameters["properties"] if gets_values_first(plan) else ()
    arguments = _arguments(name, parameters, literal, notes)
    return closed({"plan": constant(name), **_called(arguments), **_UNDO})


def _called(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": constant(NodeKind.ToolCall.value),
        **_LABEL,
        "description": _TEXT,
        "arguments": arguments,
        "on_failure": _bare("on_failure"),
        **_ORDER,
        **_MAP,
    }


def _arguments(
    name: str, parameters: dict[str, Any], literal: Iterable[str], notes: list[str]
) -> dict[str, Any]:
    try:
        arguments = strict_parameters(parameters, literal)
        if limit := over_limit(arguments):
            raise Inexpressible(limit)
    except Inexpressible as fault:
        notes.append(f"The arguments of {name} are not held to its schema: {fault}")
        return AS_TEXT
    return arguments


def _work(limits: dict[str, Any]) -> dict[str, Any]:
    kind = {"kind": constant(NodeKind.Processing.value)}
    described = _named("description", "on_failure", "attachments", "resources")
    return closed({**kind, **_LABEL, **described, **_ORDER, **_MAP, **limits})


def _question() -> dict[str, Any]:
    kind = {"kind": constant(NodeKind.Clarification.value)}
    said = _named("description", "choices")
    default = {"anyOf": [_TEXT, NULL], "description": _FIELDS["default"]["description"]}
    return closed({**kind, **_LABEL, **said, "default": default, **_ORDER})


def _wait(until: dict[str, Any]) -> dict[str, Any]:
    """The schema of each form of a wait. The distinguishing field comes first."""
    kind = {"kind": constant(NodeKind.Processing.value)}
    said = _named("description", "on_failure")
    return closed({**until, **kind, **_LABEL, **said, **_ORDER})


def _bare(name: str) -> dict[str, Any]:
    """A field without its description; the prompt describes it once for all tools."""
    return {key: value for key, value in _FIELDS[name].items() if key != "description"}


def _named(*names: str) -> dict[str, Any]:
    return {name: _FIELDS[name] for name in names}


def _plan(task: dict[str, Any]) -> dict[str, Any]:
    return closed({"tasks": {"type": "array", "items": task, "minItems": 1}})


def may_be_empty(schema: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` for an answer that may have no tasks."""
    tasks = {
        key: value for key, value in schema["properties"]["tasks"].items() if key != "minItems"
    }
    return closed({"tasks": tasks})


def plain_schema(tools: Toolbox, plans: OfferedPlans = NO_PLANS) -> dict[str, Any]:
    """A schema that leaves it to the compiler which fields go together."""
    fields = {name: dict(schema) for name, schema in _FIELDS.items()}
    del fields["limits"], fields["plan"]
    fields |= _limits(tools) | ({"plan": {"enum": sorted(plans)}} if plans else {})
    names = [tool.name for tool in tools]
    if 0 < len(names) <= MOST_LISTED:
        fields["tool"] = {"enum": names}
    task = {
        "type": "object",
        "properties": fields,
        "required": ["label", "description", "kind"],
        "additionalProperties": False,
    }
    return _plan(task)


def read_task(
    value: Any, place: int, tools: Toolbox, faults: Faults, plans: OfferedPlans = NO_PLANS
) -> TaskDraft:
    """The task that ``value`` is, as far as it is well-formed; the rest becomes faults. A plan that
    it names is written out.

    Arguments may have the strict form or the tool's own. Optional fields that are empty count as
    left out. ``place`` is its place in the list, from 1.
    """
    if not isinstance(value, Mapping):
        message, fix = f"is {quoted(value)}, not an object", 'write {"label": ..., ...}'
        if isinstance(value, Unreadable):
            message, fix = f"{value.text}: {value.why}", "write it again, as JSON"
        faults.add(message, task=str(place), fix=fix)
        return TaskDraft(description="(unreadable)")
    raw = {key: item for key, item in value.items() if _is_said(key, item)}
    name = task_name(None, raw.get("label"), place)
    for key in [key for key in raw if key not in _FIELDS]:
        del raw[key]
        fix = faults.nearest(key, _FIELDS) or "a task has: " + ", ".join(_FIELDS)
        faults.add("there is no such field", task=name, field=excerpt(key), fix=fix)
    if "for_each" not in raw:
        for field in ("max_items", "concurrency", "on_item_failure", "item_by_item"):
            raw.pop(field, None)  # a model fills it in anyway
    tool = tools.get(raw["tool"]) if isinstance(raw.get("tool"), str) else None
    if tool is not None and "arguments" in raw:
        raw["arguments"] = own_arguments(raw["arguments"], tool.parameters)
    called = raw.get("plan")
    if isinstance(called, str) and called.strip() in plans and "arguments" in raw:
        parameters = plan_parameters(plans[called.strip()])
        raw["arguments"] = own_arguments(raw["arguments"], parameters)
    if "undo" in raw:
        raw["undo"] = _undo(raw["undo"], tools)
    resources = _texts(raw, "resources", name, faults)
    addresses = _texts(raw, "attachments", name, faults)
    if addresses:
        raw["attachments"] = [attachment_for(address) for address in addresses]
    draft = with_offered_plan(task_from(raw, place, faults), name, plans, tools, faults)
    if resources:
        draft.description += f"\nNeeds: {', '.join(resources)}."
    return draft


def _undo(value: Any, tools: Toolbox) -> Any:
    """The call that undoes a task, perhaps as a text of JSON."""
    if isinstance(value, str):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            value = msgspec.json.decode(value)
    if not isinstance(value, dict):
        return value  # which is a fault
    tool = tools.get(value["tool"]) if isinstance(value.get("tool"), str) else None
    if "arguments" in value:
        parameters = tool.parameters if tool is not None else {}
        value = {**value, "arguments": own_arguments(value["arguments"], parameters)}
    return value


def _is_said(key: str, item: Any) -> bool:
    if key in _NONE_AS_ZERO and item == 0:
        return False
    return key not in _OPTIONAL or item not in _NOTHING


def _texts(raw: dict[str, Any], field: str, name: str, faults: Faults) -> list[str]:
    value = raw.pop(field, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [item.strip() for item in value if item.strip()]
    faults.add("is not a list of texts", task=name, field=field, fix='write ["..."]')
    return []
