"""``planfold open``: finds or starts the service, and signs one browser in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from planfold.service.runtime_file import RuntimeFile, read_runtime_file, runtime_path
from testbed.patience import PATIENCE_S

BROWSER = """
import json, pathlib, re, sys, urllib.parse, urllib.request
path = pathlib.Path(urllib.request.url2pathname(urllib.parse.urlsplit(sys.argv[1]).path))
assert path.stat().st_mode & 0o777 == 0o600
url = re.search('url=([^"]+)"', path.read_text())[1]
pathlib.Path("opened").write_text(url)
base, code = re.fullmatch("(http://[^/]+)/[^#]*#launch=(.+)", url).groups()
headers = {"Content-Type": "application/json"}
body = json.dumps({"code": code}).encode()
urllib.request.urlopen(urllib.request.Request(base + "/v1/sessions", body, headers))
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The address of a database; the service of which is ended."""
    database = f"sqlite:///{tmp_path}/plans.db"
    yield database
    found = read_runtime_file(runtime_path(database))
    if found is not None and found.address:
        os.kill(found.pid, signal.SIGKILL)


def opened(
    database: str, folder: Path, *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    kept = {
        k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    }
    return subprocess.run(
        [sys.executable, "-m", "planfold", "open", *words],
        cwd=folder,
        env=kept | {"PLANFOLD_DB": database, "USER": "ann"} | more,
        capture_output=True,
        text=True,
        timeout=60,
    )


def exchange(url: str) -> int:
    """The status of the answer to the launch code of an address."""
    base, _, code = url.strip().partition("/#launch=")
    body = json.dumps({"code": code}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(f"{base}/v1/sessions", body, headers)
        with urllib.request.urlopen(request) as answer:
            assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
            return int(answer.status)
    except urllib.error.HTTPError as fault:
        return fault.code


def test_it_starts_the_service_once_and_prints_an_address(service: str, tmp_path: Path) -> None:
    first = opened(service, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "started planfold serve" in first.stderr
    runtime = read_runtime_file(runtime_path(service))
    assert isinstance(runtime, RuntimeFile)
    assert exchange(first.stdout) == 201
    assert exchange(first.stdout) == 401  # once
    second = opened(service, tmp_path)
    assert "started" not in second.stderr
    assert second.stdout.startswith(runtime.address)

    # After a kill the file still names the service, which does not answer.
    os.kill(runtime.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{runtime.pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    third = opened(service, tmp_path, "--no-worker")
    assert "started planfold serve" in third.stderr, third.stderr
    assert exchange(third.stdout) == 201
    watched = read_runtime_file(runtime_path(service))
    assert isinstance(watched, RuntimeFile)
    assert b"--no-worker" in Path(f"/proc/{watched.pid}/cmdline").read_bytes()


def test_a_browser_is_signed_in_by_a_file_that_only_its_user_reads(
    service: str, tmp_path: Path
) -> None:
    (tmp_path / "browser.py").write_text(BROWSER)
    browser = f"{sys.executable} browser.py %s"
    done = opened(service, tmp_path, BROWSER=browser)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("opened http://127.0.0.1:")
    assert "launch" not in done.stdout
    assert exchange((tmp_path / "opened").read_text()) == 401  # the browser has used it
    assert list(tmp_path.glob("*.html")) == []


def test_a_plan_that_is_not_there(service: str, tmp_path: Path) -> None:
    done = opened(service, tmp_path, "plan-nothing")
    assert (done.returncode, "there is no plan" in done.stderr) == (2, True), done.stderr


def test_no_service_is_started_for_a_plan_that_is_not_there(tmp_path: Path) -> None:
    done = opened(f"sqlite:///{tmp_path}/plans.db", tmp_path, "plan-nothing")
    assert done.returncode == 2
    assert done.stderr.startswith("planfold: there is no plan 'plan-nothing'")
    assert list(tmp_path.glob("*.server*")) == []


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    done = opened(f"sqlite:///{tmp_path}/plans.db", tmp_path, "--tools", "no_such_module")
    assert done.returncode == 2
    assert done.stderr.startswith("planfold: the service did not start: cannot import the tools")
    assert "no_such_module" in done.stderr
