"""Why a command cannot take the value of a reference: the reference, its task, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from planfold.executors.context import TaskContext
from planfold.planner.items import id_text
from planfold.planner.references import Reference, described, step_text, whole_reference
from planfold.readmodels.labels import id_and_label, parent_labels, with_labels

_SHOWN = 3  # fields that a remedy names


def unfit_value(context: TaskContext) -> str | None:
    """What is wrong with the first argument of a command that is an object, a list or null because
    a reference is; None where there is none such."""
    spec = context.task.spec
    if spec.tool is None:
        return None
    tasks = context.plan.tasks if context.plan is not None else {}
    labels = parent_labels(context.task, tasks)
    shown = with_labels(spec, labels).tool
    written = dict(_words(spec.tool.arguments))
    as_shown = dict(_words(shown.arguments)) if shown is not None else {}
    for place, value in _words(context.arguments):
        text = written.get(place)
        whole = whole_reference(text) if isinstance(text, str) else None
        if whole is not None and (value is None or isinstance(value, (dict, list))):
            name = str(as_shown.get(place, text))
            of = _of_what(whole, labels)
            return f"{place}: {name} is {described(value)}{of}; {_remedy(name, value)}"
    return None


def _words(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parts of a command, each with its place."""
    argv, env = arguments.get("argv"), arguments.get("env")
    if isinstance(argv, (list, tuple)):
        yield from ((f"argv[{number}]", word) for number, word in enumerate(argv))
    if isinstance(env, dict):
        yield from ((f"env.{name}", value) for name, value in env.items())
    if "cwd" in arguments:
        yield "cwd", arguments["cwd"]


def _of_what(reference: Reference, labels: dict[int, str]) -> str:
    if not reference.target.isdecimal():
        return ""  # the element of a map
    task_id = int(reference.target)
    result = "the result" if not reference.path else "part of the result"
    known = labels.get(task_id)
    return f", {result} of task {id_and_label(task_id, known) if known else id_text(task_id)}"


def _remedy(name: str, value: Any) -> str:
    if value is None:
        return f"give it a default, as in {name} ?? '-'"
    if isinstance(value, list):
        steps = ["[0]"] if value else []
    else:
        steps = [step_text(key) for key in list(value)[:_SHOWN]]
    fields = " or ".join(f"{name}{step}" for step in steps)
    return (
        "refer to "
        + (f"a part of it ({fields})" if fields else "another one")
        + (", or pass it as JSON in stdin")
    )
