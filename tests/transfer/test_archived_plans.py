"""What an App says of a plan that was archived under its feet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from histories import open_store

import planfold
from planfold.app import App
from planfold.errors import CommandRejected, NotFound
from planfold.planner.commands import CancelPlan
from planfold.runtime.aggregate import PLAN
from planfold.transfer.archive import Choice, archive
from planfold.transfer.export_file import ExportFile
from planfold.transfer.importer import import_file
from testbed.patience import PATIENCE_S

ANY_AGE = Choice("plan", frozenset({"cancelled"}), 1e12)
DRAFT = planfold.PlanDraft(title="t", tasks=[planfold.TaskDraft(description="d")])


@pytest.fixture
async def app(address: str) -> AsyncIterator[App]:
    database = address if "://" in address else f"sqlite:///{address}"
    async with planfold.open_app(database) as app, asyncio.timeout(PATIENCE_S):
        yield app


@pytest.mark.parametrize("by", ["this process", "another"])
async def test_it_is_gone_until_it_is_imported(
    app: App, address: str, tmp_path: Path, by: str
) -> None:
    await app.submit(DRAFT, plan_id="p")
    await app.send("p", CancelPlan(), command_id="c")
    store = app.store if by == "this process" else await open_store(address)
    done = await archive(store, tmp_path, ANY_AGE)
    if store is not app.store:
        await store.close()
    assert done.streams == 1
    with pytest.raises(CommandRejected, match=r"plan p was archived; import .* to bring it back"):
        await app.submit(DRAFT, plan_id="p")
    with pytest.raises(NotFound):
        await app.send("p", CancelPlan(), command_id="c")
    with pytest.raises(NotFound):
        await app.view("p")
    with pytest.raises(NotFound):
        await app.status("p")
    with Path(done.files[0]).open("rb") as file:  # noqa: ASYNC230
        await import_file(app.store, ExportFile(file, "x"))
    assert await app.status("p") is planfold.PlanStatus.Cancelled
    assert await app.send("p", CancelPlan(), command_id="c") == []
    assert await app.submit(DRAFT, plan_id="p") == "p"


@pytest.mark.parametrize("by", ["this process", "another"])
async def test_a_process_that_has_it_in_memory_notices(
    app: App, address: str, tmp_path: Path, by: str
) -> None:
    """A service keeps the plans that it has shown until others have written."""
    app.store.watch_other_processes()
    await app.submit(DRAFT, plan_id="p")
    await app.send("p", CancelPlan())

    async def status() -> str:
        try:
            return await app.status("p")
        except NotFound:
            return "absent"

    async def until(wanted: str) -> None:
        while await status() != wanted:  # a message is on its way
            await asyncio.to_thread(time.sleep, 0.01)

    # Nothing of before is still to be noticed.
    while app.dispatcher.settled(PLAN, "p") is None:
        await app.planner("p")
        await asyncio.sleep(0.01)
    store = app.store if by == "this process" else await open_store(address)
    done = await archive(store, tmp_path, ANY_AGE)
    if by == "another":
        await until("absent")
    assert await status() == "absent"
    with Path(done.files[0]).open("rb") as file:  # noqa: ASYNC230
        await import_file(store, ExportFile(file, "x"))
    await until("cancelled")
    if store is not app.store:
        await store.close()
