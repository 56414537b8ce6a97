"""Distinguishing a process of this machine that has ended from one that is unknown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planfold.runtime import machine
from planfold.runtime.machine import has_ended, this_machine

marked = pytest.mark.skipif(not machine.BOOT_ID.exists(), reason="only Linux marks its boots")


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@marked
def test_a_process_of_this_machine_is_seen_to_end() -> None:
    assert has_ended(this_machine(), ended_process())
    assert not has_ended(this_machine(), os.getpid())
    assert not has_ended(this_machine(), 1)


@pytest.mark.parametrize("where", ["another", "another#0123456789ab", ""])
def test_of_other_machines_it_is_unknown(where: str) -> None:
    assert not has_ended(where, ended_process())


def test_without_a_mark_no_process_is_called_dead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two containers may have one name and each its own process ids."""
    monkeypatch.setattr(machine, "BOOT_ID", tmp_path / "absent")
    unmarked = machine.this_machine.__wrapped__()
    assert "#" not in unmarked
    assert not has_ended(unmarked, ended_process())
