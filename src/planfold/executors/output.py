"""Output too long for a result: its file, the part that the result shows, and the reserve of disk
space that it leaves, so that the log can always be written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from planfold.executors.context import TaskContext
from planfold.tools.redaction import Redactor

MIB = 1024 * 1024

_NOT_KEPT = b"\n[... the rest was not kept: %s ...]\n"
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


def output_path(context: TaskContext, name: str) -> Path:
    """A file of this attempt's own: ``files_dir/<plan>/<task>-<attempt>-<name>``, with the inner
    call before the name, if there is one."""
    attempt = f"{context.task.id}-{context.attempt}"
    if context.call:
        attempt += f"-{_safe(context.call)}"
    return context.files_dir / _safe(context.plan_id) / f"{attempt}-{name}"


def _safe(name: str) -> str:
    if _SAFE_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40] + "-" + digest


def reserve_of(size: int) -> int:
    """Bytes of a disk of ``size`` bytes that output must not take: 5 %, but at least 64 MiB and at
    most 1 GiB; never more than half of the disk."""
    return min(max(size // 20, 64 * MIB), 1024 * MIB, size // 2)


def free_bytes(place: int | Path) -> tuple[int, int]:
    """Bytes that are free on the disk of a file (a path or a descriptor), and its size."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def spare_bytes(place: int | Path) -> int:
    """Bytes that output may still use on the disk; negative if the disk is nearly full."""
    free, size = free_bytes(place)
    return free - reserve_of(size) if size else 2**63  # file systems that do not say


class Output:
    """Bytes as they come: whole in memory up to ``keep``, beyond that whole in a file.

    Memory stays below ``2 * keep`` bytes. The file (mode 0600) is made when the first byte is too
    many. After ``file_limit`` bytes, or when the disk has only its reserve left (``spare`` says how
    many bytes may still be written), no more is written: then ``truncated`` is true and the file
    ends with a mark. ``redactor`` removes the values of secrets while it is written: call
    ``end()`` after the last byte, to write the rest. ``received`` is called whenever bytes come.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep: int,
        file_limit: int,
        redactor: Redactor | None = None,
        spare: Callable[[int], int] = spare_bytes,
        received: Callable[[], None] | None = None,
    ) -> None:
        self._received = received
        self.path = path
        self.total = 0  # bytes received
        self.truncated = False
        self._keep = keep
        self._head_size = keep // 4  # the end of an output says more than its beginning
        self._tail_size = keep - self._head_size
        self._file_limit = file_limit
        self._spare = spare
        self._full = b""  # why the file gets no more
        self._buffer = bytearray()  # all of it, later the tail
        self._head = b""
        self._file: int | None = None
        self._redaction = redactor.stream() if redactor is not None else None

    @property
    def in_file(self) -> bool:
        return self.total > self._keep

    def write(self, data: bytes) -> None:
        if self._received is not None:
            self._received()
        self._take(data if self._redaction is None else self._redaction.feed(data))

    def end(self) -> None:
        """End the output, and write what redaction has held back."""
        if self._redaction is not None:
            self._take(self._redaction.end())

    def _take(self, data: bytes) -> None:
        self.total += len(data)
        if not self.in_file:
            self._buffer += data
            return
        if not self._head:
            data = bytes(self._buffer) + data
            self._buffer.clear()
            self._head = data[: self._head_size]
            self._open()
        self._write_file(data)
        self._buffer += data[-self._tail_size :]
        if len(self._buffer) > 2 * self._tail_size:
            del self._buffer[: -self._tail_size]

    def whole(self) -> bytes | None:
        """All bytes, or None if they are in the file."""
        return None if self.in_file else bytes(self._buffer)

    def text(self, encoding: str = "utf-8") -> str:
        """Decoded, bad bytes replaced by U+FFFD; for a long output the first quarter of ``keep``
        and the last three, with the gap marked."""
        if not self.in_file:
            return self._buffer.decode(encoding, "replace")
        tail = bytes(self._buffer[-self._tail_size :])
        gap = self.total - len(self._head) - len(tail)
        where = f"see {self.path}" + (" (cut off)" if self.truncated else "")
        mark = f"\n[... {gap:,} bytes left out, {where} ...]\n"
        head = self._head
        if encoding == "utf-8" and gap:
            head, tail = _without_partial_end(head), _without_partial_start(tail)
        if not gap:
            return (head + tail).decode(encoding, "replace")
        return head.decode(encoding, "replace") + mark + tail.decode(encoding, "replace")

    def close(self) -> None:
        self.end()
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self._mark_end(self._file)
        os.close(self._file)
        self._file = None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Do not follow a link that another program created; a crashed attempt may have left
            # a file of this name.
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o600)
        except OSError:
            self.truncated = True

    def _write_file(self, data: bytes) -> None:
        if self._file is None or self._full:
            return
        try:
            room = self._file_limit - os.fstat(self._file).st_size
            spare = self._spare(self._file)
            view = memoryview(data)[: max(min(room, spare), 0)]
            if len(view) < len(data):
                self.truncated = True
                self._full = b"the disk is nearly full" if spare < room else b"it is too long"
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            self.truncated = True
            self._full = b"the disk is full"

    def _mark_end(self, file: int) -> None:
        if self._full:
            mark = _NOT_KEPT % self._full
            size = os.fstat(file).st_size
            os.ftruncate(file, max(min(size, self._file_limit - len(mark)), 0))
            os.lseek(file, 0, os.SEEK_END)
            os.write(file, mark)


def _without_partial_end(data: bytes) -> bytes:
    for cut in range(1, min(3, len(data)) + 1):  # a character has up to 4 bytes
        lead = data[-cut]
        if lead >= 0xC0:  # the first byte of one that has 2, 3 or 4
            length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return data[:-cut] if length > cut else data
        if lead < 0x80:
            return data
    return data


def _without_partial_start(data: bytes) -> bytes:
    skip = 0
    while skip < min(3, len(data)) and 0x80 <= data[skip] < 0xC0:
        skip += 1
    return data[skip:]
