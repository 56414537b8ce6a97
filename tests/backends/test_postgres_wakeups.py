"""Wake-ups between processes: with messages, and without any."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import asyncpg
import pytest
from postgres_stores import INSERT, ask, opened

import planfold
from planfold.backends.postgres import wakeup
from planfold.backends.postgres.store import PostgresStore
from planfold.backends.postgres.wakeup import PAYLOAD_BYTES, Generations, WakeupMessage, payload
from planfold.errors import Permanent
from planfold.eventstore.wakeup import WORK
from planfold.planner.commands import CancelTask
from testbed.contracts.backend import Counted, decision, dispatch
from testbed.contracts.subscriptions import count_up, numbers, take, until
from testbed.patience import PATIENCE_S

AT_MOST = 3  # polls: one that began before the commit, the next, and one until the test runs again

# --- messages ----------------------------------------------------------------------------------


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first look no process polls: what arrives came in a message."""
    for name in ("POLL_MIN_S", "POLL_MAX_S", "STILL_THERE_S"):
        monkeypatch.setattr(wakeup, name, 10 * PATIENCE_S)


async def listening(store: PostgresStore) -> None:
    """Watch other processes, until the listener listens and the poll that this sets off is over."""
    store.watch_other_processes()
    listener = store.others.listener
    assert listener is not None
    await until(lambda: listener.is_listening)
    await until(lambda: store.others.polls >= 1)


@pytest.mark.usefixtures("no_poll")
async def test_a_commit_is_reported_to_others_with_what_it_means(postgres_database: str) -> None:
    async with opened(postgres_database) as here, opened(postgres_database) as there:
        await listening(here)
        a, b, work = map(here.wakeup.ticket, ("a", "b", WORK))
        before = here.generation("a"), here.generation("b")
        await there.append(decision(Counted(1), to="a"))
        await asyncio.wait_for(a.wait(), PATIENCE_S)
        assert not b.is_set()
        assert not work.is_set()
        assert here.generation("a") > before[0]
        assert here.generation("b") == before[1]
        await there.append(dispatch(1, to="b"))
        await asyncio.wait_for(work.wait(), PATIENCE_S)
        assert b.is_set()


@pytest.mark.usefixtures("no_poll")
async def test_what_this_process_wrote_is_no_news_to_it(postgres_database: str) -> None:
    async with opened(postgres_database) as here, opened(postgres_database) as there:
        await listening(here)
        before = here.generation("a"), here.generation()
        await here.append(decision(Counted(1), to="a"))
        own = here.wakeup.ticket("b")
        await there.append(decision(Counted(1), to="b"))
        await asyncio.wait_for(own.wait(), PATIENCE_S)  # its own message was heard before
        assert here.generation("a") == before[0]
        assert here.generation() == before[1] + 1


@pytest.mark.usefixtures("no_poll")
async def test_a_process_that_says_too_much_says_that_all_has_changed(
    postgres_database: str, let_pass: Callable[[float], None]
) -> None:
    slow = f"{postgres_database}?notify_ms=30000"
    async with opened(postgres_database) as here, opened(slow) as there:
        await listening(here)
        ticket, before = here.wakeup.ticket("untouched"), here.generation("untouched")
        await there.append(decision(Counted(1), to="told at once"))
        many = (decision(Counted(n), to=f"{n:0>200}") for n in range(60))
        await asyncio.gather(*map(there.append, many))
        assert there.others.notifier.sent == 1
        let_pass(30.0)
        await asyncio.wait_for(ticket.wait(), PATIENCE_S)
        assert here.generation("untouched") > before
        await until(lambda: there.others.notifier.sent == 2)
        let_pass(30.0)  # else it waits that long before it closes


@pytest.mark.usefixtures("no_poll")
async def test_a_message_of_a_newer_planfold_means_that_all_has_changed(
    postgres_database: str,
) -> None:
    async with opened(postgres_database) as here:
        await listening(here)
        ticket = here.wakeup.ticket("a")
        await ask(postgres_database, "SELECT pg_notify('planfold', '[2]')")
        await asyncio.wait_for(ticket.wait(), PATIENCE_S)


async def test_many_commits_make_few_messages(postgres_database: str) -> None:
    async with opened(postgres_database) as store:
        begun = time.monotonic()
        await count_up(store, 0, 300)
        took = time.monotonic() - begun
        assert 1 <= store.others.notifier.sent <= took / 0.02 + 2


