"""The pages of docs/reference/api say what the code says, and the examples in docstrings run."""

from __future__ import annotations

import ast
import builtins
import inspect
import types
from pathlib import Path
from typing import Any

import pytest
from api_pages import FOLDER, examples, pages
from signatures import documented, members

import planfold

DOCUMENTED = dict(documented())
EXAMPLES = [
    (f"{name}{number or ''}", code)
    for path, value in DOCUMENTED.items()
    for name, each in [(path, value)]
    + ([(f"{path}.{m}", f) for m, f in members(value)] if isinstance(value, type) else [])
    for number, code in enumerate(examples(inspect.getdoc(each) or ""))
]
NEED_ONE = {
    "App",
    "App.worker",
    "Budget",
    "types.ModelEndpoint",
    "types.Observer",
    "PlanDraft",
    "PlanView",
    "commands.Planner",
    "PlannerConfig",
    "types.PolicySettings",
    "Question",
    "RetryPolicy",
    "types.SecretSource",
    "Settings",
    "TaskContext",
    "types.McpServer",
    "Worker.stop",
    "open_app",
    "tool",
    "executor.Executor",
    "executor.Executors",
    "executor.Model",
    "executor.Tool",
    "executor.compact_error_message",
    "executor.compact_thread",
    "log.Aggregate",
    "log.Checkpoint",
    "log.Consumer",
    "log.Handler",
    "log.Log",
    "log.Projection",
    "log.Query",
    "testing.ManualClock",
    "testing.ScriptedModel",
    "testing.given",
    "testing.run_tool",
}


def test_the_pages_are_what_is_generated() -> None:
    for file, page in pages().items():
        written = (FOLDER / file).read_text(encoding="utf-8")
        assert written == page, f"{file}: run .venv/bin/python tests/api/api_pages.py"


def test_no_other_page_is_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(pages())


def test_classes_that_are_used_by_hand_have_an_example() -> None:
    shown = {name for name, _ in EXAMPLES}
    assert {f"planfold.{name}" for name in NEED_ONE} - shown == set()


@pytest.mark.parametrize(("name", "code"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
async def test_an_example_runs(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {"__name__": "example", "__builtins__": builtins}
    running = types.FunctionType(program, names)()
    if inspect.iscoroutine(running):
        await running


def test_every_public_name_has_a_docstring() -> None:
    undocumented = [
        name
        for name, value in DOCUMENTED.items()
        if isinstance(value, type | types.FunctionType) and not inspect.getdoc(value)
    ]
    undocumented += [
        f"{name}.{each}"
        for name, value in DOCUMENTED.items()
        if isinstance(value, type) and not issubclass(value, planfold.PlanfoldError)
        for each, function in members(value)
        if not inspect.getdoc(function)
    ]
    assert undocumented == []
