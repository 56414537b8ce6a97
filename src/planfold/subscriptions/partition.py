"""``PartitionRunner``: passes the events of one partition to the handler, in order.

A stream whose handler has failed is parked in the same transaction that moves the checkpoint
beyond the event. So the other streams continue, nothing accumulates in memory, and the record
survives a crash: a retry reads the stream from the log again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

import msgspec

from planfold.compaction.errors import compact_error_message
from planfold.errors import PlanfoldError, Transient
from planfold.eventstore.consumers import Parked, Share
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.retries import RetryPolicy, retry_delay

Handle = Callable[[Envelope], Awaitable[object]]
HandleAll = Callable[[Sequence[Envelope]], Awaitable[object]]

TOGETHER = 32  # events that are given to ``handle_all`` at once
MOST_RETRYING = 100  # streams of a partition; with more, it waits for these before it continues
SAVE_AFTER_S = 0.1  # without a new event
TRY_SAVING_EVERY_S = 1.0
LAST_WORDS_S = 2.0  # how long one that ends waits for the store
ERROR_CHARACTERS = 2_000


class Handling(msgspec.Struct, frozen=True):
    """What all partitions of a consumer share. ``random`` yields numbers in [0, 1)."""

    handle: Handle
    handle_all: HandleAll | None
    query: Query
    retries: RetryPolicy
    batch: int
    random: Callable[[], float]
    note: Callable[[PlanfoldError], None]


class PartitionRunner:
    """Feed it with :meth:`put` in the order of positions. ``delivered`` is the last position that
    it was given, ``handled`` the last one that it is done with."""

    def __init__(
        self,
        store: EventStore,
        share: Share,
        handling: Handling,
        parked: Iterable[Parked],
        ended: Callable[[], None],
    ) -> None:
        self.share = share
        self.revision = 0  # rises with every change to what is parked
        self.delivered = self.handled = share.position
        self._store = store
        self._to = handling
        self._saved = share.position
        self._unsaved = 0  # events handled since then
        self._tried = 0  # up to where events were given to ``handle_all``
        self._together: set[int] = set()  # positions of those that it handled and that wait
        self._aside: set[str] = set()  # streams that are parked or to be tried again
        self._retrying: dict[str, Parked] = {}
        self._due: dict[str, float] = {}  # when they are tried, by the event loop's clock
        self._changes: dict[str, Parked | None] = {}  # of parked rows, not written yet
        self._waiting: deque[Envelope] = deque()
        self._room, self._stirred = asyncio.Event(), asyncio.Event()
        self._stopping = False
        for row in parked:
            self._put_aside(row)
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: ended())

    # --- what its consumer asks of it ----------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the runner has ended. Raises the fault that ended it, unless that was
        expected."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()
        return self._task.done()

    @property
    def stopping(self) -> bool:
        return self._stopping

    async def put(self, envelope: Envelope) -> None:
        """Deliver an event, once there is room; one that was delivered already is ignored."""
        if envelope.position <= self.delivered:
            return
        while len(self._waiting) >= self._to.batch and not self._is_ending():
            self._room.clear()
            await self._room.wait()
        if not self._is_ending():
            self._waiting.append(envelope)
            self.delivered = envelope.position
            self._stirred.set()

    def pass_over(self, position: int) -> None:
        """Note that nothing for this partition came between the last event and ``position``."""
        if self.handled == self.delivered < position and not self._is_ending():
            self.handled = self.delivered = position
            self._stirred.set()

    def retry(self, row: Parked) -> None:
        """Retry a stream that is parked here, as an operator asked."""
        aggregate_id = row.aggregate_id
        is_parked = aggregate_id in self._aside and aggregate_id not in self._retrying
        if is_parked and aggregate_id not in self._changes:
            self._put_aside(row)
            self._stirred.set()

    def stir(self) -> None:
        """Check retries again, because time may have passed."""
        self._stirred.set()

    def stop(self) -> None:
        """End, and release the partition, after the event that is being handled."""
        self._stopping = True
        self._stirred.set()
        self._room.set()

    async def lose(self) -> None:
        """End immediately: the partition has another owner."""
        self._stopping = True
        self._room.set()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def finish(self, within: float) -> None:
        """Stop and wait for it; a handler that takes longer than ``within`` seconds is cancelled
        and its event counts as not handled."""
        self.stop()
        await asyncio.wait([self._task], timeout=within)
        if not self._task.done():
            await self.lose()
            with suppress(PlanfoldError, TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._save(release=True)

    def _is_ending(self) -> bool:
        return self._stopping or self._task.done()

    # --- its task ------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while not self._stopping:
                await self._retry_what_is_due()
                await self._handle_what_waits()
                await self._rest()
            await self._save_surely(release=True)
        except PlanfoldError as fault:  # if it is still ours, it restarts from the saved checkpoint
            self._to.note(fault)
        finally:
            self._room.set()

    async def _handle_what_waits(self) -> None:
        for _ in range(self._to.batch):
            if self._stopping or not self._waiting or len(self._retrying) >= MOST_RETRYING:
                return
            await self._handle_together()
            envelope = self._waiting.popleft()
            self._room.set()
            fault = None
            if envelope.position in self._together:
                self._together.discard(envelope.position)
            elif envelope.aggregate_id not in self._aside:
                fault = await self._call(partial(self._to.handle, envelope))
            self.handled = envelope.position
            self._unsaved += 1
            if fault is not None:
                self._fail(envelope, fault, attempts=1)
            if fault is not None or self._unsaved >= self._to.batch:
                await self._save_surely()

    async def _handle_together(self) -> None:
        """Where several events wait, handle them at once, so that nothing is left to do for each of
        them. What goes wrong with one of them is found by handling each."""
        first = self._waiting[0].position
        if self._to.handle_all is None or first <= self._tried or len(self._waiting) < 2:
            return
        some = list(islice(self._waiting, TOGETHER))
        self._tried = some[-1].position
        whole = [envelope for envelope in some if envelope.aggregate_id not in self._aside]
        if whole and await self._call(partial(self._to.handle_all, whole)) is None:
            self._together = {envelope.position for envelope in whole}

    async def _call(self, handle: Callable[[], Awaitable[object]]) -> Exception | None:
        """Returns what the handler raised."""
        try:
            await handle()
        except Exception as fault:
            return fault
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return RuntimeError("the handler cancelled itself")
        return None

    def _fail(self, envelope: Envelope, fault: Exception, attempts: int) -> None:
        now = self._store.clock()
        retries = self._to.retries
        again = attempts < retries.attempts
        delay = retry_delay(retries, attempts, self._to.random())
        row = Parked(
            self.share.consumer,
            envelope.aggregate_id,
            envelope.position,
            _in_words(fault),
            attempts,
            now,
            now + delay if again else None,
        )
        self._put_aside(row)
        self._change(row.aggregate_id, row)

    def _change(self, aggregate_id: str, row: Parked | None) -> None:
        self._changes[aggregate_id] = row
        self.revision += 1

    def _put_aside(self, row: Parked) -> None:
        self._aside.add(row.aggregate_id)
        if row.retry_at is not None:
            # No longer than the pause that was chosen, also where the clock has gone back since.
            pause = min(row.retry_at - self._store.clock(), row.retry_at - row.parked_at)
            self._due[row.aggregate_id] = asyncio.get_running_loop().time() + max(pause, 0.0)
            self._retrying[row.aggregate_id] = row
        else:
            self._forget(row.aggregate_id)

    def _forget(self, aggregate_id: str) -> None:
        self._retrying.pop(aggregate_id, None)
        self._due.pop(aggregate_id, None)

    def _until(self, row: Parked) -> float:
        """Seconds until a stream is tried again: by the store's clock or the event loop's,
        whichever comes first."""
        assert row.retry_at is not None
        here = self._due[row.aggregate_id] - asyncio.get_running_loop().time()
        return min(row.retry_at - self._store.clock(), here)

    # --- streams that are tried again ------------------------------------------------------------

    async def _retry_what_is_due(self) -> None:
        for row in list(self._retrying.values()):
            if not self._stopping and self._until(row) <= 0:
                await self._retry(row)

    async def _retry(self, row: Parked) -> None:
        """Handle events of a parked stream: one batch, so that other streams have their turn."""
        aggregate_id, batch = row.aggregate_id, self._to.batch
        query = msgspec.structs.replace(self._to.query, aggregate_id=aggregate_id)
        try:
            page = await self._store.read(query, after=row.position - 1, limit=batch)
        except Transient as fault:
            self._to.note(fault)
            await asyncio.sleep(TRY_SAVING_EVERY_S)
            return
        # What is above comes through the subscription once the stream is back in line.
        missed = [envelope for envelope in page if envelope.position <= self.handled]
        for envelope in missed:
            if self._stopping:
                return
            failure = await self._call(partial(self._to.handle, envelope))
            self._unsaved += 1
            if failure is not None:
                attempts = row.attempts + 1 if envelope.position == row.position else 1
                self._fail(envelope, failure, attempts)
                await self._save_surely()
                return
            row = msgspec.structs.replace(row, position=envelope.position + 1, attempts=0)
            self._retrying[aggregate_id] = row
            self._change(aggregate_id, row)
        if len(missed) < batch:
            self._aside.discard(aggregate_id)
            self._forget(aggregate_id)
            self._change(aggregate_id, None)
        await self._save_surely()

    # --- what is written -------------------------------------------------------------------------

    async def _save(self, *, release: bool = False) -> None:
        position, changes = self.handled, dict(self._changes)
        self._unsaved = 0
        await self._store.checkpoints.consumers.advance(
            self.share,
            position,
            parked=[row for row in changes.values() if row is not None],
            freed=[aggregate_id for aggregate_id, row in changes.items() if row is None],
            release=release,
        )
        self._saved = position
        self.revision += bool(changes)
        for aggregate_id, row in changes.items():
            if self._changes[aggregate_id] is row:
                del self._changes[aggregate_id]

    async def _save_surely(self, *, release: bool = False) -> None:
        """Try until it is written. Raises LeaseLost."""
        while True:
            try:
                return await self._save(release=release)
            except Transient as fault:
                self._to.note(fault)
                await asyncio.sleep(TRY_SAVING_EVERY_S)

    async def _rest(self) -> None:
        """Wait until there is something to do, and save in the meantime."""
        await asyncio.sleep(0)  # a handler that never waits must not block the event loop
        self._stirred.clear()
        if self._waiting and len(self._retrying) < MOST_RETRYING:
            return
        pause = self._until_next_try()
        is_saved = self._saved == self.handled and not self._changes
        if self._stopping or pause <= 0:
            return
        try:
            async with asyncio.timeout(pause if is_saved else min(pause, SAVE_AFTER_S)):
                await self._stirred.wait()
        except TimeoutError:
            if not is_saved:
                await self._save_surely()

    def _until_next_try(self) -> float:
        return max(min(map(self._until, self._retrying.values()), default=3600.0), 0.0)


def _in_words(fault: Exception) -> str:
    said = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
    text = said.encode("utf-8", "replace").decode().replace("\0", "\\0")
    return compact_error_message(text, ERROR_CHARACTERS)
