"""Wake-ups between processes on PostgreSQL, and what this process knows of the others' writing.

An append sends no NOTIFY: transactions that do commit one after the other. Instead each process
has a *notifier* that says at most once per interval, in a transaction of its own, which streams
were written since. The others listen on their own connection (or cannot, behind a proxy that pools
transactions). Messages are hints and may all be lost, so every process also polls: one cheap
statement shows whether any transaction has ended since the last poll; only then the poll reads
which streams have grown, and compares that with the messages and its own writes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec

from planfold.backends.postgres.horizon import FetchRows, TransactionHorizon
from planfold.errors import PlanfoldError
from planfold.eventstore.wakeup import WORK, Wakeup

CHANNEL: Final = "planfold"
PAYLOAD_BYTES: Final = 7_900  # PostgreSQL takes less than 8,000
STREAMS_KNOWN: Final = 8_192
POLL_MIN_S, POLL_MAX_S = 0.1, 1.6
LISTEN_MIN_S, LISTEN_MAX_S = 0.1, 10.0
STILL_THERE_S: Final = 30.0  # how often a silent connection is asked whether it lives
ANSWER_S: Final = 5.0

GROWN_LIMIT: Final = (
    8_192  # events; after more of them the message is that all streams have changed
)
LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_log = logging.getLogger("planfold")


Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]
"""Opens a connection of its own, not through a proxy that pools transactions."""


class WakeupMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message between processes. ``streams``: the versions that streams have now; None: too many
    to name. ``work``: workers should look at the queue."""

    sender: str
    streams: dict[str, int] | None = None
    work: bool = False


def payload(message: WakeupMessage) -> str:
    """The message as JSON, without its streams when it would be too long."""
    text = msgspec.json.encode(message)
    if len(text) > PAYLOAD_BYTES:
        text = msgspec.json.encode(WakeupMessage(message.sender, None, message.work))
    return text.decode()


class Generations:
    """A number per stream that rises when another process may have written to it.

    The latest few thousand changes are remembered by stream. For all other streams the number is
    that of the latest change which was forgotten, so it may rise without cause but never falls.
    """

    def __init__(self) -> None:
        self._all = 0
        self._latest = 0
        self._streams: dict[str, int] = {}

    def of(self, aggregate_id: str | None) -> int:
        if aggregate_id is None:
            return self._latest
        return max(self._all, self._streams.get(aggregate_id, 0))

    def rise(self, aggregate_id: str) -> None:
        self._latest += 1
        self._streams.pop(aggregate_id, None)  # so that the order is that of the changes
        self._streams[aggregate_id] = self._latest
        if len(self._streams) > STREAMS_KNOWN:
            oldest = next(iter(self._streams))
            self._all = max(self._all, self._streams.pop(oldest))

    def rise_all(self) -> None:
        self._latest += 1
        self._all = self._latest
        self._streams.clear()


class WakeupSender:
    """Notifies other processes of this one's commits, at most once per ``interval_s``."""

    def __init__(self, fetch: FetchRows, sender: str, interval_s: float) -> None:
        self.sent = 0
        self._fetch = fetch
        self.sender = sender
        self._interval_s = interval_s
        self._streams: dict[str, int] | None = {}  # None: all have changed
        self._work = False
        self._sending: asyncio.Task[None] | None = None

    def tell(self, streams: Mapping[str, int] | None, *, work: bool) -> None:
        """Notify other processes of these ``streams`` and their new versions; None: all may have
        changed."""
        if streams is None:
            self._streams = None
        elif self._streams is not None:
            self._streams.update(streams)
        self._work = self._work or work
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Send the remaining messages, then close."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        try:
            while self._streams is None or self._streams or self._work:
                message = WakeupMessage(self.sender, self._streams, self._work)
                self._streams, self._work = {}, False
                with suppress(PlanfoldError):  # those who wait also poll
                    await self._fetch("notify", CHANNEL, payload(message))
                    self.sent += 1
                await asyncio.sleep(self._interval_s)
        finally:
            self._sending = None


