"""``[notify]`` in ``planfold.toml``: workers, ``run`` and ``resume`` deliver what happened."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from command_line import called, ended, sh, start, wait_until, write_plan

from planfold import Settings
from planfold.cli.access import let_tools_be_found
from planfold.types import NotifyTarget

SETTINGS = """
[notify.desk]
command = ["sh", "-c", "cat >> got.jsonl; echo >> got.jsonl"]
on = ["completed"]
"""


def received() -> list[str]:
    """The texts of the notifications."""
    return [json.loads(line)["text"].removeprefix("A plan ") for line in lines("got.jsonl")]


def lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8").splitlines() if Path(path).exists() else []


def test_a_worker_delivers_what_happened_after_it_was_killed() -> None:
    got = Path("got.jsonl")
    Path("planfold.toml").write_text(SETTINGS, encoding="utf-8")
    worker = start("worker")
    assert worker.stdout is not None
    assert "serves" in worker.stdout.readline()
    worker.kill()
    ended(worker)
    assert not got.exists()
    plan = write_plan(sh("later", "true"))
    called("run", "--yes", "--detach", plan)
    Path("planfold.toml").write_text("")
    called("resume")
    Path("planfold.toml").write_text(SETTINGS, encoding="utf-8")
    worker = start("worker")
    try:
        wait_until(lambda: got.exists() and got.read_text().endswith("}\n"), "it is delivered")
    finally:
        worker.send_signal(signal.SIGTERM)
        code, _, errors = ended(worker)
    assert (code, errors) == (0, "")
    (line,) = got.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["text"].endswith("is completed")


def test_a_target_that_cannot_work_is_refused() -> None:
    Path("planfold.toml").write_text('[notify.desk]\nurl = "ftp://x"\n', encoding="utf-8")
    shown = called("list", code=2)
    assert "notify.desk.url: it must begin with http:// or https://" in shown


def test_a_function_may_be_in_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the tools that planfold.toml names."""
    monkeypatch.setattr(sys, "path", [])
    let_tools_be_found(Settings(notify={"desk": NotifyTarget(command=("true",))}), [])
    assert sys.path == []
    let_tools_be_found(Settings(notify={"desk": NotifyTarget(function="ops:page")}), [])
    assert sys.path == [os.getcwd()]


def test_run_delivers_before_it_ends() -> None:
    Path("planfold.toml").write_text(SETTINGS.replace('["completed"]', '["failed", "completed"]'))
    called("run", "--yes", write_plan(sh("works", "true")))
    called("run", "--yes", write_plan(sh("fails", "false")), code=1)
    assert [text.partition(":")[0] for text in received()] == ["is completed", "has failed"]


def test_run_delivers_that_a_plan_waits_and_resume_that_it_ended() -> None:
    Path("planfold.toml").write_text(SETTINGS.replace('["completed"]', '["approval", "completed"]'))
    called("run", write_plan(sh("works", "true")), code=3)
    assert received() == ["waits for approval of 1 task"]
    called("approve")
    called("resume")
    assert received()[1:] == ["is completed"]


def test_a_target_that_fails_does_not_change_how_run_ends(caplog: pytest.LogCaptureFixture) -> None:
    failing = SETTINGS.replace("cat >> got.jsonl; echo >> got.jsonl", "echo it is full >&2; exit 1")
    Path("planfold.toml").write_text(failing)
    called("run", "--yes", write_plan(sh("works", "true")))
    assert "was not delivered" in caplog.text
    assert "it is full" in caplog.text


def test_a_function_that_is_missing_is_refused_before_anything_is_recorded() -> None:
    Path("planfold.toml").write_text('[notify.desk]\nfunction = "no_such_module:page"\n')
    shown = called("run", "--yes", write_plan(sh("works", "true")), code=2)
    assert "notify.desk.function: no_such_module:page cannot be imported" in shown
    assert not Path(".planfold/plans.db").exists()
