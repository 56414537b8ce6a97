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
from typing import get_args

import pytest

import planfold
import planfold.commands
import planfold.executor
import planfold.log
import planfold.testing
import planfold.types
from planfold.commands import Continue, Initialize, Planner, TaskSpec
from planfold.log import events

PUBLIC = {
    planfold: """
        App Budget Client CommandRejected ConfigurationError Conflict CorruptLog Effect InvalidPlan
        NotFound Parameter Permanent PlanDraft PlanStatus PlanView PlanfoldError PlannerConfig
        Question RetryPolicy Settings SharedLimit Spend TaskContext TaskDraft TaskStatus TaskView
        Transient Worker open_app template tool
    """,
    planfold.commands: """
        AddBudget ApprovePlan CancelPlan CancelTask ChangeAnswer Command CompactContext
        CompleteTask ConfirmEnd Continue ContinueSubPlan ForkPlan HandleExecutorEvent Initialize
        NameCheckpoint PausePlan Planner RegisterWait Replan RetryTask RevisePlan SkipTask
        TagPlan TaskSpec UndoPlan UnpausePlan
    """,
    planfold.executor: """
        Executor Executors Model ModelRejected ModelUnavailable NeedsClarification Outcome
        OutcomeUnknown TaskCompleted TaskFailed Tool compact_error_message compact_thread
    """,
    planfold.log: """
        Aggregate Checkpoint Consumer Envelope Handler Log Metadata Outlook Projection Query
        Undecoded events
    """,
    planfold.testing: """
        Answer ManualClock Message Reply ScriptedModel ToolRequest Usage check_golden given run_tool
    """,
    planfold.types: """
        Archived BudgetUsedUp ByHand Cancellation ClarificationProvided ContextCannotFit
        ContextSummarised Divergence EventFeed ExecutorEvent Explanation Fault Figures FileRef
        ForEach Forecast Fork Histogram ImageRef Ledger LimitUse Link McpServer ModelEndpoint
        NodeKind Notification NotifyTarget Observer Operation ParameterValue ParentTask Pause Phase
        PhaseSpan PlanDifference PlanSummary PlannerState PolicySettings Profile Prompt PythonTool
        Reason ReasonKind RepeatedEffect Replay ReplayDifference Request Rule Scenario ScheduleView
        Scope SecretSource Simulation Statistics StepAbandoned StepBegun StepCompleted StreamHead
        Task TaskDifference TaskProgressed TasksProposed Template ToolCall ToolExecutor ToolRun
        ToolSchema Toolbox Unclaimed Undo UndoDraft Wait WorkerFit messages
    """,
}
MOST = {planfold: 32, planfold.executor: 13, planfold.log: 12, planfold.testing: 12}
ROOT = Path(__file__).resolve().parent.parent
FACES = list(PUBLIC)
IMPORTED = {name: home for face in FACES for home, names in face._HOMES.items() for name in names}

GREET = TaskSpec(id=1, description="greet")


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_the_public_names_are_these(face: ModuleType) -> None:
    names = PUBLIC[face].split()
    assert set(face.__all__) ^ set(names) == set(), "in _HOMES, or in the list above, only"
    assert face.__all__ == names == sorted(names), "sort the list above"
    assert dir(face) == names


@pytest.mark.parametrize("face", MOST, ids=lambda face: face.__name__)
def test_a_face_can_be_read_from_beginning_to_end(face: ModuleType) -> None:
    assert len(face.__all__) <= MOST[face], "export what is seldom named from planfold.types"


def test_the_commands_are_those_of_the_planner_and_few_more() -> None:
    commands = {each.__name__ for each in get_args(planfold.commands.Command)}
    assert set(planfold.commands.__all__) == commands | {"Command", "Planner", "TaskSpec"}


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


def test_an_app_imports_only_what_all_programs_need() -> None:
    loaded = modules_after("import planfold; planfold.open_app")
    slow = {"importlib.metadata", "importlib.resources", "difflib", "tomllib", "zoneinfo", "apsw"}
    own = {"executors.guard.guard", "executors.context", "drafting.templates", "runtime.worker"}
    own |= {"readmodels.statistics", "readmodels.timeline", "readmodels.plan_view"}
    own |= {"readmodels.replay", "drafting.draft", "eventstore.consumers"}
    slow |= {"hashlib", "json", "unicodedata"}
    assert loaded & {*slow, *(f"planfold.{name}" for name in own)} == set()


def test_an_app_compiles_no_regular_expression_before_it_is_used() -> None:
    watched = """
import re
compiling, real = [], re.compile
def compile(pattern, flags=0):
    compiling.append(sys._getframe(1).f_globals["__name__"])
    return real(pattern, flags)
re.compile = compile
import planfold; planfold.open_app
print(*compiling)"""
    command = [sys.executable, "-c", f"import sys{watched}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    compiling = done.stdout.split()
    assert [name for name in compiling if name.startswith("planfold")] == []


def test_the_planner_needs_no_infrastructure() -> None:
    loaded = modules_after("from planfold.commands import Planner")
    assert loaded & {"asyncio", "apsw", "sqlite3", "planfold.app", "planfold.runtime"} == set()


def test_the_planner_works_in_two_lines() -> None:
    planner = Planner()
    decided = planner.process(Initialize("Hello", (GREET,), approved_by="me"))
    assert [type(event) for event in decided] == [events.TasksPlanned, events.PlanApproved]
    assert Planner.fold(decided).process(Continue()) == [events.TaskDispatched(1, 1)]
