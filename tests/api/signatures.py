"""What a caller meets in the public interface: every type in the signatures, attributes and
documented errors of the names that the public modules export."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import planfold.commands
import planfold.executor
import planfold.log
import planfold.testing
import planfold.types

FACES: tuple[ModuleType, ...] = (
    planfold,
    planfold.commands,
    planfold.executor,
    planfold.log,
    planfold.testing,
    planfold.types,
)

MADE = {
    "App": "open_app",
    "Consumer": "Log.consumer",
    "EventFeed": "Client.events",
    "Log": "App.log",
    "Operation": "a method of Client",
    "Scenario": "given",
    "Statistics": "App.statistics",
    "TaskContext": "a worker",
    "Worker": "App.worker",
}
"""Classes that callers do not construct: their constructors are internal."""

INTERNAL = {
    "Archived.leave": "App.archive notes what it left",
    "Aggregate.event_types": "the events with their versions, for the store",
    "App.dispatcher": "the door that App itself sends commands through",
    "App.fold": "a plan with what the command line shows beside the view; a program uses App.view",
    "App.new_fold": "how App.fold begins",
    "App.store": "the port to the database; a program reads App.log",
    "Executors(guard)": "open_app makes it of the settings' policy",
    "Executors.guard": "open_app makes it of the settings' policy",
    "Outlook.queue": "the planner's changes of the task queue; other handlers have none",
    "PlannerState.schedule": "an index of the tasks for the planner",
    "PythonTool.signature": "how PythonExecutor binds arguments",
    "Statistics.groups": "the figures by all three of kind, tool and route, for metrics",
    "TaskContext.guarded": "the guard makes a context with the secrets in place",
    "TaskContext.journal": "the durable steps; once, paid and ask use it",
    "TaskContext.redactor": "the guard sets it",
    "TaskContext.why_not_fetch": "the guard sets it",
    "Worker.fenced": "for metrics",
    "Worker.report_durations": "for metrics",
}
"""Attributes that are public for the library's own modules, and no part of the interface."""


def exports() -> dict[str, Any]:
    """Every exported object by the name of its module and its own."""
    return {
        f"{face.__name__}.{name}": getattr(face, name) for face in FACES for name in face.__all__
    }


def exported_types() -> dict[int, str]:
    """Where each exported class is exported, by the id of the class. A module that is exported
    brings the classes that it defines."""
    found: dict[int, str] = {}
    for name, value in exports().items():
        found[id(value)] = name
        if isinstance(value, ModuleType):
            found |= {id(each): name for each in classes_of(value)}
    return found


def classes_of(module: ModuleType) -> list[type]:
    values = vars(module).values()
    return [v for v in values if isinstance(v, type) and v.__module__ == module.__name__]


def documented() -> Iterator[tuple[str, Any]]:
    """The exported functions and classes, those of exported modules among them."""
    for name, value in exports().items():
        if isinstance(value, ModuleType):
            yield from ((f"{name}.{each.__name__}", each) for each in classes_of(value))
        else:
            yield name, value


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that planfold defines, inherited ones too."""
    seen = set(dir(BaseException)) if issubclass(cls, BaseException) else set()
    for base in cls.__mro__:
        if not base.__module__.startswith("planfold"):
            continue
        for name, value in vars(base).items():
            function = _function(value)
            hidden = name.startswith("_") or f"{cls.__name__}.{name}" in INTERNAL
            if hidden or name in seen or function is None:
                continue
            seen.add(name)
            yield name, function


def types_met(name: str, value: Any) -> Iterator[tuple[str, type]]:
    """Every class of planfold in the signatures of an exported name, with the place of it."""
    for place, hint in _hints_in(name.rpartition(".")[2], value):
        if INTERNAL.keys().isdisjoint((place, place.partition("(")[0])):
            for each in _classes(hint):
                if each.__module__.startswith("planfold"):
                    yield place, each


def aliases_met(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every alias of planfold that a signature is written with, and its place. Those of literals
    are left out: the API pages show their values."""
    for place, written, module in _written_in(name.rpartition(".")[2], value):
        for node in ast.walk(ast.parse(written, mode="eval")):
            if isinstance(node, ast.Name):
                origin = typing.get_origin(_namespace(module).get(node.id))
                if origin not in (None, typing.Literal):
                    yield place, node.id


