"""Where tasks work: fixed when the app is opened, wherever the process goes later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import planfold
from planfold import Settings, TaskDraft
from plans import finish, submit, task


def shell(script: str, *after: str) -> TaskDraft:
    return task("shell", arguments={"script": script}, effect="safe", depends_on=list(after))


def steps() -> list[TaskDraft]:
    return [
        task("leave", label="leave"),
        shell("pwd", "leave"),
        task("write_file", arguments={"path": "made.txt", "content": "x"}, depends_on=["leave"]),
        task("list_files", arguments={"path": "."}, depends_on=["leave"]),
        shell("seq 1 90000", "leave"),  # too long for the log
    ]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which the test is brought back from."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "here.txt").write_text("here")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(params=["sqlite", "postgres"])
def relative_database(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite:///.planfold/planfold.db"
    found: str = request.getfixturevalue("postgres_database")
    return found


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


async def test_a_tool_that_changes_the_folder_moves_no_other_task(
    project: Path, elsewhere: Path, relative_database: str
) -> None:
    @planfold.tool(effect="safe")
    def leave() -> str:
        os.chdir(elsewhere)
        return os.getcwd()

    async with planfold.open_app(Settings(database=relative_database), tools=[leave]) as app:
        for plan_id in ("first", "second"):
            await submit(app, *steps(), plan_id=plan_id)
            plan = await finish(app, plan_id)
            assert plan.status == "completed", plan.tasks
            results: list[Any] = [t.result for t in plan.tasks]
            assert results[0] == str(elsewhere)
            assert results[1]["stdout"] == str(project)
            assert "here.txt" in str(results[3])
            assert Path(results[4]["stdout_file"]).is_relative_to(project)
        assert (project / "made.txt").read_text() == "x"
        assert app.settings.workspace == str(project)
    assert os.listdir(elsewhere) == []


async def test_a_database_of_the_present_folder_stays_there(project: Path, elsewhere: Path) -> None:
    async with planfold.open_app("sqlite:///plans.db") as app:
        os.chdir(elsewhere)
        await submit(app, shell("test -d plans.db.workers"))
        assert (await finish(app)).status == "completed"
        assert app.settings.database == f"sqlite:///{project}/plans.db"
    assert os.listdir(elsewhere) == []
