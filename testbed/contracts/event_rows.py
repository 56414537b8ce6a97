"""Recording: what a row says beside its event, and what may not be recorded."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from planfold.errors import CommandRejected
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import Append, EventStore
from planfold.handler import Metadata
from testbed.contracts.backend import (
    Backend,
    Contract,
    Counted,
    Noted,
    decision,
    dispatch,
)

ABOUT = (
    Metadata(),
    Metadata("a", "a#12/TaskCompleted"),
    Metadata("", "a#12/TaskCompleted"),
    Metadata("request", "a#12/TaskCompleted"),
    Metadata("a", "command-1"),
    Metadata("", "command-1"),
    Metadata("a", ""),
    Metadata("b", "b#1"),
    Metadata("a", "#1"),
    Metadata("a", "ab#1"),
    Metadata("a", "a#1", {"Ünï": "\0"}, 99.25, 0.75, "w-1", 98.1234, 98.2, {"x": [1, None]}),
)


class EventRowsContract(Contract):
    @pytest.mark.parametrize("about", ABOUT, ids=str)
    async def test_metadata_comes_back_as_it_was(self, store: EventStore, about: Metadata) -> None:
        await store.append(decision(Counted(1), metadata=about))
        (envelope,) = await store.read(Query())
        assert envelope.metadata == about
        assert await store.metadata_of_first("a") == about

    async def test_the_worker_in_extra_of_older_events_is_understood(
        self, store: EventStore
    ) -> None:
        await store.append(
            decision(Counted(1), metadata=Metadata("a", "a#1", {"worker": "worker-1"}))
        )
        (envelope,) = await store.read(Query())
        assert (envelope.metadata.worker, envelope.metadata.extra) == (
            "worker-1",
            {"worker": "worker-1"},
        )

    async def test_times_of_an_attempt_are_kept_to_a_tenth_of_a_millisecond(
        self, store: EventStore
    ) -> None:
        about = Metadata(claimed_at=1_700_000_000.123456, began_at=1_700_000_000.98767)
        await store.append(decision(Counted(1), metadata=about))
        (envelope,) = await store.read(Query())
        assert envelope.metadata.claimed_at == 1_700_000_000.1235
        assert envelope.metadata.began_at == 1_700_000_000.9877

    async def test_a_decision_is_recorded_at_its_own_time(self, backend: Backend) -> None:
        store = await backend.open(clock=lambda: 500.0)
        about = Metadata(now=100.5)
        await store.append(decision(Counted(1), metadata=about, now=100.5))
        await store.append(decision(Counted(2), at=1, metadata=about))
        first, second = await store.read(Query())
        assert (first.recorded_at, first.metadata.now) == (100.5, 0.0)
        assert (second.recorded_at, second.metadata.now) == (500.0, 100.5)
        head = await store.head("a")
        assert head is not None
        assert (head.created_at, head.updated_at) == (100.5, 500.0)

    @pytest.mark.parametrize("now", [499.0, 501.0])
    async def test_a_lease_counts_from_the_decision_or_the_clock_if_that_is_later(
        self, backend: Backend, now: float
    ) -> None:
        store = await backend.open(clock=lambda: 500.0)
        await store.append(decision(Counted(1)))
        one_by_one = dispatch(1, at=1, owner="me", leased=frozenset({1}), now=now)
        await store.append(one_by_one)
        await asyncio.gather(  # in one commit
            *(
                store.append(dispatch(1, to=to, owner="me", leased=frozenset({1}), now=now))
                for to in ("b", "c")
            )
        )
        [*leases] = await store.queue.owned("me")
        assert {lease.expires for lease in leases} == {max(now, 500.0) + 30.0}
        assert len(leases) == 3

    @pytest.mark.parametrize(
        ("append", "reason"),
        [
            (decision(Counted("seven")), r"Counted .*`int`.*\$\.number"),  # type: ignore[arg-type]
            (decision(Counted(1.5)), r"Counted .*\$\.number"),  # type: ignore[arg-type]
            (decision(Noted(float("nan"))), "Noted .* NaN"),
            (decision(Noted([{"x": float("inf")}])), "Noted .* infinity"),
            (decision(Noted(object())), "Noted .* JSON"),
            (decision(Counted(1), metadata=Metadata(extra={"n": 1})), r"metadata .*`str`"),  # type: ignore[dict-item]
            (decision(Counted(1), metadata=Metadata(7)), "metadata .*"),  # type: ignore[arg-type]
            (decision(Counted(1), metadata=Metadata("a", None)), "metadata .*"),  # type: ignore[arg-type]
            (decision(Counted(1), metadata=Metadata(worker=7)), "metadata .*`str`"),  # type: ignore[arg-type]
            (decision(Counted(1), metadata=Metadata(claimed_at="x")), "metadata .*"),  # type: ignore[arg-type]
            (decision(Counted(1), metadata=Metadata(command=object())), "metadata .*"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_what_could_not_be_read_back_is_not_written(
        self, store: EventStore, append: Append, reason: str
    ) -> None:
        with pytest.raises(ValueError, match=reason):
            await store.append(append)
        with pytest.raises(ValueError, match=reason):  # neither is what comes with it
            await store.append(
                msgspec.structs.replace(append, events=[(Counted(1), Metadata()), *append.events])
            )
        assert await store.read(Query()) == []
        assert await store.head("a") is None

    @pytest.mark.parametrize("together", [False, True])
    async def test_a_stream_takes_no_events_of_another_kind(
        self, store: EventStore, together: bool
    ) -> None:
        await store.append(decision(Counted(1), stream="count"))
        refused = [decision(Noted(2), stream="note", at=at) for at in (0, 1)]
        other = [store.append(decision(Counted(9), to="b"))] if together else []
        for append in refused:
            with pytest.raises(CommandRejected, match=r"'a' .* 'count', not 'note'"):
                await store.append(append)
        await asyncio.gather(*other)
        await store.append(decision(Counted(2), stream="count", at=1))
        assert (await store.load("a")).events == [Counted(1), Counted(2)]

    async def test_a_stream_is_not_loaded_as_one_of_another_kind(self, store: EventStore) -> None:
        await store.append(decision(Counted(1), stream="count"))
        assert (await store.load("a", stream_id="count")).events == [Counted(1)]
        with pytest.raises(CommandRejected, match=r"'a' .* 'count', not 'note'"):
            await store.load("a", stream_id="note")

    async def test_a_load_that_is_refused_does_not_keep_later_ones_in_the_past(
        self, store: EventStore
    ) -> None:
        await store.append(decision(Counted(1), Counted(2), stream="count"))
        with pytest.raises(CommandRejected) as kept:  # with what its load was reading
            await store.load("a", stream_id="note")
        await store.append(decision(Counted(3), to="a", stream="count", at=2))
        assert await store.version("a") == 3
        assert "not 'note'" in str(kept.value)

    async def test_rare_types_and_kinds_are_found_among_many(self, store: EventStore) -> None:
        for number in range(20):
            await store.append(decision(Counted(number), Noted(number), to=f"s{number}"))
        await store.append(decision(Counted(20), to="rare", stream="other"))
        await store.append(decision(Noted(20), to="rare", stream="other", at=1))
        for query, count in (
            (Query(event_type="Counted"), 21),
            (Query(stream_id="other"), 2),
            (Query(stream_id="other", event_type="Noted"), 1),
            (Query(stream_id="note", event_type="Noted"), 20),
            (Query(aggregate_id="s3", event_type="Noted"), 1),
            (Query(aggregate_id="s3", stream_id="other"), 0),
            (Query(), 42),
        ):
            found = await store.read(query)
            assert len(found) == count, query
            positions = [envelope.position for envelope in found]
            assert positions == sorted(positions)
            assert await store.read(query, limit=1) == found[:1]
            if found:
                assert await store.read(query, after=positions[0]) == found[1:]
