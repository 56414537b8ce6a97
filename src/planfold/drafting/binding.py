"""The values of parameters in place of ``$params`` references, before a plan is compiled.

A value is data. In an argument it is escaped, so that nothing in it is a reference; in a condition
it is a literal; in a shell script it has no place at all, only in the environment of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from planfold.drafting.command_lines import code_in, program_of
from planfold.drafting.draft import PlanDraft, TaskDraft, UndoDraft
from planfold.drafting.expansions import ARITHMETIC, COMMAND, code_of_values
from planfold.drafting.faults import Faults, excerpt, listed, quoted
from planfold.drafting.parameters import (
    SCALARS,
    ParameterValue,
    declared_parameters,
    parameter_values,
)
from planfold.drafting.shape import task_name
from planfold.planner.conditions import ConditionFault, bind_in_condition
from planfold.planner.items import written_json
from planfold.planner.references import (
    ITEM,
    PARAMS,
    Reference,
    ReferenceFault,
    find_references,
    references_in,
    step_text,
    value_of,
    whole_reference,
    written_out,
)
from planfold.planner.tasks import FileRef, ImageRef, Link
from planfold.tools.secrets import references_in as secrets_in
from planfold.tools.tool import Toolbox

_IN_SCRIPT: Final = re.compile(r"(?<!\$)\$\{?params(?:\.\w|\[|\})")
_ENV: Final = 'pass it in env: {"VALUE": "$params.NAME"}, and write "$VALUE" in the script'
_UNDO: Final = "undo."  # where faults of the call that undoes a task are
_NUMBERS: Final = frozenset({"integer", "number", "boolean"})
_READ_AS_CODE: Final = {
    ARITHMETIC: (
        "computes with a parameter: arithmetic of a shell runs commands in its value",
        "let the parameter have the type integer or number",
    ),
    COMMAND: (
        "reads the value of a parameter as a command",
        'let a program get it as an argument, as in: sh -c \'echo "$1"\' sh "$VALUE"',
    ),
}


class BoundPlan(NamedTuple):
    """A draft without parameters, and the values that its parameters had."""

    draft: PlanDraft
    params: tuple[ParameterValue, ...]


def bound(draft: PlanDraft, given: Mapping[str, Any], tools: Toolbox) -> BoundPlan:
    """``draft`` with the values of its parameters: what is ``given``, else the defaults.

    Raises InvalidPlan: a value is missing, not known or of another type; a parameter is where
    its value could become a command, or a reference names none.
    """
    if not draft.params and not given:
        return BoundPlan(draft, ())
    faults = Faults()
    declared = declared_parameters(draft, faults)
    faults.raise_any()
    values = parameter_values(declared, given, faults)
    faults.raise_any()
    binder = _Binder(values, tools, faults)
    tasks = draft.tasks
    if isinstance(tasks, (list, tuple)):
        tasks = [binder.task(task, place) for place, task in enumerate(tasks, start=1)]
    title = binder.text(draft.title, None, "title")
    faults.raise_any()
    return BoundPlan(msgspec.structs.replace(draft, tasks=tasks, title=title, params={}), values)


class _TextPlace(NamedTuple):
    """Where a text is: the task, its field, and whether its values have to be texts."""

    task: str | None
    field: str
    as_text: bool = False


class _Binder:
    def __init__(self, values: tuple[ParameterValue, ...], tools: Toolbox, faults: Faults) -> None:
        self._values = {each.name: each.value for each in values}
        self._scalars = {each.name for each in values if each.type in SCALARS}
        self._numbers = {each.name for each in values if each.type in _NUMBERS}
        self._tools = tools
        self._faults = faults

    def task(self, task: TaskDraft, place: int) -> TaskDraft:
        """A task with its values. What is not well-formed is left for the compiler to report."""
        if not isinstance(task, TaskDraft):
            return task
        name = task_name(task.id, task.label, place)
        if task.label == PARAMS:
            message = f"{quoted(PARAMS)} is what the parameters are called"
            self._faults.add(message, task=name, field="label", fix="use another label")
        changed: dict[str, Any] = {
            field: self.text(getattr(task, field), name, field, items=task.for_each is not None)
            for field in ("description", "item_label")
        }
        changed["default"] = self._default(task.default, name)
        if isinstance(task.choices, (list, tuple)):
            changed["choices"] = [self.text(each, name, "choices") for each in task.choices]
        if isinstance(task.attachments, (list, tuple)):
            attachments = (_struct(each, Link | ImageRef | FileRef) for each in task.attachments)
            changed["attachments"] = [self._attachment(each, name) for each in attachments]
        if isinstance(task.arguments, dict):
            if task.tool == "shell":
                of_element = isinstance(task.for_each, str) and _names_parameter(task.for_each)
                self._check_command(task.arguments.get("argv"), name, of_element=of_element)
            changed["arguments"] = self._arguments(task.arguments, task.tool, name)
            if task.tool == "shell":
                self._check_script(task.arguments, task, name)
        undo = _struct(task.undo, UndoDraft)
        if isinstance(undo, UndoDraft):
            changed["undo"] = self._undo(task, undo, name)
        if isinstance(task.when, str):
            changed["when"] = self._condition(task.when, name)
        if isinstance(task.key, str):
            changed["key"] = self._argument(task.key, _TextPlace(name, "key", as_text=True))
        if isinstance(task.for_each, str):
            changed["for_each"] = self._list(task.for_each, name)
        return msgspec.structs.replace(task, **changed)

    def text(self, text: Any, task: str | None, field: str, *, items: bool = False) -> Any:
        """A text for people. In the text of ``items``, ``$item`` has a meaning."""
        if not isinstance(text, str) or "$" not in text:
            return text

        def written(value: Any) -> str:
            said = written_out(value)
            return _escaped(said) if items and find_references(said) else said

        return "".join(self._parts(text, _TextPlace(task, field), written))

    def _default(self, value: Any, task: str) -> Any:
        """The answer of a question, or the result of a wait: data, in which values are data."""
        if isinstance(value, dict):
            return {key: self._default(item, task) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._default(item, task) for item in value]
        return self.text(value, task, "default")

    def _attachment(self, attachment: Any, task: str) -> Any:
        if not isinstance(attachment, msgspec.Struct):
            return attachment
        fields = {name: getattr(attachment, name) for name in attachment.__struct_fields__}
        changed = {n: self.text(value, task, "attachments") for n, value in fields.items()}
        return msgspec.structs.replace(attachment, **changed)

    def _undo(self, task: TaskDraft, undo: UndoDraft, name: str) -> UndoDraft:
        """The call that undoes a task is checked as the call of a task."""
        if not isinstance(undo.arguments, dict):
            return undo
        if undo.tool == "shell":
            of_element = isinstance(task.for_each, str) and _names_parameter(task.for_each)
            argv = undo.arguments.get("argv")
            self._check_command(argv, name, of_element=of_element, of=_UNDO)
            self._check_script(undo.arguments, task, name, of=_UNDO)
        arguments = self._arguments(undo.arguments, undo.tool, name, of=_UNDO)
        return msgspec.structs.replace(undo, arguments=arguments)

    def _arguments(
        self, arguments: dict[str, Any], tool_name: Any, task: str, of: str = ""
    ) -> dict[str, Any]:
        tool = self._tools.get(tool_name) if isinstance(tool_name, str) else None
        changed: dict[str, Any] = {}
        for key, value in arguments.items():
            place = _TextPlace(task, f"{of}arguments.{excerpt(str(key))}", tool_name == "shell")
            if tool is not None and key in tool.literal:
                changed[key] = value
                if isinstance(value, str) and _IN_SCRIPT.search(value):
                    message = "a script does not hold parameters: a value could become a command"
                    self._faults.add(message, task=task, field=place.field, fix=_ENV)
                continue
            try:
                changed[key] = self._argument(value, place)
            except RecursionError:
                changed[key] = value  # the compiler says that it is too deep
        return changed

    def _check_command(self, argv: Any, task: str, *, of_element: bool, of: str = "") -> None:
        """A parameter, and the element of a list that is one (``of_element``), must not be the
        program, nor part of what a shell or interpreter reads."""
        words = [argv] if isinstance(argv, str) else argv
        if not isinstance(words, (list, tuple)) or not words:
            return
        targets = (PARAMS, ITEM[0]) if of_element else (PARAMS,)

        def is_value(text: str) -> bool:
            return any(reference.target in targets for reference in find_references(text))

        texts = [word if isinstance(word, str) else "" for word in words]
        if is_value(program_of(texts, is_value)):
            message = "a parameter is the command: its value could be any program"
            fix = "name the program in the plan"
            self._faults.add(message, task=task, field=f"{of}arguments.argv", fix=fix)
        elif any(map(is_value, code_in(texts))):
            message = "a parameter is part of a script: its value could become a command"
            self._faults.add(message, task=task, field=f"{of}arguments.argv", fix=_ENV)

    def _check_script(
        self, arguments: dict[str, Any], task: TaskDraft, name: str, of: str = ""
    ) -> None:
        """A script must not read as code what its variables have from parameters."""
        env, argv, script = (arguments.get(key) for key in ("env", "argv", "script"))
        variables = env.items() if isinstance(env, dict) else ()
        mapped = isinstance(task.for_each, str) and _names_parameter(task.for_each)
        texts = {key for key, value in variables if self._may_be_code(value, mapped=mapped)}
        words = argv if isinstance(argv, (list, tuple)) else ()
        code = code_in([word if isinstance(word, str) else "" for word in words])
        scripts = [("argv", each.replace("$$", "$")) for each in code]
        if isinstance(script, str):
            scripts.append(("script", script))
        for field, each in scripts if texts else ():
            if found := code_of_values(each, texts):
                message, fix = _READ_AS_CODE[found]
                self._faults.add(message, task=name, field=f"{of}arguments.{field}", fix=fix)

    def _may_be_code(self, value: Any, *, mapped: bool) -> bool:
        found = find_references(value)
        named = [r.path[0] for r in found if r.target == PARAMS and r.path]
        of_items = mapped and any(r.target in ITEM for r in found)
        return of_items or any(name not in self._numbers for name in named)

    def _argument(self, value: Any, place: _TextPlace) -> Any:
        if isinstance(value, str):
            return self._in_argument(value, place) if "$" in value else value
        if isinstance(value, dict):
            return {key: self._argument(item, place) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._argument(item, place) for item in value]
        return value

    def _in_argument(self, text: str, place: _TextPlace) -> Any:
        whole = whole_reference(text)
        if whole is not None and whole.target == PARAMS:
            value, rest = self._value(whole, place)
            if not rest:
                return _escaped(written_out(value) if place.as_text else value)
        parts = self._parts(text, place, lambda value: _escaped(written_out(value)))
        filled = "".join(parts)
        before = [r for r in find_references(text) if r.target != PARAMS]
        secrets = [name for part in parts for name in secrets_in(part)]
        if find_references(filled) != before or secrets_in(filled) != secrets:
            message = "the value of a parameter would become part of a reference"
            fix = "put a blank or another character between them"
            self._faults.add(message, task=place.task, field=place.field, fix=fix)
        return filled

    def _parts(self, text: str, place: _TextPlace, written: Callable[[Any], str]) -> list[str]:
        """The text in parts: what is between parameters, and what those are."""
        parts: list[str] = []
        end = 0
        for reference, start, stop in references_in(text):
            if reference.target == PARAMS:
                value, rest = self._value(reference, place)
                parts += [text[end:start], written(value), rest]
                end = stop
        return [*parts, text[end:]]

    def _value(self, reference: Reference, place: _TextPlace) -> tuple[Any, str]:
        """The value of a reference. Behind a name of which the value has no fields, the rest is
        text: ``$params.version.tar.gz``."""
        name = reference.path[0] if reference.path else None
        if name not in self._values or reference.about:
            near = self._faults.nearest(name, self._values) if isinstance(name, str) else ""
            fix = near or f"parameters: {listed(self._values) or 'none'}; or write $$ for a dollar"
            message = f"{excerpt(reference.text)}: there is no such parameter"
            self._faults.add(message, task=place.task, field=place.field, fix=fix)
            return None, ""
        if name in self._scalars and not (reference.optional or not reference.needs_result):
            begin = f"${PARAMS}{step_text(name)}"
            if reference.text.startswith(begin):
                return self._values[str(name)], reference.text[len(begin) :]
        try:
            return value_of(reference, self._result), ""
        except ReferenceFault as fault:
            message = f"{excerpt(reference.text)}: {excerpt(fault.why, 200)}"
            self._faults.add(message, task=place.task, field=place.field, fix="")
            return None, ""

    def _has(self, reference: Reference) -> bool:
        try:
            return value_of(reference, self._result) is not None
        except ReferenceFault:
            return False

    def _result(self, _target: int | str) -> Any:
        return self._values

    def _condition(self, text: str, task: str) -> str:
        place = _TextPlace(task, "when")

        def literal(reference: Reference, test: bool) -> str | None:
            if reference.target != PARAMS:
                return None
            if test and reference.path[:1] and reference.path[0] in self._values:
                return _in_cel(self._has(reference))
            value, rest = self._value(reference, place)
            if rest:
                fix = f"write ${PARAMS}.{reference.path[0]}"
                message = f"{excerpt(reference.text)}: the value has no fields"
                self._faults.add(message, task=task, field="when", fix=fix)
            return _in_cel(value)

        try:
            return bind_in_condition(text, literal)
        except ConditionFault:
            return text  # the compiler says why

    def _list(self, text: str, task: str) -> str:
        whole = whole_reference(text.strip())
        if whole is None or whole.target != PARAMS:
            return text
        value, rest = self._value(whole, _TextPlace(task, "for_each"))
        if rest or not isinstance(value, list):
            message = f"{excerpt(whole.text)}: it is not a list"
            fix = "let the parameter have the type list"
            self._faults.add(message, task=task, field="for_each", fix=fix)
            return "[]"
        return written_json(value)


def _struct(value: Any, kind: Any) -> Any:
    """A dict as the struct that it is meant as, where it is one: Python code may give either."""
    if not isinstance(value, dict):
        return value
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeError, RecursionError):
        return value  # the compiler says what is wrong


def _names_parameter(text: str) -> bool:
    return any(reference.target == PARAMS for reference in find_references(text))


def _escaped(value: Any) -> Any:
    """``value`` with every dollar doubled: none begins a reference."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _in_cel(value: Any) -> str:
    """A value as a literal of CEL, which reads JSON. A number has no fixed type, so 1 equals
    1.0."""
    literal = written_json(value)
    return literal if isinstance(value, (str, bool)) else f"dyn({literal})"
