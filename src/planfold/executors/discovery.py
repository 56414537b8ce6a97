"""Where tools come from: functions, modules, module names, and packages that announce them."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from planfold.drafting.templates import Template
from planfold.errors import ConfigurationError
from planfold.executors.faults import describe_exception
from planfold.executors.python import PythonExecutor, PythonTool, load_tools
from planfold.executors.recordable import as_text
from planfold.executors.registry import Executors

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

TOOL_ENTRY_POINTS = "planfold.tools"
_IMPORTING = ("<frozen", os.path.dirname(importlib.__file__) + os.sep)


def add_tools(
    executors: Executors, tools: Iterable[PythonTool[..., Any] | Template | ModuleType | str]
) -> None:
    """Add the tools and templates of installed packages (entry points), then ``tools``: decorated
    functions, modules that hold them, or names of such modules.

    Raises:
        ConfigurationError: one cannot be imported, or its name is taken.
    """
    for entry in _tool_entry_points(tuple(sys.path)):
        with _explained(entry.value):
            found = entry.load()
        _add_tool(executors, found)
    for tool in tools:
        _add_tool(executors, _import(tool) if isinstance(tool, str) else tool)


@lru_cache(1)
def _tool_entry_points(_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of tools, cached, because finding them reads the metadata of every installed
    package."""
    from importlib.metadata import entry_points  # slow to import, and not needed to look at plans

    return tuple(entry_points(group=TOOL_ENTRY_POINTS))


def _add_tool(executors: Executors, found: Any) -> None:
    if isinstance(found, PythonTool):
        executors.add_tool(PythonExecutor(found))
        return
    if isinstance(found, Template):
        executors.add_template(found)
        return
    for tool in load_tools(found):
        executors.add_tool(PythonExecutor(tool))
    for template in vars(found).values():
        if isinstance(template, Template):
            executors.add_template(template)
    register = getattr(found, "register", None)
    if callable(register):  # a module's own executors
        with _explained(getattr(found, "__name__", repr(found))):
            register(executors)


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        module = name.removesuffix(".py").strip("./").replace("/", ".")
        raise ConfigurationError(f"{name!r} is a file; name the module in it: {module!r}")
    with _explained(name):
        return importlib.import_module(name)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """An exception of a module's import as ConfigurationError, with its place."""
    try:
        yield
    except ConfigurationError as fault:
        raise ConfigurationError(f"the tools of {name!r}: {fault}{_place(fault)}") from fault
    except (Exception, SystemExit) as fault:
        raise ConfigurationError(
            f"cannot import the tools of {name!r}: {_reason(fault, name)}{_place(fault)}"
        ) from fault


def _reason(fault: BaseException, name: str) -> str:
    if isinstance(fault, SystemExit):
        code = "" if fault.code is None else f"({as_text(fault.code)})"
        return (
            f"the module ends the process: sys.exit{code or '()'}; "
            'put that under if __name__ == "__main__"'
        )
    if isinstance(fault, ModuleNotFoundError) and fault.name == name.partition(".")[0]:
        return f"{as_text(fault)}; modules are looked for in the current folder and on PYTHONPATH"
    return as_text(fault) if isinstance(fault, ImportError) else describe_exception(fault)


def _place(fault: BaseException) -> str:
    """The line of the module itself: the first one beyond the import machinery."""
    for frame in traceback.extract_tb(fault.__traceback__):
        if frame.filename != __file__ and not frame.filename.startswith(_IMPORTING):
            return f" ({frame.filename}, line {frame.lineno})"
    return ""
