"""``Timers``: continues streams when they are due.

A clock may be set back or forward while a stream waits. So a wait ends when the clock reaches its
time, or when its length has passed here, whichever is first. Its length is in the state of the
stream, because the store knows only when the stream was last written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from planfold.errors import PlanfoldError, Transient
from planfold.eventstore.port import EventStore
from planfold.eventstore.queue import Due
from planfold.handler import Handler
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.worker_loop import EVERY_S

HandOver = Callable[[str, Handler[Any, Any]], Awaitable[float | None]]
"""Gives other streams what this one, which is due, has for them. Where it stays due, because it
waits for another stream, it returns after how many seconds to look again."""

AT_ONCE = 100  # streams that are looked at in one round
SHORTEST_PAUSE_S = 0.1  # between two rounds
STUCK_PAUSE_S = 60.0  # between two tries to continue a stream that cannot be, unless it is written


class Timers:
    """``aggregates`` are the kinds of streams to continue; with ``plan_id`` only one stream.
    ``handovers`` are further actions on due streams, by kind."""

    def __init__(
        self,
        store: EventStore,
        dispatcher: Dispatcher,
        aggregates: Sequence[Aggregate],
        plan_id: str | None,
        trouble: Callable[[PlanfoldError], None],
        handovers: Mapping[str, HandOver] | None = None,
    ) -> None:
        self._handovers = handovers or {}
        self._store = store
        self._dispatcher = dispatcher
        self._aggregates = {aggregate.stream_id: aggregate for aggregate in aggregates}
        self._plan_id = plan_id
        self._trouble = trouble
        self._stuck: dict[Due, float] = {}  # when to try again, in loop time
        # When each wait ends at the latest, in loop time. What a stream waits for stays the same
        # while it is written for other reasons.
        self._ends: dict[tuple[str, float], float] = {}

    async def round(self) -> float:
        """Continue what is due; returns the seconds until the next stream is due."""
        limit = AT_ONCE + len(self._stuck)  # so that the stuck ones do not hide the others
        found = await self._store.queue.upcoming(
            limit, stream_ids=tuple(self._aggregates), aggregate_id=self._plan_id
        )
        now, passed = self._store.clock(), asyncio.get_running_loop().time()
        self._stuck = {due: self._stuck[due] for due in found if self._stuck.get(due, 0) > passed}
        waiting = [due for due in found if due not in self._stuck]
        known, self._ends = self._ends, {}
        for due in waiting:
            end = known.get(_key(due))
            self._ends[_key(due)] = passed + await self._longest(due, now) if end is None else end
        pause, ended = EVERY_S, list[Due]()
        for due in waiting:
            end = self._ends[_key(due)]
            if due.at <= now or end <= passed:
                ended.append(due)
                pause = SHORTEST_PAUSE_S if len(found) == limit else pause
            else:
                pause = min(pause, max(min(due.at - now, end - passed), SHORTEST_PAUSE_S))
        left = await asyncio.gather(*(self._continue(due, max(due.at, now)) for due in ended))
        pauses = (each for each in left if each is not None)
        return min([pause, *(max(each, SHORTEST_PAUSE_S) for each in pauses)])

    async def _longest(self, due: Due, now: float) -> float:
        """How many seconds a wait lasts at most from now on."""
        pause = due.at - now
        if pause > EVERY_S:  # others end soon in any case
            pause = min(pause, due.at - (await self._since(due, now) or due.since))
        return max(0.0, pause)

    async def _since(self, due: Due, now: float) -> float:
        with suppress(PlanfoldError):  # reported when it is due
            handler = await self._dispatcher.view(self._aggregates[due.stream_id], due.aggregate_id)
            outlook = handler.outlook((), now)
            return outlook.due_since if outlook.due_at == due.at else 0.0
        return 0.0

    async def _continue(self, due: Due, now: float) -> float | None:
        """Continue one stream. Returns after how many seconds to look at it again, if it waits for
        other streams."""
        again: float | None = None
        aggregate = self._aggregates[due.stream_id]
        try:
            handler = await self._dispatcher.view(aggregate, due.aggregate_id)
            command = handler.outlook((), now).command
            try:
                if (hand_over := self._handovers.get(due.stream_id)) is not None:
                    again = await hand_over(due.aggregate_id, handler)
                    self._wait(due, again)
            finally:  # what else is due does not wait for another stream, which may be damaged
                if command is not None:
                    name = f"{due.aggregate_id}@{now:.3f}/{type(command).__name__}"
                    await self._dispatcher.send(
                        aggregate, due.aggregate_id, command, command_id=name
                    )
        except PlanfoldError as fault:  # the others are still due
            if not isinstance(fault, Transient):
                self._wait(due, STUCK_PAUSE_S)
            self._trouble(fault)
        return again

    def _wait(self, due: Due, pause: float | None) -> None:
        if pause is not None:
            self._stuck[due] = asyncio.get_running_loop().time() + pause


def _key(due: Due) -> tuple[str, float]:
    return due.aggregate_id, due.at
