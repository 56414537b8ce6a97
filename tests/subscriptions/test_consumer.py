"""A consumer on its own: order, checkpoints, failures, replay, memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from desk import PATIENCE_S, Desk, position, until, write

from planfold.backends.sqlite.store import SqliteStore
from planfold.errors import ConfigurationError, Transient
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.planner.tasks import RetryPolicy
from planfold.subscriptions import consumer as consumer_module
from planfold.subscriptions import partition
from planfold.subscriptions.consumer import Consumer
from planfold.testing.clock import ManualClock
from testbed.contracts.backend import CODEC, Counted, Noted, decision


def pass_time(store: SqliteStore, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    store.wakeup.notify()


async def test_events_are_handled_in_the_order_of_the_log_and_then_live(store: SqliteStore) -> None:
    desk = Desk()
    await write(store, "a", "b", "a")
    async with desk.consumer(store):
        await until(lambda: len(desk.handled) == 3)
        await write(store, "b", "c")
        await until(lambda: len(desk.handled) == 5)
    assert desk.handled == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("c", 1)]


async def test_it_continues_where_it_was(store: SqliteStore) -> None:
    desk = Desk()
    await write(store, *"abc")
    async with desk.consumer(store):
        await until(lambda: len(desk.handled) == 3)
    assert await position(store) == 3
    await write(store, *"abc")
    async with desk.consumer(store):
        await until(lambda: len(desk.handled) == 6)
    assert desk.handled == [(name, version) for version in (1, 2) for name in "abc"]


async def test_the_checkpoint_is_saved_when_nothing_more_comes(store: SqliteStore) -> None:
    desk = Desk()
    async with desk.consumer(store):
        await write(store, *"abc")

        async def is_saved() -> bool:
            return await position(store) == 3

        await until(is_saved)


async def test_it_says_when_it_has_handled_what_had_happened(store: SqliteStore) -> None:
    desk = Desk()
    desk.held["c"].clear()
    await write(store, *"abc")
    async with desk.consumer(store) as consumer:
        await consumer.caught_up(2)
        assert desk.of("a") == desk.of("b") == [1]
        waiting = asyncio.create_task(consumer.caught_up(3))
        await until(lambda: desk.holding["c"])
        assert not waiting.done()
        desk.held["c"].set()
        await waiting
        desk.broken["d"] = 1
        await write(store, "d")
        await consumer.caught_up(4)  # what failed is not waited for
    await consumer.caught_up(10)  # it holds nothing


async def test_two_names_do_not_know_of_each_other(store: SqliteStore) -> None:
    first, second = Desk(), Desk()
    await write(store, *"abc")
    async with first.consumer(store, "mail"), second.consumer(store, "audit"):
        await until(lambda: len(first.handled) == len(second.handled) == 3)


async def test_a_new_consumer_can_begin_anywhere_and_an_old_one_continues(
    store: SqliteStore,
) -> None:
    desk = Desk()
    await write(store, *"abcd")
    async with desk.consumer(store, after=Checkpoint(store.store_id, store.epoch, 2)):
        await until(lambda: len(desk.handled) == 2)
    async with desk.consumer(store, after=0):
        await write(store, "e")
        await until(lambda: len(desk.handled) == 3)
    assert [name for name, _ in desk.handled] == ["c", "d", "e"]


async def test_only_what_matches_is_handled_and_the_checkpoint_moves_on_all_the_same(
    store: SqliteStore, clock: ManualClock
) -> None:
    seen: list[object] = []

    async def note(envelope: Envelope) -> None:
        seen.append(envelope.event)

    await store.append(decision(Noted("x"), Counted(1), Noted("y"), Noted("z")))
    async with Consumer(store, "desk", note, Query(event_type="Counted")):
        await until(lambda: seen == [Counted(1)])

        async def is_past_the_rest() -> bool:
            pass_time(store, clock, 5)
            return await position(store) == 4

        await until(is_past_the_rest)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_goes_back_does_not_lengthen_the_pause(
    store: SqliteStore, clock: ManualClock, restarted: bool
) -> None:
    desk = Desk()
    desk.broken["a"] = 1
    short = RetryPolicy(attempts=3, base=0.2, cap=0.2)
    await write(store, "a")
    async with desk.consumer(store, retries=short):
        await until(lambda: desk.tried)
        if not restarted:
            clock.advance(-3_600)
            await until(lambda: desk.of("a") == [1])
    clock.advance(-3_600)
    async with desk.consumer(store, retries=short):
        await until(lambda: desk.of("a") == [1])


async def test_a_failed_event_is_tried_again_while_other_streams_continue(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk()
    desk.broken["a"] = 2
    await write(store, "a", "b", "a", "b", "c")
    async with desk.consumer(store):
        await until(lambda: len(desk.handled) == 3)
        assert (desk.of("a"), desk.of("b"), desk.of("c")) == ([], [1, 2], [1])
        (row,) = await store.checkpoints.consumers.parked("desk")
        assert (row.aggregate_id, row.position, row.attempts) == ("a", 1, 1)
        assert row.error == "ValueError: no room for ('a', 1)"
        assert row.retry_at == pytest.approx(clock() + 9.99)
        pass_time(store, clock, 9)
        await write(store, "a", "b")
        await until(lambda: desk.of("b") == [1, 2, 3])
        assert desk.tried.count(("a", 1)) == 1
        pass_time(store, clock, 1)
        await until(lambda: desk.tried.count(("a", 1)) == 2)
        pass_time(store, clock, 20)
        await until(lambda: desk.of("a") == [1, 2, 3])
        await write(store, "a")
        await until(lambda: desk.of("a") == [1, 2, 3, 4])
        assert await store.checkpoints.consumers.parked("desk") == []


async def test_after_the_last_try_the_stream_is_parked_until_an_operator_asks(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk()
    desk.broken["a"] = 99
    await write(store, "b", "a", "a")
    consumers = store.checkpoints.consumers
    async with desk.consumer(store):

        async def is_parked() -> bool:
            pass_time(store, clock, 60)
            rows = await consumers.parked("desk")
            return bool(rows) and rows[0].retry_at is None

        await until(is_parked)
        assert desk.tried.count(("a", 1)) == 3
        await write(store, "a", "b")
        await until(lambda: desk.of("b") == [1, 2])
        assert await consumers.replay("desk", "b") == 0
        desk.broken["a"] = 0
        assert await consumers.replay("desk", "a") == 1
        store.wakeup.notify()
        await until(lambda: desk.of("a") == [1, 2, 3])

        async def is_free() -> bool:
            return await consumers.parked("desk") == []

        await until(is_free)


async def test_a_replay_can_be_asked_for_while_no_member_runs_and_fail_again(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk()
    desk.broken["a"] = 99
    await write(store, "a", "a", "b")
    consumers = store.checkpoints.consumers

    async def is_parked() -> bool:
        pass_time(store, clock, 60)
        rows = await consumers.parked("desk")
        return bool(rows) and rows[0].retry_at is None

    async with desk.consumer(store):
        await until(is_parked)
    assert await consumers.replay("desk") == 1
    async with desk.consumer(store):
        await until(is_parked)
        assert desk.tried.count(("a", 1)) == 6
    desk.broken["a"] = 0
    await consumers.replay("desk")
    async with desk.consumer(store):
        await until(lambda: desk.of("a") == [1, 2])


async def test_a_long_replay_leaves_others_their_turn(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk()
    desk.broken["a"] = 3
    await write(store, *["a"] * 50)
    async with desk.consumer(store, batch=5):

        async def is_parked() -> bool:
            pass_time(store, clock, 60)
            return not desk.broken["a"]

        await until(is_parked)
        desk.held["a"].clear()
        await store.checkpoints.consumers.replay("desk")
        await write(store, *["b"] * 20)
        desk.held["a"].set()
        await until(lambda: len(desk.of("a")) == 50 and len(desk.of("b")) == 20)
    assert desk.of("a") == list(range(1, 51))
    assert desk.handled.index(("b", 10)) < desk.handled.index(("a", 50))


async def test_cancelling_is_no_failure(store: SqliteStore) -> None:
    desk = Desk()
    desk.held["a"].clear()
    await write(store, "b", "a", "b")
    consumer = desk.consumer(store)
    running = asyncio.create_task(consumer.run())
    await until(lambda: desk.holding["a"])
    running.cancel()
    await until(lambda: consumer._runners[0].stopping)
    desk.held["a"].set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert desk.handled == [("b", 1), ("a", 1)]
    assert await position(store) == 2
    assert await store.checkpoints.consumers.parked() == []
    assert (await store.checkpoints.consumers.statuses("desk"))[0].members == ()


async def test_a_handler_that_does_not_end_is_cut_off_and_its_event_comes_again(
    store: SqliteStore,
) -> None:
    desk = Desk()
    desk.held["a"].clear()
    await write(store, "b", "a", "b")
    consumer = desk.consumer(store)
    async with consumer:
        await until(lambda: desk.holding["a"])
        await consumer.stop(drain_s=0.01)
    assert await position(store) == 1
    desk.held["a"].set()
    async with desk.consumer(store):
        await until(lambda: len(desk.handled) == 3)
    assert desk.handled == [("b", 1), ("a", 1), ("b", 2)]


async def test_a_handler_whose_own_work_was_cancelled_has_failed(
    store: SqliteStore, clock: ManualClock
) -> None:
    tries: list[int] = []

    async def handle(envelope: Envelope) -> None:
        tries.append(envelope.version)
        if len(tries) == 1:
            raise asyncio.CancelledError

    await write(store, "a", "a")
    async with Consumer(store, "desk", handle, random=lambda: 0.5):
        await until(lambda: len(tries) == 1)

        async def is_done() -> bool:
            pass_time(store, clock, 1)
            return tries == [1, 1, 2]

        await until(is_done)


async def test_what_waits_in_memory_is_bounded_and_a_slow_handler_holds_the_reader_back(
    store: SqliteStore,
) -> None:
    desk = Desk()
    desk.held["a"].clear()
    await store.append(decision(*map(Counted, range(2_000))))
    consumer = desk.consumer(store, batch=10)
    async with consumer:
        await until(lambda: consumer._runners and len(consumer._runners[0]._waiting) == 10)
        assert consumer._runners[0].delivered <= 12
        desk.held["a"].set()
        await until(lambda: len(desk.handled) == 2_000)
    assert desk.of("a") == list(range(1, 2_001))


async def test_when_too_many_streams_wait_for_another_try_the_rest_waits_too(
    store: SqliteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "MOST_RETRYING", 3)
    desk = Desk()
    names = [f"s{number}" for number in range(8)]
    for name in names:
        desk.broken[name] = 1
    await write(store, *names)
    async with desk.consumer(store):
        await until(lambda: len(desk.tried) == 3)
        await asyncio.sleep(0.02)
        assert len(desk.tried) == 3

        async def is_done() -> bool:
            pass_time(store, clock, 1)
            return len(desk.handled) == 8

        await until(is_done)


async def test_an_error_of_any_text_is_recorded(store: SqliteStore) -> None:
    async def handle(_: Envelope) -> None:
        raise ValueError("\0 and \ud800 and " + "x" * 9_000)

    await write(store, "a")
    async with Consumer(store, "desk", handle):

        async def is_recorded() -> bool:
            rows = await store.checkpoints.consumers.parked("desk")
            return bool(rows) and "\\0 and ? and xx" in rows[0].error and len(rows[0].error) <= 2000

        await until(is_recorded)


@pytest.mark.parametrize("refused", ["partitions", "epoch", "end"])
async def test_it_refuses_what_would_skip_events(store: SqliteStore, refused: str) -> None:
    desk = Desk()
    await write(store, *"abc")
    async with desk.consumer(store, partitions=2):
        await until(lambda: len(desk.handled) == 3)
    if refused == "epoch":
        await store.checkpoints.raise_epoch()
    if refused == "end":
        store._writer.connection.execute("UPDATE sqlite_sequence SET seq = 1")
    words = {"partitions": "has 2 partitions", "epoch": "of epoch 1", "end": "the log ends at 1"}
    with pytest.raises(ConfigurationError, match=words[refused]):
        async with asyncio.timeout(PATIENCE_S):
            await desk.consumer(store, partitions=3 if refused == "partitions" else 2).run()
    assert (await store.checkpoints.consumers.statuses("desk"))[0].members == ()
    if refused == "end":
        await store.checkpoints.consumers.accept("desk")
        async with desk.consumer(store, partitions=2):
            await write(store, "a")
            await until(lambda: desk.of("a")[-1:] == [2])


async def test_an_epoch_that_is_raised_ends_a_running_consumer(
    store: SqliteStore, clock: ManualClock
) -> None:
    consumer = Desk().consumer(store)
    running = asyncio.create_task(consumer.run())
    await until(lambda: consumer.partitions)
    await store.checkpoints.raise_epoch()

    async def has_ended() -> bool:
        pass_time(store, clock, 10)
        return running.done()

    await write(store, "a")
    await until(has_ended)
    with pytest.raises(ConfigurationError, match="restored from a backup"):
        await running


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "a\0b"}, {"partitions": 0}, {"batch": 0}])
def test_nonsense_is_refused(store: SqliteStore, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="consumer"):
        Desk().consumer(store, **wrong)


# --- a store that cannot be reached -------------------------------------------------------------


class Away:
    """Lets calls to a store's consumers fail while ``away`` is set."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.away = False
        self.refused = 0
        for name in names:
            method = getattr(store.checkpoints.consumers, name)
            monkeypatch.setattr(store.checkpoints.consumers, name, self._failing(method))

    def _failing(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                self.refused += 1
                raise Transient("the database is away")
            return await method(*args, **kwargs)

        return call


async def test_while_the_store_is_away_nothing_is_forgotten_or_handled_twice(
    store: SqliteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "TRY_SAVING_EVERY_S", 0.001)
    desk, away = Desk(), Away(store, monkeypatch, "advance")
    desk.broken["a"] = 1
    away.away = True
    await write(store, *"bab")
    async with desk.consumer(store) as consumer:
        await until(lambda: away.refused > 3)
        assert desk.tried == [("b", 1), ("a", 1)]
        assert isinstance(consumer.fault, Transient)
        away.away = False
        await until(lambda: ("b", 2) in desk.handled)
        pass_time(store, clock, 10)
        await until(lambda: desk.of("a") == [1])
    assert desk.of("b") == [1, 2]


async def test_one_who_cannot_renew_stops_in_time_and_begins_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, away = Desk(), Away(store, monkeypatch, "statuses", "attend")
    desk.held["a"].clear()
    await write(store, *"ba")
    async with desk.consumer(store) as consumer:
        await until(lambda: desk.holding["a"])
        monkeypatch.setattr(consumer_module, "GIVE_UP_RENEWING_S", 0.01)
        away.away = True
        store.wakeup.notify()
        await until(lambda: not consumer.partitions and not desk.holding["a"])
        away.away = False
        monkeypatch.setattr(consumer_module, "GIVE_UP_RENEWING_S", 24.0)
        store.wakeup.notify()
        desk.held["a"].set()
        await until(lambda: desk.of("a") == [1])


async def test_one_whose_store_is_closed_can_still_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LAST_WORDS_S", 0.01)
    desk = Desk()
    store = SqliteStore.open(str(tmp_path / "closed.db"), CODEC)
    consumer = desk.consumer(store)
    await consumer.__aenter__()
    await store.close()
    async with asyncio.timeout(PATIENCE_S):
        await consumer.stop(drain_s=0.01)


async def test_events_that_wait_are_given_together(store: SqliteStore, clock: ManualClock) -> None:
    desk, together = Desk(), list[list[tuple[str, int]]]()

    async def handle_all(envelopes: Sequence[Envelope]) -> None:
        together.append([(e.aggregate_id, e.version) for e in envelopes])
        if any(e.aggregate_id == "b" for e in envelopes):
            raise ValueError("not with b")
        desk.handled += together[-1]

    await write(store, *"acacac")
    async with desk.consumer(store, handle_all=handle_all):
        await until(lambda: len(desk.handled) == 6)
    assert sum(len(some) for some in together) + len(desk.tried) == 6
    assert max(len(some) for some in together) > 1
    desk.broken["b"] = 1
    together.clear()
    await write(store, *"bdbd")
    async with desk.consumer(store, handle_all=handle_all):

        async def is_done() -> bool:
            pass_time(store, clock, 1)
            return len(desk.handled) == 10

        await until(is_done)
    assert desk.of("b") == desk.of("d") == [1, 2]
    assert len(desk.handled) == len(set(desk.handled))
    assert await position(store) == 10


async def test_at_most_32_events_are_given_together(store: SqliteStore) -> None:
    sizes = list[int]()

    async def handle_all(envelopes: Sequence[Envelope]) -> None:
        sizes.append(len(envelopes))

    desk = Desk()
    await write(store, *["a"] * 100)
    async with desk.consumer(store, handle_all=handle_all):
        await until(lambda: sum(sizes) + len(desk.handled) == 100)
    assert max(sizes) == partition.TOGETHER


async def test_a_stream_that_is_back_in_line_loses_no_event_that_waited_with_others(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk()
    desk.broken["b"] = 1
    desk.held["a"].clear()

    async def handle_all(envelopes: Sequence[Envelope]) -> None:
        desk.handled += [(e.aggregate_id, e.version) for e in envelopes]

    await write(store, "b")
    async with desk.consumer(store, handle_all=handle_all, batch=2) as consumer:
        await until(lambda: desk.tried == [("b", 1)])
        await write(store, "a")
        await until(lambda: desk.holding["a"])
        await write(store, "c", "b")
        await until(lambda: [len(each._waiting) for each in consumer._runners.values()] == [2])
        clock.advance(60)  # "b" is tried between "c" and its second event, which wait together
        desk.held["a"].set()
        await until(lambda: ("b", 1) in desk.handled)
        await write(store, "c")
        await until(lambda: ("c", 2) in desk.handled)
    assert desk.of("b") == [1, 2]
    assert desk.of("c") == [1, 2]
