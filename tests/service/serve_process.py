"""``planfold serve`` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planfold.service.runtime_file import RuntimeFile, read_runtime_file, runtime_path
from testbed.patience import PATIENCE_S


def start(database: str, *words: str, folder: Path) -> subprocess.Popen[str]:
    """Start it at a free port; see :func:`runtime_of`."""
    command = [sys.executable, "-m", "planfold", "--db", database, "serve", "--port", "0", *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"XDG_STATE_HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def runtime_of(database: str, process: subprocess.Popen[str]) -> RuntimeFile:
    """What local programs find, as soon as it serves."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = read_runtime_file(runtime_path(database))
        if found is not None and found.pid == process.pid:
            return found
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it does not serve"
        time.sleep(0.02)


@contextmanager
def serving(
    database: str, *words: str, folder: Path
) -> Iterator[tuple[subprocess.Popen[str], RuntimeFile]]:
    process = start(database, *words, folder=folder)
    try:
        yield process, runtime_of(database, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and standard error after SIGTERM."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    return process.returncode, errors
