"""``Consumer``: a named durable subscription that calls a handler, alone or as one of a group.

Delivery is at least once and, per stream, in order. Its checkpoint is kept in the store, under
its name. The members of a group (consumers of one name, in any process) share the streams: each
stream belongs to a partition, each partition to one member at a time, under a lease whose epoch
fences what is saved. Memberships live 30 s and are renewed every 10 s; a member that cannot renew
its own stops after 24 s, before another member takes over from it.
"""

from __future__ import annotations

import asyncio
import random as randomness
import secrets
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any, Final, Self, cast

from planfold.errors import ConfigurationError, PlanfoldError
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.consumers import ConsumerStatus, Share
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import EventStore
from planfold.eventstore.positions import last_event, position_after
from planfold.retries import RetryPolicy
from planfold.subscriptions.assignment import partition_of, quota, to_take
from planfold.subscriptions.feed import matches
from planfold.subscriptions.partition import (
    LAST_WORDS_S,
    Handle,
    HandleAll,
    Handling,
    PartitionRunner,
)

CONSUMERS: Final = "\0consumers"
"""The key of wake-ups about members, partitions and parked streams; no stream has it."""

RETRIES: Final = RetryPolicy(attempts=5, base=1.0, factor=4.0, cap=300.0)
RENEW_EVERY_S = 10.0
GIVE_UP_RENEWING_S = 24.0
TEND_EVERY_S = 1.0  # without any wake-up
TEND_PAUSE_S = 0.02
DRAIN_S = 5.0


