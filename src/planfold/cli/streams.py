"""The standard streams of a command, also when the caller has closed or filled them."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

LAST_LINES_S = 0.2

_own: io.TextIOWrapper | None = None


class _Descriptor(io.FileIO):
    """Writes to a descriptor. The first fault is kept and later output is dropped, so that a
    fault of the output does not end the work."""

    fault: OSError | None = None

    def write(self, data: Buffer, /) -> int:
        if self.fault is None:
            try:
                return super().write(data) or 0
            except OSError as fault:
                self.fault = fault
                self._failed(fault)
        return memoryview(data).nbytes

    def _failed(self, fault: OSError) -> None:
        return


class _OutputStream(_Descriptor):
    def _failed(self, fault: OSError) -> None:
        if isinstance(fault, BrokenPipeError):
            raise fault  # the reader has left: the command ends, as Unix tools do
        _complain(f"planfold: standard output: {fault.strerror}\n")


def _complain(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def open_streams() -> None:
    """Give every standard stream a descriptor and an object that may be written to.

    Without this, the next file that is opened, such as the database, would become the standard
    output of a process that was started without one.
    """
    global _own
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = _text(_Descriptor(2, "w", closefd=False), sys.stderr)
    sys.stdout = _own = _text(_OutputStream(os.dup(1), "w"), sys.stdout)


def _text(raw: io.FileIO, former: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(former, "encoding", None) or "utf-8",
        errors="backslashreplace",  # what a terminal's encoding lacks must not end the command
        line_buffering=raw.fileno() == 2 or raw.isatty(),
    )


def output() -> TextIO:
    """Where planfold's own output goes."""
    return _own or sys.stdout


def say(text: str) -> None:
    """Write a line to standard output and flush it."""
    stream = output()
    stream.write(text + "\n")
    stream.flush()


@contextmanager
def reserved_output() -> Iterator[None]:
    """Inside the block only planfold writes to standard output. What tools, native code and
    child processes print goes to standard error."""
    if _own is None or sys.stdout is not _own:
        yield  # called inside another program, whose streams are its own
        return
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = _own


@contextmanager
def captured_lines(told: Callable[[str], object]) -> Iterator[None]:
    """Inside the block, lines that tools print to the terminal are passed to ``told`` on a
    separate thread, so that they do not break what is drawn there."""
    if _own is None or sys.stdout is _own or not os.isatty(2):
        yield
        return
    reading, writing = os.pipe()
    kept = os.dup(1), os.dup(2)
    lines = open(reading, encoding="utf-8", errors="replace")  # noqa: SIM115
    reader = threading.Thread(target=_hand_over, args=(lines, told), daemon=True)
    reader.start()
    for descriptor in (1, 2):
        os.dup2(writing, descriptor)
    os.close(writing)
    try:
        yield
    finally:
        sys.stderr.flush()
        for descriptor, former in zip((1, 2), kept, strict=True):
            os.dup2(former, descriptor)
            os.close(former)
        reader.join(timeout=LAST_LINES_S)  # a process that a tool left behind may hold the pipe


def _hand_over(lines: TextIO, told: Callable[[str], object]) -> None:
    with lines, suppress(RuntimeError):  # the event loop has been closed
        for line in lines:
            told(line)


def flush_output() -> bool:
    """Write what is buffered; returns whether all output could be written."""
    if _own is None:
        return True
    with suppress(BrokenPipeError):
        _own.flush()
    return _raw(_own).fault is None


def _raw(stream: io.TextIOWrapper) -> _Descriptor:
    raw = stream.buffer.raw  # type: ignore[attr-defined]
    assert isinstance(raw, _Descriptor)
    return raw
