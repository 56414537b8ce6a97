"""Every way into a plan passes the compiler, and what does not pass writes nothing."""

from __future__ import annotations

from typing import Any

import pytest

import planfold
from planfold.errors import CommandRejected, ConfigurationError, InvalidPlan, NotFound
from planfold.planner.commands import Command, Initialize, RevisePlan
from planfold.planner.tasks import NodeKind, TaskSpec, ToolCall
from plans import PLAN_ID, finish, submit, task


@planfold.tool(effect="safe")
async def echo(value: Any = None) -> Any:
    return value


def call(name: str, **arguments: Any) -> TaskSpec:
    kind = NodeKind.ToolCall
    return TaskSpec(id=5, description="d", kind=kind, tool=ToolCall(name, arguments))


WRONG = {
    "unknown tool": call("eco"),
    "wrong arguments": call("echo", valu=1),
    "reference without a dependency": call("echo", value="$1"),
    "a draft": task("echo"),
}


@pytest.mark.parametrize("spec", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("make", [lambda s: Initialize("t", (s,)), lambda s: RevisePlan((s,))])
async def test_raw_commands_are_checked(spec: Any, make: Any) -> None:
    async with planfold.open_app("sqlite:///:memory:", tools=[echo]) as app:
        await submit(app, task("echo"))
        before = (await app.view(PLAN_ID)).version
        command: Command = make(spec)
        plan_id = PLAN_ID if isinstance(command, RevisePlan) else "another"
        with pytest.raises((InvalidPlan, CommandRejected)):
            await app.send(plan_id, command)
        assert (await app.view(PLAN_ID)).version == before
        assert len(await app.plans()) == 1


async def test_a_plan_is_revised_from_a_draft_or_a_text() -> None:
    async with planfold.open_app("sqlite:///:memory:", tools=[echo]) as app:
        await app.submit(planfold.PlanDraft(tasks=[task("echo")]), plan_id=PLAN_ID)
        draft = planfold.PlanDraft(
            tasks=[task("echo", description="other", arguments={"value": 3})]
        )
        revision = await app.revise(PLAN_ID, draft)
        assert (await app.view(PLAN_ID)).status == "awaiting_approval"
        await app.approve(PLAN_ID, revision)
        view = await finish(app)
        assert [t.result for t in view.tasks] == [3]
        text = '{"tasks": [{"description": "more", "tool": "echo", "arguments": {"value": "$2"}}]}'
        await app.revise(PLAN_ID, text, approved_by="me")
        assert [t.result for t in (await finish(app)).tasks] == [3, 3]
        with pytest.raises(InvalidPlan, match="there is no tool"):
            await app.revise(PLAN_ID, planfold.PlanDraft(tasks=[task("eco")]))
        with pytest.raises(NotFound):
            await app.revise("nowhere", draft)


async def test_without_tools_a_plan_can_be_looked_at_but_not_revised(database: str) -> None:
    async with planfold.open_app(database, tools=[echo]) as app:
        await submit(app, task("echo"))
    async with planfold.open_app(database, load=False) as app:
        await app.view(PLAN_ID)
        with pytest.raises(ConfigurationError, match="load=True"):
            await app.revise(PLAN_ID, planfold.PlanDraft(tasks=[task("echo")]))
        with pytest.raises(ConfigurationError, match="load=True"):
            await app.send(PLAN_ID, RevisePlan((call("echo"),)))
