"""``Feed``: serves the log to all subscriptions of a process and reads each new event once.

One task, the feeder, asks the backend how far the log is final (its *horizon*: no event will
appear later at or below that position), reads the new events up to there, decodes them once, and
keeps the latest ones. A subscription near the head filters those; one that is behind reads its
own pages, with its own query, never beyond the horizon. Events are pulled, not pushed: a slow
subscriber costs no memory and does not delay others.

The feeder runs while there are subscriptions. It reads when ``wakeup`` signals a change, and
polls only while the log has events beyond the horizon. When the database cannot be reached it
retries until it can, so a subscription survives a restart of the database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, ParamSpec, Protocol, TypeVar

from planfold.errors import Transient
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.wakeup import Wakeup

P = ParamSpec("P")
T = TypeVar("T")

PAGE: Final = 256  # events that are read at once
RECENT: Final = 1_024  # events that are kept for subscriptions near the head
LEAP: Final = 8 * RECENT
SPAN: Final = 100_000  # positions that one page is looked for in, so that no statement takes long
READERS: Final = 2  # subscriptions that read at the same time, so that others can read too
BLOCKED_MIN_S, BLOCKED_MAX_S = 0.001, 0.05
AWAY_MIN_S, AWAY_MAX_S = 0.1, 2.0
WORTH_SAYING_S: Final = 10.0

_log = logging.getLogger("planfold")
_WHOLE_LOG: Final = Query()


class Horizon(NamedTuple):
    """How far the log is final.

    Everything above the position that was asked about is final up to ``upto``, and everything
    there is up to ``settled``. ``highest`` is the newest event to be seen; when it is beyond
    ``upto``, open transactions are awaited, which ``awaited`` names. ``events`` are all those up to
    ``upto``, where the same statement has read them.
    """

    upto: int
    settled: int
    highest: int
    events: Sequence[Envelope] | None = None
    awaited: str = ""


class FeedSource(Protocol):
    """What a feed needs of a backend."""

    async def horizon(self, after: int) -> Horizon:
        """How far the log is final, given that nothing at or below ``after`` can change or is
        needed. Raises Transient while the database cannot be reached."""
        ...

    async def read(self, query: Query, *, after: int, upto: int, limit: int) -> Sequence[Envelope]:
        """The first ``limit`` matching events in after < position <= upto, by position, as a
        snapshot sees them that is younger than the horizon."""
        ...


class Feed:
    """``looks`` counts how often the horizon was asked for, ``pages_read`` the pages of events that
    were read apart from that, by the feeder and by subscriptions that are behind.

    ``blocked_since``: since when nothing was delivered although there are events, because a
    transaction is open that may still write below them (seconds since the epoch; None: it is not
    so). ``fault``: why the last look failed; None: it did not.
    """

    def __init__(
        self,
        log: FeedSource,
        wakeup: Wakeup,
        watch_other_processes: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.looks = 0
        self.pages_read = 0
        self.blocked_since: float | None = None
        self.fault: Exception | None = None
        self._log = log
        self._wakeup = wakeup
        self._watch_other_processes = watch_other_processes
        self._clock = clock
        self._head = 0  # the horizon, as far as it was read
        self._since = 0  # what is above it and up to the head is final
        self._recent = _Recent()
        self._waiting: dict[str | None, list[asyncio.Future[int]]] = {}
        self._cursors: set[_Cursor] = set()
        self._readers = asyncio.Semaphore(READERS)
        self._feeder: asyncio.Task[None] | None = None
        self._said_blocked = False
        self._closed = False

    async def subscribe(self, query: Query, after: int) -> AsyncIterator[Envelope]:
        """See :meth:`EventStore.subscribe`; ends when the feed is closed."""
        cursor = _Cursor(query, after)
        self._enter(cursor)
        try:
            while not self._closed:
                if cursor.after >= self._head:
                    await self._until_moved(cursor)
                elif cursor.after >= self._recent.since:
                    envelope = self._recent.find(query, cursor.after)
                    cursor.after = self._head if envelope is None else envelope.position
                    if envelope is not None:
                        yield envelope
                else:
                    upto = self._head
                    if query.aggregate_id is None:
                        upto = min(upto, cursor.after + SPAN)
                    async with self._readers:
                        page = await self._patiently(self._read, query, cursor.after, upto)
                    for envelope in page:
                        cursor.after = envelope.position
                        yield envelope
                    if len(page) < PAGE:  # what does not match is not read again
                        cursor.after = max(cursor.after, upto)
        finally:
            self._leave(cursor)

    async def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        self._wake_everybody()
        if self._feeder is not None:
            self._feeder.cancel()
            with suppress(asyncio.CancelledError):
                await self._feeder

    # --- subscriptions ------------------------------------------------------------------------

    def _enter(self, cursor: _Cursor) -> None:
        if self._closed:
            return
        self._cursors.add(cursor)
        never_begun = self._head == 0 and self._feeder is None
        if cursor.after < self._since or never_begun:
            self._restart_at(cursor.after)  # whether the events above it are final is not known yet
            self._wakeup.notify()
        self._watch_other_processes()
        if self._feeder is None or self._feeder.done():
            self.fault = None
            self._feeder = asyncio.create_task(self._feed())

    def _leave(self, cursor: _Cursor) -> None:
        self._cursors.discard(cursor)
        if not self._cursors and self._feeder is not None:
            self._feeder.cancel()
            self._feeder = None
            self.blocked_since = None
            self._recent.restart(self._head)

    def _restart_at(self, position: int) -> None:
        self._head = self._since = position
        self._recent.restart(position)

    async def _until_moved(self, cursor: _Cursor) -> None:
        """Wait until the head has moved; for a cursor with a key, by an event of that key."""
        if self._feeder is not None and self._feeder.done() and self.fault is not None:
            raise self.fault
        key = cursor.query.aggregate_id
        moved: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(moved)
        cursor.waiting = True
        try:
            nothing_up_to = await moved
            cursor.after = max(cursor.after, nothing_up_to)
        finally:
            cursor.waiting = False
            if moved.cancelled():
                self._forget(key, moved)

    def _forget(self, key: str | None, moved: asyncio.Future[int]) -> None:
        waiting = self._waiting.get(key, [])
        with suppress(ValueError):
            waiting.remove(moved)
            if not waiting:
                del self._waiting[key]

    async def _read(self, query: Query, after: int, upto: int) -> Sequence[Envelope]:
        self.pages_read += 1
        return await self._log.read(query, after=after, upto=upto, limit=PAGE)

    async def _patiently(
        self, read: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        pause = AWAY_MIN_S
        while True:
            try:
                return await read(*args, **kwargs)
            except Transient as fault:
                if self._closed:
                    raise
                self._note(fault)
                await asyncio.sleep(pause)
                pause = min(2 * pause, AWAY_MAX_S)

    # --- the feeder ---------------------------------------------------------------------------

    async def _feed(self) -> None:
        try:
            at_first = True
            pause = BLOCKED_MIN_S
            while True:
                ticket = self._wakeup.ticket()
                head = self._head
                self.looks += 1
                horizon = await self._patiently(self._log.horizon, head)
                if head != self._head:
                    continue  # a subscription needs earlier events
                await self._advance(horizon, leap=at_first or self._is_far(horizon))
                at_first = False
                self._note_blocked(horizon, moved=self._head != head)
                if horizon.highest <= self._head:
                    await ticket.wait()
                elif self._head != head:
                    pause = BLOCKED_MIN_S
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, BLOCKED_MAX_S)
        except Exception as fault:
            self.fault = fault
            self._wake_everybody()

    def _is_far(self, horizon: Horizon) -> bool:
        """Whether so much is new that each subscription should read it with its own query, or
        more than a page while no subscription is near the head."""
        ahead = horizon.settled - self._head
        near = self._recent.since
        all_behind = all(c.after < near and not c.waiting for c in self._cursors)
        return ahead > LEAP or (ahead > PAGE and all_behind)

    async def _advance(self, horizon: Horizon, *, leap: bool) -> None:
        """Read the new final events."""
        if horizon.settled >= self._since:
            self._since = 0
        events = horizon.events
        if leap and horizon.settled > self._head:
            events = None
            self._head = horizon.settled
            self._recent.restart(self._head)
            self._wake_everybody()
        head = self._head
        while head < horizon.upto:
            page = events
            if page is None:
                page = await self._patiently(self._read, _WHOLE_LOG, head, horizon.upto)
            if head != self._head:
                return
            whole = page is events or len(page) < PAGE
            self._head = horizon.upto if whole else page[-1].position
            self._recent.extend(page)
            self._wake(page, head)
            head = self._head

    def _wake(self, page: Sequence[Envelope], head: int) -> None:
        for key in (None, *{envelope.aggregate_id for envelope in page}):
            for moved in self._waiting.pop(key, ()):
                if not moved.done():
                    moved.set_result(head)

    def _wake_everybody(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            for moved in each:
                if not moved.done():
                    moved.set_result(0)

    def _note(self, fault: Exception) -> None:
        if self.fault is None:
            _log.warning("the feed tries again until the database is back: %s", fault)
        self.fault = fault

    def _note_blocked(self, horizon: Horizon, *, moved: bool) -> None:
        self.fault = None
        if horizon.highest <= self._head:
            self.blocked_since = None
        elif moved or self.blocked_since is None:
            self.blocked_since = self._clock()
            self._said_blocked = False
        elif not self._said_blocked and self._clock() - self.blocked_since > WORTH_SAYING_S:
            self._said_blocked = True
            _log.warning(
                "events above position %d wait for transactions on the log that are still open: %s",
                self._head,
                horizon.awaited,
            )


class _Cursor:
    """The position of a subscription. One that waits counts as at the head, for any ``after``,
    because the events up to there did not match."""

    def __init__(self, query: Query, after: int) -> None:
        self.query = query
        self.after = after
        self.waiting = False


class _Recent:
    """The latest events: all above ``since``, up to the feed's head."""

    def __init__(self) -> None:
        self.since = 0
        self._envelopes: list[Envelope] = []
        self._positions: list[int] = []

    def restart(self, since: int) -> None:
        self.since = since
        self._envelopes.clear()
        self._positions.clear()

    def extend(self, page: Sequence[Envelope]) -> None:
        self._envelopes.extend(page)
        self._positions.extend(envelope.position for envelope in page)
        surplus = len(self._positions) - RECENT
        if surplus > 0:
            self.since = self._positions[surplus - 1]
            del self._envelopes[:surplus]
            del self._positions[:surplus]

    def find(self, query: Query, after: int) -> Envelope | None:
        """The first matching event above ``after``."""
        for index in range(bisect_right(self._positions, after), len(self._envelopes)):
            envelope = self._envelopes[index]
            if matches(query, envelope):
                return envelope
        return None


def matches(query: Query, envelope: Envelope) -> bool:
    """Whether ``envelope`` is what ``query`` asks for."""
    return (
        query.aggregate_id in (None, envelope.aggregate_id)
        and query.event_type in (None, envelope.event_type)
        and query.stream_id in (None, envelope.stream_id)
    )
