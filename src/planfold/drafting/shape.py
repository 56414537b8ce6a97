"""Checks of a draft's fields and their types, for values from JSON, YAML and Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, get_args, get_type_hints

import msgspec

from planfold.drafting.draft import Parameter, PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, excerpt, listed, quoted
from planfold.planner.tasks import FileRef, ImageRef, Link, NodeKind, RetryPolicy

_TYPES: Final = get_type_hints(TaskDraft)
_PLAN_FIELDS: Final = frozenset(PlanDraft.__struct_fields__)
_PARAMETER_TYPES: Final = get_args(get_type_hints(Parameter)["type"])
_ATTACHMENTS: Final = {
    str(kind.__struct_config__.tag): frozenset(kind.__struct_fields__) | {"type"}
    for kind in (Link, ImageRef, FileRef)
}
_WANTED: Final = {
    "description": "a text: what the task does",
    "id": "a whole number from 1 on, without quotes",
    "label": "a text such as build or fetch_page",
    "kind": "one of " + ", ".join(NodeKind),
    "tool": "the name of a tool",
    "arguments": "an object of argument names and values",
    "depends_on": "a list of task ids and labels",
    "attachments": "a list of objects with a type: " + ", ".join(_ATTACHMENTS),
    "effect": "one of safe, keyed, once",
    "retry": "an object of " + ", ".join(RetryPolicy.__struct_fields__) + " (all numbers)",
    "timeout": "a number of seconds, without quotes",
    "route": "a text",
    "on_failure": "stop or continue",
    "when": "a condition in CEL, in quotes, such as $disk.percent > 80",
    "run_if": "completed, failed or ended",
    "for_each": "a reference to a list, in quotes, such as $fetch.invoices, or a list of values",
    "max_items": "a whole number from 1 on, without quotes",
    "concurrency": "a whole number from 1 on, without quotes",
    "on_item_failure": "stop or continue",
    "item_label": "a text such as $item.name",
    "item_by_item": "true or false, without quotes",
    "choices": "a list of texts",
    "default": "a text",
    "wait": "a number of seconds, without quotes",
    "at": "a time in quotes, such as 2026-12-01T09:00[Europe/Zurich]",
    "wait_for": "the name of a signal, such as payment.settled",
    "key": "a text, such as $order.id",
    "stall_timeout": "a number of seconds, without quotes",
    "undo": "an object of a tool and its arguments, and perhaps effect, retry, timeout",
    "limits": "a list of names of shared limits",
    "deadline": "a number of seconds, without quotes",
    "plan": "the name of a template or plan file, or the plan itself",
    "done": "true or false",
}
UNDO_POLICIES: Final = ("ask", "always", "never")
_CLOSED: Final = ("kind", "effect", "on_failure", "run_if", "on_item_failure")  # one of a few texts


def task_name(task_id: object, label: object, place: int) -> str:
    """How a task is called in faults: by its id or label as written, else by its place."""
    if isinstance(task_id, int) and not isinstance(task_id, bool):
        return quoted(task_id)
    return excerpt(label) if isinstance(label, str) and label else str(place)


def task_from(raw: Mapping[str, Any], place: int, faults: Faults) -> TaskDraft:
    """A task with every field of ``raw`` that is well-formed; the others become faults."""
    with suppress(msgspec.ValidationError, UnicodeError, RecursionError):
        if not isinstance((task := msgspec.convert(raw, TaskDraft)).for_each, list):
            return task
    name = task_name(raw.get("id"), raw.get("label"), place)
    good: dict[str, Any] = {"description": "(missing)"}
    for field, value in raw.items():
        if field == "plan" and isinstance(value, Mapping):
            good[field] = _inner_plan(value, name, faults)
            continue
        if field not in _TYPES:
            near = faults.nearest(str(field), _TYPES)
            fix = near or "the fields of a task: " + ", ".join(_TYPES)
            shown = excerpt(str(field))
            faults.add("there is no such field", task=name, field=shown, fix=fix)
            continue
        if field == "retry" and (unknown := _unknown_keys(value)):
            for key in unknown:
                place_of = f"retry.{excerpt(key)}"
                fix = f"write {_WANTED[field]}"
                faults.add("there is no such field", task=name, field=place_of, fix=fix)
            continue
        try:
            # Odd keys are left to the check of the arguments, which says where they are.
            odd = field == "arguments" and isinstance(value, dict)
            good[field] = value if odd else msgspec.convert(value, _TYPES[field])
        except msgspec.ValidationError as error:
            _explain(str(error), name, field, value, faults)
        except (UnicodeError, RecursionError):
            faults.add("is not valid", task=name, field=field, fix=f"write {_WANTED[field]}")
    if "description" not in raw:
        fix = "say what the task does"
        faults.add("is missing", task=name, field="description", fix=fix)
    task = TaskDraft(**good)
    if isinstance(task.for_each, list):  # from Python code, which can put anything in it
        fix = "use texts, numbers, lists, objects, null"
        faults.add("the list is not JSON", task=name, field="for_each", fix=fix)
        task.for_each = None
    return task


def _inner_plan(raw: Mapping[str, Any], task: str, faults: Faults) -> PlanDraft:
    inner = Faults()
    found = plan_from(raw, inner)
    for fault in inner.found:
        place = f"task {fault.task}: " if fault.task else ""
        field = f"plan.{fault.field}" if fault.field else "plan"
        faults.add(place + fault.message, task=task, field=field, fix=fault.fix)
    return found


def plan_from(raw: Mapping[str, Any], faults: Faults) -> PlanDraft:
    """A plan with all that is well-formed in ``raw``; the rest becomes faults."""
    for field in map(str, raw.keys() - _PLAN_FIELDS):  # in YAML and Python it may be a number
        fix = faults.nearest(field, _PLAN_FIELDS)
        fix = fix or "the fields of a plan: title, goal, notes, params, tags, undo, tasks"
        faults.add("there is no such field", field=excerpt(field), fix=fix)
    texts = {}
    for field in ("title", "goal"):
        texts[field] = raw.get(field, "")
        if not isinstance(texts[field], str):
            faults.add("must be a text", field=field, fix="put it in quotes")
            texts[field] = ""
    tasks = raw.get("tasks")
    if not isinstance(tasks, list):
        message = "must be a list" if "tasks" in raw else "is missing"
        faults.add(message, field="tasks", fix='write "tasks": [{"description": ...}, ...]')
        tasks = []
    drafts = []
    for place, task in enumerate(tasks, start=1):
        if isinstance(task, Mapping):
            _check_attachments(task, place, faults)
            drafts.append(task_from(task, place, faults))
        else:
            fix = 'write an object, {"description": "..."}'
            faults.add(f"is {quoted(task)}, not an object", task=str(place), fix=fix)
    notes = raw.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        faults.add("must be a list of texts", field="notes", fix='write "notes": ["..."]')
        notes = []
    params = params_from(raw.get("params", {}), faults)
    tags = tags_from(raw.get("tags", []), faults)
    undo = undo_policy(raw.get("undo"), faults)
    return PlanDraft(tasks=drafts, notes=notes, params=params, tags=tags, undo=undo, **texts)


def undo_policy(value: object, faults: Faults) -> Any:
    """Whether a plan undoes what it did; None where it does not say, or not in one of the words."""
    if value is None or (isinstance(value, str) and value in UNDO_POLICIES):
        return value
    said = quoted(value)
    faults.add(f"is {said}", field="undo", fix=f"write {' or '.join(UNDO_POLICIES)}")
    return None


def tags_from(value: object, faults: Faults) -> list[str]:
    """The tags of a plan; none where they are not a list of texts."""
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return value
    faults.add("must be a list of texts", field="tags", fix="write a list: [...]")
    return []


def params_from(raw: object, faults: Faults) -> dict[str, Parameter]:
    """The well-formed parameters of a plan; the others become faults."""
    if not isinstance(raw, Mapping):
        fix = 'write "params": {"version": {"type": "string", "description": "..."}}'
        faults.add("must be an object", field="params", fix=fix)
        return {}
    params: dict[str, Parameter] = {}
    for name, given in raw.items():
        try:
            params[name] = msgspec.convert(given, Parameter)
        except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
            fields = ", ".join(Parameter.__struct_fields__)
            fix = f"write an object of {fields}; a type is one of {', '.join(_PARAMETER_TYPES)}"
            message = excerpt(str(error).replace(" - at `$.", " - at `"), 200)
            message = message[:1].lower() + message[1:]
            faults.add(message, field=f"params.{excerpt(str(name))}", fix=fix)
    return params


def checked_tasks(draft: PlanDraft, faults: Faults) -> tuple[list[TaskDraft], set[int]]:
    """The draft's tasks with their types verified: Python code can put anything in a field.

    Also returns the places (from 0, in the list returned) of those that had faults: what is
    left of them should not be judged further.
    """
    tasks: list[TaskDraft] = []
    faulty: set[int] = set()
    if not isinstance(draft.tasks, (list, tuple)):
        faults.add("must be a list of TaskDraft", field="tasks", fix="pass a list")
        return tasks, faulty
    undo_policy(draft.undo, faults)
    for field in ("title", "goal"):
        if not isinstance(getattr(draft, field), str):
            faults.add("must be a text", field=field, fix="pass a str")
    for place, task in enumerate(draft.tasks, start=1):
        if not isinstance(task, TaskDraft):
            message = f"is a {type(task).__name__}, not a TaskDraft"
            faults.add(message, task=str(place), fix="pass TaskDraft(description=...)")
            continue
        raw = msgspec.structs.asdict(task)
        if raw["undo"] is not None:
            raw["undo"] = _plain(raw["undo"])
        if raw["attachments"] or raw["retry"] is not None:
            raw["attachments"] = _plain(raw["attachments"])
            raw["retry"] = _plain(raw["retry"])
        before = faults.count
        tasks.append(task_from(raw, place, faults))
        if faults.count > before:
            faulty.add(len(tasks) - 1)
    return tasks, faulty


def _plain(value: object) -> object:
    """Structs as dicts, because msgspec takes the fields of a struct on trust."""
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _check_attachments(task: Mapping[str, Any], place: int, faults: Faults) -> None:
    attachments = task.get("attachments")
    if not isinstance(attachments, list):
        return
    name = task_name(task.get("id"), task.get("label"), place)
    for index, attachment in enumerate(attachments):
        kind = attachment.get("type") if isinstance(attachment, Mapping) else None
        known = _ATTACHMENTS.get(kind) if isinstance(kind, str) else None
        for field in () if known is None else attachment.keys() - known:
            place_of = f"attachments[{index}].{excerpt(field)}"
            fix = faults.nearest(field, known or ()) or f"a {kind} has: {listed(known or ())}"
            faults.add("there is no such field", task=name, field=place_of, fix=fix)


def _unknown_keys(retry: object) -> list[str]:
    if not isinstance(retry, Mapping):
        return []
    return sorted(str(key) for key in retry.keys() - set(RetryPolicy.__struct_fields__))


def _explain(error: str, task: str, field: str, value: object, faults: Faults) -> None:
    """Turn msgspec's "Expected `int`, got `str` - at `$.attempts`" into a fault of that field."""
    message, _, path = error.partition(" - at `")
    steps = re.fullmatch(r"\$((?:\.\w+|\[\d+\])*)`", path)
    place = field + (steps[1] if steps else "")
    if place == field and field in _CLOSED and isinstance(value, str):
        message = f"is {quoted(value)}"
    else:
        message = message[:1].lower() + message[1:]
    faults.add(message, task=task, field=place, fix=f"write {_WANTED[field]}")
