"""Several processes on one file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from planfold.backends.sqlite.store import SqliteStore
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import CODEC, dispatch
from testbed.patience import PATIENCE_S

HERE = Path(__file__).parent


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("claimers", "tasks"),
    [(16, 300), pytest.param(64, 1_000, marks=pytest.mark.soak)],
)
async def test_each_task_is_granted_once_among_two_processes(
    tmp_path: Path, claimers: int, tasks: int
) -> None:
    path = tmp_path / "plans.db"
    store = SqliteStore.open(str(path), CODEC)
    await store.append(dispatch(*range(tasks)))
    processes = [start("claimers.py", f"sqlite:///{path}", name, claimers // 2) for name in "ab"]
    try:
        assert [hear(process) for process in processes] == ["ready", "ready"]
        for process in processes:
            tell(process)
        granted: list[Any] = [grant for process in processes for grant in json.loads(hear(process))]
    finally:
        for process in processes:
            process.communicate("\n", timeout=PATIENCE_S)
    times = Counter((task, attempt) for task, attempt, _, _ in granted)
    assert len(times) == tasks
    assert set(times.values()) == {1}
    assert {epoch for _, _, epoch, _ in granted} == {1}
    by_task = {lease.task_id: lease.owner for lease in await store.queue.queued("a")}
    assert by_task == {task: owner for task, _, _, owner in granted}
    await store.close()


async def test_a_stopped_process_keeps_its_tasks_and_a_dead_one_does_not(tmp_path: Path) -> None:
    """By the clock, it is long after the leases have run out."""
    path, clock = tmp_path / "plans.db", ManualClock(time.time())
    store = SqliteStore.open(str(path), CODEC, clock=clock)
    await store.append(dispatch(1, 2, 3))
    process = start("claimers.py", f"sqlite:///{path}", "a", 1)
    try:
        assert hear(process) == "ready"
        tell(process)
        assert len(json.loads(hear(process))) == 3
        process.send_signal(signal.SIGSTOP)
        clock.advance(100_000)
        assert await store.queue.claim("me", 9) == []
        assert not await store.queue.waiting_suspects("me")
        clock.advance(-200_000)
        process.kill()
        process.wait(timeout=PATIENCE_S)
        leases = await store.queue.claim("me", 9)
        assert [(le.task_id, le.epoch, le.crashes) for le in leases] == [
            (1, 2, 1),
            (2, 2, 1),
            (3, 2, 1),
        ]
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)
        await store.close()


def test_processes_that_make_one_database_at_once_agree(tmp_path: Path) -> None:
    """They race for the journal mode and for the first migration."""
    path = tmp_path / "folder" / "plans.db"
    processes = [start("openers.py", path) for _ in range(6)]
    assert {hear(process) for process in processes} == {"ready"}
    for process in processes:
        tell(process)
    identities = [process.communicate(timeout=PATIENCE_S)[0].strip() for process in processes]
    assert len(set(identities)) == 1, identities
    assert len(identities[0]) == 16