class Consumer:
    """Calls ``handle`` with every matching event: ``async with Consumer(...):`` or ``run()``.

    A consumer whose name is new begins ``after`` a position or checkpoint, by default at the
    beginning of the log. Within a partition events are handled one after the other, so
    ``partitions`` bounds both how many are handled at once and how many members can share the
    work; it is fixed when the name is first used.

    When ``handle`` raises, the stream is retried as ``retries`` says, while other streams
    continue; then it is parked until an operator replays it (``planfold consumers replay``). The
    checkpoint is saved after ``batch`` events, when nothing more comes, and at the end; after a
    crash up to ``batch`` events of each partition are handled again. ``batch`` also bounds the
    events that wait in memory.

    Where several events wait, up to 32 at once are given to ``handle_all``, if there is one; where
    it raises, each of them to ``handle``.

    ``fault`` is the last fault of the store or a lease.

    Example:
        import asyncio
        import planfold

        ended = asyncio.Event()

        async def handle(envelope):
            if envelope.event_type == "PlanningCompleted":
                ended.set()

        async with planfold.open_app("sqlite:///plans.db") as app:
            async with app.log.consumer("mail", handle):
                await app.run(await app.submit("1. Run `true`", approved_by="ada"))
                await ended.wait()
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        handle: Handle,
        query: Query | None = None,
        *,
        after: int | Checkpoint = 0,
        partitions: int = 1,
        retries: RetryPolicy = RETRIES,
        batch: int = 100,
        handle_all: HandleAll | None = None,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        if not name or not name.isprintable():
            raise ValueError(f"{name!r} cannot be the name of a consumer")
        if partitions < 1 or batch < 1:
            raise ValueError("a consumer needs at least one partition and a batch of one")
        self.name = name
        self.owner = ""
        self.fault: PlanfoldError | None = None
        self._store = store
        self._query = query or Query()
        self._after = after
        self._partitions = partitions
        self._handling = Handling(
            handle, handle_all, self._query, retries, batch, random, self._note
        )
        self._runners: dict[int, PartitionRunner] = {}
        self._renewed = 0.0  # by the event loop's clock
        self._renewed_at = 0.0  # by the store's
        self._fed = 0  # every event up to here was delivered
        self._feeding: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None

    @property
    def partitions(self) -> list[int]:
        """The partitions that this member holds now."""
        return sorted(self._runners)

    async def run(self) -> None:
        """Consume until cancelled.

        Raises:
            ConfigurationError: the consumer's checkpoint is of another store or epoch, or beyond
                the end of the log, or it has another number of partitions.
        """
        async with self:
            assert self._tending is not None
            await self._tending

    async def __aenter__(self) -> Self:
        self.owner = f"consumer-{secrets.token_hex(6)}"
        self._renewed = 0.0
        try:
            await self._balance(await self._attend())
        except BaseException:
            await self.stop()
            raise
        self._tending = asyncio.create_task(self._tend())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self, *, drain_s: float = DRAIN_S) -> None:
        """Release all partitions. A handler that runs has ``drain_s`` seconds to end."""
        for runner in self._runners.values():
            runner.stop()
        try:
            await _cancelled(self._tending)
            await self._stop_feeding()
            ending = [runner.finish(drain_s) for runner in self._runners.values()]
            await asyncio.gather(*ending)
        finally:
            for runner in self._runners.values():
                await runner.lose()
            self._runners.clear()
            with suppress(PlanfoldError, TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._store.checkpoints.consumers.leave(self.name, self.owner)
            self._store.wakeup.notify(CONSUMERS)

    async def caught_up(self, position: int) -> None:
        """Wait until this member has handled all events up to ``position`` in the partitions that
        it holds; ``position`` is that of an event that ``query`` may match. An event whose handler
        failed is not waited for: its stream is retried later. Where the event was archived, the
        last one before it counts.
        """
        position = await last_event(self._store, position, self._query)
        while not all(  # noqa: ASYNC110
            position <= self._fed and runner.handled >= min(position, runner.delivered)
            for runner in self._runners.values()
        ):
            await asyncio.sleep(TEND_PAUSE_S)  # a handler, not the log, is awaited

    def _note(self, fault: PlanfoldError) -> None:
        self.fault = fault

    # --- membership ------------------------------------------------------------------------------

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                ticket = self._store.wakeup.ticket(CONSUMERS)
                give_up_at = self._renewed + GIVE_UP_RENEWING_S
                try:
                    async with asyncio.timeout_at(max(give_up_at, loop.time() + TEND_EVERY_S)):
                        await self._look()
                except ConfigurationError:
                    raise
                except (
                    PlanfoldError,
                    TimeoutError,
                ) as fault:  # the store may be available again soon
                    if isinstance(fault, PlanfoldError):
                        self.fault = fault
                    if loop.time() >= give_up_at:
                        await self._lose(list(self._runners))
                for runner in self._runners.values():
                    runner.stir()
                await asyncio.sleep(TEND_PAUSE_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(TEND_EVERY_S):
                        await ticket.wait()
        except Exception as fault:
            self.fault = fault if isinstance(fault, PlanfoldError) else self.fault
            await self._lose(list(self._runners))
            raise

    async def _look(self) -> None:
        """Read the state of the group, and write only if there is something to change."""
        self._store.watch_other_processes()
        found = await self._store.checkpoints.consumers.statuses(self.name)
        status = found[0] if found else ConsumerStatus(self.name)
        since = self._store.clock() - self._renewed_at
        is_due = not 0 <= since < RENEW_EVERY_S
        if (
            is_due
            or self.owner not in status.members
            or to_take(status.shares, status.members, self.owner)
        ):
            status = await self._attend()
            for runner in self._runners.values():
                runner.pass_over(self._fed)
        await self._balance(status)
        await self._heed_replays()
        self._keep_feeding()

    async def _attend(self) -> ConsumerStatus:
        begun, begun_at = asyncio.get_running_loop().time(), self._store.clock()
        after = 0
        if not self._renewed and not await self._store.checkpoints.consumers.statuses(self.name):
            after = await position_after(self._store, self._after)
        status = await self._store.checkpoints.consumers.attend(
            self.name, self.owner, self._partitions, after=after
        )
        if not self._renewed:
            self._store.wakeup.notify(CONSUMERS)  # others may have to make room
        self._renewed, self._renewed_at = begun, begun_at
        return status

    async def _balance(self, status: ConsumerStatus) -> None:
        """Run the partitions that this member owns, and release those that are due to others."""
        ended = {n for n, runner in self._runners.items() if runner.done}
        owned = {s.partition: s for s in status.shares if s.owner == self.owner}
        lost = {
            number
            for number, runner in self._runners.items()
            if number not in owned or owned[number].epoch != runner.share.epoch
        }
        await self._lose(ended | lost)
        new = [share for number, share in owned.items() if number not in self._runners]
        if new:
            await self._begin(new)
        surplus = len(owned) - quota(self.owner, status.members, len(status.shares))
        for number in sorted(self._runners, reverse=True)[: max(surplus, 0)]:
            if not self._runners[number].stopping:
                self._runners[number].stop()

    async def _lose(self, numbers: list[int] | set[int]) -> None:
        await asyncio.gather(*(self._runners.pop(number).lose() for number in numbers))

    async def _begin(self, shares: list[Share]) -> None:
        parked = await self._store.checkpoints.consumers.parked(self.name)
        await self._stop_feeding()
        for share in shares:
            rows = [row for row in parked if self._partition(row.aggregate_id) == share.partition]
            runner = PartitionRunner(self._store, share, self._handling, rows, self._ended)
            self._runners[share.partition] = runner
        self._keep_feeding()

    def _ended(self) -> None:
        self._store.wakeup.notify(CONSUMERS)

    async def _heed_replays(self) -> None:
        before = {number: runner.revision for number, runner in self._runners.items()}
        wanted = await self._store.checkpoints.consumers.parked(self.name, retrying=True)
        for row in wanted:
            number = self._partition(row.aggregate_id)
            runner = self._runners.get(number)
            if runner is not None and before.get(number) == runner.revision:  # else it may be old
                runner.retry(row)

    # --- events ----------------------------------------------------------------------------------

    def _partition(self, aggregate_id: str) -> int:
        return partition_of(aggregate_id, self._partitions)

    def _keep_feeding(self) -> None:
        """Feed the runners; restart the feed if it has failed."""
        if self._feeding is not None and self._feeding.done():
            try:
                self._feeding.result()
            except PlanfoldError as fault:
                self.fault = fault
            self._feeding = None
        if self._feeding is None and self._runners:
            self._fed = min(runner.delivered for runner in self._runners.values())
            self._feeding = asyncio.create_task(self._feed(self._fed))

    async def _stop_feeding(self) -> None:
        feeding, self._feeding = self._feeding, None
        await _cancelled(feeding)

    async def _feed(self, after: int) -> None:
        """One subscription for all partitions; what one of them was given already, it ignores.
        What does not match is read too: so the checkpoint moves on with the log."""
        narrow = Query(aggregate_id=self._query.aggregate_id)
        feed = cast(Any, self._store.subscribe(narrow, after=after))
        async with aclosing(feed):
            async for envelope in feed:
                if matches(self._query, envelope):
                    runner = self._runners.get(self._partition(envelope.aggregate_id))
                    if runner is not None:
                        await runner.put(envelope)
                self._fed = envelope.position


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
