"""Forks on both backends: what runs again, what is reused, and that the origin stays as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import planfold
from planfold import (
    App,
    Permanent,
    PlanDraft,
    PlanStatus,
    TaskDraft,
)
from planfold.executor import Executors
from planfold.log import Query

CALLS: list[str] = []


@planfold.tool(effect="safe")
async def note(text: str) -> str:
    CALLS.append(text)
    if text == "wrong":
        raise Permanent("this cannot be done")
    return text


@planfold.tool(effect="once")
async def pay(amount: int) -> str:
    CALLS.append(f"pay {amount}")
    return f"paid {amount}"


@planfold.tool(effect="keyed")
async def book(day: str) -> str:
    CALLS.append(f"book {day}")
    return day


RELEASE = PlanDraft(
    title="Release",
    tasks=[
        TaskDraft(label="build", description="build", tool="note", arguments={"text": "build"}),
        TaskDraft(label="go", description="Publish?", choices=["yes", "no"]),
        TaskDraft(label="test", description="test", tool="note", arguments={"text": "test $build"}),
        TaskDraft(
            label="publish",
            description="publish",
            tool="note",
            arguments={"text": "publish $go"},
            depends_on=["test"],
        ),
    ],
)
FAILING = PlanDraft(
    title="Fails",
    tasks=[
        TaskDraft(label="build", description="build", tool="note", arguments={"text": "build"}),
        TaskDraft(
            label="deploy",
            description="deploy",
            tool="note",
            arguments={"text": "wrong"},
            depends_on=["build"],
        ),
        TaskDraft(
            label="tell", description="tell", tool="note", arguments={"text": "tell $deploy"}
        ),
        TaskDraft(label="docs", description="docs", tool="note", arguments={"text": "docs"}),
    ],
)
PAYING = PlanDraft(
    title="Pays",
    tasks=[
        TaskDraft(label="order", description="order", tool="note", arguments={"text": "order"}),
        TaskDraft(
            label="pay",
            description="pay",
            tool="pay",
            arguments={"amount": 5},
            depends_on=["order"],
        ),
        TaskDraft(
            label="book",
            description="book",
            tool="book",
            arguments={"day": "Monday"},
            depends_on=["order"],
        ),
    ],
)


@pytest.fixture
async def app(each_database: str) -> AsyncIterator[App]:
    CALLS.clear()
    tools = [note, pay, book]
    async with planfold.open_app(each_database, tools=tools, executors=Executors()) as app:
        yield app


async def rows(app: App, plan_id: str) -> list[Any]:
    """A plan's events as they are stored."""
    return [page async for page in app.store.transfer.rows([plan_id])]


async def completed(app: App) -> str:
    plan_id = await app.submit(RELEASE, approved_by="ada")
    await app.run(plan_id)
    await app.answer(plan_id, "go", "yes", by="ada")
    plan = await app.run(plan_id)
    assert plan.status is PlanStatus.Completed
    CALLS.clear()
    return plan_id


def statuses(plan: Any) -> dict[str, str]:
    return {task.label: task.status.value for task in plan.tasks}


async def test_a_failed_task_runs_again_with_other_arguments(app: App) -> None:
    plan_id = await app.submit(FAILING, approved_by="ada")
    plan = await app.run(plan_id)
    assert plan.status is PlanStatus.Failed
    before = await rows(app, plan_id)
    CALLS.clear()

    fork = await app.fork(plan_id, changes={"deploy.text": "right"}, approved_by="ada")
    assert (fork.origin, fork.version, fork.effects) == (plan_id, plan.version, ())
    assert (fork.again, fork.interrupted) == ((2, 3), ())
    assert not fork.waits_for_approval
    forked = await app.run(fork.plan_id)

    assert forked.status is PlanStatus.Completed
    assert sorted(CALLS) == ["right", "tell right"]
    assert forked.task("build").result == "build"
    assert (forked.origin, forked.origin_version) == (plan_id, plan.version)
    assert await rows(app, plan_id) == before
    assert (await app.view(plan_id)).status is PlanStatus.Failed


async def test_a_changed_answer_runs_its_descendants_again(app: App) -> None:
    plan_id = await completed(app)
    before = await rows(app, plan_id)
    fork = await app.fork(plan_id, answers={"go": "no"}, by="bob")
    assert fork.again == (4,)
    assert not fork.waits_for_approval
    forked = await app.run(fork.plan_id)
    assert forked.task("publish").result == "publish no"
    assert forked.task("go").result == "no"
    assert CALLS == ["publish no"]
    assert await rows(app, plan_id) == before


async def test_later_answers_are_asked_again_unless_they_are_kept(app: App) -> None:
    plan_id = await completed(app)
    asks = await app.fork(plan_id, at="go")
    assert (await app.run(asks.plan_id)).status is PlanStatus.AwaitingAnswer
    keeps = await app.fork(plan_id, at="go", keep_answers=True)
    forked = await app.run(keeps.plan_id)
    assert forked.status is PlanStatus.Completed
    assert forked.task("publish").result == "publish yes"
    given = await app.fork(plan_id, at="go", answers={"go": "no"}, keep_answers=True)
    assert (await app.run(given.plan_id)).task("publish").result == "publish no"
    received = Query(event_type="ClarificationReceived", aggregate_id=given.plan_id)
    (answered,) = await app.log.read(received)
    assert (answered.event.answer, answered.event.by) == ("no", "fork")
