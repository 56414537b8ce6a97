"""The event loop and the garbage collector of processes that run tasks until they are stopped."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from planfold.cli.access import run_working
from testbed.patience import PATIENCE_S

FREEZES = """
import gc
from planfold.cli.own_worker import collector_frozen

assert gc.get_freeze_count() < 1_000
with collector_frozen():
    assert gc.get_freeze_count() > 1_000
    with collector_frozen():
        pass
    assert gc.get_freeze_count() > 1_000
assert not gc.get_freeze_count()
"""


async def name_of_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_it_runs_on_uvloop_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvloop")
    assert run_working(name_of_loop()) == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_working(name_of_loop()).startswith("asyncio.")


def test_what_was_loaded_is_frozen_while_it_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREEZES], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
