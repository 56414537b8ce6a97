"""Several worker processes on one PostgreSQL: stopped, disconnected, and outliving its restarts."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from remote_worker import tools

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.errors import ConfigurationError, Transient
from planfold.eventstore.envelope import Query
from planfold.planner.tasks import PlanStatus
from testbed.patience import PATIENCE_S
from testbed.postgres import FAST, PostgresServer

HERE = Path(__file__).parent


@contextmanager
def workers(count: int, address: str, ledger: Path, lease_s: float) -> Iterator[list[Any]]:
    command = [sys.executable, str(HERE / "remote_worker.py"), address, str(ledger), str(lease_s)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in started:
            process.communicate(timeout=PATIENCE_S)


async def until(check: Callable[[], Awaitable[object]], what: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await check():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


def began(ledger: Path) -> list[list[Any]]:
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [json.loads(line) for line in lines]


@pytest.fixture
async def app(postgres_database: str, tmp_path: Path) -> AsyncIterator[planfold.App]:
    ledger = tmp_path / "unused"
    async with planfold.open_app(postgres_database, tools=tools(ledger)) as app:
        yield app


@pytest.fixture
def own_server() -> PostgresServer:
    """A server that a test may stop."""
    try:
        return PostgresServer(options=FAST)
    except ConfigurationError as fault:
        pytest.skip(str(fault))


async def test_the_late_result_of_a_stopped_worker_is_rejected(
    app: planfold.App, postgres_database: str, tmp_path: Path
) -> None:
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    task = TaskDraft(description="wait", tool="linger", arguments={"until": str(go)})
    with workers(1, postgres_database, ledger, 1.0) as (stopped,):
        plan_id = await app.submit(PlanDraft(tasks=[task]), approved_by="me")

        async def has_begun() -> bool:
            return bool(began(ledger))

        await until(has_begun, "the first worker has it")
        (row,) = await app.store.queue.queued(plan_id)
        stopped.send_signal(signal.SIGSTOP)
        lost_at = row.expires
        with workers(1, postgres_database, ledger, 1.0) as (other,):

            async def taken_over() -> bool:
                return len(began(ledger)) == 2

            await until(taken_over, "the other one has taken it over")

            async def held_for_three_leases() -> bool:
                (row,) = await app.store.queue.queued(plan_id)
                return row.epoch > 1 and row.expires >= lost_at + 3.0

            await until(held_for_three_leases, "three leases are over")
            go.touch()
            stopped.send_signal(signal.SIGCONT)
            async with asyncio.timeout(PATIENCE_S):
                view = await app.result(plan_id)
            assert view.status is PlanStatus.Completed
            assert view.tasks[0].result == other.pid
    updates = await app.store.read(Query(aggregate_id=plan_id, event_type="TaskStatusUpdated"))
    assert len(updates) == 1


async def test_a_stopped_worker_that_comes_back_keeps_its_task(
    app: planfold.App, postgres_database: str, tmp_path: Path
) -> None:
    """Its lease has run out on the server, no other worker is there, and it runs the task once."""
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    task = TaskDraft(description="wait", tool="linger", arguments={"until": str(go)})
    with workers(1, postgres_database, ledger, 1.0) as (stopped,):
        plan_id = await app.submit(PlanDraft(tasks=[task]), approved_by="me")

        async def has_begun() -> bool:
            return bool(began(ledger))

        await until(has_begun, "it runs")
        stopped.send_signal(signal.SIGSTOP)

        async def has_run_out() -> bool:
            (row,) = await app.store.queue.queued(plan_id)
            return app.store.clock() > row.expires + 1.0

        await until(has_run_out, "the lease has run out")
        stopped.send_signal(signal.SIGCONT)
        (before,) = await app.store.queue.queued(plan_id)

        async def renewed() -> bool:
            (row,) = await app.store.queue.queued(plan_id)
            return row.expires > app.store.clock()

        await until(renewed, "it has renewed its lease")
        (row,) = await app.store.queue.queued(plan_id)
        assert (row.epoch, row.starts) == (before.epoch, before.starts)
        go.touch()
        async with asyncio.timeout(PATIENCE_S):
            view = await app.result(plan_id)
        assert (view.status, view.tasks[0].result) == (PlanStatus.Completed, stopped.pid)
    assert len(began(ledger)) == 1


async def test_a_worker_that_is_killed_is_succeeded(
    app: planfold.App, postgres_database: str, tmp_path: Path
) -> None:
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    task = TaskDraft(description="wait", tool="linger", arguments={"until": str(go)})
    with (
        workers(1, postgres_database, ledger, 1.0) as (victim,),
        workers(1, postgres_database, ledger, 1.0),
    ):
        plan_id = await app.submit(PlanDraft(tasks=[task] * 4), approved_by="me")

        async def all_begun() -> bool:
            return len(began(ledger)) >= 4

        await until(all_begun, "all run")
        victim.kill()
        go.touch()
        async with asyncio.timeout(PATIENCE_S):
            view = await app.result(plan_id)
    assert view.status is PlanStatus.Completed
    assert victim.pid not in {task.result for task in view.tasks}


async def test_a_killed_worker_of_this_machine_is_succeeded_at_once(
    app: planfold.App, postgres_database: str, tmp_path: Path
) -> None:
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    task = TaskDraft(description="wait", tool="linger", arguments={"until": str(go)})
    with workers(1, postgres_database, ledger, 1_000.0) as (victim,):
        plan_id = await app.submit(PlanDraft(tasks=[task]), approved_by="me")

        async def begun() -> bool:
            return len(began(ledger)) == 1

        await until(begun, "it runs")
        victim.kill()
        victim.wait()
    (row,) = await app.store.queue.queued(plan_id)
    assert row.owner is not None
    assert await app.store.queue.dead([row.owner, "nobody"]) == {row.owner}
    go.touch()
    with workers(1, postgres_database, ledger, 1_000.0) as (other,):
        async with asyncio.timeout(PATIENCE_S):
            view = await app.result(plan_id)
    assert view.tasks[0].result == other.pid


async def test_the_worker_command_waits_for_a_database_that_is_away(
    own_server: PostgresServer,
) -> None:
    with own_server as server:
        address = await server.create_database("away")
        server.stop()
        command = [sys.executable, "-m", "planfold", "--db", address, "worker"]
        worker = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert worker.stdout is not None
        assert worker.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            said = await worker.stderr.readline()
            assert b"is the PostgreSQL server running?; trying again" in said
            server.start()
            assert b" serves postgresql://" in await worker.stdout.readline()
            worker.terminate()
            assert await worker.wait() == 0


async def test_the_worker_command_can_be_stopped_while_its_database_is_away(
    own_server: PostgresServer,
) -> None:
    with own_server as server:
        address = server.address("nowhere")
        server.stop()
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "planfold", "--db", address, "worker"),
            stderr=asyncio.subprocess.PIPE,
        )
        assert worker.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            await worker.stderr.readline()
            worker.terminate()
            assert await worker.wait() == 0


@pytest.mark.parametrize(
    ("restarts", "plans"), [(2, 20), pytest.param(20, 120, marks=pytest.mark.soak)]
)
async def test_restarts_of_the_server_lose_and_double_nothing(
    restarts: int, plans: int, tmp_path: Path, own_server: PostgresServer
) -> None:
    ledger = tmp_path / "ledger"
    chain = [
        TaskDraft(description=f"task {n}", tool="once", depends_on=[n - 1] if n > 1 else [])
        for n in range(1, 11)
    ]
    with own_server as server:
        address = await server.create_database("restarts")
        async with planfold.open_app(address, tools=tools(tmp_path / "unused")) as app:
            with workers(3, address, ledger, 10.0):
                ids = [f"plan-{number}" for number in range(plans)]
                submitting = asyncio.create_task(_submit_all(app, ids, chain))
                for number in range(1, restarts + 1):

                    async def enough(number: int = number) -> bool:
                        return len(began(ledger)) >= number * plans * 10 // (restarts + 1)

                    await until(enough, "there is some progress")
                    server.stop("immediate")
                    server.start()
                await submitting
                returned = time.monotonic()
                async with asyncio.timeout(PATIENCE_S):
                    views = await asyncio.gather(*(app.result(plan_id) for plan_id in ids))
                assert time.monotonic() - returned < PATIENCE_S
            assert {view.status for view in views} == {PlanStatus.Completed}
            await _check_log(app, ids)
    times = Counter((plan_id, task_id) for plan_id, task_id, _, _ in began(ledger))
    assert len(times) == plans * 10
    assert set(times.values()) == {1}, "a `once` effect happened twice"


async def _submit_all(app: planfold.App, ids: list[str], tasks: list[TaskDraft]) -> None:
    """What was acknowledged must be there afterwards; what was not is sent again."""
    for plan_id in ids:
        while True:
            with suppress(Transient):
                await app.submit(PlanDraft(tasks=tasks), plan_id=plan_id, approved_by="me")
                break
        await asyncio.sleep(0.01)  # a person or a program every now and then


async def _check_log(app: planfold.App, ids: list[str]) -> None:
    for plan_id in ids:
        log = await app.store.read(Query(aggregate_id=plan_id))
        assert [e.version for e in log] == list(range(1, len(log) + 1))
        ended = Counter(e.event.task_id for e in log if e.event_type == "TaskStatusUpdated")
        assert ended == dict.fromkeys(range(1, 11), 1)
