from __future__ import annotations

from typing import Any

import pytest

from planfold.errors import ConfigurationError
from planfold.executors.builtin import builtin_executors
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.guard.guard import Guarded
from planfold.executors.human import HumanExecutor
from planfold.executors.python import PythonExecutor, tool
from planfold.executors.registry import Executors
from planfold.executors.shell import ShellExecutor
from planfold.planner.commands import NeedsClarification, TaskCompleted
from planfold.planner.tasks import FileRef, Link, NodeKind, Task, TaskSpec, ToolCall


class Anything:
    async def execute(self, context: TaskContext) -> Outcome:
        return TaskCompleted()


def spec(tool_name: str | None = None, **fields: Any) -> TaskSpec:
    kind = NodeKind.ToolCall if tool_name else NodeKind.Processing
    call = ToolCall(tool_name) if tool_name else None
    return TaskSpec(id=1, description="Write the report", kind=kind, tool=call, **fields)


def print_nothing() -> None: ...


@tool
def mine() -> None:
    """Mine."""


def behind_the_guard(executors: Executors, task: TaskSpec) -> Any:
    guarded = executors.for_task(task)
    assert isinstance(guarded, Guarded)
    return guarded.executor


def test_a_task_goes_by_route_then_tool_then_kind() -> None:
    executors = Executors()
    route, kind, calls = Anything(), Anything(), PythonExecutor(mine)
    executors.add(route, route="gpu")
    executors.add(kind, kind=NodeKind.Processing)
    executors.add_tool(calls)
    assert executors.for_task(spec(route="gpu")) is route
    assert executors.for_task(spec("mine", route="gpu")) is route
    assert behind_the_guard(executors, spec("mine", route="other")) is calls
    assert behind_the_guard(executors, spec("mine")) is calls
    assert executors.for_task(spec()) is kind
    assert executors.for_task(spec(route="other")) is kind
    assert executors.for_task(spec("unknown")) is None
    assert [each.name for each in executors.toolbox] == ["mine"]


def test_routes() -> None:
    executors = Executors()
    assert executors.routes() == frozenset()
    executors.add(Anything(), route="gpu")
    executors.add_tool(PythonExecutor(mine))
    assert executors.routes() == frozenset({"gpu", "mine"})
    executors.add(Anything(), kind=NodeKind.Processing)
    assert executors.routes() is None
    assert Executors(serve=["gpu"]).routes() == frozenset({"gpu"})


def test_what_is_wrong_is_said_at_once() -> None:
    executors = Executors()
    with pytest.raises(ConfigurationError, match="say what the executor serves"):
        executors.add(Anything())
    executors.add_tool(PythonExecutor(mine))
    with pytest.raises(ConfigurationError, match="two tools are called 'mine'"):
        executors.add_tool(PythonExecutor(tool(name="mine")(print_nothing)))


def test_builtin() -> None:
    executors = builtin_executors(env_allow=["X"], allow_private=["10.0.0.0/8"])
    files = ["edit_file", "list_files", "read_file", "write_file"]
    assert sorted(each.name for each in executors.toolbox) == sorted(["http", "shell", *files])
    assert isinstance(behind_the_guard(executors, spec("shell")), ShellExecutor)
    assert isinstance(executors.for_task(spec()), HumanExecutor)


async def test_a_person_is_asked(attempt: Any) -> None:
    context = attempt.context()
    attachments = (Link("https://a.test", "Brief"), FileRef("notes.md"))
    context.task = Task(spec=spec(attachments=attachments))
    outcome = await HumanExecutor().execute(context)
    assert isinstance(outcome, NeedsClarification)
    assert outcome.completes
    assert outcome.question.startswith("Write the report\n")
    assert "Attached: Brief (https://a.test)" in outcome.question
    assert "Attached: notes.md" in outcome.question
    assert "answer with the result" in outcome.question
