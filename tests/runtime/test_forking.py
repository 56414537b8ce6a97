"""Forks on both backends: what runs again, what is reused, and that the origin stays as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

import planfold
from planfold import (
    App,
    CommandRejected,
    CorruptLog,
    Effect,
    InvalidPlan,
    NotFound,
    Permanent,
    PlanDraft,
    PlanStatus,
    Settings,
    TaskDraft,
    TaskStatus,
    commands,
)
from planfold.executor import Executors
from planfold.log import Query, events
from planfold.runtime.origins import checksum_at
from planfold.testing import ScriptedModel
from planfold.types import Fork, RepeatedEffect, ToolCall

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
    if amount < 0:
        raise Permanent("there is no such amount")
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

PAYING_WRONGLY = PlanDraft(
    title="Pays",
    tasks=[
        PAYING.tasks[0],
        msgspec.structs.replace(PAYING.tasks[1], arguments={"amount": -5}),
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


async def test_a_dry_run_names_each_effect_and_writes_nothing(app: App) -> None:
    plan_id = await app.submit(PAYING, approved_by="ada")
    await app.run(plan_id)
    last = await app.log.last_position()
    fork = await app.fork(plan_id, changes={"order.text": "more"}, dry_run=True)
    assert fork.plan_id == ""
    assert fork.again == (1, 2, 3)
    assert isinstance(fork, Fork)
    assert fork.effects == (
        RepeatedEffect(2, "pay", "pay", Effect.Once, plan_id, TaskStatus.Completed),
        RepeatedEffect(3, "book", "book", Effect.Keyed, plan_id, TaskStatus.Completed),
    )
    with pytest.raises(CommandRejected, match=r"and the fork would do so: 2 \(pay\); allow each"):
        await app.fork(plan_id, changes={"order.text": "more"})
    assert await app.log.last_position() == last
    assert len(await app.plans()) == 1

    allowed = await app.fork(
        plan_id, changes={"order.text": "more"}, repeat=["pay"], approved_by="ada"
    )
    CALLS.clear()
    assert (await app.run(allowed.plan_id)).status is PlanStatus.Completed
    assert sorted(CALLS) == ["book Monday", "more", "pay 5"]


async def test_an_effect_after_the_version_counts_too(app: App) -> None:
    plan_id = await app.submit(PAYING, approved_by="ada")
    await app.run(plan_id)
    with pytest.raises(CommandRejected, match="pay"):
        await app.fork(plan_id, at="pay")
    fork = await app.fork(plan_id, at="pay", repeat=["pay"], dry_run=True)
    assert (fork.again, fork.interrupted, fork.to_come) == ((), (), (2, 3))
    assert [e.label for e in fork.effects] == ["pay", "book"]


async def test_an_effect_that_may_still_happen_in_a_running_origin_counts_too(app: App) -> None:
    plan_id = await app.submit(PAYING)  # it waits for approval
    with pytest.raises(CommandRejected, match="pay"):
        await app.fork(plan_id)
    fork = await app.fork(plan_id, repeat=["pay"])
    again = await app.fork(fork.plan_id, dry_run=True)
    assert [(e.label, e.plan_id) for e in again.effects] == [
        ("pay", fork.plan_id),
        ("book", fork.plan_id),
    ]
    for each in (plan_id, fork.plan_id):
        await app.cancel(each)
    assert (await app.fork(plan_id, at=1, dry_run=True)).effects == ()


async def test_a_fork_of_a_fork_counts_what_its_origin_did_later(app: App) -> None:
    plan_id = await app.submit(PAYING, approved_by="ada")
    fork = await app.fork(plan_id, at=1, repeat=["pay"])
    await app.cancel(fork.plan_id)
    await app.run(plan_id)
    second = await app.fork(fork.plan_id, at=1, dry_run=True)
    assert [(e.label, e.plan_id) for e in second.effects] == [("pay", plan_id), ("book", plan_id)]


@pytest.mark.parametrize("label", ["pay", "remit"])
async def test_an_effect_of_what_a_revision_put_in_its_place_counts(app: App, label: str) -> None:
    plan_id = await app.submit(PAYING_WRONGLY, approved_by="ada")
    await app.run(plan_id)
    right = msgspec.structs.replace(PAYING_WRONGLY.tasks[1], label=label, arguments={"amount": 5})
    await app.revise(plan_id, PlanDraft(title="Pays", tasks=[right]), approved_by="ada")
    assert (await app.run(plan_id)).status is PlanStatus.Completed
    changes = {"pay.amount": 7}
    tried = await app.fork(plan_id, at=1, changes=changes, dry_run=True)
    assert [(e.task_id, e.status, e.happened_as) for e in tried.effects] == [
        (2, TaskStatus.Completed, (3,))
    ]
    with pytest.raises(CommandRejected, match=r"2 \(pay\); allow each"):
        await app.fork(plan_id, at=1, changes=changes)
    await app.fork(plan_id, at=1, changes=changes, repeat=["pay"])


async def test_effects_of_tasks_that_a_model_drafted_later_count(database: str) -> None:
    task = {"label": "pay", "kind": "tool_call", "description": "pay", "tool": "pay"}
    text = json.dumps({"tasks": [{**task, "arguments": {"amount": 5}}]})
    settings = Settings(database=database, model="scripted")
    async with planfold.open_app(
        settings, tools=[pay], models=lambda _: ScriptedModel([text])
    ) as app:
        plan_id = await app.wish("pay them", approved_by="ada")
        (question,) = (await app.run(plan_id)).questions
        await app.answer(plan_id, question.task_id, question.choices[0])
        assert (await app.run(plan_id)).status is PlanStatus.Completed
        tried = await app.fork(plan_id, at="1", dry_run=True)
        assert [(e.task_id, e.effect, e.happened_as) for e in tried.effects] == [
            (1, Effect.Once, (2,))
        ]
        with pytest.raises(CommandRejected, match=r"1 \(.*pay them.*\); allow each"):
            await app.fork(plan_id, at="1")
        await app.fork(plan_id, at="1", repeat=["1"])

        plan_id = await app.wish("pay more", approved_by="ada")  # its model has not planned yet
        (effect,) = (await app.fork(plan_id, dry_run=True)).effects
        assert (effect.task_id, effect.effect, effect.happened_as) == (1, Effect.Once, ())


async def test_a_running_plan_is_forked_while_it_runs(app: App) -> None:
    plan_id = await app.submit(FAILING, approved_by="ada")
    fork = await app.fork(plan_id, changes={"deploy.text": "right"}, approved_by="bob")
    assert fork.interrupted == (1, 4)  # queued in the origin, too
    forked = await app.run(fork.plan_id)
    assert forked.status is PlanStatus.Completed
    assert set(statuses(await app.view(plan_id)).values()) == {"running", "planned"}
    assert (await app.run(plan_id)).status is PlanStatus.Failed


async def test_forks_of_forks_read_through_all_origins(app: App) -> None:
    plan_id = await completed(app)
    latest, before = plan_id, await rows(app, plan_id)
    for number in range(5):
        fork = await app.fork(latest, answers={"go": "no" if number % 2 == 0 else "yes"})
        assert (await app.run(fork.plan_id)).status is PlanStatus.Completed
        latest = fork.plan_id
    assert (await app.view(latest)).task("publish").result == "publish no"
    fold = await app.fold(latest)
    assert fold.state.tasks[1].result == "build"
    assert fold.state.origins[-1][0] == plan_id
    assert (await app.replay(latest)).difference is None
    assert await rows(app, plan_id) == before


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"at": 0}, NotFound, "no version 0; its versions are 1 to"),
        ({"at": 10_000}, NotFound, "no version 10000"),
        ({"at": "nowhere"}, NotFound, "no task 'nowhere'; its tasks: 1 .build."),
        ({"answers": {"nowhere": "x"}}, NotFound, "no task 'nowhere'"),
        ({"answers": {"go": "perhaps"}}, CommandRejected, "takes one of: 1. yes, 2. no"),
        ({"answers": {"build": "x"}}, CommandRejected, "is not a question"),
        ({"answers": {"go": "\ud800"}}, CommandRejected, "answers"),
        ({"repeat": ["nowhere"]}, NotFound, "no task 'nowhere'"),
        ({"changes": {"nowhere.text": 1}}, InvalidPlan, "names no task of the plan"),
        ({"changes": {"build": 1}}, InvalidPlan, "names no field"),
        ({"changes": {"build.colour": 1}}, InvalidPlan, "its fields: description, text, timeout"),
        ({"changes": {"build.text": 1}}, InvalidPlan, "string"),
        ({"changes": {"build.text": "$publish"}}, CommandRejected, "wait for each other"),
        ({"changes": {"build.text": "$nowhere"}}, InvalidPlan, "nowhere"),
        ({"changes": {"build.timeout": -1}}, InvalidPlan, "timeout"),
        ({"by": "\0", "answers": {"go": "no"}}, CommandRejected, "by"),
    ],
)
async def test_what_does_not_fit_changes_nothing(
    app: App, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    plan_id = await completed(app)
    last = await app.log.last_position()
    with pytest.raises(error, match=match):
        await app.fork(plan_id, **options)
    assert await app.log.last_position() == last
    assert len(await app.plans()) == 1


async def test_a_task_that_has_not_begun_is_no_place_to_fork(app: App) -> None:
    plan_id = await app.submit(RELEASE, approved_by="ada")
    with pytest.raises(CommandRejected, match=r"task 4 has not begun \(it is planned\); name a v"):
        await app.fork(plan_id, at="publish")
    await app.run(plan_id)
    fork = await app.fork(plan_id)
    with pytest.raises(CommandRejected, match=f"was forked; fork {plan_id} instead"):
        await app.fork(fork.plan_id, at="build")


async def test_a_wait_and_a_task_decided_by_hand_are_places_to_fork(app: App) -> None:
    waits = TaskDraft(label="paid", description="Wait", wait_for="paid", key="17")
    asks = TaskDraft(label="go", description="Go?", kind="clarification")
    asks = msgspec.structs.replace(asks, depends_on=["paid"])
    plan_id = await app.submit(PlanDraft(title="Order", tasks=[waits, asks]), approved_by="ada")
    assert (await app.fork(plan_id, at="paid", dry_run=True)).version == 2
    await app.skip(plan_id, "go")
    assert (await app.fork(plan_id, at="go", dry_run=True)).version == 3
    fork = await app.fork(plan_id, at="paid")
    async with app.worker():
        await app.signal("paid", "17", "yes")
        assert (await app.result(plan_id)).task("paid").result == "yes"
    assert (await app.view(fork.plan_id)).task("paid").result == "yes"


async def test_a_version_in_the_middle_of_a_decision_means_its_end(app: App) -> None:
    plan_id = await app.submit(RELEASE, approved_by="ada")  # planned and approved at once
    fork = await app.fork(plan_id, at=1)
    assert fork.version == 2
    command = commands.ForkPlan(origin=plan_id, version=1)
    with pytest.raises(CommandRejected, match="in the middle of a decision, which ends at ver"):
        await app.send("mine", command)
    with pytest.raises(NotFound):
        await app.view("mine")
    await app.submit(RELEASE, plan_id="mine")  # the id is free


async def test_a_new_reference_makes_a_dependency(app: App) -> None:
    plan_id = await completed(app)
    fork = await app.fork(plan_id, changes={"publish.text": "publish $build"}, approved_by="ada")
    forked = await app.run(fork.plan_id)
    assert forked.task("publish").result == "publish build"
    assert forked.task("publish").depends_on == (1, 2, 3)


async def test_a_checkpoint_is_restored(app: App) -> None:
    plan_id = await app.submit(RELEASE, approved_by="ada")
    await app.run(plan_id)
    version = await app.checkpoint(plan_id, "before the answer")
    with pytest.raises(CommandRejected, match="choose another name"):
        await app.checkpoint(plan_id, "before the answer")
    await app.answer(plan_id, "go", "yes")
    await app.run(plan_id)
    assert (await app.view(plan_id)).checkpoints == {"before the answer": version}
    CALLS.clear()

    restored = await app.restore(plan_id, "before the answer")
    assert (restored.origin, restored.version) == (plan_id, version)
    assert (await app.run(restored.plan_id)).status is PlanStatus.AwaitingAnswer
    assert CALLS == []
    kept = await app.restore(plan_id, "before the answer", keep_answers=True)
    assert (await app.run(kept.plan_id)).status is PlanStatus.Completed
    with pytest.raises(NotFound, match="no checkpoint 'x'; its checkpoints: before the answer"):
        await app.restore(plan_id, "x")
    with pytest.raises(NotFound):
        await app.checkpoint("nowhere", "x")


async def test_a_fork_costs_little(app: App) -> None:
    """Bytes of its rows, without the cache of its state; the origin has 300 tasks."""
    tasks = [
        TaskDraft(id=i, description=f"task {i}", tool="note", arguments={"text": f"{i} " * 100})
        for i in range(1, 301)
    ]
    plan_id = await app.submit(PlanDraft(title="long", tasks=tasks), approved_by="ada")
    await app.run(plan_id)
    fork = await app.fork(plan_id, changes={"7.text": "seven"}, approved_by="ada")
    assert len(msgspec.json.encode(await rows(app, plan_id))) > 400_000
    assert len(msgspec.json.encode(await rows(app, fork.plan_id))) < 5 * 1024
    assert await app.store.checkpoints.snapshot(fork.plan_id) is None
    forked = await app.run(fork.plan_id)
    assert forked.task(7).result == "seven"
    assert len(msgspec.json.encode(await rows(app, fork.plan_id))) < 5 * 1024


async def test_another_process_reads_a_fork_from_its_origin(app: App, each_database: str) -> None:
    plan_id = await completed(app)
    fork = await app.fork(plan_id, answers={"go": "no"})
    async with planfold.open_app(each_database, load=False, create=False) as other:
        view = await other.view(fork.plan_id)
        assert statuses(view)["publish"] in ("planned", "running")
        assert view.task("build").result == "build"
        statistics = (await other.statistics()).figures()[""]
    assert (statistics.plans_begun, statistics.plans["completed"]) == (2, 1)
    assert statistics.tasks["completed"] == 4


async def test_explanations_of_a_fork_begin_with_it(app: App) -> None:
    plan_id = await completed(app)
    fork = await app.fork(plan_id, answers={"go": "no"})
    why = await app.why(fork.plan_id, "publish")
    assert why.reasons
    plan = await app.run(fork.plan_id)
    ledger = await app.ledger(fork.plan_id)
    assert ledger.start == plan.created_at > (await app.view(plan_id)).created_at
    assert ledger.seconds < 60
    trace = await app.trace(fork.plan_id)
    spans = trace["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len(spans) == 2  # the plan, and the task that ran again
    assert "publish" in await app.picture(fork.plan_id)
    assert (await app.what_if(fork.plan_id)).changed >= 0
    difference = await app.diff(plan_id, fork.plan_id)
    assert difference.divergence is not None
    assert isinstance(difference.divergence.events[1], events.PlanForked)
    assert {task.label for task in difference.tasks if task.changes} == {"go", "publish"}
    seen = [envelope.event_type async for envelope in app.watch(fork.plan_id)]
    assert (seen[0], seen[-1]) == ("PlanForked", "PlanningCompleted")


async def test_a_checkpoint_of_an_ended_plan_does_not_make_it_longer(app: App) -> None:
    plan_id = await completed(app)
    before = await app.ledger(plan_id)
    await app.checkpoint(plan_id, "end")
    assert (await app.ledger(plan_id)).seconds == before.seconds
    assert (await app.replay(plan_id)).difference is None


async def test_a_command_of_ones_own_is_checked_too(app: App) -> None:
    plan_id = await completed(app)
    command = commands.ForkPlan(origin="nowhere", version=1)
    with pytest.raises(NotFound, match="no plan 'nowhere'"):
        await app.send("mine", command)
    with pytest.raises(CommandRejected, match="a plan with this id already"):
        await app.send(plan_id, commands.ForkPlan(origin=plan_id, version=2))
    state = (await app.planner(plan_id)).state
    wrong = msgspec.structs.replace(state.tasks[1].spec, tool=ToolCall("note", {"n": 1}))
    command = commands.ForkPlan(origin=plan_id, version=state.version, tasks=(wrong,))
    with pytest.raises(InvalidPlan, match="n"):
        await app.send("mine", command)


async def test_commands_to_one_new_plan_are_decided_one_by_one(app: App) -> None:
    plan_id, other_id = await completed(app), await app.submit(FAILING, approved_by="ada")

    async def fork_of(origin: str, **fields: Any) -> commands.ForkPlan:
        version = (await app.planner(origin)).state.version
        checksum = await checksum_at(app.store, origin, version)  # so that sending reads nothing
        return commands.ForkPlan(origin=origin, version=version, checksum=checksum, **fields)

    refused, fork = await fork_of(plan_id, repeat=(77,)), await fork_of(other_id)
    first, second = await asyncio.gather(
        app.send("mine", refused), app.send("mine", fork), return_exceptions=True
    )
    assert isinstance(first, NotFound)
    assert isinstance(second, list)
    assert (await app.planner("mine")).state.title == "Fails"
    assert (await app.replay("mine")).difference is None
    plan = commands.Initialize("New", (commands.TaskSpec(id=1, description="x"),))
    results = await asyncio.gather(
        app.send("new", refused), app.send("new", plan), return_exceptions=True
    )
    assert isinstance(results[0], NotFound)
    assert (await app.planner("new")).state.title == "New"


async def test_a_refused_fork_leaves_nothing_in_memory(app: App) -> None:
    plan_id = await app.submit(PAYING, approved_by="ada")
    before = list(app.dispatcher._mailboxes)
    with pytest.raises(CommandRejected, match="pay"):
        await app.fork(plan_id)
    assert list(app.dispatcher._mailboxes) == before


async def test_a_fork_with_an_id_of_ones_own_is_made_once(app: App) -> None:
    plan_id = await app.submit(FAILING, approved_by="ada")
    await app.run(plan_id)
    changes = {"deploy.text": "right"}
    first = await app.fork(plan_id, changes=changes, approved_by="ada", fork_id="mine")
    assert first.plan_id == "mine"
    await app.retry(plan_id, "deploy")  # the origin continues, so its latest version is another one
    await app.run("mine")
    again = await app.fork(plan_id, changes=changes, approved_by="ada", fork_id="mine")
    assert (again.plan_id, again.version, again.again) == ("mine", first.version, first.again)
    assert len(await app.plans()) == 2
    for other in ({"changes": {"deploy.text": "left"}}, {"changes": changes}, {"at": 1}):
        with pytest.raises(CommandRejected, match="a plan with this id already"):
            await app.fork(plan_id, fork_id="mine", **other)
    with pytest.raises(CommandRejected, match="a plan with this id already"):
        await app.fork("mine", fork_id=plan_id)


async def test_a_fork_of_a_fork_keeps_answers_to_questions_to_come(app: App) -> None:
    ask = TaskDraft(label="first", description="First?", choices=["yes", "no"])
    then = msgspec.structs.replace(ask, label="then", depends_on=["first"])
    plan_id = await app.submit(PlanDraft(title="Asks", tasks=[ask, then]), approved_by="ada")
    await app.run(plan_id)
    child = (await app.fork(plan_id, answers={"then": "no"})).plan_id
    await app.run(child)
    for answers, expected in (({}, "no"), ({"then": "yes"}, "yes")):
        fork = (await app.fork(child, answers=answers)).plan_id
        await app.run(fork)
        await app.answer(fork, "first", "yes")
        assert (await app.run(fork)).task("then").result == expected
        assert (await app.replay(fork)).difference is None


async def test_a_fork_of_a_damaged_origin_is_not_read(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/plans.db"
    async with planfold.open_app(address, tools=[note], executors=Executors()) as app:
        plan_id = await completed(app)
        fork = await app.fork(plan_id, answers={"go": "no"})
    connection = apsw.Connection(str(tmp_path / "plans.db"))
    damage = "UPDATE events SET data = replace(data, 'Release', 'Rel3ase') WHERE aggregate_id = ?"
    connection.execute(damage, (plan_id,))
    connection.close()
    async with planfold.open_app(address, load=False) as app:
        with pytest.raises(CorruptLog, match=f"{plan_id}#1: .*a plan that continues it is read-on"):
            await app.view(fork.plan_id)
        assert fork.plan_id in (await app.statistics()).unreadable
