"""Every event as a line of JSON, each exactly once, despite crashes.

    python audit_log.py sqlite:///.planfold/planfold.db audit.jsonl [--once]

The file is its own checkpoint: a line and the place after it are written together or not at all.
A line that was truncated by a crash is removed at the next start, and its event written again.
"""

import argparse
import asyncio
import fcntl
import os
from collections.abc import Sequence

import msgspec

import planfold
from planfold.log import Checkpoint, Envelope

BLOCK = 64 * 1024  # bytes


class AuditLog:
    """A projection (see :class:`planfold.log.Projection`) into a file of JSON lines."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one writer at a time
        self._store_id, self._epoch = "", 0

    async def load(self) -> Checkpoint | None:
        """The place after the last whole line."""
        end = self._after_newline(os.fstat(self._file).st_size)
        os.ftruncate(self._file, end)
        if end == 0:
            return None
        start = self._after_newline(end - 1)
        line = msgspec.json.decode(os.pread(self._file, end - start, start))
        return Checkpoint(line["store_id"], line["store_epoch"], line["position"])

    def _after_newline(self, end: int) -> int:
        """Where the last line begins that was begun before ``end``."""
        while end > 0:
            start = max(end - BLOCK, 0)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        """Append one line for each event, durably."""
        lines = [msgspec.json.encode(_record(each, checkpoint)) + b"\n" for each in envelopes]
        _write_all(self._file, b"".join(lines))
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def _record(envelope: Envelope, checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "store_id": checkpoint.store_id,
        "store_epoch": checkpoint.epoch,
        "position": envelope.position,
        "recorded_at": envelope.recorded_at,
        "stream_id": envelope.stream_id,
        "aggregate_id": envelope.aggregate_id,
        "version": envelope.version,
        "event_type": envelope.event_type,
        "correlation_id": envelope.metadata.correlation_id,
        "causation_id": envelope.metadata.causation_id,
        "data": envelope.event,
    }


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


async def main() -> None:
    parser = argparse.ArgumentParser(description="Every event as a line of JSON.")
    parser.add_argument("database", help="for example sqlite:///.planfold/planfold.db")
    parser.add_argument("file", help="where the lines go")
    parser.add_argument("--once", action="store_true", help="stop at the present end of the log")
    wanted = parser.parse_args()

    async with planfold.open_app(wanted.database, create=False, load=False) as app:
        until = await app.log.last_position() if wanted.once else None
        await app.log.project(AuditLog(wanted.file), until=until)


if __name__ == "__main__":
    asyncio.run(main())
