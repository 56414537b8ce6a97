"""Reading: queries, hostile values, and what this version cannot read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest

from planfold.errors import CorruptLog
from planfold.eventstore.codec import MAX_DEPTH, Codec, EventType, event_types
from planfold.eventstore.envelope import History, Query, Undecoded
from planfold.eventstore.port import EventStore
from planfold.handler import Metadata
from testbed.contracts.backend import Backend, Contract, Counted, Noted, decision

STREAMS = ("note", "other")
IDS = ("a", "b", "c")


async def fill(store: EventStore) -> None:
    versions = dict.fromkeys(IDS, 0)
    for number in range(24):
        to = IDS[number % 3]
        event = Noted(number) if number % 2 else Counted(number)
        stream = "other" if to == "c" else "note"
        await store.append(decision(event, to=to, at=versions[to], stream=stream))
        versions[to] += 1


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {'k"[': value}
    return value


class QueriesContract(Contract):
    async def test_a_query_finds_what_matches_all_that_is_given(self, store: EventStore) -> None:
        await fill(store)
        whole = await store.read(Query())
        assert len(whole) == 24
        middle = whole[11].position
        for stream_id, event_type, aggregate_id in product(
            (None, *STREAMS, "absent"),
            (None, "Noted", "Counted", "Absent"),
            (None, "a", "c", "absent"),
        ):
            wanted = Query(stream_id, event_type, aggregate_id)
            matching = [
                e
                for e in whole
                if stream_id in (None, e.stream_id)
                and event_type in (None, e.event_type)
                and aggregate_id in (None, e.aggregate_id)
            ]
            assert await store.read(wanted) == matching, wanted
            later = [e for e in matching if e.position > middle]
            assert await store.read(wanted, after=middle) == later, wanted
            assert await store.read(wanted, after=middle, limit=3) == later[:3], wanted
        assert await store.read(Query(), limit=0) == []

    async def test_an_envelope_tells_where_its_event_comes_from(self, backend: Backend) -> None:
        store = await backend.open(clock=lambda: 12.5)
        about = Metadata("request", "command", {"Ünï": "\0"})
        await store.append(decision(Counted(3), to="x", stream="kind", metadata=about))
        (envelope,) = await store.read(Query())
        assert envelope.metadata == about
        assert (envelope.stream_id, envelope.aggregate_id) == ("kind", "x")
        assert (envelope.version, envelope.event_id) == (1, "x#1")
        assert (envelope.event_type, envelope.event_version) == ("Counted", 1)
        assert envelope.event == Counted(3)
        assert envelope.recorded_at == 12.5
        assert await store.metadata_of_first("x") == about
        assert await store.metadata_of_first("y") is None

    async def test_a_stream_is_read_by_its_versions(self, store: EventStore) -> None:
        await fill(store)
        whole = await store.read(Query(aggregate_id="b"))
        for after in range(9):
            assert await store.read_versions("b", after=after) == whole[after:]
            assert await store.read_versions("b", after=after, limit=2) == whole[after : after + 2]
        assert await store.read_versions("absent") == []
        assert await store.read_versions("\0") == []

    async def test_load_begins_after_a_version(self, store: EventStore) -> None:
        await store.append(decision(*map(Counted, range(5))))
        assert (await store.load("a", after_version=3)).events == [Counted(3), Counted(4)]
        assert (await store.load("a", after_version=5)).events == []
        assert (await store.load("absent")).events == []
        assert await store.version("absent") == 0

    async def test_load_tells_the_version_of_the_stream(self, store: EventStore) -> None:
        await store.append(decision(*map(Counted, range(5))))
        for after in (0, 3, 5, 9):  # 9: the stream was longer when it was read
            assert (await store.load("a", after_version=after)).version == 5
        for after in (0, 9):
            assert await store.load("absent", after_version=after) == History([], [], 0)

    @pytest.mark.parametrize(
        "value",
        [
            "\0",
            "before\0after",
            "\x1b[2J\x1b]0;title\x07",
            "\u202e\ufeff\uffff\U0010ffff",
            2**70,
            -(2**70),
            10**4000,
            2**63,
            0.1,
            -0.0,
            1e308,
            {"": {"\0": []}},
            [None, True, False, "", [], {}],
            nested(MAX_DEPTH - 1),
            "x" * 2_000_000,
        ],
        ids=lambda value: f"{type(value).__name__} {str(value)[:12]!a}",
    )
    async def test_hostile_values_come_back_as_they_were(
        self, store: EventStore, value: Any
    ) -> None:
        await store.append(decision(Noted(value)))
        assert (await store.load("a")).events == [Noted(value)]
        assert (await store.read(Query()))[0].event == Noted(value)

    async def test_names_may_hold_anything_but_nul_and_surrogates(self, store: EventStore) -> None:
        name = 'it\'s \x01 "quoted" % _ -- \u202e'
        await store.append(decision(Counted(1), to=name, stream=name))
        assert (await store.load(name)).events == [Counted(1)]
        assert (await store.read(Query(name, None, name)))[0].aggregate_id == name

    @pytest.mark.parametrize("name", ["\0", "a\0", "\ud800"])
    async def test_nothing_is_found_under_a_name_that_cannot_be(
        self, store: EventStore, name: str
    ) -> None:
        await store.append(decision(Counted(1)))
        assert (await store.load(name)).events == []
        assert await store.head(name) is None
        assert await store.heads(name) == []
        assert await store.version(name) == 0
        assert await store.find_command(name) is None
        assert await store.metadata_of_first(name) is None
        assert await store.read(Query(aggregate_id=name)) == []
        assert await store.read(Query(stream_id=name)) == []
        assert await store.queue.queued(name) == []

    async def test_what_nests_too_deep_to_be_read_anywhere_is_not_written(
        self, store: EventStore
    ) -> None:
        for depth in (MAX_DEPTH + 1, 500, 990, 100_000):
            with pytest.raises(ValueError, match=r"deeper than|recursion"):
                await store.append(decision(Noted(nested(depth))))
        assert await store.read(Query()) == []


class OldNote(msgspec.Struct, frozen=True):
    text: str


OldNote.__name__ = "Noted"


class NewNote(msgspec.Struct, frozen=True):
    value: Any
    words: int


NewNote.__name__ = "Noted"


def _rename_text(data: dict[str, Any]) -> dict[str, Any]:
    return {"value": data["text"]}


def _count_words(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "words": len(data["value"].split())}


class OtherCount(msgspec.Struct, frozen=True):
    number: str


OtherCount.__name__ = "Counted"


V1 = Codec(event_types([OldNote, Counted]))
V2 = Codec([EventType(Noted, 2, (_rename_text,)), EventType(Counted)])
V3 = Codec([EventType(NewNote, 3, (_rename_text, _count_words)), EventType(Counted)])
FEWER = Codec(event_types([Counted]))
OTHER = Codec(event_types([OtherCount]))


class UnreadableEventsContract(Contract):
    """Other versions of planfold on the same database."""

    @pytest.fixture
    def reopen(self, backend: Backend, store: EventStore) -> Callable[[Codec], EventStore]:
        """``store``, as a planfold with another codec sees it."""

        def with_codec(codec: Codec) -> EventStore:
            store.codec = codec
            return store

        return with_codec

    async def test_upcasters_lead_from_every_version_to_the_present_one(
        self, store: EventStore, reopen: Callable[[Codec], EventStore]
    ) -> None:
        await reopen(V1).append(decision(OldNote("one two")))
        await reopen(V2).append(decision(Noted("three"), at=1))
        await reopen(V3).append(decision(NewNote("x", 7), at=2))
        expected = [NewNote("one two", 2), NewNote("three", 1), NewNote("x", 7)]
        assert (await store.load("a")).events == expected
        assert [e.event for e in await store.read(Query())] == expected
        assert [e.event_version for e in await store.read(Query())] == [1, 2, 3]

    @pytest.mark.parametrize(
        ("codec", "reason"), [(FEWER, "unknown"), (V1, "upgrade"), (V2, "upgrade")]
    )
    async def test_what_this_version_does_not_know_makes_its_stream_read_only(
        self,
        store: EventStore,
        reopen: Callable[[Codec], EventStore],
        codec: Codec,
        reason: str,
    ) -> None:
        await reopen(V3).append(decision(Counted(1), NewNote("x", 1), Counted(3)))
        await store.append(decision(Counted(9), to="b"))
        older = reopen(codec)
        with pytest.raises(CorruptLog, match=rf"a#2.*{reason}.*read-only"):
            await older.load("a")
        first, second, third, fourth = await older.read(Query())
        assert isinstance(second.event, Undecoded)
        assert reason in second.event.reason
        assert msgspec.json.decode(second.event.data) == {"value": "x", "words": 1}
        assert (first.event, third.event, fourth.event) == (Counted(1), Counted(3), Counted(9))
        assert (await older.load("b")).events == [Counted(9)]
        await older.append(decision(Counted(10), to="b", at=1))

    async def test_data_of_another_shape_is_not_guessed_at(
        self, store: EventStore, reopen: Callable[[Codec], EventStore]
    ) -> None:
        await reopen(OTHER).append(decision(OtherCount("seven")))
        reopen(V3)
        with pytest.raises(CorruptLog, match="shape"):
            await store.load("a")
        assert isinstance((await store.read(Query()))[0].event, Undecoded)

    @pytest.mark.parametrize("version", [1, 2, 3])
    async def test_a_gap_in_a_stream_is_noticed(self, backend: Backend, version: int) -> None:
        store = await backend.open()
        await store.append(decision(*map(Counted, range(3))))
        await store.append(decision(Counted(1), to="b"))
        await backend.lose_event("a", version)
        if version < 3:
            with pytest.raises(CorruptLog, match=f"lacks its event {version}"):
                await store.load("a")
        else:  # a conflict would be tried again for ever
            with pytest.raises(CorruptLog, match="is at version 3"):
                await store.append(decision(Counted(3), at=2))
        assert (await store.load("b")).events == [Counted(1)]

    async def test_events_that_were_written_shallow_are_read_from_a_deep_stack(
        self, store: EventStore
    ) -> None:
        await store.append(decision(Noted(nested(MAX_DEPTH - 1))))

        async def at(depth: int) -> History:
            return await (at(depth - 1) if depth else store.load("a"))

        assert await at(500) == await store.load("a")
