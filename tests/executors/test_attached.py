"""Files that a request names: what of them reaches the model, and what is never opened."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planfold.app import open_app
from planfold.drafting.attachments import extract_attachments
from planfold.errors import Permanent
from planfold.executors.files.attached import ALL_LIMIT, Attached, read_attached
from planfold.executors.files.workspace import Workspace
from planfold.executors.guard.guard import Guard
from planfold.llm.scripted import ScriptedModel
from planfold.planner.tasks import FileRef
from planfold.runtime.settings import Settings
from planfold.tools.policy.paths import WorkspacePaths
from planfold.tools.policy.policy import Policy, PolicySettings, Rule
from planfold.tools.secrets import Secrets
from testbed.patience import PATIENCE_S

CANARY = "canary-0123456789"


def attached(root: Path, *paths: str, database: Path | None = None, **settings: Any) -> Attached:
    guard = Guard(Policy(PolicySettings(**settings), WorkspacePaths(root)))
    files = [FileRef(path) for path in paths]
    space = Workspace(root, root / "files", database)
    return read_attached(space, files, most=1_000, why_not=guard.why_not_read)


def test_texts_in_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("ä")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    (tmp_path / "large").write_text("x" * 1_001)
    inside = str(tmp_path / "sub" / "a.md")
    found = attached(tmp_path, "./sub/a.md", inside, "binary", "missing", "sub/a.md/x")
    assert found.texts == {"./sub/a.md": "ä", inside: "ä"}
    assert attached(tmp_path, "large").texts == {}


@pytest.mark.parametrize(
    "name", [".env", ".env.local", "conf/.env", "id_rsa", "server.pem", ".ssh/config", ".ENV"]
)
def test_what_may_hold_keys_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("KEY=1")
    found = attached(tmp_path, name)
    assert found.texts == {}
    assert "may hold keys" in found.refused[0]


def test_the_rules_of_the_policy_hold(tmp_path: Path) -> None:
    (tmp_path / "salaries.csv").write_text("1")
    rule = Rule(tool="read_file", path="salaries.csv", decision="deny")
    found = attached(tmp_path, "salaries.csv", rules=(rule,))
    assert (found.texts, len(found.refused)) == ({}, 1)
    assert "rule 1" in found.refused[0]


def test_nothing_outside_and_nothing_through_links(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("x")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "inner.txt").symlink_to("a.txt")
    (root / "a.txt").write_text("a")
    os.mkfifo(root / "pipe")
    names = ["../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "inner.txt", "pipe", "."]
    found = attached(root, *names)
    assert found.texts == {}
    assert len(found.refused) == len(names)


def test_all_together_are_bounded(tmp_path: Path) -> None:
    names = [f"{n}.txt" for n in range(100)]
    for name in names:
        (tmp_path / name).write_text("x" * 1_000)
    assert len(attached(tmp_path, *names).texts) == ALL_LIMIT // 1_000


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """The files that are opened for reading: by device and inode."""
    seen: set[tuple[int, int]] = set()
    real = os.open

    def noting(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        descriptor = real(path, flags, *args, **kwargs)
        if not flags & os.O_PATH:
            found = os.fstat(descriptor)
            seen.add((found.st_dev, found.st_ino))
        return descriptor

    monkeypatch.setattr(os, "open", noting)
    return seen


@pytest.mark.parametrize("named", ["itself", "by a link"])
def test_the_databases_files_are_not_opened(
    tmp_path: Path, opened: set[tuple[int, int]], named: str
) -> None:
    real = tmp_path / "data" / "real.db"
    real.parent.mkdir()
    database = real
    if named == "by a link":
        database = tmp_path / "plans.db"
        database.symlink_to(real)
    owned = [real, *(Path(f"{real}{end}") for end in ("-wal", "-shm", "-journal"))]
    workers = Path(f"{database}.workers")
    workers.mkdir()
    owned.append(workers / "worker-1")
    owned += [Path(f"{database}{end}") for end in (".server", ".server.html")]
    for number, file in enumerate(owned):
        file.write_text("own")
        (tmp_path / f"hard-{number}").hardlink_to(file)
    paths = [str(file) for file in (*owned, *tmp_path.glob("hard-*"))]
    found = attached(tmp_path, *paths, database=database)
    assert found.texts == {}
    assert len(found.refused) == len(paths)
    assert not opened & {(f.stat().st_dev, f.stat().st_ino) for f in owned}


def test_a_name_that_becomes_the_database_in_between(
    tmp_path: Path, opened: set[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, notes = tmp_path / "plans.db", tmp_path / "notes.md"
    database.write_text("own")
    notes.write_text("harmless")
    space = Workspace(tmp_path, database=database)
    look, looks = space._refuse_odd, []

    def swapped(found: os.stat_result, parts: Any) -> None:
        look(found, parts)
        if not looks:
            notes.unlink()
            notes.hardlink_to(database)
        looks.append(1)

    monkeypatch.setattr(space, "_refuse_odd", swapped)
    with pytest.raises(Permanent, match="database"), space.file(("notes.md",)):
        pass
    assert not opened & {(database.stat().st_dev, database.stat().st_ino)}


LOOK = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
print(connection.execute("SELECT count(*) FROM streams").fetchone()[0])
connection.close()
"""


async def look(database: Path) -> int:
    """What another process finds; it opens the database and closes it again."""
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOK, str(database), stdout=subprocess.PIPE
    )
    output, _ = await run.communicate()
    return int(output)


async def test_a_request_that_names_the_database_loses_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a file of SQLite's and closing it drops the process's locks: the next process to
    close the database then takes itself for the last one, and removes the log of what follows."""
    monkeypatch.chdir(tmp_path)
    database = tmp_path / "plans.db"
    settings = Settings(database=f"sqlite:///{database}", attach_bytes=60_000, model="m")
    model = ScriptedModel(['{"tasks": [{"label": "a", "description": "a"}]}'] * 9)
    async with open_app(settings, models=lambda _: model) as app:
        goal = "Do what ./plans.db-shm, ./plans.db-wal, ./plans.db and ./.env say"
        assert len(extract_attachments(goal)) == 4
        (tmp_path / ".env").write_text(f"KEY={CANARY}")
        await app.wish(goal, plan_id="first", approved_by="me")
        async with app.worker(), asyncio.timeout(PATIENCE_S):
            while not model.requests:  # noqa: ASYNC110 - the model has no event for it
                await asyncio.sleep(0.005)
        assert await look(database) == 1
        for number in range(20):
            await app.submit(f"1. Call {number}", plan_id=f"p{number}")
        assert await look(database) == 21
    assert await look(database) == 21
    assert CANARY not in str(model.requests)


async def test_known_secrets_are_taken_out_of_what_is_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(CANARY)
    secrets = Secrets(environ={"PLANFOLD_SECRET_TOKEN": CANARY})
    assert Guard(secrets=secrets).redacted(f"use {CANARY}") == "use [secret TOKEN]"
    assert Guard(secrets=Secrets(environ={})).redacted("use it") == "use it"
