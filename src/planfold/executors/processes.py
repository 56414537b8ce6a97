"""A command in a process group of its own, which is dead when ``finish()`` returns.

Not ``asyncio.create_subprocess_exec``: its ``wait()`` may wait for the pipes too, and a grandchild
that inherited them can hold them open for any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from planfold.executors.output import Output
from planfold.executors.threads import start_in_thread

DRAIN_S = 1.0  # how long a pipe may stay open after everything we know of has ended
POLL_S = 0.02
UNKILLABLE_S = 5.0  # a process in uninterruptible sleep survives SIGKILL


class ProcessGroup:
    """Starts at once; ``finish()`` must be awaited to its end, or processes are left behind.

    ``terminate()`` sends SIGTERM to the whole group and, ``grace_s`` seconds later, SIGKILL. What
    is left of the group once its first process has ended gets the same.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes | None,
        stdout: Output,
        stderr: Output,
        grace_s: float,
    ) -> None:
        """Raises OSError or ValueError when the command cannot be started."""
        self._grace_s = grace_s
        self._loop = asyncio.get_running_loop()
        self._kill_timer: asyncio.TimerHandle | None = None
        self._abandon_timer: asyncio.TimerHandle | None = None
        self.stopped_by: signal.Signals | None = None  # set if ended by terminate() or kill()
        self._ended = False
        self._last_signal: signal.Signals | None = None
        self._outputs = (stdout, stderr)
        with _input(stdin) as source:
            self._process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        self._exit = start_in_thread(self._process.wait, "planfold-wait")

    def terminate(self) -> None:
        """SIGTERM now, SIGKILL after the grace. Further calls change nothing."""
        if self._last_signal is None:
            self._signal(signal.SIGTERM)
            self._kill_timer = self._loop.call_later(self._grace_s, self.kill)

    def kill(self) -> None:
        """SIGKILL now."""
        self._signal(signal.SIGKILL)
        if self._abandon_timer is None:
            self._abandon_timer = self._loop.call_later(UNKILLABLE_S, self._abandon)

    async def finish(self) -> int | None:
        """The first process's return code (negative: the signal), None if it cannot be killed.

        By then the group has ended and the outputs are complete, except the output of a process
        that left the group.
        """
        pipes = [_Pipe(output) for output in self._outputs]
        try:
            for pipe, stream in zip(pipes, self._streams(), strict=True):
                await self._loop.connect_read_pipe(lambda pipe=pipe: pipe, stream)  # type: ignore[misc]
            code, _ = await self._exit
            self._ended = True
            closed = [pipe.closed for pipe in pipes]
            if self._last_signal is None:
                await asyncio.wait(closed, timeout=DRAIN_S)
            await self._empty_group()
            if self._last_signal is not None:
                await asyncio.wait(closed, timeout=DRAIN_S)
        finally:
            for pipe in pipes:
                pipe.close()
            for timer in (self._kill_timer, self._abandon_timer):
                if timer is not None:
                    timer.cancel()
        return code

    def destroy(self) -> None:
        """SIGKILL without grace, for when ``finish()`` was interrupted: the loop is closing.

        Blocks for up to a second, until the first process is reaped.
        """
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(DRAIN_S)
        for stream in self._streams():
            stream.close()

    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        return self._process.stdout, self._process.stderr

    async def _empty_group(self) -> None:
        if self._alive():
            self.terminate()
        deadline = self._loop.time() + self._grace_s + DRAIN_S
        while self._alive() and self._loop.time() < deadline:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(POLL_S)

    def _alive(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # a member changed its user: there is one
            return True
        return _has_living_member(self._process.pid)

    def _signal(self, number: signal.Signals) -> None:
        # A group's number is not given to another one while it has members or an unreaped first
        # process; between the end and this call it cannot have gone round.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
            self._last_signal = number
            if not self._ended:
                self.stopped_by = number

    def _abandon(self) -> None:
        if not self._exit.done():
            self._exit.set_result((None, None))


def _has_living_member(group: int) -> bool:
    """Whether a group that exists holds more than zombies.

    In a container without an init a killed grandchild is never reaped, so its group exists
    forever. Without /proc (macOS) there is an init, and an existing group counts as alive.
    """
    if not os.path.exists("/proc/self/stat"):
        return True
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                # "pid (name) state ppid pgrp ...": the name may hold spaces and parentheses
                state, _, pgrp = file.read().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):  # it has ended
            continue
        if int(pgrp) == group and state not in (b"Z", b"X"):
            return True
    return False


class _Pipe(asyncio.Protocol):
    def __init__(self, output: Output) -> None:
        self._output = output
        self._transport: asyncio.BaseTransport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._output.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._output.close()


@contextlib.contextmanager
def _input(data: bytes | None) -> Iterator[int | IO[bytes]]:
    if data is None:
        yield subprocess.DEVNULL
        return
    # A file, not a pipe: a command that does not read it cannot make us wait.
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file
