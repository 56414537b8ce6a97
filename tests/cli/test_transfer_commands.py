"""export, import, archive and migrate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from command_line import (
    called,
    environment,
    lines_of,
    sh,
    shown,
    start,
    wait_until,
    write_plan,
)

from testbed.patience import PATIENCE_S

DATABASE = Path(".planfold/planfold.db")
OTHER = "sqlite:///other.db"


@pytest.fixture
def plans() -> list[str]:
    """Two plans that are completed, one that failed, one that waits for approval."""
    write_plan(sh("a", "echo a"), name="good.json")
    write_plan(sh("a", "exit 3"), name="bad.json")
    for name, code, more in (("one", 0, "good"), ("two", 0, "good"), ("three", 1, "bad")):
        called("run", f"{more}.json", "--yes", "--id", name, code=code)
    called("run", "good.json", "--detach", "--id", "four", code=3)
    return ["one", "two", "three", "four"]


def body(path: str) -> list[bytes]:
    return Path(path).read_bytes().split(b"\n")[1:-2]


def ids(*words: str) -> list[str]:
    return [plan["id"] for plan in json.loads(called("list", "--json", *words))][::-1]


def test_plans_move_to_another_database_and_back(plans: list[str]) -> None:
    assert "Exported 4 streams with " in called("export", "--to", "x.jsonl")
    before = shown("one")
    assert "Would import" in called("import", "x.jsonl", "--db", OTHER, "--dry-run")
    assert not Path("other.db").exists()
    assert ": 4 streams new.\n" in called("import", "x.jsonl", "--db", OTHER)
    assert ids("--db", OTHER) == plans
    assert shown("one", "--db", OTHER) == before
    called("export", "--to", "y.jsonl", "--db", OTHER)
    assert body("x.jsonl") == body("y.jsonl")
    assert called("import", "y.jsonl") == "Imported 0 events: 4 already there.\n"


def test_one_plan_through_a_pipe(plans: list[str]) -> None:
    command = (
        f"{sys.executable} -m planfold export two | "
        f"{sys.executable} -m planfold --db {OTHER} import - --json"
    )
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stderr.startswith("Exported 1 stream with ")
    found = json.loads(done.stdout)
    assert (found["new"], found["file"], found["dry_run"]) == (1, "-", False)
    assert ids("--db", OTHER) == ["two"]


def test_a_file_is_not_overwritten_by_mistake(plans: list[str]) -> None:
    Path("x.jsonl").write_text("precious")
    out = called("export", "--to", "x.jsonl", code=2)
    assert "x.jsonl already exists; name another file, or overwrite it; --force does that" in out
    assert Path("x.jsonl").read_text() == "precious"
    called("export", "one", "--to", "x.jsonl", "--force")
    assert len(body("x.jsonl")) > 3
    assert sorted(os.listdir()) == [".planfold", "bad.json", "good.json", "x.jsonl"]


def test_what_cannot_be_written_is_named(plans: list[str]) -> None:
    assert "there is no file none/x.jsonl, or no such folder" in called(
        "export", "--to", "none/x.jsonl", code=2
    )
    assert "/dev/null is not a file" in called("export", "--to", "/dev/null", "--force", code=2)
    assert "name a file with --to" in called("export", "--json", code=2)
    assert "there is no plan 'nine'" in called("export", "nine", code=2)


def test_an_export_that_is_interrupted_leaves_no_file(plans: list[str]) -> None:
    Path("full").mkdir()
    process = start("export", "--to", "full/x.jsonl")
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    left = sorted(os.listdir("full"))
    assert left in ([], ["x.jsonl"])  # it may have been quicker


def test_a_bad_file_makes_no_database(plans: list[str]) -> None:
    called("export", "--to", "x.jsonl")
    data = Path("x.jsonl").read_bytes()
    Path("y.jsonl").write_bytes(data[:-100])
    out = called("import", "y.jsonl", "--db", OTHER, code=1)
    assert "y.jsonl, line " in out
    assert "Nothing was imported." in out
    assert not Path("other.db").exists()
    assert "there is no file none.jsonl" in called("import", "none.jsonl", "--db", OTHER, code=2)


def test_another_history_is_refused(plans: list[str]) -> None:
    called("run", "good.json", "--yes", "--id", "two", "--db", OTHER)
    called("export", "--to", "x.jsonl")
    out = called("import", "x.jsonl", "--db", OTHER, code=2)
    assert "nothing was imported from x.jsonl:\ntwo exists with a different history" in out
    assert ids("--db", OTHER) == ["two"]


def test_output_in_files_is_reported(plans: list[str]) -> None:
    write_plan(sh("long", "head -c 3000000 /dev/zero | tr '\\0' x"), name="long.json")
    called("run", "long.json", "--yes", "--id", "long")
    out = called("export", "--to", "x.jsonl")
    assert "note: 1 plan (long) refer to files in " in out
    assert f"{DATABASE.resolve()}.files/, which are not in the export; copy them too" in out


def test_a_task_that_was_running_is_not_run_twice(folder: Path) -> None:
    script = "echo begun >> begun.txt; sleep 60"
    write_plan(sh("pay", script, effect="once"), name="pay.json")
    process = start("run", "pay.json", "--yes", "--id", "pay")
    wait_until(lambda: lines_of("begun.txt") == ["begun"], "the task runs")
    called("export", "--to", "x.jsonl")
    process.kill()
    process.communicate()
    assert "1 stream new" in called("import", "x.jsonl", "--db", OTHER)
    out = called("resume", "pay", "--db", OTHER, code=3)
    assert lines_of("begun.txt") == ["begun"]
    assert "It waits for an answer" in out


# --- archive ------------------------------------------------------------------------------------


def test_old_plans_are_archived_and_come_back(plans: list[str]) -> None:
    assert "Would archive 3 plans" in called("archive", "--older-than", "0h", "--dry-run")
    out = called("archive", "--older-than", "0h", "--to", "old")
    [file] = Path("old").iterdir()
    assert out.startswith("Archived 3 plans with ")
    assert str(file.resolve()) in out
    assert ids() == ["four"]
    assert called("archive", "--older-than", "0h", "--to", "old").startswith("Archived 0 plans")
    assert list(Path("old").iterdir()) == [file]
    assert "3 of them from the archive" in called("import", str(file))
    assert sorted(ids()) == sorted(plans)
    assert shown("one")["status"] == "completed"


def test_what_is_young_or_has_another_status_stays(plans: list[str]) -> None:
    assert "Archived 0 plans" in called("archive", "--older-than", "1h")
    out = called("archive", "--older-than", "0h", "--status", "failed", "--to", "old", "--json")
    found = json.loads(out)
    assert (found["streams"], found["left"], len(found["files"])) == (1, {}, 1)
    assert ids() == ["one", "two", "four"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--older-than", "90"], "'90' is not an age; write 12h (hours), 90d (days) or 2w (weeks)"),
        (["--older-than", "3m"], "'3m' is not an age"),
        (["--older-than", "-1d"], "'-1d' is not an age"),
        ([], "Missing option '--older-than'"),
        (
            ["--older-than", "1d", "--status", "running"],
            "'running' is not a status of ended plans; write",
        ),
        (["--older-than", "1d", "--status", ""], "is not a status of ended plans"),
    ],
)
def test_what_to_archive_must_be_said_clearly(words: list[str], message: str) -> None:
    assert message in called("archive", *words, code=2)


def test_a_plan_cannot_be_submitted_under_an_archived_id(plans: list[str]) -> None:
    called("archive", "--older-than", "0h", "--to", "old")
    [file] = Path("old").iterdir()
    out = called("run", "good.json", "--yes", "--id", "one", code=2)
    assert (
        f"plan one was archived; import {file.resolve()} to bring it back; `planfold import`" in out
    )


def test_show_says_where_an_archived_plan_is(plans: list[str]) -> None:
    called("archive", "--older-than", "0h", "--to", "old")
    [file] = Path("old").iterdir()
    for key in ("one", "on"):
        out = called("show", key, code=2)
        assert f"one was archived; import {file.resolve()} to bring it back" in out
    assert "there is no plan 'none'" in called("show", "none", code=2)


# --- PostgreSQL ---------------------------------------------------------------------------------


def test_plans_move_to_postgresql_and_back(plans: list[str], empty_postgres_database: str) -> None:
    called("export", "--to", "x.jsonl")
    Path("y.jsonl").write_bytes(Path("x.jsonl").read_bytes()[:-9])
    called("import", "y.jsonl", "--db", empty_postgres_database, code=1)
    called("import", "x.jsonl", "--db", empty_postgres_database, "--dry-run")
    assert "no database at" in called("list", "--db", empty_postgres_database, code=2)
    assert "4 streams new" in called("import", "x.jsonl", "--db", empty_postgres_database)
    assert ids("--db", empty_postgres_database) == plans
    assert shown("one", "--db", empty_postgres_database) == shown("one")
    called("export", "--to", "z.jsonl", "--db", empty_postgres_database)
    assert body("x.jsonl") == body("z.jsonl")
    out = called("archive", "--older-than", "0h", "--to", "old", "--db", empty_postgres_database)
    assert out.startswith("Archived 3 plans")
    out = called("run", "good.json", "--id", "one", "--db", empty_postgres_database, code=2)
    assert "plan one was archived; import " in out
    assert "was archived" in called("show", "two", "--db", empty_postgres_database, code=2)
    [file] = Path("old").iterdir()
    assert "3 of them from the archive" in called(
        "import", str(file), "--db", empty_postgres_database
    )


def test_migrating_on_postgresql(plans: list[str], empty_postgres_database: str) -> None:
    called("export", "one", "--to", "x.jsonl")
    assert "no database at" in called("migrate", "--check", "--db", empty_postgres_database, code=2)
    called("import", "x.jsonl", "--db", empty_postgres_database)
    assert "up to date" in called("migrate", "--check", "--db", empty_postgres_database)
    called("export", "two", "--to", "y.jsonl")
    assert "1 stream new" in called("import", "y.jsonl", "--db", empty_postgres_database)


# --- migrate ------------------------------------------------------------------------------------


def set_schema(version: int) -> None:
    connection = apsw.Connection(str(DATABASE))
    connection.pragma("user_version", version)
    connection.close()


def test_check_changes_nothing(plans: list[str]) -> None:
    assert "up to date" in called("migrate", "--check")
    found = json.loads(called("migrate", "--check", "--json"))
    newest = found["newest"]
    assert (found["before"], found["after"]) == (newest, newest)
    set_schema(newest - 1)
    out = called("migrate", "--check", code=1)
    assert out == f"Schema {newest - 1}; `planfold migrate` brings it to {newest}.\n"
    assert called("migrate", "--check", code=1) == out
    set_schema(newest + 1)
    assert "upgrade planfold" in called("migrate", "--check", code=1)
    assert "upgrade planfold" in called("migrate", code=2)


def test_a_restored_database_says_so(plans: list[str]) -> None:
    found = json.loads(called("migrate", "--restored", "--json"))
    assert found["epoch"] == 2
    assert "Epoch 3: checkpoints that were saved before are refused." in called(
        "migrate", "--restored"
    )


def test_options_that_do_not_go_together(plans: list[str]) -> None:
    assert "--check changes nothing" in called("migrate", "--check", "--restored", code=2)
