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
        self.deciding = False  # a round is on its turn, or the log is being read for it
        self.open: Commit | None = None
        self.sent: Commit | None = None
        self.held = False  # nothing is decided until all is durable: a reader waits for that
        self._new = True  # no letter was taken yet
        self.handler: Handler[Any, Any] | None = None
        self.version = 0
        self.correlation_id = ""
        self.status: Any = None  # as decided
        self.head: dict[str, Any] = {}  # as committed
        self.size = 0  # bytes that the state takes, about; ``grew`` gets every change of it
        self.grew = grew
        self.snapshot_version = 0
        self.phase: StreamPhase = "active"  # as committed
        self.one_by_one = 0  # letters that are decided one after the other
        self.alone = False  # the letter that was taken is one of them
        self.wary = 0  # commits until something may begin before its commit again
        self.generation = UNKNOWN  # the store's when the state was that of the log
        self._contended = False
        self.unrated: asyncio.TimerHandle | None = None  # a state that was loaded
        self._folds_all = False  # its snapshot turned out to be of no use
        self._alone_for = WARY_COMMITS  # commits since another process was seen to write here
        self._kept: tuple[int, bytes] | None = None  # a state to go back to after a conflict
        self._loading = asyncio.Lock()
        self.unlock: Callable[[], None] | None = None  # releases the lock of the stream
        self._rested: asyncio.Event | None = None  # of those who wait for that

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
        idempotent = [le for le in letters if le.body_hash]
        new, self._new = self._new, False
        if new and len(letters) == 1 and not idempotent and self._begins_with(letters[0]):
            self.handler, self.generation = (
                self.aggregate.handler(),
                store.generation(self.aggregate_id),
            )
            return letters, False
        if self.handler is None or self.alone or idempotent:
            return letters, True
        if self.wary:  # the log says what others have written
            return letters, True
        uncommitted = self.open is not None or self.sent is not None
        return letters, not (uncommitted or self.current(store))

    def _begins_with(self, letter: Letter) -> bool:
        """Whether there is nothing to read before it is decided: it is for a new stream only, and
        the append shows whether there is one."""
        if self.handler is not None or letter.expected_version != 0:
            return False
        return not isinstance(letter.command, ForkPlan)  # which begins with the state of another

    def begins_with_one_of(self, letters: Sequence[Letter]) -> bool:
        """Whether there is no stream yet, and one of several letters is to begin it with the state
        of another plan: the others must not be decided on that."""
        if self.version or len(letters) == 1:
            return False
        return any(isinstance(letter.command, ForkPlan) for letter in letters)

    def put_back(self, letters: Sequence[Letter], *, alone: bool = False) -> None:
        """They are decided again, before what came later, each ``alone`` if one of them went wrong;
        not those that have failed."""
        left = [letter for letter in letters if letter.unanswered]
        self.waiting.extendleft(reversed(left))
        if alone:
            self.one_by_one += len(left)

    def current(self, store: EventStore) -> bool:
        """Whether no other process has written since the state was that of the log, as far as is
        known here."""
        return self.generation == store.generation(self.aggregate_id)

    def settled(self, store: EventStore) -> bool:
        """Whether the state is the log's, and nothing is being decided on it."""
        return not self.busy and self.version > 0 and self.current(store)

    async def lock(self, store: EventStore) -> None:
        """Keep other processes from deciding on this stream until :meth:`rest`: they do it at
        the same time, and only one of them could commit it."""
        if self.unlock is None:
            self.unlock = await store.lock_stream(self.aggregate_id)

    async def read(self, store: EventStore, *, partly: bool = False) -> Handler[Any, Any]:
        """The state in the log, for a reader: without what is not committed yet. ``partly``: the
        reader looks at a few of its parts."""
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
        """The state in the log, for the decision that made this mailbox busy. Where there is no
        stream yet, and its only letter forks a plan: the state of that one."""
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
            if self.handler is None:  # its snapshot is of no use
                return await self._load(store)
        return handler

    def rest(self) -> None:
        """All that was decided is in the log, or given up."""
        unlock, self.unlock = self.unlock, None
        if unlock is not None:
            unlock()
        self.held = False
        rested, self._rested = self._rested, None
        if rested is not None:
            rested.set()

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
            handler, self.version = self.aggregate.handler(), 0  # was it only the snapshot?
            await self._catch_up(store, handler)
        if self.version and not self.correlation_id:
            metadata = await store.metadata_of_first(self.aggregate_id)
            self.correlation_id = metadata.correlation_id if metadata else ""
        self._keep(handler)
        self.handler = handler
        self.unrated = asyncio.get_running_loop().call_later(RATE_AFTER_S, self.rate)
        return handler

    def rate(self) -> None:
        """Note the size of a state that was loaded, and whether its stream waits. That needs all of
        it, and so may take longer than to load it: a task that it was loaded for begins first."""
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
        """Where several processes write, the next conflict is near: remember this state, so that
        it need not be folded from the beginning again."""
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
        """Forget letters that have failed: their senders have the fault."""
        self.waiting = deque(letter for letter in self.waiting if not letter.failed)

    # --- commits ------------------------------------------------------------------------------

    def add(self, decided: Round, *, early: bool) -> Commit:
        """Add a decision to the open commit; a new one where there is none. ``early``: tasks may
        begin before it is durable."""
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
        """A decision without events is answered with the commit that it depends on."""
        commit = self.open or self.sent
        assert commit is not None
        commit.eventless.append(decided)

    def send(self) -> Commit | None:
        """The open commit, which goes to the store; None while another one is there."""
        if self.open is None or self.sent is not None:
            return None
        commit = self.sent = self.open
        self.open = None
        commit.snapshot = self._snapshot(at_rest=self.phase == "waiting")
        return commit

    def committed(self, commit: Commit, store: EventStore) -> None:
        """The decisions that were sent are in the log."""
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
        """Drop the state and the open commit; returns the letters to decide again."""
        commit, self.open = self.open, None
        self.wary, self._alone_for = WARY_COMMITS, 0
        self.forget()
        return commit.fail() if commit is not None else []

    def _resize(self, size: int) -> None:
        before, self.size = self.size, size
        if size != before:
            self.grew(size - before)

    def forget(self) -> None:
        """Drop the cached state: it is ahead of the log, or the log is ahead of it."""
        self.correlation_id = ""
        self._contended = True
        self.handler = None
        self.generation = UNKNOWN
        self.head = {}
        self.status = None
        self.version = 0
        self._resize(0)

    async def save_snapshot(self, store: EventStore) -> None:
        """Save the state if folding it again would take long; it may be folded next."""
        data = self._snapshot(at_rest=True) if not self.busy else None
        if data is not None:
            await self._save(store, self.version, data)

    def _snapshot(self, *, at_rest: bool) -> bytes | None:
        """The state, so that folding it again starts from there; None where that would spare too
        little. ``at_rest``: folding may be next."""
        if self.handler is None:
            return None
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
