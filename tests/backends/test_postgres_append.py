"""Appending to PostgreSQL when connections break, sessions collide, and others hold locks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, TypeAlias

import asyncpg
import pytest

import planfold
from planfold.backends.postgres import appender as appender_module
from planfold.backends.postgres.faults import is_lost
from planfold.backends.postgres.store import PostgresStore
from planfold.errors import (
    CommandRejected,
    ConfigurationError,
    Conflict,
    CorruptLog,
    LeaseLost,
    Permanent,
    Transient,
)
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import Append, CommandRecord, Fence
from planfold.handler import Enqueue, Settle, Signal
from testbed.contracts.backend import CODEC, Counted, Noted, decision, dispatch
from testbed.patience import PATIENCE_S
from testbed.postgres_messages import Message
from testbed.proxies import CuttingProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def direct(postgres_database: str) -> AsyncIterator[Connection]:
    """A session of another program."""
    connection = await asyncpg.connect(postgres_database)
    yield connection
    connection.terminate()


@pytest.fixture
async def store(postgres_database: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(postgres_database, CODEC)
    yield store
    await store.close()


@pytest.fixture
async def proxy(postgres_database: str) -> AsyncIterator[CuttingProxy]:
    async with CuttingProxy(postgres_database) as proxy:
        yield proxy


@pytest.fixture
async def through_proxy(proxy: CuttingProxy) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(proxy.address, CODEC)
    yield store
    await store.close()


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender_module, "PATIENCE_S", 0.4)
    monkeypatch.setattr(appender_module, "AT_LEAST_S", 0.4)


def is_append(message: Message) -> bool:
    """Whether a client's message carries an event, as nothing else does."""
    return message.kind == "B" and b"Counted" in message.body


async def outcomes(*writes: Any) -> list[Any]:
    return await asyncio.gather(*writes, return_exceptions=True)


async def deadlocks(connection: Connection) -> int:
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    count: int = await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return count


# --- it is unknown whether it was committed ----------------------------------------------------


@pytest.mark.parametrize(
    ("executed", "rounds"),
    [(True, 13), (False, 5), *(pytest.param(e, 50, marks=pytest.mark.soak) for e in (True, False))],
)
async def test_a_lost_answer_leads_to_exactly_one_effect(
    proxy: CuttingProxy, through_proxy: PostgresStore, executed: bool, rounds: int
) -> None:
    """Four lost answers in each round."""
    store = through_proxy
    cut = proxy.cut_after_request if executed else proxy.cut_before_request
    for number in range(rounds):
        name = f"p{number}"
        position = await store.append(decision(Counted(0), to=name))
        for at, append in enumerate(
            (
                decision(Counted(1), to=name, at=1),
                dispatch(1, 2, to=name, at=2, owner="me", leased=frozenset({1})),
                decision(
                    Counted(2),
                    to=name,
                    at=4,
                    fences=[Fence(1, 1, 1)],
                    queue=[(Settle(1), 5), (Enqueue(1, 2, "r"), 5), (Signal(2), 5)],
                    commands=[CommandRecord(f"c{number}", "h")],
                ),
                decision(Counted(3), to=f"new{number}"),
            )
        ):
            fall = cut(is_append)
            before, position = position, await store.append(append)
            assert fall.fallen, at
            assert position > before
            proxy.cuts.clear()
        assert (await store.read(Query(aggregate_id=f"new{number}")))[0].position == position
        assert (await store.load(name)).events == [Counted(n) for n in (0, 1, 1, 2, 2)]
        rows = await store.queue.queued(name)
        assert [(r.task_id, r.attempt, r.epoch, r.cancel) for r in rows] == [
            (2, 1, 0, True),
            (1, 2, 0, False),
        ]
    positions = [e.position for e in await store.read(Query())]
    assert len(positions) == 6 * rounds
    assert await store.find_command(f"c{rounds - 1}") == (f"p{rounds - 1}", "h")