@pytest.mark.usefixtures("no_poll")
async def test_a_listener_that_is_killed_comes_back(postgres_database: str) -> None:
    kill = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE datname = current_database() AND query LIKE 'LISTEN%'"""
    async with opened(postgres_database) as here, opened(postgres_database) as there:
        await listening(here)
        listener = here.others.listener
        assert listener is not None
        assert await ask(postgres_database, kill) == 1
        await until(lambda: not listener.is_listening)
        await there.append(decision(Counted(1), to="a"))  # no process listens
        await until(lambda: listener.is_listening)
        await until(lambda: here.generation("a") > 0)  # but a listener that comes back looks
        ticket = here.wakeup.ticket("a")
        await there.append(decision(Counted(2), to="a", at=1))
        await asyncio.wait_for(ticket.wait(), PATIENCE_S)


def test_a_message_fits_into_a_notification() -> None:
    streams = {f"{n}": n for n in range(400)}
    assert payload(WakeupMessage("me", streams, True)).count(":") > 400
    streams = {f"plan-{n}": n for n in range(1_000)}
    short = payload(WakeupMessage("me", streams, True))
    assert short == '{"sender":"me","work":true}'
    assert len(payload(WakeupMessage("me", {"é" * 3_940: 1})).encode()) <= PAYLOAD_BYTES


def test_generations_are_few_and_never_fall() -> None:
    generations = Generations()
    names = [f"s{n}" for n in range(3 * wakeup.STREAMS_KNOWN)]
    before = {}
    for name in names:
        generations.rise(name)
        before[name] = generations.of(name)
    assert len(generations._streams) <= wakeup.STREAMS_KNOWN
    assert all(generations.of(name) >= before[name] for name in names)
    assert generations.of(names[-1]) == before[names[-1]]
    generations.rise_all()
    assert all(generations.of(name) > before[name] for name in names)
    assert generations.of(None) > 0


# --- no messages -------------------------------------------------------------------------------


async def test_behind_a_pooler_it_says_once_that_it_polls(
    postgres_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "planfold"):
        async with opened(postgres_database + "?pooled=true") as store:
            store.watch_other_processes()
            store.watch_other_processes()
            assert store.others.listener is None
    assert [r.message for r in caplog.records if "listen=" in r.message] != []
    assert len(caplog.records) == 1


async def test_listen_leads_past_the_pooler(postgres_database: str) -> None:
    host = postgres_database.partition("@")[2].partition("/")[0]
    async with opened(f"{postgres_database}?pooled=true&listen={host}") as store:
        await listening(store)


async def test_without_any_message_events_arrive_and_caches_are_invalidated(
    postgres_database: str,
) -> None:
    address = postgres_database + "?pooled=true"
    async with opened(address) as here, opened(address) as there:
        feed = here.subscribe()
        for number in range(3):
            before = here.generation("a")
            waiting = asyncio.ensure_future(take(feed, 1))
            await asyncio.sleep(0)
            work, polls = here.wakeup.ticket(WORK), here.others.polls
            await there.append(decision(Counted(number), to="a", at=number))
            assert numbers(await waiting) == [number]
            await asyncio.wait_for(work.wait(), PATIENCE_S)  # the feed may be first
            assert here.generation("a") > before
            assert here.others.polls - polls <= AT_MOST


async def test_the_poll_finds_what_is_committed_late(postgres_database: str) -> None:
    """Its position is below others that were seen before."""
    async with opened(postgres_database) as here:
        await listening(here)
        late = await asyncpg.connect(postgres_database)
        await late.execute("BEGIN")
        await late.execute(INSERT, "late")
        await ask(postgres_database, INSERT, "early")
        await until(lambda: here.others._known.get("early") == 1)
        ticket, polls = here.wakeup.ticket("late"), here.others.polls
        await late.execute("COMMIT")
        await asyncio.wait_for(ticket.wait(), PATIENCE_S)
        assert here.others.polls - polls <= AT_MOST
        await late.close()


async def test_without_any_message_work_begins_and_is_cancelled(postgres_database: str) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    @planfold.tool(effect="safe")
    async def obedient(context: planfold.TaskContext) -> str:
        begun.set()
        await context.cancelled.wait()
        stopped.set()
        raise Permanent("stopped as asked")

    address = postgres_database + "?pooled=true"
    async with (
        planfold.open_app(address, tools=[obedient]) as here,
        planfold.open_app(address, tools=[obedient]) as there,
        here.worker(),
    ):
        assert isinstance(here.store, PostgresStore)
        others = here.store.others
        await until(lambda: others.pause_s == wakeup.POLL_MAX_S)  # it has become slow by then
        task = planfold.TaskDraft(description="wait", tool="obedient")
        draft = planfold.PlanDraft(title="a plan", tasks=[task])
        plan_id = await there.submit(draft, approved_by="test")
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        await there.send(plan_id, CancelTask(1))
        await asyncio.wait_for(stopped.wait(), PATIENCE_S)
        await there.result(plan_id)
