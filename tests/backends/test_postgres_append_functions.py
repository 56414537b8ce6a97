"""``append_one`` and ``append`` write the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from planfold.backends.postgres.appends import PendingAppend
from planfold.backends.postgres.store import PostgresStore
from planfold.eventstore.port import Append, Fence
from planfold.handler import Enqueue, QueueChange, Settle
from testbed.contracts.backend import CODEC, Counted, decision, dispatch
from testbed.postgres import Postgres

ROWS = (
    "SELECT stream_id, aggregate_id, version, head, due_at, created_at, updated_at, turn, status, "
    "project, tags FROM planfold.streams ORDER BY aggregate_id",
    "SELECT position, stream_id, aggregate_id, version, event_type, event_version, data, metadata, "
    "recorded_at, checksum, receipt IS NULL FROM planfold.events ORDER BY position",
    "SELECT id, aggregate_id, task_id, attempt, route, cause, owner, epoch, starts, expires, "
    "cancel, tool, priority, turn, crashes, claimed_at, started_at "
    "FROM planfold.task_queue ORDER BY id",
)


def step(
    events: int, *tasks: tuple[int, str, int], leased: Sequence[int] = (), settle: bool = True
) -> Append:
    """The second decision of a stream whose task 1 is leased to "me": ``tasks`` (id, tool and
    priority) enter the queue."""
    changes: list[tuple[QueueChange, int]] = [(Settle(1), 3)] if settle else []
    changes += [
        (Enqueue(task, 1, "r", tool, priority), 2 + version)
        for version, (task, tool, priority) in enumerate(tasks, 1)
    ]
    return decision(
        *map(Counted, range(events)),
        at=2,
        queue=changes,
        fences=[Fence(1, 1, 1)],
        owner="me" if leased else None,
        leased=frozenset(leased),
        head={"events": events, "status": "running", "project": "red", "tags": ["a", "b"]},
        due_at=2_000.0,
    )


STEPS = {
    "one event": decision(Counted(1), at=2),
    "one event of a lease": step(1, settle=False),
    "the end of a task": step(1),
    "the next task, leased": step(2, (2, "t", 0), leased=[2]),
    "the next task, free": step(2, (2, "t", 5)),
    "the next task, free, in a lane without rows": step(2, (2, "other", 7)),
    "more tasks, leased": step(4, (2, "t", 0), (3, "u", 0), (4, "t", 1), leased=[2, 3, 4]),
    "more tasks, free": step(4, (2, "t", 0), (3, "u", 0), (4, "t", 1)),
    "more tasks, the first leased": step(3, (2, "t", 0), (3, "u", 0), leased=[2]),
    "more tasks, the last leased": step(4, (2, "u", 0), (3, "t", 0), (4, "t", 3), leased=[4]),
    "more events": step(5),
    "a new stream": decision(Counted(1), Counted(2), to="b"),
    "a new stream with a task, leased": dispatch(1, to="b", owner="me", leased=frozenset({1})),
    "a new stream with tasks, free": dispatch(1, 2, 3, to="b", tool="t", priority=5),
}


@pytest.fixture
async def two_databases(postgres: Postgres, postgres_database: str) -> AsyncIterator[list[str]]:
    other = postgres_database.rpartition("/")[2] + "_other"
    yield [postgres_database, await postgres.create_database(other)]
    await postgres.drop_database(other)


async def rows_after(database: str, appends: Sequence[Append]) -> list[list[asyncpg.Record]]:
    store = await PostgresStore.open(database, CODEC, clock=lambda: 1_000.0)
    for append in appends:
        await store.append(append)
    await store.close()
    connection = await asyncpg.connect(database)
    try:
        return [await connection.fetch(query) for query in ROWS]
    finally:
        await connection.close()


@pytest.mark.parametrize("name", STEPS)
async def test_both_write_the_same_rows(
    two_databases: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [dispatch(task, to=f"w{task}", tool="t", priority=5) for task in (1, 2, 3)]
    begin = dispatch(1, owner="me", leased=frozenset({1}))
    appends = [*waiting, begin, decision(Counted(0), at=1), STEPS[name]]
    plain, other = two_databases
    written = await rows_after(plain, appends)
    monkeypatch.setattr(PendingAppend, "is_plain", False)
    assert written == await rows_after(other, appends)
    heads = {row["aggregate_id"]: row["version"] for row in written[0]}
    append = STEPS[name]
    assert heads[append.aggregate_id] == append.expected_version + len(append.events)
    if append.head:
        assert tuple(written[0][0])[-3:] == ("running", "red", '"a","b"')


async def test_what_a_task_needs_is_written_without_the_batch() -> None:
    future = asyncio.get_running_loop().create_future()
    plain = [n for n, append in STEPS.items() if PendingAppend(append, CODEC, future, 1.0).is_plain]
    assert plain == list(STEPS)