async def test_a_lost_answer_to_a_batch_is_one_effect_for_each(
    proxy: CuttingProxy, through_proxy: PostgresStore
) -> None:
    store = through_proxy
    await store.append(decision(Counted(0), to="taken"))
    for number in range(20):
        fall = proxy.cut_after_request(is_append)
        results = await outcomes(
            *(store.append(decision(Counted(n), to=f"s{n}", at=number)) for n in range(8)),
            store.append(decision(Counted(9), to="taken")),
        )
        assert fall.fallen
        assert isinstance(results.pop(), Conflict)
        assert results == sorted(results)
    for n in range(8):
        assert (await store.load(f"s{n}")).events == [Counted(n)] * 20


async def test_a_loser_gets_an_answer_although_the_answer_was_lost(
    proxy: CuttingProxy, through_proxy: PostgresStore, store: PostgresStore
) -> None:
    await store.append(decision(Counted(1)))
    proxy.cut_after_request(is_append)
    with pytest.raises(Conflict):
        await through_proxy.append(decision(Counted(2)))
    assert (await store.load("a")).events == [Counted(1)]


@pytest.mark.usefixtures("short_patience")
async def test_it_says_whether_it_is_known_what_became_of_it(
    proxy: CuttingProxy, store: PostgresStore
) -> None:
    there = await PostgresStore.open(proxy.address, CODEC)
    await proxy.refuse()
    await proxy.drop_connections()
    with pytest.raises(Transient, match=r"nothing was written"):
        await there.append(decision(Counted(1)))
    await proxy.accept()
    await there.append(decision(Counted(1)))

    async def refuse_when(cut: Any) -> None:
        await cut.wait()
        await proxy.refuse()

    refusing = asyncio.create_task(refuse_when(proxy.cut_after_request(is_append)))
    with pytest.raises(Transient, match=r"it is not known whether it was written"):
        await there.append(decision(Counted(2), at=1))
    await refusing
    assert (await store.load("a")).events == [Counted(1), Counted(2)]
    await there.close()


async def test_nothing_is_lost_or_doubled_while_backends_are_killed(
    store: PostgresStore, direct: Connection
) -> None:
    async def write(name: str) -> None:
        for number in range(15):
            await store.append(dispatch(number, to=name, at=number))
            assert await store.version(name) == number + 1

    async def kill() -> None:
        while True:
            await asyncio.sleep(0.03)
            await direct.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND random() < 0.6"
            )

    killing = asyncio.create_task(kill())
    try:
        await asyncio.gather(*(write(f"s{n}") for n in range(20)))
    finally:
        killing.cancel()
        with suppress(asyncio.CancelledError):
            await killing
    for n in range(20):
        assert (await store.load(f"s{n}")).events == [Counted(number) for number in range(15)]
        assert len(await store.queue.queued(f"s{n}")) == 15


async def test_a_claim_whose_answer_was_lost_comes_to_light(
    proxy: CuttingProxy, through_proxy: PostgresStore
) -> None:
    queue = through_proxy.queue
    await through_proxy.append(dispatch(1, 2))
    proxy.cut_after_request(lambda m: m.kind == "B" and b"somebody" in m.body)
    with pytest.raises(Transient):
        await queue.claim("somebody", 5)
    assert await queue.claim("another", 5) == []
    leases = await queue.claim("somebody", 5)
    assert [(le.task_id, le.epoch) for le in leases] == [(1, 1), (2, 1)]
    assert await queue.claim("somebody", 5) == []


# --- others ---------------------------------------------------------------------------------------


