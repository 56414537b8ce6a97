"""Calling the command line: in this process where that will do, else as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from click.testing import CliRunner, Result

from planfold.cli.main import cli
from testbed.patience import PATIENCE_S

Plan = dict[str, Any]


def call(*words: str, input: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli, list(words), input=input, prog_name="planfold")


def called(*words: str, input: str | None = None, code: int = 0) -> str:
    """What a command printed; it must end with ``code``."""
    result = call(*words, input=input)
    assert result.exit_code == code, (result.exit_code, result.output)
    return result.output


def shown(*words: str) -> Plan:
    """``planfold show --json``."""
    found: Plan = json.loads(called("show", *words, "--json"))
    return found


def statuses(plan: Plan) -> list[str]:
    return [task["status"] for task in plan["tasks"]]


def write_plan(*tasks: dict[str, Any], title: str = "A plan", name: str = "plan.json") -> str:
    Path(name).write_text(json.dumps({"title": title, "tasks": list(tasks)}))
    return name


def sh(label: str, script: str, *after: str, **more: Any) -> dict[str, Any]:
    """A task that runs a script."""
    task = {"label": label, "description": f"{label} it", "tool": "shell", "effect": "safe"}
    return {**task, "arguments": {"script": script}, "depends_on": list(after), **more}


def question(label: str, *after: str, **more: Any) -> dict[str, Any]:
    task = {"label": label, "description": f"{label}, please?", "kind": "clarification"}
    return {**task, "depends_on": list(after), **more}


def environment(**more: str) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**given, "USER": "ann", "TERM": "xterm-256color", **more}


_STARTED: WeakValueDictionary[int, subprocess.Popen[str]] = WeakValueDictionary()


def start(*words: str, **more: Any) -> subprocess.Popen[str]:
    """A real process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "planfold", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **more,
    )
    _STARTED[process.pid] = process
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a process, which must end on its own."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}{_errors()}"
        time.sleep(0.02)


def _errors() -> str:
    """What processes printed that have ended: often why the condition is not met."""
    found = ""
    for process in list(_STARTED.values()):
        if process.poll() is not None and process.stderr and not process.stderr.closed:
            found += f"; a process ended with {process.returncode}: {process.stderr.read()}"
    return found


def lines_of(path: str) -> list[str]:
    return Path(path).read_text().split() if Path(path).exists() else []