class Listener:
    """A connection that listens, and is opened again when it is lost."""

    def __init__(
        self, connect: Connect, hear: Callable[[str], None], listening: Callable[[], None]
    ) -> None:
        self.is_listening = False
        self._connect = connect
        self._hear = hear
        self._listening = listening

    async def run(self) -> None:
        pause = LISTEN_MIN_S
        while True:
            with suppress(PlanfoldError, OSError, *LOST):
                connection = await self._connect()
                try:
                    await self._listen(connection)
                finally:
                    pause = LISTEN_MIN_S if self.is_listening else pause
                    self.is_listening = False
                    connection.terminate()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LISTEN_MAX_S)

    async def _listen(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Returns when the connection has ended; TimeoutError when it does not answer."""
        gone = asyncio.Event()
        connection.add_termination_listener(lambda *_: gone.set())
        await connection.add_listener(CHANNEL, lambda *heard: self._hear(str(heard[-1])))
        self.is_listening = True
        self._listening()
        while not gone.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(STILL_THERE_S):
                    await gone.wait()
                    return
            await connection.fetchval("SELECT 1", timeout=ANSWER_S)


class OtherProcesses:
    """Messages to other processes, messages from them, and polling.

    ``connect`` None: listening is not possible, so changes of others are only found by polling.
    ``notify_s``: how long messages are gathered before one is sent, in seconds. ``polls`` counts
    the polls that got an answer; ``pause_s`` is the present time between them, in seconds.
    """

    def __init__(
        self,
        fetch: FetchRows,
        horizon: TransactionHorizon,
        wakeup: Wakeup,
        *,
        connect: Connect | None = None,
        notify_s: float = 0.02,
    ) -> None:
        self.listener = None if connect is None else Listener(connect, self._hear, self._look_soon)
        self.notifier = WakeupSender(fetch, secrets.token_hex(8), notify_s)
        self.polls = 0
        self.pause_s = POLL_MIN_S
        self._fetch = fetch
        self._horizon = horizon
        self._wakeup = wakeup
        self._generations = Generations()
        self._known: dict[str, int] = {}  # versions that are already known
        self._snapshot = ""
        self._final: int | None = None  # up to here nothing new can appear; None: never looked
        self._look_now = asyncio.Event()
        self._watching: list[asyncio.Task[None]] = []

    def generation(self, aggregate_id: str | None = None) -> int:
        """See :meth:`EventStore.generation`."""
        if not self._watching:
            self._generations.rise_all()  # all caches of this process may be stale
        return self._generations.of(aggregate_id)

    def committed(
        self, streams: Mapping[str, int], work: bool = True, quiet: Collection[str] = ()
    ) -> None:
        """This process has written: wake its waiters, and notify the others. ``streams`` are
        the new versions; ``work`` says that workers should look at the queue; those in ``quiet``
        have the status that they had before."""
        for aggregate_id, version in streams.items():
            self._is_news(aggregate_id, version)
        self._wakeup.notify(*streams, *_work(work), quiet=quiet)
        self.notifier.tell(streams, work=work)

    def moved(self) -> None:
        """Streams were archived or imported: the caches of all processes are outdated."""
        self._generations.rise_all()
        self._wakeup.notify()
        self.notifier.tell(None, work=True)

    def watch(self) -> None:
        """From now on notice what other processes write."""
        if self._watching:
            return
        self._watching.append(asyncio.create_task(self._poll()))
        if self.listener is not None:
            self._watching.append(asyncio.create_task(self.listener.run()))
        else:
            _log.warning(
                "this address pools transactions, so PostgreSQL cannot notify: changes of other "
                "processes are noticed after up to %.1f s; add listen=HOST:PORT for a direct one",
                POLL_MAX_S,
            )

    async def close(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await self.notifier.close()

    # --- messages -----------------------------------------------------------------------------

    def _hear(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text, type=WakeupMessage)
        except msgspec.MsgspecError:
            message = WakeupMessage(
                ""
            )  # of a newer planfold, with fields that this one does not know
        if message.sender == self.notifier.sender:
            return
        if message.streams is None:
            self._generations.rise_all()
            self._wakeup.notify()
        else:
            self._heed(message.streams)
            self._wakeup.notify(*message.streams, *_work(message.work))

    def _heed(self, streams: Mapping[str, int]) -> list[str]:
        """Raise the generation of the streams that have grown; returns them."""
        grown = [id_ for id_, version in streams.items() if self._is_news(id_, version)]
        for aggregate_id in grown:
            self._generations.rise(aggregate_id)
        return grown

    def _is_news(self, aggregate_id: str, version: int) -> bool:
        known = self._known.pop(aggregate_id, 0)  # so that the oldest is the first
        self._known[aggregate_id] = max(known, version)
        if len(self._known) > STREAMS_KNOWN:
            del self._known[next(iter(self._known))]
        return version > known

    # --- the poll -----------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._look_now.set()

    async def _poll(self) -> None:
        while True:
            self._look_now.clear()
            found = False
            with suppress(PlanfoldError):  # the next poll may succeed
                found = await self._look()
                self.polls += 1
            self.pause_s = POLL_MIN_S if found else min(2 * self.pause_s, POLL_MAX_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pause_s * random.uniform(0.8, 1.0)):
                    await self._look_now.wait()

    async def _look(self) -> bool:
        """Look for writes of other processes; returns whether any were new."""
        (row,) = await self._fetch("snapshot_of_now")
        if row["snapshot"] == self._snapshot:
            return False
        before = self._final
        horizon = await self._horizon.look(before or 0)
        if before is None:
            found = True
            self._generations.rise_all()
            self._wakeup.notify()
        else:
            found = self._take(await self._fetch("grown", before, GROWN_LIMIT))
        self._final = max(horizon.upto, before or 0)
        self._snapshot = row["snapshot"]
        return found

    def _take(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        if sum(row["events"] for row in rows) >= GROWN_LIMIT:
            self._generations.rise_all()
            self._wakeup.notify()
            return True
        grown = self._heed({row["aggregate_id"]: row["version"] for row in rows})
        if grown:
            self._wakeup.notify(*grown, WORK)
        return bool(grown)


def _work(work: bool) -> tuple[str, ...]:
    return (WORK,) if work else ()