async def test_batches_in_any_order_do_not_wait_for_each_other_in_circles(
    postgres_database: str, direct: Connection
) -> None:
    stores = [await PostgresStore.open(postgres_database, CODEC) for _ in range(4)]
    names = [f"s{n}" for n in range(12)]
    for name in names:
        await stores[0].append(dispatch(*range(6), to=name))

    async def write(store: PostgresStore, seed: int) -> int:
        chance, won = random.Random(seed), 0
        for round_ in range(12):
            appends = []
            for name in chance.sample(names, 8):
                at = await store.version(name)
                task = chance.randrange(6)
                kind = chance.choice([Settle, Signal])
                leases = [le for le in await store.queue.queued(name) if le.task_id == task]
                fences = [
                    Fence(task, le.attempt, le.epoch) for le in leases if chance.random() < 0.5
                ]
                command = CommandRecord(f"c{chance.randrange(200)}", "h")
                commands = [command] if chance.random() < 0.3 else []
                change: Any = [(kind(task), at + 1)]
                appends.append(
                    decision(
                        Counted(9), to=name, at=at, queue=change, fences=fences, commands=commands
                    )
                )
            appends.append(decision(Counted(0), to=f"new{round_}"))
            results = await outcomes(*map(store.append, appends))
            assert all(isinstance(r, (int, Conflict, LeaseLost)) for r in results), results
            won += sum(isinstance(r, int) for r in results)
            await store.queue.claim(f"w{seed}", 3)
            await store.queue.renew(f"w{seed}")
        await store.queue.leave(f"w{seed}")
        return won

    won = await asyncio.gather(*(write(store, seed) for seed, store in enumerate(stores)))
    assert sum(won) > 100
    assert len(await stores[0].read(Query(event_type="Counted"))) == 12 * 6 + sum(won)
    assert await deadlocks(direct) == 0
    for store in stores:
        await store.close()


async def test_a_lock_that_another_session_holds_does_not_hold_up_others_for_long(
    store: PostgresStore, direct: Connection
) -> None:
    for name in ("a", "b", "c"):
        await store.append(decision(Counted(1), to=name))
    for function in ("append", "append_one"):
        await direct.execute(f"ALTER FUNCTION planfold.{function} SET lock_timeout = '150ms'")
    async with direct.transaction():
        await direct.execute("SELECT FROM planfold.streams WHERE aggregate_id = 'b' FOR UPDATE")
        results = await outcomes(
            *(store.append(decision(Counted(2), to=name, at=1)) for name in ("a", "b", "c"))
        )
    assert isinstance(results[1], Transient), results
    assert "another session holds a lock" in str(results[1])
    assert isinstance(results[0], int)
    assert isinstance(results[2], int)
    await store.append(decision(Counted(2), to="b", at=1))


