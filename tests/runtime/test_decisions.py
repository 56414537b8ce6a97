"""``App`` has a method for every decision of a person; a refusal says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import pytest

import planfold
from planfold import (
    App,
    Budget,
    CommandRejected,
    NotFound,
    Permanent,
    PlanDraft,
    PlannerConfig,
    PlanStatus,
    TaskDraft,
    TaskStatus,
    commands,
)
from planfold.executor import Executors
from planfold.log import events
from planfold.testing import ManualClock

FAILS = [True]
QUESTION = PlanDraft(
    tasks=[
        TaskDraft(label="go", description="Go?", choices=["yes", "no"]),
        TaskDraft(label="do", description="Do it", tool="echo", arguments={"text": "$go"}),
    ]
)
FAILING = PlanDraft(
    tasks=[
        TaskDraft(label="first", description="first", tool="fail"),
        TaskDraft(label="then", description="then", tool="echo", arguments={"text": "$first"}),
    ]
)


@planfold.tool(effect="safe")
async def echo(text: str) -> str:
    return text


@planfold.tool(effect="safe")
async def fail() -> str:
    if FAILS[0]:
        raise Permanent("out of paper")
    return "printed"


@pytest.fixture
async def app(database: str) -> AsyncIterator[App]:
    async with opened(database) as app:
        yield app


def opened(database: str) -> Any:
    return planfold.open_app(database, tools=[echo, fail], executors=Executors())


async def metadata_of(app: App, event: type) -> list[Any]:
    return [e.event for e in await app.log.read() if isinstance(e.event, event)]


METHODS = {
    commands.Initialize: App.submit,
    commands.HandleExecutorEvent: App.answer,
    commands.ApprovePlan: App.approve,
    commands.RevisePlan: App.revise,
    commands.Replan: App.replan,
    commands.AddBudget: App.add_budget,
    commands.RetryTask: App.retry,
    commands.ChangeAnswer: App.change_answer,
    commands.NameCheckpoint: App.checkpoint,
    commands.ForkPlan: App.fork,
    commands.CancelTask: App.cancel,
    commands.CancelPlan: App.cancel,
    commands.PausePlan: App.pause,
    commands.TagPlan: App.tag,
    commands.UnpausePlan: App.unpause,
    commands.SkipTask: App.skip,
    commands.CompleteTask: App.complete,
    commands.UndoPlan: App.undo,
}
FOLLOW = {  # what the dispatcher and workers send themselves
    commands.Continue,
    commands.CompactContext,
    commands.RegisterWait,
    commands.ConfirmEnd,
    commands.ContinueSubPlan,
}


NAMED = {"task_id": "task", "task_ids": "before", "answer": "text"}
MADE = {  # fields that the method makes of its arguments, of the plan and of its history
    commands.Initialize: {"title", "tasks", "goal", "parent", "occurrence"},
    commands.HandleExecutorEvent: {"event", "attempt", "now", "jitter", "epoch"},
    commands.RevisePlan: {"tasks", "superseded"},
    commands.ForkPlan: {"origin", "version", "tasks", "kept", "happened", "checksum", "undone"},
}


def test_every_command_of_a_person_has_a_method() -> None:
    assert set(get_args(commands.Command)) == METHODS.keys() | FOLLOW


@pytest.mark.parametrize("command", METHODS, ids=lambda command: command.__name__)
def test_every_field_of_a_command_is_an_argument_of_its_method(command: Any) -> None:
    fields = {NAMED.get(name, name) for name in command.__struct_fields__}
    missing = fields - MADE.get(command, set()) - signature(METHODS[command]).parameters.keys()
    assert not missing, "add it to the method of App, the request, the client and the command line"


async def test_the_decisions_about_one_plan(each_database: str) -> None:
    async with opened(each_database) as app:
        plan_id = await app.submit(QUESTION)
        await app.approve(plan_id, by="ada")
        await app.run(plan_id)
        await app.answer(plan_id, "go", "yes", by="ada")
        assert (await app.run(plan_id)).task("do").result == "yes"

        assert await app.change_answer(plan_id, "go", "no", by="bob") is True
        assert (await app.run(plan_id)).task("do").result == "no"
        assert await app.change_answer(plan_id, "go", "no", by="bob") is False

        other = await app.submit(QUESTION, approved_by="ada")
        await app.cancel(other, "go", subtree=True, reason="not today")
        assert {t.status for t in (await app.view(other)).tasks} == {TaskStatus.Cancelled}
        assert await app.retry(other, "go") is True
        assert await app.retry(other, "do") is False  # it was planned again with its parent


async def test_an_empty_hash_approves_nothing(app: App) -> None:
    """It comes from a program that has no hash, and has not seen what would run."""
    plan_id = await app.submit(QUESTION)
    with pytest.raises(CommandRejected):
        await app.approve(plan_id, "", by="ada")
    assert await app.status(plan_id) == "awaiting_approval"


async def test_a_plan_is_rejected_before_its_approval_only(app: App) -> None:
    plan_id = await app.submit(QUESTION)
    await app.reject(plan_id, by="ada")
    assert (await app.status(plan_id)) is PlanStatus.Cancelled
    (cancelled,) = await metadata_of(app, events.PlanCancelled)
    assert cancelled.reason == "rejected by ada"
    running = await app.submit(QUESTION, approved_by="ada")
    with pytest.raises(
        CommandRejected, match=r"does not wait for approval \(it waits for an answer\); c"
    ):
        await app.reject(running, reason="too late")


async def test_a_plan_is_cancelled_once(app: App) -> None:
    plan_id = await app.submit(QUESTION, approved_by="ada")
    await app.cancel(plan_id, reason="not needed")
    await app.cancel(plan_id)
    assert (await app.result(plan_id)).status is PlanStatus.Cancelled
    assert [c.reason for c in await metadata_of(app, events.PlanCancelled)] == ["not needed"]
    call = TaskDraft(description="echo", tool="echo", arguments={"text": "hey"})
    ended = await app.submit(PlanDraft(tasks=[call]), approved_by="ada")
    await app.run(ended)
    with pytest.raises(CommandRejected, match="there is nothing to cancel"):
        await app.cancel(ended)


async def test_a_subtree_needs_its_task(app: App) -> None:
    plan_id = await app.submit(QUESTION)
    with pytest.raises(ValueError, match="subtree=True needs a task"):
        await app.cancel(plan_id, subtree=True)


async def test_a_failed_task_is_retried_with_what_it_let_be_skipped(app: App) -> None:
    plan_id = await app.submit(FAILING, approved_by="ada")
    FAILS[0] = True
    plan = await app.run(plan_id)
    assert (plan.task("first").status, plan.task("then").status) == ("failed", "skipped")
    FAILS[0] = False
    assert await app.retry(plan_id, "first")
    assert (await app.run(plan_id)).task("then").result == "printed"
    with pytest.raises(CommandRejected, match="only tasks that failed"):
        await app.retry(plan_id, "first")


async def test_a_plan_without_a_model_is_not_replanned(app: App) -> None:
    with pytest.raises(CommandRejected, match="no model"):
        await app.replan(await app.submit(QUESTION), "the server is gone")


async def test_replanning_adds_a_drafting_task_with_the_reason(app: App) -> None:
    config = PlannerConfig(model="scripted")
    plan_id = await app.submit(QUESTION, config=config, approved_by="ada")
    await app.replan(plan_id, "the server is gone")
    assert "the server is gone" in (await app.view(plan_id)).tasks[-1].description
    with pytest.raises(CommandRejected, match="planned already"):
        await app.replan(plan_id)


async def test_a_budget_is_raised(app: App) -> None:
    config = PlannerConfig(budget=Budget(tokens=1_000))
    plan_id = await app.submit(QUESTION, config=config)
    await app.add_budget(plan_id, Budget(tokens=500, cost=0.5), by="ada")
    assert (await app.view(plan_id)).budget == Budget(tokens=1_500)


@pytest.mark.parametrize(
    "budget", [Budget(), Budget(tokens=0), Budget(cost=-1.0), Budget(calls=-1)]
)
async def test_a_budget_is_not_lowered(app: App, budget: Budget) -> None:
    plan_id = await app.submit(QUESTION)
    with pytest.raises(CommandRejected, match="at least one amount, none below 0"):
        await app.add_budget(plan_id, budget)
    assert await metadata_of(app, events.BudgetAdded) == []


async def test_what_does_not_exist_is_named(app: App) -> None:
    plan_id = await app.submit(QUESTION)
    for call in (
        app.approve("no-plan"),
        app.reject("no-plan"),
        app.cancel("no-plan"),
        app.replan("no-plan"),
        app.add_budget("no-plan", Budget(tokens=1)),
    ):
        with pytest.raises(NotFound, match="there is no plan 'no-plan'"):
            await call
    for on_task in (
        app.retry(plan_id, "no-task"),
        app.change_answer(plan_id, "no-task", "yes"),
        app.cancel(plan_id, "no-task"),
    ):
        with pytest.raises(NotFound, match=f"plan {plan_id} has no task 'no-task'"):
            await on_task
    remedy = r"has no task 'no-task'; its tasks: 1 \(go\)"
    with pytest.raises(NotFound, match=remedy):
        await app.retry(plan_id, "no-task")


async def test_ended_plans_are_archived(app: App, tmp_path: Path) -> None:
    ended = await app.submit(QUESTION)
    await app.reject(ended)
    stays = await app.submit(QUESTION)
    counted = await app.archive(tmp_path / "old", older_than=0, dry_run=True)
    assert (counted.streams, counted.files) == (1, [])
    assert (await app.archive(tmp_path, older_than=3_600)).streams == 0
    assert (await app.archive(tmp_path, older_than=0, statuses=[PlanStatus.Failed])).streams == 0
    done = await app.archive(tmp_path / "old", older_than=0)
    assert done.streams == 1
    assert [head.aggregate_id for head in await app.plans()] == [stays]
    with pytest.raises(NotFound, match=r"was archived; import .*old"):
        await app.view(ended)


async def test_age_is_counted_by_the_apps_clock(database: str, tmp_path: Path) -> None:
    clock = ManualClock()
    async with planfold.open_app(database, clock=clock) as app:
        await app.reject(await app.submit("1. Tell the team"))
        clock.advance(59)
        assert (await app.archive(tmp_path, older_than=60)).streams == 0
        clock.advance(1)
        assert (await app.archive(tmp_path, older_than=60)).streams == 1
