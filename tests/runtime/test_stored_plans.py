"""A plan that is resumed from its snapshot: what a task needs is decoded before it begins, the
rest after it has begun."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import planfold
from planfold.backends.sqlite.writer import SqliteWriter
from planfold.planner import snapshots
from planfold.planner.snapshots import StoredTasks
from planfold.planner.tasks import Task
from planfold.runtime import mailbox
from planfold.runtime.aggregate import PLAN
from planfold.runtime.mailbox import Mailbox
from plans import PLAN_ID, Until, completed, submit, task


@pytest.fixture(autouse=True)
def small_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PIECE", 1)
    monkeypatch.setattr(mailbox, "SNAPSHOT_AT_REST", 1)
    monkeypatch.setattr(mailbox, "RATE_AFTER_S", 3_600.0)


@planfold.tool(effect="safe")
async def quick() -> str:
    return "done"


async def interrupt(database: str, until: Until) -> None:
    """Complete two tasks, and stop during the third."""

    @planfold.tool(effect="safe", name="slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    async with planfold.open_app(database, tools=[quick, slow]) as app:
        await submit(app, task("quick"), task("quick"), task("slow", depends_on=[1, 2]))
        async with app.worker(drain_s=0.0):
            await until(lambda: _waits_for_third(app))


async def _waits_for_third(app: planfold.App) -> bool:
    return await completed(app, 1) and await completed(app, 2)


def decoded(tasks: dict[int, Task]) -> list[int]:
    return [task_id for task_id in tasks if isinstance(dict.__getitem__(tasks, task_id), Task)]


async def test_a_task_begins_before_the_others_are_decoded(
    each_database: str, until: Until
) -> None:
    await interrupt(each_database, until)
    begun: list[bool] = []

    @planfold.tool(effect="safe", name="slow")
    async def slow() -> int:
        tasks = _loaded(app).handler.state.tasks  # type: ignore[union-attr]
        begun.append((type(tasks), decoded(tasks)) == (StoredTasks, [3]))
        return 3

    async with planfold.open_app(each_database, tools=[quick, slow]) as app:
        async with app.worker():
            await until(lambda: begun)
            view = await app.result(PLAN_ID)
        assert begun == [True]
        assert (view.status, view.task(3).result) == ("completed", 3)
        tasks = (await app.planner(PLAN_ID)).state.tasks
        assert (type(tasks), decoded(tasks)) == (dict, [1, 2, 3])


async def test_a_tool_that_looks_at_its_plan_sees_all_tasks(
    each_database: str, until: Until
) -> None:
    await interrupt(each_database, until)

    @planfold.tool(effect="safe", name="slow")
    def slow(context: planfold.TaskContext) -> list[object]:
        copied = dict(context.plan.tasks)  # in a thread, and past the methods of the mapping
        return [copied[i].result for i in (1, 2)]

    async with planfold.open_app(each_database, tools=[quick, slow]) as app:
        async with app.worker():
            view = await app.result(PLAN_ID)
        assert view.task(3).result == ["done", "done"]


async def test_what_a_loaded_state_takes_is_known_where_it_is_needed(
    each_database: str, until: Until
) -> None:
    await interrupt(each_database, until)
    async with planfold.open_app(each_database, tools=[quick]) as app:
        await app.dispatcher.view(PLAN, PLAN_ID, partly=True)
        loaded = _loaded(app)
        assert loaded.size == 0
        await app.dispatcher.save_snapshots()
        assert loaded.size > 0
        assert loaded.phase == "active"


def _loaded(app: planfold.App) -> Mailbox:
    return app.dispatcher._mailboxes[PLAN.stream_id, PLAN_ID]


async def test_a_snapshot_of_which_a_task_cannot_be_decoded_is_not_used(
    each_database: str, until: Until
) -> None:
    await interrupt(each_database, until)
    async with planfold.open_app(each_database, tools=[quick]) as app:
        version, data = await app.store.checkpoints.snapshot(PLAN_ID)
        await app.store.checkpoints.save_snapshot(PLAN_ID, version, data[:-9] + b"not zlib!")
        assert (await app.view(PLAN_ID)).task(1).result == "done"
    async with planfold.open_app(each_database, tools=[quick]) as app:
        await app.tag(PLAN_ID, add=["seen"])
        state = (await app.planner(PLAN_ID)).state
        assert (state.tags, state.tasks[1].result) == (("seen",), "done")


async def test_a_worker_is_recorded_in_the_commit_that_renews_its_leases(
    database: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    transaction = SqliteWriter._transaction

    def counted(writer: SqliteWriter, works: list[Any]) -> list[Any]:
        commits.append(len(works))
        return transaction(writer, works)

    async with planfold.open_app(database) as app:
        monkeypatch.setattr(SqliteWriter, "_transaction", counted)
        async with app.worker():
            await until(lambda: app.store.queue.workers())
    assert commits[0] == 2
