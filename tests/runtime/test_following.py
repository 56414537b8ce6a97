"""Following plans to their end, and streams that ask to be continued when time has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import msgspec
import pytest

import planfold
from planfold.errors import CorruptLog
from planfold.handler import Outlook
from planfold.log import Aggregate, Handler, Query
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, Until, finish, submit, task
from testbed.patience import PATIENCE_S


@planfold.tool(effect="safe")
async def nothing() -> None:
    """Does nothing."""


async def types(feed: Any) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return [envelope.event_type async for envelope in feed]


async def test_watching_ends_with_the_plan_and_can_begin_anywhere() -> None:
    async with planfold.open_app("sqlite:///:memory:", tools=[nothing]) as app:
        await submit(app, task("nothing"))
        watched = asyncio.create_task(types(app.watch(PLAN_ID)))
        await finish(app)
        seen = await watched
        assert seen[-1] == "PlanningCompleted"
        last = (await app.store.read(Query(aggregate_id=PLAN_ID)))[-1].position
        assert await types(app.watch(PLAN_ID)) == seen
        assert await types(app.watch(PLAN_ID, after=last - 1)) == seen[-1:]
        assert await types(app.watch(PLAN_ID, after=last)) == []


async def test_a_plan_that_cannot_be_read_is_reported_instead_of_waited_for(tmp_path: Any) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    async with planfold.open_app(database, tools=[nothing]) as app:
        await submit(app, task("nothing"))
    with apsw.Connection(f"{tmp_path}/a.db") as connection:
        connection.execute(
            "UPDATE events SET event_type = 'FromTheFuture', checksum = NULL WHERE version = 2"
        )
    async with planfold.open_app(database, tools=[nothing]) as app:
        with pytest.raises(CorruptLog, match="FromTheFuture"):
            await finish(app)


class Rang(msgspec.Struct, frozen=True):
    """An alarm has gone off."""


class Set(msgspec.Struct, frozen=True):
    """An alarm is wanted at this time, in seconds since the epoch."""

    at: float


@dataclass(frozen=True)
class Ring:
    """The command that an alarm clock gives itself."""


class AlarmClock(Handler[Set | Ring, Set | Rang]):
    def __init__(self) -> None:
        self.at: float | None = None

    def process(self, command: Set | Ring) -> list[Set | Rang]:
        return [Rang()] if isinstance(command, Ring) else [command]

    def apply(self, event: Set | Rang) -> None:
        self.at = event.at if isinstance(event, Set) else None

    def outlook(self, events: Sequence[Set | Rang] = (), now: float = 0.0) -> Outlook[Set | Ring]:
        return Outlook(Ring() if self.at is not None and self.at <= now else None, due_at=self.at)


CLOCKS = Aggregate("clock", AlarmClock, (Set, Rang))


async def test_a_stream_of_ones_own_is_continued_when_it_is_due(until: Until) -> None:
    clock = ManualClock()
    async with planfold.open_app("sqlite:///:memory:", aggregates=[CLOCKS], clock=clock) as app:
        await app.dispatcher.send(CLOCKS, "kitchen", Set(clock() + 60))
        query = Query(stream_id="clock")
        async with app.worker():
            await app.dispatcher.send(CLOCKS, "bedroom", Set(clock() + 1_000))
            assert [e.event_type for e in await app.store.read(query)] == ["Set", "Set"]
            clock.advance(61)
            app.store.wakeup.notify()

            async def rang_once() -> bool:
                return len(await app.store.read(query)) == 3

            await until(rang_once)
        rang = (await app.store.read(query))[-1]
        assert (rang.aggregate_id, rang.event_type) == ("kitchen", "Rang")
        assert rang.metadata.causation_id.endswith("/Ring")
