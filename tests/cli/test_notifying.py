"""``[notify]`` in ``planfold.toml``: a worker delivers, also what happened while none ran."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from command_line import called, ended, sh, start, wait_until, write_plan

SETTINGS = """
[notify.desk]
command = ["sh", "-c", "cat >> got.jsonl; echo >> got.jsonl"]
on = ["completed"]
"""


def test_a_worker_delivers_what_happened_after_it_was_killed() -> None:
    got = Path("got.jsonl")
    Path("planfold.toml").write_text(SETTINGS, encoding="utf-8")
    called("run", "--yes", write_plan(sh("before", "true")))
    worker = start("worker")
    assert worker.stdout is not None
    assert "serves" in worker.stdout.readline()
    worker.kill()
    ended(worker)
    assert not got.exists()
    called("run", "--yes", write_plan(sh("later", "true")))
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
