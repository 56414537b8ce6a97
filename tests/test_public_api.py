"""The public names, where they live, and what importing planfold costs."""

from __future__ import annotations

import ast
import pydoc
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import planfold
import planfold.commands
import planfold.executor
import planfold.log
import planfold.testing
from planfold import Planner
from planfold.commands import Continue, Initialize, TaskSpec
from planfold.log import events

PUBLIC = {
    planfold: """
        App Archived Budget Client CommandRejected ConfigurationError Conflict CorruptLog Effect
        EventFeed Explanation Fault Figures Forecast Fork Histogram InvalidPlan Ledger McpServer
        ModelEndpoint NodeKind NotFound NotifyTarget Observer Operation Parameter ParameterValue
        Permanent Phase PhaseSpan PlanDraft PlanStatus PlanSummary PlanView PlanfoldError Planner
        PlannerConfig PlannerState PolicySettings Question Reason ReasonKind RepeatedEffect
        RetryPolicy Rule Scope
        SecretSource Settings Simulation Spend Statistics Task TaskContext TaskDraft TaskStatus
        TaskView Template Transient Unclaimed Worker WorkerFit messages open_app template tool
    """,
    planfold.commands: """
        AddBudget ApprovePlan ByHand CancelPlan CancelTask ChangeAnswer
        ClarificationProvided Command CompactContext CompleteTask ConfirmEnd
        ContextSummarised Continue ContinueSubPlan ExecutorEvent FileRef ForEach ForkPlan
        HandleExecutorEvent ImageRef Initialize Link NameCheckpoint ParentTask Pause
        PausePlan Profile Prompt RegisterWait Replan RetryTask RevisePlan SkipTask
        StepAbandoned StepBegun StepCompleted TagPlan TaskProgressed TaskSpec TasksProposed
        ToolCall UnpausePlan Wait
    """,
    planfold.executor: """
        BudgetUsedUp Cancellation ContextCannotFit Executor Executors Model ModelRejected
        ModelUnavailable NeedsClarification Outcome OutcomeUnknown PythonTool
        TaskCompleted TaskFailed Tool ToolExecutor Toolbox compact_error_message compact_thread
    """,
    planfold.log: """
        Aggregate Checkpoint Consumer Divergence Envelope Handler Log Metadata
        Notification Outlook PlanDifference Projection Query Replay ReplayDifference StreamHead
        TaskDifference Undecoded events
    """,
    planfold.testing: """
        Answer ManualClock Message Reply Request Scenario ScriptedModel ToolRequest ToolRun
        ToolSchema Usage check_golden given run_tool
    """,
}
ROOT = Path(__file__).resolve().parent.parent
FACES = list(PUBLIC)
IMPORTED = {name: home for face in FACES for home, names in face._HOMES.items() for name in names}

GREET = TaskSpec(id=1, description="greet")


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_the_public_names_are_these(face: ModuleType) -> None:
    names = PUBLIC[face].split()
    assert face.__all__ == names == sorted(names)
    assert dir(face) == names


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_help_shows_every_name(face: ModuleType) -> None:
    shown = pydoc.plain(pydoc.render_doc(face))
    assert [name for name in face.__all__ if not re.search(rf"\b{name}\b", shown)] == []


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_a_face_speaks_only_of_names_that_it_has(face: ModuleType) -> None:
    said = set(re.findall(r"``([A-Za-z_]+)``", face.__doc__ or ""))
    known = {name for each in FACES for name in each.__all__} | set(dir(planfold.App))
    assert said - known <= {"planfold"}


def test_a_name_is_exported_once() -> None:
    names = [name for face in FACES for name in face.__all__]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", IMPORTED)
def test_a_public_name_comes_from_its_home(name: str) -> None:
    face = next(face for face in FACES if name in face.__all__)
    value = getattr(face, name)
    if isinstance(value, type | FunctionType):
        assert value.__module__ == IMPORTED[name]
        assert value.__doc__


def test_a_module_can_be_exported() -> None:
    assert events.TaskDispatched.__module__ == events.__name__ == "planfold.planner.events"


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_type_checkers_see_the_same_homes(face: ModuleType) -> None:
    tree = ast.parse(Path(str(face.__file__)).read_text(encoding="utf-8"))
    imports: dict[str, list[str]] = {}
    for block in tree.body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for node in block.body:
                assert isinstance(node, ast.ImportFrom)
                for alias in node.names:
                    assert alias.asname == alias.name  # so that it is exported
                    imports.setdefault(str(node.module), []).append(alias.name)
    expected = {home: sorted(names) for home, names in face._HOMES.items() if names}
    for module in (home for home, names in face._HOMES.items() if not names):
        package, _, name = module.rpartition(".")
        expected.setdefault(package, []).append(name)
    assert {home: sorted(names) for home, names in imports.items()} == expected


def test_the_linter_asks_for_docstrings_where_public_names_are_defined() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    patterns = tomllib.loads(pyproject)["tool"]["ruff"]["lint"]["per-file-ignores"]
    (pattern,) = (each for each in patterns if each.startswith("!src/planfold/{"))
    modules = {f"planfold.{path}".replace("/", ".") for path in pattern[15:-4].split(",")}
    assert {home for face in FACES for home in face._HOMES} - modules == set()


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_an_unknown_name_is_an_attribute_error(face: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{face.__name__}' has no attribute 'Plan'"):
        _ = face.Plan


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_public_modules_imports_next_to_nothing() -> None:
    names = [face.__name__ for face in FACES]
    loaded = modules_after(f"import {', '.join(names)}")
    assert loaded & {"asyncio", "msgspec", "apsw", "rich", "click"} == set()
    own = {name for name in loaded if name.startswith("planfold")}
    assert own == {*names, "planfold.exports"}


def test_the_planner_needs_no_infrastructure() -> None:
    loaded = modules_after("from planfold import Planner")
    assert loaded & {"asyncio", "apsw", "sqlite3", "planfold.app", "planfold.runtime"} == set()


def test_the_planner_works_in_two_lines() -> None:
    planner = Planner()
    decided = planner.process(Initialize("Hello", (GREET,), approved_by="me"))
    assert [type(event) for event in decided] == [events.TasksPlanned, events.PlanApproved]
    assert Planner.fold(decided).process(Continue()) == [events.TaskDispatched(1, 1)]
