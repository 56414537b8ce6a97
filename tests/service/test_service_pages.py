"""The examples of the service's pages, with curl against a real service."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serve_process import serving
from served import Served

from testbed.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/howto/http-api.md").read_text(encoding="utf-8")
SCRIPT = "\n".join(re.findall(r"<!-- test -->\n```sh\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.skipif(shutil.which("curl") is None, reason="apt-get install curl")
def test_the_examples_with_curl(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/plans.db"
    with serving(database, folder=tmp_path) as (_, runtime):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-eu", "-c", SCRIPT],
            cwd=tmp_path,
            env=os.environ | {"URL": runtime.address, "PLANFOLD_DB": database, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    out = done.stdout
    assert '"name":"ada"' in out
    assert out.count('"plan_id":"release-1","version":1,"status":"awaiting_approval"') == 2
    assert '"question":{"task_id":2,"question":"Publish it?"' in out
    assert '"event_type":"PlanningCompleted"' in out
    assert '"id":"release-1","title":"Release","status":"completed"' in out


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_the_client_in_javascript(served: Served) -> None:
    environment = {"PLANFOLD_URL": served.address, "PLANFOLD_TOKEN": served.tokens["all"]}
    process = await asyncio.create_subprocess_exec(
        shutil.which("node") or "",
        str(ROOT / "examples" / "client.mjs"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, errors = await process.communicate()
    assert (out.decode(), errors.decode()) == ("completed blue\n", "")


def test_the_page_has_examples() -> None:
    assert SCRIPT.count("write /v1") == 6


def test_the_page_names_every_status() -> None:
    from planfold.service.openapi import statuses_of
    from planfold.service.routes import ROUTES

    statuses = {status for route in ROUTES for status in statuses_of(route)} - {500, 405}
    assert [status for status in sorted(statuses) if str(status) not in PAGE] == []


def test_the_page_says_the_limits() -> None:
    page = (ROOT / "docs/howto/service.md").read_text(encoding="utf-8")
    from planfold.eventstore.codec import MAX_DEPTH
    from planfold.service.server import HEAD_BYTES, HEAD_S
    from planfold.service.service import USUAL

    for said in (
        f"{USUAL.rate:g} a second, {USUAL.burst:g} at once",
        f"{USUAL.streams} in all, {USUAL.streams_per_token} of one token",
        f"{USUAL.connections:,}",
        f"{USUAL.write_s:g} s, then the connection is dropped",
        f"{MAX_DEPTH} levels of nesting",
        f"{HEAD_BYTES // 1024} KiB, 64 headers, in {HEAD_S:g} s",
    ):
        assert said in page, said


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt-get install systemd")
def test_the_unit_of_systemd(tmp_path: Path) -> None:
    page = (ROOT / "docs/howto/service.md").read_text(encoding="utf-8")
    found = re.search(r"```ini\n(.*?)```", page, re.DOTALL)
    assert found is not None
    program = str(Path(sys.executable).parent / "planfold")
    unit = tmp_path / "planfold.service"
    unit.write_text(found[1].replace("/srv/planfold/.venv/bin/planfold", program))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
