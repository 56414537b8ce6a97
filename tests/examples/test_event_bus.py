"""The bus integration: processes and sockets that are killed, and a receiver without doubles."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import planfold
from planfold.log import Query
from testbed.patience import PATIENCE_S

SCRIPT = str(Path(__file__).resolve().parents[2] / "examples" / "event_bus.py")
PLAN = "\n".join(f"{number}. Run `true`" for number in range(1, 4))


@contextmanager
def role(*words: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """``forward`` or ``receive`` as a process, which is killed at the end."""
    with subprocess.Popen(
        [sys.executable, SCRIPT, *words], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def received(folder: Path) -> list[tuple[str, str]]:
    """Plan and id of each event that the other system has, in its order."""
    if not (folder / "received.db").exists():
        return []
    with closing(sqlite3.connect(folder / "received.db", timeout=30)) as database:
        try:
            return database.execute("SELECT subject, id FROM events ORDER BY number").fetchall()
        except sqlite3.OperationalError:  # the table is not there yet
            return []


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def run_plans(database: str, number: int) -> list[tuple[str, str]]:
    """Run plans, and return plan and id of each event of the log."""
    async with planfold.open_app(database) as app:
        for _ in range(number):
            await app.run(await app.submit(PLAN, approved_by="test"))
        return [(e.aggregate_id, e.event_id) for e in await app.log.read(Query())]


def by_plan(events: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for plan_id, event_id in events:
        found.setdefault(plan_id, []).append(event_id)
    return found


@pytest.mark.crash
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_each_event_arrives_once_and_in_order_also_when_members_are_killed(
    tmp_path: Path, kills: int
) -> None:
    database = f"sqlite:///{tmp_path}/plans.db"
    log = asyncio.run(run_plans(database, 4 * kills))
    address = "127.0.0.1:0"
    for number in range(1, kills + 1):
        enough = number * len(log) // (kills + 1)
        with role("receive", "received.db", address, folder=tmp_path) as receiver:
            address = address_of(receiver)  # the same from now on
            with role("forward", database, address, folder=tmp_path) as forwarder:
                until(lambda at=enough: len(received(tmp_path)) >= at)  # type: ignore[misc]
                killed = forwarder if number % 2 else receiver
                killed.send_signal(signal.SIGKILL)
                killed.wait(PATIENCE_S)
    with (
        role("forward", database, address, folder=tmp_path),  # the other system comes back later
        role("receive", "received.db", address, folder=tmp_path),
    ):
        log = asyncio.run(run_plans(database, 1))
        until(lambda: len(received(tmp_path)) >= len(log))
    assert by_plan(received(tmp_path)) == by_plan(log)


def test_an_event_that_is_sent_again_has_no_second_effect(tmp_path: Path) -> None:
    event = {"id": "plan-1#1", "subject": "plan-1", "type": "planfold.plan.TasksPlanned"}
    line = json.dumps(event).encode() + b"\n"
    with role("receive", "received.db", "127.0.0.1:0", folder=tmp_path) as receiver:
        host, _, port = address_of(receiver).rpartition(":")
        for _ in range(2):
            with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
                connection.sendall(line)
                assert connection.makefile().readline() == "plan-1#1\n"
                connection.sendall(line[: len(line) // 2])  # the sender dies in the middle
    assert received(tmp_path) == [("plan-1", "plan-1#1")]
