"""``Mailbox``: the commands that wait for one aggregate, and its state as last committed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from planfold.errors import CorruptLog
from planfold.eventstore.port import EventStore
from planfold.handler import Handler, StreamPhase
from planfold.planner.commands import ForkPlan
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.commit import Commit, Round
from planfold.runtime.letter import Letter
from planfold.runtime.origins import begin_fork

SNAPSHOT_EVERY = 5_000  # events; then again when the log is 1.25 times as long
SNAPSHOT_AT_REST = 200  # likewise, where a stream waits or its worker stops
SNAPSHOT_AT_END = 1_000  # events, where a long stream has ended: people look at it
NOTABLE_BYTES = 64 * 1024  # by which a state grows or shrinks before that is noted
RATE_AFTER_S = 0.01
KEEP_EVERY = 300  # events between two states that are kept in memory
WARY_COMMITS = 20  # after one that failed, or while other processes write here again and again
UNKNOWN = -1  # no generation of a store


class Rewound(CorruptLog):
    """The stream is not as long as the state: it was archived."""


class Mailbox:
    """The state that the next decision is made on is ``handler`` at ``version``: the log's, then
    the decisions of the ``sent`` commit, then those of the ``open`` one, which is not sent yet.
    When a commit fails it is discarded and folded again."""

    def __init__(
        self, aggregate: Aggregate, aggregate_id: str, grew: Callable[[int], None]
    ) -> None:
        self.aggregate = aggregate
        self.aggregate_id = aggregate_id
        self.waiting: deque[Letter] = deque()
        self.deciding = False  # a round is queued or running, or reads the log
        self.open: Commit | None = None
        self.sent: Commit | None = None
        self.held = False  # nothing is decided until all is durable: a reader waits for that
        self._new = True  # no letter was taken yet
        self.handler: Handler[Any, Any] | None = None
        self.version = 0
        self.correlation_id = ""
        self.status: Any = None  # as decided
        self.head: dict[str, Any] = {}  # as committed
        self.size = 0  # size of the state in bytes, estimated; ``grew`` gets each change of it
        self.grew = grew
        self.snapshot_version = 0
        self.phase: StreamPhase = "active"  # as committed
        self.one_by_one = 0  # how many commands are decided alone, one round each
        self.alone = False  # the letter that was taken is one of them
        self.wary = 0  # commits until something may begin before its commit again
        self.generation = UNKNOWN  # the store's when the state was that of the log
        self._contended = False
        self.unrated: asyncio.TimerHandle | None = None  # a state that was loaded
        self._folds_all = False  # its snapshot cannot be used
        self._alone_for = WARY_COMMITS  # commits since another process last wrote to the stream
        self._kept: tuple[int, bytes] | None = None  # a state to go back to after a conflict
        self._loading = asyncio.Lock()
        self.unlock: Callable[[], None] | None = None  # releases the lock of the stream
        self._rested: asyncio.Event | None = None  # set for readers that wait for :meth:`rest`

    @property
    def durable(self) -> bool:
        """Whether all that was decided is in the log, or given up."""
        return self.open is None and self.sent is None

    @property
    def busy(self) -> bool:
        return self.deciding or not self.durable

    def take(self, store: EventStore) -> tuple[list[Letter], bool]:
        """The letters of the next round, and whether the log has to be read before they can be
        decided. They are all that wait, or one after a round went wrong."""
        if self.unrated:
            self.rate()  # a decision needs all of the state
        waiting = [le for le in self.waiting if not (le.basis.failed and le.void)]
        self.waiting.clear()
        self.alone = self.one_by_one > 0 and bool(waiting)
        if self.alone:
            self.one_by_one -= 1
            self.waiting.extend(waiting[1:])
            waiting = waiting[:1]
        letters = waiting
        if not self.version:
            self.handler, self.generation = None, UNKNOWN  # the command may begin a fork
        new, self._new = self._new, False
        if new and len(letters) == 1 and self._begins_with(letters[0]):
            self.handler = self.aggregate.handler()
            self.generation = store.generation(self.aggregate_id)
            return letters, False
        if self.handler is None or self.alone or self.wary:  # the log says what others have written
            return letters, True
        for letter in letters:
            if letter.body_hash:
                return letters, True
        uncommitted = self.open is not None or self.sent is not None
        return letters, not (uncommitted or self.current(store))

    def _begins_with(self, letter: Letter) -> bool:
        """Whether there is nothing to read before it is decided: it is for a new stream only, and
        the append shows whether there is one."""
        if self.handler is not None or letter.body_hash or letter.expected_version != 0:
            return False
        return not isinstance(letter.command, ForkPlan)  # which begins with the state of another

    def begins_with_one_of(self, letters: Sequence[Letter]) -> bool:
        """Whether there is no stream yet, and one of several commands forks another plan. The fork
        is then decided alone, because it begins with that plan's state and the other commands must
        not."""
        if self.version or len(letters) == 1:
            return False
        return any(isinstance(letter.command, ForkPlan) for letter in letters)

    def put_back(self, letters: Sequence[Letter], *, alone: bool = False) -> None:
        """Decide these commands again, before later ones. With ``alone``, each gets a round of its
        own, because one of them failed the round. Commands that have their answer are left out."""
        left = [letter for letter in letters if letter.unanswered]
        self.waiting.extendleft(reversed(left))
        if alone:
            self.one_by_one += len(left)

    def current(self, store: EventStore) -> bool:
        """Whether no other process is known to have written to the stream since its state was
        read."""
        return self.generation == store.generation(self.aggregate_id)

    def settled(self, store: EventStore) -> bool:
        """Whether the cached state equals the log, and no decision is in progress."""
        return not self.busy and self.version > 0 and self.current(store)

    async def lock(self, store: EventStore) -> None:
        """Take the lock of the stream until :meth:`rest`. Other processes decide on the stream too;
        without the lock they would decide at the same time, and only one of them could commit."""
        if self.unlock is None:
            self.unlock = await store.lock_stream(self.aggregate_id)

    async def read(self, store: EventStore, *, partly: bool = False) -> Handler[Any, Any]:
        """The state in the log, for a reader. It does not contain decisions that are not committed
        yet. ``partly``: the reader needs only a few parts of it."""
        while True:
            if self.busy:
                self.held = True
                if self._rested is None:
                    self._rested = asyncio.Event()
                await self._rested.wait()
                if self.handler is not None:  # what was just committed was decided on all of it
                    return self.handler
            async with self._loading:
                if not self.busy:
                    return await self._load(store, partly=partly)

    async def load(self, store: EventStore, letters: Sequence[Letter] = ()) -> Handler[Any, Any]:
        """The state to decide on. If the stream does not exist and the only command forks a plan,
        that is the state of the forked plan."""
        async with self._loading:
            handler = await self._load(store)
            if len(letters) == 1 and not self.version:
                await begin_fork(store, handler, letters[0].command)
            return handler

    async def _load(self, store: EventStore, *, partly: bool = False) -> Handler[Any, Any]:
        generation = store.generation(self.aggregate_id)
        self.generation = UNKNOWN  # while it is read
        handler = await (self._fold(store) if self.handler is None else self._refresh(store))
        self.generation = generation
        if not partly:
            self.rate()
            if self.handler is None:  # its snapshot cannot be used
                return await self._load(store)
        return handler

    def rest(self) -> bool:
        """No decision is in progress any more: everything is committed or was given up. Release the
        lock of the stream, and wake readers. Returns whether there are none: else nothing may be
        decided before they have looked, in the next turn of the event loop."""
        unlock, self.unlock = self.unlock, None
        if unlock is not None:
            unlock()
        rested, self._rested = self._rested, None
        self.held = rested is not None
        if rested is not None:
            rested.set()
        return not self.held

    async def _refresh(self, store: EventStore) -> Handler[Any, Any]:
        assert self.handler is not None
        before = self.version
        try:
            await self._catch_up(store, self.handler)
        except Rewound:
            self.forget()
            return await self._fold(store)
        except BaseException:
            self.forget()  # it may have applied a part of what is new
            raise
        if self.version != before:
            self.head = {}
            if self._alone_for < WARY_COMMITS:
                self.wary = WARY_COMMITS
            self._alone_for = 0
        return self.handler

    async def _fold(self, store: EventStore) -> Handler[Any, Any]:
        handler, self.version = await self._restore(store)
        try:
            await self._catch_up(store, handler)
        except CorruptLog:
            if not self.version:
                raise
            self._kept = None
            # Perhaps only the snapshot is damaged: fold all events.
            handler, self.version = self.aggregate.handler(), 0
            await self._catch_up(store, handler)
        if self.version and not self.correlation_id:
            metadata = await store.metadata_of_first(self.aggregate_id)
            self.correlation_id = metadata.correlation_id if metadata else ""
        self._keep(handler)
        self.handler = handler
        self.unrated = asyncio.get_running_loop().call_later(RATE_AFTER_S, self.rate)
        return handler

    def rate(self) -> None:
        """Measure the size of a loaded state, and note when its stream is due. This needs the whole
        state and may take longer than loading it, so the task that the state was loaded for begins
        first."""
        soon, self.unrated = self.unrated, None
        if soon is None or self.handler is None:
            return
        soon.cancel()
        try:
            outlook = self.handler.outlook()
        except Exception:  # of the snapshot, which is a cache; or the next decision meets it
            if self.durable and not self._folds_all:
                self._folds_all = True
                self.forget()
        else:
            self.phase = outlook.phase
            self._resize(outlook.size)

    def _keep(self, handler: Handler[Any, Any]) -> None:
        """Remember this state. Where several processes write, the next conflict is likely, and
        folding can then start here instead of at the first event."""
        kept_at = self._kept[0] if self._kept else 0
        if self._contended and self.version - kept_at >= KEEP_EVERY:
            data = None
            with suppress(CorruptLog):  # of the snapshot that it was restored from
                data = handler.snapshot()
            self._kept = None if data is None else (self.version, data)

    async def _restore(self, store: EventStore) -> tuple[Handler[Any, Any], int]:
        kept = self._kept
        if kept is not None and kept[0] > await store.version(self.aggregate_id):
            kept = None
        saved = kept
        if saved is None and not self._folds_all:
            saved = await store.checkpoints.snapshot(self.aggregate_id)
        if saved is not None:
            version, data = saved
            with suppress(Exception):  # a snapshot is a cache: what cannot be read is rebuilt
                if (handler := self.aggregate.handler.restore(data)) is not None:
                    if kept is None:
                        self._kept, self.snapshot_version = None, version
                    return handler, version
        self._kept = None
        return self.aggregate.handler(), 0

    async def _catch_up(self, store: EventStore, handler: Handler[Any, Any]) -> None:
        kind = self.aggregate.stream_id
        history = await store.load(self.aggregate_id, after_version=self.version, stream_id=kind)
        if history.version < self.version:
            raise Rewound(f"{self.aggregate_id} is at {history.version}, not at {self.version}")
        if not self.version and history.events:
            await begin_fork(store, handler, history.events[0])
        handler.take_in(history.events, history.times)
        self.version = history.version

    def drop_failed(self) -> None:
        """Drop the commands whose senders already have the fault."""
        self.waiting = deque(letter for letter in self.waiting if not letter.failed)

    # --- commits ------------------------------------------------------------------------------

    def add(self, decided: Round, *, early: bool) -> Commit:
        """Add a decision to the open commit, and begin a commit if there is none. ``early``: tasks
        may begin before the commit is durable."""
        if self.open is None:
            self.open = Commit(self.aggregate.stream_id, self.aggregate_id, self.version)
        commit, decision = self.open, decided.decision
        self.version += len(decision.events)
        self.correlation_id = decision.correlation_id
        self.phase = decision.phase
        status = decision.head.get("status")
        if not self.head or status != self.status:
            commit.quiet = False
            self.status = status
        commit.add(decided, early=early)
        return commit

    def add_eventless(self, decided: Round) -> None:
        """Answer a decision without events together with the commit that it depends on."""
        commit = self.open or self.sent
        assert commit is not None
        commit.eventless.append(decided)

    def send(self) -> Commit | None:
        """Take the open commit, to send it to the store. None while another commit of this stream
        is in progress."""
        if self.open is None or self.sent is not None:
            return None
        commit = self.sent = self.open
        self.open = None
        commit.snapshot = self._snapshot(at_rest=self.phase == "waiting")
        return commit

    def committed(self, commit: Commit, store: EventStore) -> None:
        """The commit that was sent is durable."""
        self.wary = max(self.wary - 1, 0)
        self._alone_for += 1
        if self.handler is None:  # what came later was given up
            return
        self.head = commit.last.head
        if abs(commit.last.size - self.size) >= NOTABLE_BYTES:
            self._resize(commit.last.size)
        if commit.snapshot is not None:
            version = commit.version + commit.events
            saving = asyncio.ensure_future(self._save(store, version, commit.snapshot))
            saving.add_done_callback(lambda f: f.cancelled() or f.exception())

    def give_up(self) -> list[Letter]:
        """Discard the state and the open commit; returns the commands to decide again."""
        commit, self.open = self.open, None
        self.wary, self._alone_for = WARY_COMMITS, 0
        self.forget()
        return commit.fail() if commit is not None else []

    def _resize(self, size: int) -> None:
        before, self.size = self.size, size
        if size != before:
            self.grew(size - before)

    def forget(self) -> None:
        """Discard the cached state, because it differs from the log."""
        self.correlation_id = ""
        self._contended = True
        self.handler = None
        self.generation = UNKNOWN
        self.head = {}
        self.status = None
        self.version = 0
        self._resize(0)

    async def save_snapshot(self, store: EventStore) -> None:
        """Save a snapshot if folding the stream again would take long. Called where folding it
        again is likely."""
        data = self._snapshot(at_rest=True) if not self.busy else None
        if data is not None:
            await self._save(store, self.version, data)

    def _snapshot(self, *, at_rest: bool) -> bytes | None:
        """A snapshot of the state. None if it would save too little folding. ``at_rest``: the
        stream is likely to be folded next."""
        if self.handler is None:
            return None
        if self.unrated:
            self.rate()
        since = self.version - self.snapshot_version
        if self.phase == "ended":
            if self.version < SNAPSHOT_EVERY or since < SNAPSHOT_AT_END:
                return None
        else:
            least = SNAPSHOT_AT_REST if at_rest else SNAPSHOT_EVERY
            if since < max(least, 0.25 * self.snapshot_version):
                return None
        with suppress(Exception):  # a snapshot is a cache
            return self.handler.snapshot()
        return None

    async def _save(self, store: EventStore, version: int, data: bytes) -> None:
        self.snapshot_version, self._folds_all = version, False
        await store.checkpoints.save_snapshot(self.aggregate_id, version, data)
