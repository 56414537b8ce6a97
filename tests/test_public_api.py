"""The public names, where they live, and what importing planfold costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import planfold
from planfold.planner.commands import Continue, Initialize
from planfold.planner.events import PlanApproved, TaskDispatched, TasksPlanned
from planfold.planner.planner import Planner
from planfold.planner.tasks import TaskSpec

PUBLIC = [
    "Aggregate",
    "App",
    "CommandRejected",
    "Conflict",
    "Envelope",
    "Handler",
    "InvalidPlan",
    "Metadata",
    "NodeKind",
    "NotFound",
    "Outlook",
    "Permanent",
    "PlanDraft",
    "PlanStatus",
    "PlanView",
    "PlanfoldError",
    "Planner",
    "PlannerState",
    "Query",
    "Settings",
    "Task",
    "TaskContext",
    "TaskDraft",
    "TaskStatus",
    "Transient",
    "open_app",
    "tool",
]

GREET = TaskSpec(id=1, description="greet")


def test_the_public_names_are_these() -> None:
    assert planfold.__all__ == PUBLIC
    assert dir(planfold) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_comes_from_its_home(name: str) -> None:
    assert getattr(planfold, name).__module__ == planfold._HOME[name]
    assert getattr(planfold, name).__doc__


def test_type_checkers_see_the_same_homes() -> None:
    tree = ast.parse(Path(planfold.__file__).read_text(encoding="utf-8"))
    imports = {
        alias.asname or alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imports == planfold._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Plan'"):
        _ = planfold.Plan


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_planfold_imports_next_to_nothing() -> None:
    loaded = modules_after("import planfold")
    assert loaded & {"asyncio", "msgspec", "apsw", "rich", "click"} == set()
    assert {name for name in loaded if name.startswith("planfold.")} == set()


def test_the_planner_needs_no_infrastructure() -> None:
    loaded = modules_after("from planfold import Planner")
    assert loaded & {"asyncio", "apsw", "sqlite3", "planfold.app", "planfold.runtime"} == set()


def test_the_planner_works_in_two_lines() -> None:
    planner = Planner()
    events = planner.process(Initialize("Hello", (GREET,), approved_by="me"))
    assert [type(event) for event in events] == [TasksPlanned, PlanApproved]
    assert Planner.fold(events).process(Continue()) == [TaskDispatched(1, 1)]
