"""What callers and tools hold is theirs: changing it changes no plan."""

from __future__ import annotations

from typing import Any

import pytest

import planfold
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner import commands as c
from planfold.planner.budget import Budget
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import Effect, NodeKind, Prompt, TaskSpec, ToolCall
from plans import PLAN_ID, finish, submit, task


@planfold.tool(effect="safe")
async def make() -> dict[str, Any]:
    """Make a list."""
    return {"items": [1, 2]}


@planfold.tool(effect="safe")
async def spoil(value: Any, context: TaskContext) -> int:
    """Change all that it is given."""
    value.append(9)
    (await context.once("step", lambda: [1])).append(9)
    return len(value)


class Keeping:
    """An executor that still changes the result that it gave."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {"seen": (1,), 2: {3}}

    async def execute(self, context: TaskContext) -> Outcome:
        return c.TaskCompleted(self.result)


async def in_log(database: str) -> planfold.PlanView:
    async with planfold.open_app(database) as app:
        return await app.view(PLAN_ID)


async def test_tools_change_neither_results_nor_tasks(database: str) -> None:
    async with planfold.open_app(database, tools=[make, spoil]) as app:
        reference = task("spoil", label="b", arguments={"value": "$a.items"}, depends_on=["a"])
        literal = task("spoil", label="c", arguments={"value": [1]}, depends_on=["b"])
        await submit(app, task("make", label="a"), reference, literal)
        view = await finish(app)
        assert [t.result for t in view.tasks] == [{"items": [1, 2]}, 3, 2]
        state = (await app.planner(PLAN_ID)).state
        assert state.tasks[2].arguments == {"value": [1, 2]}
        assert state.tasks[3].spec.tool == ToolCall("spoil", {"value": [1]})
        assert state.steps_by_task == {2: {"step": [1]}, 3: {"step": [1]}}
    assert await in_log(database) == view


async def test_results_are_shown_as_the_log_has_them(database: str) -> None:
    keeping, executors = Keeping(), Executors()
    executors.add(keeping, kind=NodeKind.Processing)
    async with planfold.open_app(database, executors=executors) as app:
        await submit(app, planfold.TaskDraft(description="work"))
        await finish(app)
        keeping.result["seen"] = "changed"
        view = await app.view(PLAN_ID)
        assert view.task(1).result == {"seen": [1], "2": [3]}
        view.task(1).result["seen"].append("changed")
        assert (await app.view(PLAN_ID)).task(1).result == {"seen": [1], "2": [3]}


async def test_commands_are_taken_as_the_log_has_them(database: str) -> None:
    result: list[Any] = [(1,), {2}]
    spec = TaskSpec(
        id=1,
        description="work",
        kind="processing",  # type: ignore[arg-type]
        effect="safe",  # type: ignore[arg-type]
        depends_on=[],  # type: ignore[arg-type]
        timeout=5,
    )
    asks = TaskSpec(
        id=2,
        description="which?",
        kind=NodeKind.Clarification,
        prompt=Prompt(["a"], "a", 60),  # type: ignore[arg-type]
    )
    config = PlannerConfig(budget=Budget(cost=5))
    async with planfold.open_app(database) as app:
        await app.send(PLAN_ID, c.Initialize("t", (spec, asks), config=config, approved_by="me"))
        await app.send(PLAN_ID, c.HandleExecutorEvent(1, c.TaskCompleted(result), now=5))
        result.append("changed")
        view = await app.view(PLAN_ID)
        assert view.task(1).result == [[1], [2]]
        known = (await app.planner(PLAN_ID)).state.tasks[1].spec
        assert (known.kind, known.effect) == (NodeKind.Processing, Effect.Safe)
    assert (await in_log(database)).tasks == view.tasks


async def test_a_command_that_would_lose_a_part_is_refused(database: str) -> None:
    async with planfold.open_app(database) as app:
        await submit(app, planfold.TaskDraft(description="work"))
        report = c.HandleExecutorEvent(1, c.TaskCompleted({1: "a", "1": "b"}))
        with pytest.raises(planfold.CommandRejected, match="would lose a part"):
            await app.send(PLAN_ID, report)
