"""The JSON schema of the plan language, for editors, models and other programs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planfold.drafting.draft import PlanDraft
from planfold.drafting.fields import MAX_ID, MAX_SECONDS
from planfold.planner.items import MAX_ITEMS
from planfold.planner.references import LABEL

# What every field means: structure -> field -> text. The reference page is held to it by a test.
DESCRIPTIONS: Final[dict[str, dict[str, str]]] = {
    "PlanDraft": {
        "tasks": "The tasks, in any order. At least one.",
        "title": "What the plan is called.",
        "goal": "The request that the plan came from.",
        "notes": "What that request says beside the tasks. Shown with the plan, and never run.",
        "params": (
            "Values that each run gives, by name. Texts of tasks refer to them as $params.name."
        ),
        "tags": "Words to find the plan by; up to 20. Not part of what is approved.",
        "undo": (
            "Whether a plan that fails or is cancelled undoes what its tasks did: ask (a person is "
            "asked), always or never. Default: ask."
        ),
    },
    "Parameter": {
        "type": (
            "string, integer, number, boolean, list, object or secret (a reference such as "
            "secret://TOKEN). Default: string."
        ),
        "default": "The value where a run gives none. Without it, each run has to give a value.",
        "description": "What the value is for.",
    },
    "TaskDraft": {
        "description": "What the task does; for a clarification, the question. Not empty.",
        "id": "The task's number, unique in the plan. Default: its place in the list, from 1.",
        "label": "A name for the task, unique in the plan, to be used where an id is.",
        "kind": (
            "clarification (a person is asked), tool_call (a tool is called) or processing "
            "(a model or a person works it out). Default: tool_call where a tool or plan is given, "
            "clarification where choices are, else processing."
        ),
        "tool": "The tool to call. Only for tool_call, and needed there.",
        "arguments": (
            "The tool's arguments, as its schema asks. Texts in them may refer to the results of "
            "other tasks: $1, $1.field, $build.items[0].id; $$ is a dollar sign. A reference "
            "implies a dependency. $1? is null where task 1 has no result, $1.n ?? 0 has a "
            "default, and $1:status and $1:error are about the task. $occurrence is the time that "
            "the plan is for (of a schedule: that of the occurrence), $occurrence.date its day."
        ),
        "depends_on": "Ids or labels of the tasks that must be completed before this one starts.",
        "attachments": "Links, images and files that belong to the task.",
        "effect": (
            "What a crash in the middle means: safe (it only reads, or writes the same again "
            "without harm: it runs again), keyed (it runs again with the same idempotency key) or "
            "once (it does not run again before a person has said how it ended). Default: what "
            "the tool declares; safe for a clarification, else once."
        ),
        "retry": "How often and after which waits a failed attempt is repeated. Default: the "
        "tool's, else one attempt.",
        "timeout": (
            "Seconds after which an attempt is ended; of wait_for, how long to wait. Default: none."
        ),
        "stall_timeout": (
            "Seconds without progress (output, a note, a step) after which an attempt is ended, "
            "as by timeout. Default: none."
        ),
        "limits": (
            "Names of shared limits, declared in planfold.toml, that its attempts are under over "
            "all workers: a rate, or how many run at once. Those of its tool are added. Default: "
            "none."
        ),
        "route": "Which workers may run the task. Default: the tool's name, else the kind.",
        "on_failure": (
            "When the task fails: stop (skip what depends on it; the plan fails) or continue "
            "(what depends on it runs, and the plan does not fail because of it)."
        ),
        "when": (
            "A condition in CEL over results of other tasks, such as $disk.percent > 80 or "
            '$backup:status == "failed". Where it is false, the task is skipped. A reference '
            "implies a dependency. Default: none."
        ),
        "run_if": (
            "How the tasks that it depends on must have ended: completed (all of them; one that "
            "its condition skipped does not count), failed (at least one did not complete) or "
            "ended (any way). Default: completed."
        ),
        "for_each": (
            "Makes the task a map: a reference to a list, such as $fetch.invoices, or the list "
            "itself. The task is done once for each element, which $item (and $item.field) and "
            "$index, from 0, refer to. Its result is the list of the results, in order. Default: "
            "none."
        ),
        "max_items": (
            "Of a map: where the list has more elements, a person is asked first. Default: 1000."
        ),
        "concurrency": "Of a map: how many items run at once, at most. Default: 100.",
        "on_item_failure": (
            "Of a map, when an item fails: stop (no other item starts; the map fails) or continue "
            "(its result is null; the map completes). Default: stop."
        ),
        "item_label": "Of a map: what each item is called, such as $item.name. Default: none.",
        "item_by_item": (
            "Of a map whose for_each is the result of another map, such as $fetch: true lets each "
            "item start as soon as the item at the same place there has completed. Default: false, "
            "wait for all items."
        ),
        "choices": "The answers to choose from. None: any text. Only for clarification.",
        "default": (
            "The answer that holds when the deadline passes; one of the choices, if any. Of "
            "wait_for: the result if no signal comes within timeout; without it the task fails."
        ),
        "deadline": "Seconds to wait for an answer before the default holds. Needs a default.",
        "wait": "Seconds to wait. The task does nothing else. Default: none.",
        "at": (
            "The time to wait for, such as 2026-12-01T09:00[Europe/Zurich] or "
            "2026-12-01T08:00Z. The task does nothing else. Default: none."
        ),
        "wait_for": (
            "The name of the signal to wait for, such as payment.settled: an event outside that a "
            "program reports. Its data is the result. The task does nothing else. Default: none."
        ),
        "key": (
            "Of wait_for: which signals of that name, such as $order.id. Default: those whose key "
            "is the id of the plan."
        ),
        "plan": (
            "The plan that the task runs and waits for: the name of a template or plan file, or "
            "the plan itself. The arguments are the values of its parameters, and its result has "
            "that of each task with a label. Default: none."
        ),
        "undo": (
            "The call that reverts the task, should the plan fail or be cancelled later: a tool "
            "and its arguments. $self is the result of the task, $arguments.name what its tool was "
            "called with. Default: none."
        ),
        "done": "The task was finished before the plan began. It is not run and has no result.",
    },
    "UndoDraft": {
        "tool": "The tool to call.",
        "arguments": (
            "The tool's arguments, which may also refer to the task: $self, $self.field, "
            "$arguments.name. Default: none."
        ),
        "effect": "What a crash in the middle means. Default: what the tool declares.",
        "retry": "How often a failed attempt is repeated. Default: the tool's.",
        "timeout": "Seconds after which an attempt is ended. Default: none.",
    },
    "RetryPolicy": {
        "attempts": "All tries, the first one included: 1 to 100.",
        "base": "Seconds: the longest wait before the second attempt.",
        "factor": "By how much the longest wait grows with every attempt.",
        "cap": "Seconds: no wait is longer. The actual wait is random between 0 and the longest.",
    },
    "Link": {"url": "The address.", "title": "What it is called."},
    "ImageRef": {"source": "An address or a path.", "title": "What it is called."},
    "FileRef": {"path": "The path.", "title": "What it is called."},
}
_SECONDS: Final[dict[str, Any]] = {"exclusiveMinimum": 0, "maximum": MAX_SECONDS}
_NUMBER_RULES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "TaskDraft": {
        "id": {"minimum": 1, "maximum": MAX_ID},
        "timeout": _SECONDS,
        "max_items": {"minimum": 1, "maximum": MAX_ITEMS},
        "concurrency": {"minimum": 1, "maximum": MAX_ITEMS},
        "deadline": _SECONDS,
        "wait": _SECONDS,
        "stall_timeout": _SECONDS,
    },
    "UndoDraft": {"timeout": _SECONDS},
    "RetryPolicy": {
        "attempts": {"minimum": 1, "maximum": 100},
        "base": {"minimum": 0, "maximum": MAX_SECONDS},
        "cap": {"minimum": 0, "maximum": MAX_SECONDS},
        "factor": {"exclusiveMinimum": 0},
    },
}


def plan_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of a plan file: types, ranges, and what every field means.

    It says what a single value may be. Names, dependencies, references and the arguments of
    tools are for ``compile_plan`` to check.
    """
    schema = msgspec.json.schema(PlanDraft)
    definitions: dict[str, dict[str, Any]] = schema["$defs"]
    for name, fields in DESCRIPTIONS.items():
        definition = definitions[name]
        definition["description"] = prose_of(str(definition.get("description", "")))
        for field, text in fields.items():
            definition["properties"][field]["description"] = text
        for field, rules in _NUMBER_RULES.get(name, {}).items():
            _numeric_part(definition["properties"][field]).update(rules)
    definitions["PlanDraft"]["properties"]["tasks"]["minItems"] = 1
    task = definitions["TaskDraft"]["properties"]
    task["label"]["anyOf"][0]["pattern"] = f"^{LABEL.pattern}$"
    task["description"]["minLength"] = 1
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "plan", **schema}


def prose_of(docstring: str) -> str:
    """A docstring on one line, without its example, which is Python."""
    return " ".join(docstring.partition("Example:\n")[0].split())


def _numeric_part(schema: dict[str, Any]) -> dict[str, Any]:
    options: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return next(option for option in options if option["type"] in ("integer", "number"))
