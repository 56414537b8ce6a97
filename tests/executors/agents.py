"""A plan with one task for an agent, a scripted model, and tools that keep a diary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from planfold.executors.agent.loop import AgentExecutor
from planfold.executors.context import TaskContext
from planfold.executors.executor import Executor, Outcome
from planfold.executors.human import HumanExecutor
from planfold.executors.python import PythonExecutor, PythonTool, tool
from planfold.executors.registry import Executors
from planfold.llm.model import Answer, ToolRequest, Usage
from planfold.llm.scripted import Reply, ScriptedModel
from planfold.planner.commands import Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskSpec
from planfold.testing.scenario import given
from planfold.tools.tool import Tool


def calls(*requests: tuple[str, dict[str, Any]], text: str = "", tokens: int = 10) -> Answer:
    """An answer that asks for tools."""
    asked = tuple(
        ToolRequest(f"id{n}", name, arguments) for n, (name, arguments) in enumerate(requests)
    )
    return Answer(text, asked, "tool_calls", Usage(tokens, tokens, cost=0.01), "scripted", 0.5)


class Guarded:
    """Replaces the policy's guard, lets everything pass, and remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool, bool]] = []

    async def __call__(
        self, executor: Executor, context: TaskContext, tool: Tool, *, proposed: bool, tainted: bool
    ) -> Outcome:
        self.seen.append((tool.name, proposed, tainted))
        return await executor.execute(context)


class Diary:
    """What tools did, in order."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.at_once = self.most_at_once = 0

    def tools(self) -> list[PythonTool[..., Any]]:
        @tool(effect="safe")
        async def read(page: str) -> str:
            """Read a page."""
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(0)
            self.at_once -= 1
            self.done.append(page)
            return f"text of {page}"

        @tool
        async def send(to: str) -> dict[str, str]:
            self.done.append(to)
            return {"sent": to}

        @tool(effect="safe")
        async def broken() -> None:
            raise ValueError("it is broken")

        @tool(effect="safe")
        async def confirmed(what: str, context: TaskContext) -> str:
            answer = await context.ask("sure", f"Really {what}?", choices=["yes", "no"])
            self.done.append((what, answer))
            return answer

        return [read, send, broken, confirmed]


def agent(
    model: ScriptedModel, diary: Diary | None = None, guard: Guarded | None = None, **options: Any
) -> AgentExecutor:
    executors = Executors()
    for each in (diary or Diary()).tools():
        executors.add_tool(PythonExecutor(each))
    return AgentExecutor(
        lambda name: model, executors, guard or Guarded(), HumanExecutor(), **options
    )


def scripted(*replies: Reply) -> ScriptedModel:
    return ScriptedModel(replies)


def plan_of(*tasks: TaskSpec, **config: Any) -> PlannerState:
    """A plan that runs, with a model; by default one task for an agent."""
    specs = tasks or (TaskSpec(id=1, description="Find out what is new"),)
    settings = PlannerConfig(**({"model": "scripted"} | config))
    begin = Initialize("Plan", specs, "Know the news", settings, approved_by="test")
    return given(Planner, begin).follow_up().handler.state


def task_of(state: PlannerState, task_id: int = 1, attempt: int = 1) -> Task:
    task = state.tasks[task_id]
    assert task.kind is NodeKind.Processing
    task.attempt = attempt
    return task


def tool_turns(messages: Iterable[Any]) -> list[str]:
    return [message.text for message in messages if message.role == "tool"]
