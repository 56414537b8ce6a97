"""What a model answers when it plans: the JSON schema of it, and how a task of it is read.

A smaller language than that of plan files: a model chooses neither ids nor routes nor retries, and
cannot say that something is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from planfold.drafting.attachments import attachment_for
from planfold.drafting.draft import TaskDraft
from planfold.drafting.faults import Faults, printable, quoted
from planfold.drafting.model.elements import Unreadable
from planfold.drafting.schema import DESCRIPTIONS
from planfold.drafting.shape import task_from, task_name
from planfold.planner.tasks import Effect, NodeKind
from planfold.tools.tool import Toolbox

MOST_LISTED: Final = 250  # tools that the schema lists; with more of them any name will do

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "label": {**_TEXT, "description": "A short name, unique, such as fetch_page."},
    "description": _TEXT,
    "kind": {"enum": [str(kind.value) for kind in NodeKind]},
    "tool": _TEXT,
    "arguments": {"type": "object", "description": "As the tool's parameters ask."},
    "depends_on": {**_TEXTS, "description": "Labels of tasks that must be completed before."},
    "choices": {**_TEXTS, "description": "Answers to choose from, for a clarification."},
    "default": {**_TEXT, "description": "The choice that you would take, for a clarification."},
    "attachments": {**_TEXTS, "description": "Addresses and paths that belong to the task."},
    "resources": {**_TEXTS, "description": "What else it needs: access, programs, hardware."},
    "effect": {"enum": [str(effect.value) for effect in Effect]},
    "on_failure": {"enum": ["stop", "continue"]},
    "timeout": {"type": "number", "description": "Seconds, where a limit makes sense."},
}
_OPTIONAL: Final = _FIELDS.keys() - {"label", "description", "kind"}
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})


def answer_schema(tools: Toolbox) -> dict[str, Any]:
    """The JSON schema of a plan as a model writes it, with the tools that there are."""
    fields = {name: dict(schema) for name, schema in _FIELDS.items()}
    for name, text in DESCRIPTIONS["TaskDraft"].items():
        if name in ("description", "on_failure"):
            fields[name]["description"] = text
    names = [tool.name for tool in tools]
    if 0 < len(names) <= MOST_LISTED:
        fields["tool"] = {"enum": names}
    task = {
        "type": "object",
        "properties": fields,
        "required": ["label", "description", "kind"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"tasks": {"type": "array", "items": task}},
        "required": ["tasks"],
        "additionalProperties": False,
    }


def draft_of(value: Any, place: int, faults: Faults) -> TaskDraft:
    """The task that ``value`` is, as far as it is well-formed; the rest becomes faults.

    Optional fields that are empty count as left out. ``place`` is its place in the list, from 1.
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
        faults.add("there is no such field", task=name, field=printable(key), fix=fix)
    resources = _texts(raw, "resources", name, faults)
    addresses = _texts(raw, "attachments", name, faults)
    if addresses:
        raw["attachments"] = [attachment_for(address) for address in addresses]
    draft = task_from(raw, place, faults)
    if resources:
        draft.description += f"\nNeeds: {', '.join(resources)}."
    return draft


def _is_said(key: str, item: Any) -> bool:
    return key not in _OPTIONAL or item not in _NOTHING


def _texts(raw: dict[str, Any], field: str, name: str, faults: Faults) -> list[str]:
    value = raw.pop(field, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [item.strip() for item in value if item.strip()]
    faults.add("is not a list of texts", task=name, field=field, fix='write ["..."]')
    return []