def _written_in(name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    """The annotations of an exported name: place, text and module."""
    if isinstance(value, ModuleType):
        for each in classes_of(value):
            yield from _written_in(each.__name__, each)
        return
    owners: list[tuple[str, Any]] = [(name, value)] if inspect.isfunction(value) else []
    if isinstance(value, type):
        own = [base for base in value.__mro__ if base.__module__.startswith("planfold")]
        owners = [(name, base) for base in own]
        owners += [(f"{name}.{each}", function) for each, function in members(value)]
        if name not in MADE and "__init__" in vars(value):
            owners.append((name, vars(value)["__init__"]))
    for place, owner in owners:
        for each, written in inspect.get_annotations(owner).items():
            inner = {f"{name}.{each}", f"{name}({each})"} & INTERNAL.keys()
            if not each.startswith("_") and not inner:
                yield f"{place}.{each}", str(written), owner.__module__


def errors_named(value: Any) -> set[str]:
    """The names after "Raises" in the docstring of a function, or of a class and its methods."""
    functions = [f for _, f in members(value)] if isinstance(value, type) else []
    found: set[str] = set()
    for each in (value, *functions):
        doc = inspect.getdoc(each) or ""
        for match in re.finditer(r"Raises:?\s(.*?)(?:\n\n|\Z)", doc, re.DOTALL):
            found |= set(re.findall(r"\b[A-Z][a-z]+[A-Za-z]*\b", match[1]))
    return found


def _hints_in(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, ModuleType):
        for each in classes_of(value):
            yield from _hints_in(each.__name__, each)
    elif isinstance(value, type):
        yield from _hints_of_class(name, value)
    elif inspect.isfunction(value):
        yield from ((f"{name}({place})", hint) for place, hint in _hints(value).items())
    else:  # an alias such as a union
        yield name, value


def _hints_of_class(name: str, cls: type) -> Iterator[tuple[str, Any]]:
    for base in cls.__mro__:
        if not base.__module__.startswith("planfold"):
            continue
        declared = [each for each in inspect.get_annotations(base) if not each.startswith("_")]
        hints = _hints(base) if declared else {}
        yield from ((f"{name}.{each}", hints[each]) for each in declared)
        init = vars(base).get("__init__")
        if inspect.isfunction(init) and init.__module__ == base.__module__:
            yield from ((f"{name}.{each}", hint) for each, hint in _set_by(init))
            if name not in MADE:
                yield from ((f"{name}({each})", hint) for each, hint in _hints(init).items())
    for each, function in members(cls):
        yield from ((f"{name}.{each}({place})", hint) for place, hint in _hints(function).items())


def _function(value: Any) -> Any:
    """The function of a method, a class method or a property; None for anything else."""
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    elif isinstance(value, functools.cached_property):
        value = value.func
    return value if inspect.isfunction(value) else None


def _set_by(init: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The public attributes that a constructor sets, with their types where they are written."""
    hints, names = _hints(init), _namespace(init.__module__)
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if not isinstance(target, ast.Attribute) or target.attr.startswith("_"):
            continue
        if isinstance(node, ast.AnnAssign):
            written = types.SimpleNamespace(__annotations__={"it": ast.unparse(node.annotation)})
            yield target.attr, typing.get_type_hints(written, globalns=dict(names))["it"]
            continue
        for part in _operands(node.value):
            if isinstance(part, ast.Name):
                yield target.attr, hints.get(part.id, names.get(part.id))


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BoolOp):
        return [each for value in node.values for each in _operands(value)]
    if isinstance(node, ast.Call):
        copied = isinstance(node.func, ast.Name) and node.func.id in ("dict", "frozenset", "tuple")
        return node.args if copied else [node.func]
    return [node]


def _classes(hint: Any) -> Iterator[type]:
    if typing.get_origin(hint) is typing.Literal:
        return
    if isinstance(hint, type) and not typing.get_args(hint):
        yield hint
    origin = typing.get_origin(hint)
    if isinstance(origin, type):
        yield origin
    if isinstance(hint, typing.TypeVar) and hint.__bound__ is not None:
        yield from _classes(hint.__bound__)
    for each in typing.get_args(hint):
        for part in each if isinstance(each, list) else [each]:
            yield from _classes(part)


def _hints(value: Any) -> dict[str, Any]:
    return typing.get_type_hints(value, globalns=dict(_namespace(value.__module__)))


@functools.cache
def _namespace(module: str) -> dict[str, Any]:
    """The names of a module, those included that only type checkers import."""
    import_module(module)
    names = dict(vars(sys.modules[module]))
    for block in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for node in block.body:
                if isinstance(node, ast.ImportFrom) and node.module is not None:
                    source = _namespace(node.module)
                    names |= {a.asname or a.name: source[a.name] for a in node.names}
                else:
                    exec(compile(ast.Module([node], []), module, "exec"), names)
    return names
