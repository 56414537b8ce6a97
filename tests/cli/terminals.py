"""A pseudo-terminal with a command in it, read and typed into like a person does."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

from command_line import PATIENCE_S, environment

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """Runs ``planfold`` in a terminal of its own. Use it as a context manager."""

    def __init__(self, *words: str, columns: int = 80, rows: int = 24, **more: str) -> None:
        self.raw = ""
        self._seen = 0
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execve(
                sys.executable, [sys.executable, "-m", "planfold", *words], environment(**more)
            )
        self.code: int | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._master)

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw).replace("\r", "")

    def expect(self, pattern: str) -> str:
        """Wait for ``pattern`` after what was expected before; returns what matched."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = re.search(pattern, self.text[self._seen :])
            if found:
                self._seen += found.end()
                return found[0]
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.text[-3000:]}"
            if not self._read(0.1) and self._has_ended():
                assert re.search(pattern, self.text[self._seen :]), self.text[-3000:]

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def echoes(self) -> bool:
        """Whether the terminal is as it was: it shows what is typed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._has_ended():
            assert time.monotonic() < deadline, self.text[-3000:]
            self._read(0.05)
        while self._read(0.0):
            pass
        assert self.code is not None
        return self.code

    def _has_ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def _read(self, wait: float) -> bool:
        if not select.select([self._master], [], [], wait)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
