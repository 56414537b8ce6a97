"""A plan that is archived while it is in the cache: gone at once, and whole when it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

import planfold
from planfold.app import App
from planfold.errors import NotFound
from planfold.planner.commands import CancelPlan
from planfold.transfer.archive import Choice, archive
from planfold.transfer.export_file import ExportFile
from planfold.transfer.importer import import_file

ENDED = frozenset({"cancelled"})


async def archived(app: App, folder: Path) -> Path:
    done = await archive(app.store, folder, Choice("plan", ENDED, app.store.clock() + 60))
    assert done.streams == 1
    return Path(done.files[0])


@pytest.mark.parametrize("by_another", [False, True])
async def test_an_archived_plan_is_not_shown(
    each_database: str, tmp_path: Path, by_another: bool
) -> None:
    draft = planfold.PlanDraft(title="t", tasks=[planfold.TaskDraft(description="work")])
    async with planfold.open_app(each_database) as app, planfold.open_app(each_database) as other:
        await app.submit(draft, plan_id="p")
        await app.send("p", CancelPlan("no"))
        before = await app.view("p")
        file = await archived(other if by_another else app, tmp_path)
        for look in (app.view, app.planner, app.status, app.result):
            with pytest.raises(NotFound, match="p was archived"):
                await look("p")
        with pytest.raises(NotFound, match="p was archived"):
            await app.send("p", CancelPlan("no"))
        with file.open("rb") as archive_file:
            await import_file(other.store, ExportFile(archive_file, file.name))
        assert await app.view("p") == before
        assert await app.result("p") == before
