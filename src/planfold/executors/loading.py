"""Where tools come from: functions, modules, module names, and packages that announce them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from planfold.errors import ConfigurationError
from planfold.executors.python import PythonExecutor, PythonTool, load_tools
from planfold.executors.registry import Executors

TOOL_ENTRY_POINTS = "planfold.tools"


def add_tools(
    executors: Executors, tools: Iterable[PythonTool[..., Any] | ModuleType | str]
) -> None:
    """Add the tools of installed packages (entry points), then ``tools``: decorated functions,
    modules that hold them, or names of such modules.

    Raises:
        ConfigurationError: one cannot be imported, or its name is taken.
    """
    from importlib.metadata import entry_points  # slow to import, and not needed to look at plans

    for entry in entry_points(group=TOOL_ENTRY_POINTS):
        try:
            found = entry.load()
        except Exception as fault:
            raise _cannot_import(entry.value, fault) from fault
        _add_tool(executors, found)
    for tool in tools:
        _add_tool(executors, _import(tool) if isinstance(tool, str) else tool)


def _add_tool(executors: Executors, found: Any) -> None:
    if isinstance(found, PythonTool):
        executors.add_tool(PythonExecutor(found))
        return
    for tool in load_tools(found):
        executors.add_tool(PythonExecutor(tool))
    register = getattr(found, "register", None)
    if callable(register):  # a module's own executors
        register(executors)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as fault:  # whatever a module does when it is imported
        raise _cannot_import(name, fault) from fault


def _cannot_import(name: str, fault: Exception) -> ConfigurationError:
    reason = str(fault) if isinstance(fault, ImportError) else f"{type(fault).__name__}: {fault}"
    return ConfigurationError(f"cannot import the tools of {name!r}: {reason}")
