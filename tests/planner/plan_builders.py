"""Short words for plans in tests: tasks, reports, and a plan that has been set going."""

from __future__ import annotations

from typing import Any

from planfold.planner.commands import (
    ChangeAnswer,
    ClarificationProvided,
    Command,
    ExecutorEvent,
    HandleExecutorEvent,
    Initialize,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.config import PlannerConfig
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, Prompt, TaskSpec, ToolCall
from planfold.testing.scenario import Scenario, given

Plan = Scenario[Planner]


def work(task_id: int, *after: int, **fields: Any) -> TaskSpec:
    return TaskSpec(id=task_id, description=f"work {task_id}", depends_on=after, **fields)


def tool(task_id: int, *after: int, **arguments: Any) -> TaskSpec:
    call = ToolCall("echo", arguments)
    kind = NodeKind.ToolCall
    return TaskSpec(
        id=task_id, description=f"call {task_id}", kind=kind, tool=call, depends_on=after
    )


def ask(task_id: int, *after: int, **prompt: Any) -> TaskSpec:
    return TaskSpec(
        id=task_id,
        description=f"question {task_id}?",
        kind=NodeKind.Clarification,
        depends_on=after,
        prompt=Prompt(**prompt) if prompt else None,
    )


def initialize(*specs: TaskSpec, approved_by: str | None = "me", **config: Any) -> Initialize:
    return Initialize("Release", specs, config=PlannerConfig(**config), approved_by=approved_by)


def running(*specs: TaskSpec, **config: Any) -> Plan:
    """An approved plan of which everything has started that can."""
    return given(Planner, initialize(*specs, **config)).follow_up()


def report(
    task_id: int,
    event: ExecutorEvent,
    attempt: int | None = None,
    now: float = 0.0,
    jitter: float = 0.5,
) -> HandleExecutorEvent:
    return HandleExecutorEvent(task_id, event, attempt, now, jitter)


def done(task_id: int, result: Any = None, attempt: int | None = None) -> HandleExecutorEvent:
    return report(task_id, TaskCompleted(result), attempt)


def failed(
    task_id: int, error: str = "boom", *, retryable: bool = True, **when: Any
) -> HandleExecutorEvent:
    return report(task_id, TaskFailed(error, retryable), **when)


def answer(task_id: int, text: str, *, bad: bool = False, **result: Any) -> HandleExecutorEvent:
    return report(task_id, ClarificationProvided(text, "ada", bad, **result))


def change(task_id: int, text: str, by: str = "") -> ChangeAnswer:
    """Another answer; all tasks may repeat their effects."""
    return ChangeAnswer(task_id, text, by, repeat=tuple(range(1, 20)))


def play(plan: Plan, *commands: Command, now: float = 0.0) -> Plan:
    """Each command with what follows from it automatically."""
    for command in commands:
        plan.when(command).follow_up(now)
    return plan


def statuses(plan: Plan) -> dict[int, str]:
    return {i: task.status.value for i, task in plan.handler.state.tasks.items()}


def plan_status(plan: Plan) -> str:
    return plan.handler.state.status.value