async def test_it_waits_for_a_short_transaction_of_another_session(
    store: PostgresStore, direct: Connection
) -> None:
    await store.append(decision(Counted(1)))
    async with direct.transaction():
        await direct.execute("SELECT FROM planfold.streams FOR UPDATE")
        waiting = store.append(decision(Counted(2), at=1))
        async with asyncio.timeout(PATIENCE_S):
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not await direct.fetchval(waits):  # noqa: ASYNC110 - a lock sets no event
                await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting > 0


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_it_is_right_with_any_isolation_of_sessions(
    postgres_database: str, direct: Connection, level: str
) -> None:
    await (await PostgresStore.open(postgres_database, CODEC)).close()
    await direct.execute(
        f"ALTER DATABASE {postgres_database.rpartition('/')[2]} "
        f"SET default_transaction_isolation = '{level}'"
    )
    stores = [await PostgresStore.open(postgres_database, CODEC) for _ in range(2)]
    for version in range(25):
        results = await outcomes(*(s.append(decision(Counted(1), at=version)) for s in stores))
        assert [isinstance(r, Conflict) for r in results].count(True) == 1, results
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    "appends",
    [
        [decision(Counted(1))],
        [decision(Counted(1)), decision(Counted(2), to="b")],
        [decision(Counted(1)), decision(Counted(2), to="b", at=7)],
        [dispatch(1, 2, 3), decision(*map(Counted, range(5)), to="b")],
    ],
    ids=["one", "two", "one refused", "rows and events"],
)
async def test_the_first_answer_of_a_connection_is_understood(
    store: PostgresStore, appends: list[Append], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A type that the driver does not know yet counts as a lost connection: the batch would be
    sent again over another one."""
    faults: list[BaseException] = []

    def told(fault: BaseException) -> bool:
        faults.append(fault)
        return is_lost(fault)

    monkeypatch.setattr(appender_module, "is_lost", told)
    await outcomes(*map(store.append, appends))
    await store.append(decision(*map(Counted, range(4)), at=len(appends[0].events)))
    assert faults == []


async def test_a_decision_that_cannot_be_stored_takes_no_other_with_it(
    store: PostgresStore,
) -> None:
    unindexable = random.Random(1).randbytes(4_000).hex()
    await store.append(dispatch(1, to="queued"))
    results = await outcomes(
        store.append(decision(Counted(1), to="a")),
        store.append(decision(Counted(1), to=unindexable)),
        store.append(dispatch(1, to="queued", at=1)),
        store.append(decision(Counted(1), to="b")),
    )
    kinds = [int, Permanent, CorruptLog, int]
    assert [type(r) for r in results] == kinds, results
    assert await store.version("queued") == 1


async def test_values_may_be_large(store: PostgresStore) -> None:
    text = "x" * 20_000_000
    await asyncio.gather(*(store.append(decision(Noted(text), to=f"s{n}")) for n in range(3)))
    assert (await store.load("s2")).events == [Noted(text)]


async def test_a_stream_that_was_archived_does_not_begin_again(
    store: PostgresStore, direct: Connection
) -> None:
    await direct.execute(
        "INSERT INTO planfold.tombstones "
        "VALUES ('b', 'note', 3, '{}', 1, 2, 3, 'the file', 'digest')"
    )
    results = await outcomes(*(store.append(decision(Counted(1), to=to)) for to in ("a", "b", "c")))
    results += await outcomes(store.append(decision(Counted(1), to="b")))
    for result in (results[1], results[3]):  # among others, and alone
        assert isinstance(result, CommandRejected)
        assert "import the file to bring it back" in str(result)
    assert [await store.version(to) for to in ("a", "b", "c")] == [1, 0, 1]
    assert await store.head("b") is None


async def test_a_server_that_turned_read_only_is_named(
    store: PostgresStore, direct: Connection, postgres_database: str
) -> None:
    name = postgres_database.rpartition("/")[2]
    await direct.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(ConfigurationError, match="read-only"):
        await store.append(decision(Counted(1)))


# --- clock ----------------------------------------------------------------------------------------


async def test_leases_do_not_depend_on_the_clock_of_this_host(
    postgres_database: str, direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1e6)
    store = await PostgresStore.open(postgres_database, CODEC)
    await store.append(dispatch(1, 2, owner="me", leased=frozenset({1})))
    (lease,) = await store.queue.claim("me", 2)
    now = float(await direct.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    assert abs(store.clock() - now) < 1
    assert abs(lease.expires - now - 30) < 1
    assert abs((await store.queue.owned("me"))[0].expires - now - 30) < 1
    assert abs((await store.read(Query()))[0].recorded_at - now) < 1
    await store.close()


async def test_a_connection_that_gave_no_answer_in_time_is_not_used_again(
    postgres_database: str,
) -> None:
    """It may be half-open: silent for as long as the operating system keeps it."""
    async with planfold.open_app(postgres_database) as app:
        readers = app.store._readers  # type: ignore[attr-defined]
        used: list[object] = []

        async def silent(session: object) -> None:
            used.append(session)
            await asyncio.Event().wait()

        async def quick(session: object) -> None:
            used.append(session)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(readers.run(silent), 0.01)
        await readers.run(quick)
    assert used[0] is not used[1]
