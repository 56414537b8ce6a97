from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from planfold.executors.context import TaskContext
from planfold.planner.commands import ExecutorEvent
from planfold.testing.executors import task_for
from testbed.patience import PATIENCE_S


class Attempt:
    """A context together with what was reported to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[ExecutorEvent] = []

    def context(
        self,
        arguments: dict[str, Any] | None = None,
        *,
        steps: dict[str, Any] | None = None,
        plan_id: str = "plan-1",
        attempt: int = 1,
    ) -> TaskContext:
        async def report(event: ExecutorEvent) -> None:
            self.events.append(event)

        return TaskContext(
            plan_id=plan_id,
            task=task_for("any", arguments, attempt=attempt),
            arguments=arguments or {},
            report=report,
            steps=steps if steps is not None else {},
            workspace=self.root,
            files_dir=self.root / "files",
        )


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


Until = Callable[[Callable[[], Any]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Wait for a condition; a generous bound, so that a busy machine does not fail the test."""

    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - files and threads set no asyncio.Event
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return _is_alive


def _is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie that was not reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self/stat").exists()
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
