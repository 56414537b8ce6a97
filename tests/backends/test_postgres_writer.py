"""The group commit of PostgreSQL's store: what goes into a batch, and over which connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from planfold.backends.postgres import writer as writer_module
from planfold.backends.postgres.address import parse_address
from planfold.backends.postgres.appends import PendingAppend
from planfold.backends.postgres.connection import DatabaseClock
from planfold.backends.postgres.writer import FULL, PostgresWriter
from planfold.errors import PlanfoldError, Transient
from planfold.eventstore.port import CommandRecord
from testbed.contracts.backend import CODEC, Counted, decision


class Connection:
    """In place of an appender: a batch is committed when the test says so."""

    made: list[Connection]

    def __init__(self, *_: Any) -> None:
        self.batches: list[Sequence[PendingAppend]] = []
        self.answer: asyncio.Future[None] | None = None
        self.closed = False
        self.made.append(self)

    async def commit(self, batch: Sequence[PendingAppend]) -> Sequence[int | PlanfoldError]:
        self.batches.append(batch)
        self.answer = asyncio.get_running_loop().create_future()
        await self.answer
        return [1] * len(batch)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    Connection.made = []
    monkeypatch.setattr(writer_module, "Appender", Connection)
    return Connection.made


@pytest.fixture
def writer(connections: list[Connection]) -> PostgresWriter:
    address = parse_address("postgresql://localhost/none")
    return PostgresWriter(
        address, DatabaseClock(), lease_s=30.0, clock=None, committed=lambda *_: None
    )


def pending(stream: str, *, command: str = "", at: int = 0) -> PendingAppend:
    commands = [CommandRecord(command, "h")] if command else []
    append = decision(Counted(1), to=stream, at=at, commands=commands)
    return PendingAppend(append, CODEC, asyncio.get_running_loop().create_future(), 0.0)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def sizes(connections: list[Connection]) -> list[list[int]]:
    return sorted([len(batch) for batch in one.batches] for one in connections)


async def commit(connection: Connection) -> None:
    assert connection.answer is not None
    connection.answer.set_result(None)
    await turns()


def busy(connections: list[Connection]) -> list[Connection]:
    return [c for c in connections if c.answer is not None and not c.answer.done()]


async def test_a_batch_that_is_not_full_waits_for_the_one_before_it(
    writer: PostgresWriter, connections: list[Connection]
) -> None:
    writer.submit(pending("first"))
    await turns()
    for n in range(FULL - 1):
        writer.submit(pending(f"s{n}"))
    await turns()
    assert sizes(connections) == [[], [1]]
    await commit(*busy(connections))
    assert sizes(connections) == [[], [1, FULL - 1]]


async def test_a_full_batch_goes_over_the_second_connection(
    writer: PostgresWriter, connections: list[Connection]
) -> None:
    for n in range(2 * FULL + 1):
        writer.submit(pending(f"s{n}"))
    await turns()
    assert sizes(connections) == [[FULL], [FULL]]
    first, second = busy(connections)
    await commit(first)
    assert sizes(connections) == [[FULL], [FULL]]  # one is left: it waits for the second
    await commit(second)
    assert sizes(connections) == [[FULL], [FULL, 1]]


@pytest.mark.parametrize("depends", ["stream", "command"])
async def test_what_depends_on_a_batch_that_was_sent_waits_for_it(
    writer: PostgresWriter, connections: list[Connection], depends: str
) -> None:
    writer.submit(pending("first", command="c1"))
    await turns()
    same = pending("first", at=1) if depends == "stream" else pending("other", command="c1")
    writer.submit(same)
    for n in range(FULL):
        writer.submit(pending(f"s{n}"))
    await turns()
    assert sizes(connections) == [[], [1]]
    await commit(*busy(connections))
    (connection,) = busy(connections)
    assert same in connection.batches[-1]
    await commit(connection)
    await commit(*busy(connections))
    assert sorted(n for batches in sizes(connections) for n in batches) == [1, 1, FULL]


async def test_settle_waits_for_both_connections(
    writer: PostgresWriter, connections: list[Connection]
) -> None:
    for n in range(2 * FULL):
        writer.submit(pending(f"s{n}"))
    await turns()
    settled = asyncio.ensure_future(writer.settle(30.0))
    first, second = busy(connections)
    await commit(second)
    assert not settled.done()
    await commit(first)
    assert settled.done()


async def test_closing_commits_what_waits(
    writer: PostgresWriter, connections: list[Connection]
) -> None:
    appends = [pending(f"s{n}") for n in range(3 * FULL)]
    for append in appends:
        writer.submit(append)
    await turns()
    closing = asyncio.ensure_future(writer.close())
    while not closing.done():
        for connection in busy(connections):
            await commit(connection)
        await turns()
    assert all(append.future.result() == 1 for append in appends)
    assert all(connection.closed for connection in connections)


async def test_a_fault_is_reported_to_those_that_wait_and_to_nothing_else(
    writer: PostgresWriter, connections: list[Connection]
) -> None:
    appends = [pending(f"s{n}") for n in range(2 * FULL + 1)]
    for append in appends:
        writer.submit(append)
    await turns()
    first, second = busy(connections)
    assert first.answer is not None
    first.answer.cancel()
    await turns()
    failed = [append for append in appends if append.future.done()]
    assert len(failed) == FULL + 1
    assert all(isinstance(append.future.exception(), Transient) for append in failed)
    await commit(second)
    writer.submit(after := pending("after"))
    await turns()
    await commit(*busy(connections))
    assert after.future.result() == 1
