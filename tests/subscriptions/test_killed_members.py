"""Members in processes of their own, which are killed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from desk import until
from scribe import BATCH, PARTITIONS

from planfold.backends.sqlite.store import SqliteStore
from testbed.contracts.backend import CODEC, Counted, decision

SCRIBE = Path(__file__).with_name("scribe.py")
STREAMS = [f"s{number}" for number in range(12)]


@pytest.mark.slow
@pytest.mark.crash
async def test_a_killed_members_streams_are_taken_over_at_once_and_in_order(tmp_path: Path) -> None:
    path, lines = str(tmp_path / "log.db"), tmp_path / "lines"
    store = SqliteStore.open(path, CODEC)
    lines.touch()
    each = 0

    async def write(count: int) -> None:
        nonlocal each
        for name in STREAMS:
            events = map(Counted, range(each, each + count))
            await store.append(decision(*events, to=name, at=each))
        each += count

    def written() -> list[tuple[str, int, int]]:
        rows = [line.split() for line in lines.read_text().splitlines()]
        return [(name, int(version), int(pid)) for name, version, pid in rows]

    command = [sys.executable, str(SCRIBE), path, str(lines)]
    first, second = (subprocess.Popen(command) for _ in range(2))  # noqa: ASYNC220
    try:

        async def both_have_written() -> bool:
            rows = written()
            if len(rows) >= len(STREAMS) * each:  # one of them may begin late
                await write(10)
            return {pid for _, _, pid in rows} == {first.pid, second.pid}

        await until(both_have_written)
        await write(50)
        first.kill()
        first.wait()
        await until(lambda: len({row[:2] for row in written()}) == len(STREAMS) * each)
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
    for name in STREAMS:
        known = 0
        for version in [version for stream, version, _ in written() if stream == name]:
            assert version <= known + 1
            known = max(known, version)
        assert known == each
    times = Counter(row[:2] for row in written())
    assert sum(count - 1 for count in times.values()) <= PARTITIONS * (BATCH + 1)
    await store.close()
