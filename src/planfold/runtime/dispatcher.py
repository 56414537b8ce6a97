"""``Dispatcher``: the one place where commands are decided: load -> decide -> commit -> answer.

Waiting commands of one aggregate are decided together. Decisions that no other process has seen
share a commit with later ones. See docs/decisions/0026.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from planfold.deciding import Decision, KnownCommands, Stream, body_hash, decide
from planfold.errors import NotFound
from planfold.eventstore.event_rows import clock_time
from planfold.eventstore.port import EventStore, Fence
from planfold.handler import Handler, Metadata
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.commit import Commit, Round
from planfold.runtime.letter import LOG, Basis, Letter
from planfold.runtime.lookups import Lookups, confirmed, known_commands
from planfold.runtime.mailbox import WARY_COMMITS, Mailbox
from planfold.runtime.mailboxes import Mailboxes
from planfold.runtime.outbox import Outbox
from planfold.runtime.slots import Slots, reserve

Committed = Callable[[Commit], None]


class Dispatcher:
    """Workers put their ``slots`` here, to take tasks in the commit that dispatches them.
    ``every_step``: each decision is committed at once, and nothing begins before that.
    ``committed`` is called with each commit that is durable."""

    def __init__(
        self, store: EventStore, *, every_step: bool = False, committed: Committed | None = None
    ) -> None:
        self._store = store
        self._every_step = every_step
        self._on_commit = committed
        self._mailboxes = Mailboxes()
        self.seen = self._mailboxes.seen
        self.slots: list[Slots] = []
        self._turn: list[Mailbox] = []  # they decide in the next turn of the event loop
        self._outbox = Outbox(store, self._sent)
        self.append_durations = self._outbox.durations  # of its appends, until they were durable
        self._lookups = Lookups(self._decided)

    async def send(
        self,
        aggregate: Aggregate,
        aggregate_id: str,
        command: Any,
        *,
        command_id: str = "",
        correlation_id: str = "",
        fence: Fence | None = None,
        idempotent: bool = False,
        extra: dict[str, str] | None = None,
        origin: Metadata | None = None,
        basis: Basis = LOG,
        request_hash: str = "",
        expected_version: int | None = None,
    ) -> list[Any]:
        """Decide ``command``; returns its own events once they are durable.

        With ``idempotent`` the command id is recorded: the same command sent again under it
        yields nothing; ``request_hash`` replaces its own hash. ``expected_version``: of the
        stream, else it is refused. Workers give the metadata of their reports (``origin``) and the
        commit that dispatched the attempt (``basis``).

        Raises:
            CommandRejected, NotFound, InvalidPlan: as the handler decided; nothing is written.
            Conflict: the command id was used for another command, or the version is another.
            LeaseLost, CorruptLog, Transient: as the store's ``append`` and ``load``.
        """
        if idempotent and not command_id:
            raise ValueError("an idempotent command needs a command id")
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        letter = Letter(
            command,
            command_id,
            (request_hash or body_hash(aggregate_id, command)) if idempotent else "",
            origin or Metadata(correlation_id, extra=extra or {}),
            origin is None,
            expected_version,
            answer=answer,
            fence=fence,
            basis=basis,
        )
        self.post(aggregate, aggregate_id, letter)
        return await answer

    def post(
        self, aggregate: Aggregate, aggregate_id: str, letter: Letter, *, now: bool = False
    ) -> None:
        """Have a letter decided, which is answered as :meth:`send` answers. ``now``: no other is
        about to come."""
        letter.patient = letter.patient and not self._every_step
        mailbox = self._mailbox(aggregate, aggregate_id)
        mailbox.waiting.append(letter)
        self._schedule(mailbox, now=now)

    async def view(
        self,
        aggregate: Aggregate,
        aggregate_id: str,
        *,
        at_least: int | None = None,
        partly: bool = False,
    ) -> Handler[Any, Any]:
        """The handler as the log has it, for reading; with ``at_least`` the cached state is
        returned when it is at that version or later, durable or not. ``partly``: of a state that
        is loaded, only what is looked at is decoded now. Raises NotFound when there is no such
        stream."""
        mailbox = self._mailbox(aggregate, aggregate_id)
        if mailbox.unrated and not partly:
            mailbox.rate()
        handler = mailbox.handler
        if handler is None or at_least is None or mailbox.version < at_least:
            if mailbox.busy:
                self._hold(mailbox)
                self._flush()
            handler = await mailbox.read(self._store, partly=partly)
        if not mailbox.version:
            self._mailboxes.drop(mailbox)
            raise NotFound(f"there is no {aggregate.stream_id} {aggregate_id!r}")
        return handler

    def settled(self, aggregate: Aggregate, aggregate_id: str) -> Handler[Any, Any] | None:
        """The state, if it is known to be durable and current; None where the store has to be
        asked."""
        mailbox = self._mailboxes.get((aggregate.stream_id, aggregate_id))
        return mailbox.handler if mailbox is not None and mailbox.settled(self._store) else None

    def expect_others(self, aggregate: Aggregate, aggregate_id: str) -> None:
        """Note that other processes are about to write to this stream."""
        mailbox = self._mailboxes.get((aggregate.stream_id, aggregate_id))
        if mailbox is not None:
            mailbox.wary = WARY_COMMITS

    async def save_snapshots(self) -> None:
        """Save snapshots, so that the next reader of these streams need not fold them."""
        await self._mailboxes.save_snapshots(self._store)

    def _mailbox(self, aggregate: Aggregate, aggregate_id: str) -> Mailbox:
        key = (aggregate.stream_id, aggregate_id)
        if key not in self._mailboxes:
            return self._mailboxes.make(aggregate, aggregate_id)
        self._mailboxes.move_to_end(key)
        return self._mailboxes[key]

    def _schedule(self, mailbox: Mailbox, *, now: bool = False) -> None:
        if not (mailbox.deciding or mailbox.held):
            mailbox.deciding = True
            self._turn.append(mailbox)
            if len(self._turn) > 1:
                return
            if now:
                self._take_turn()
            else:
                asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """All that is waited for decides, and then urgent commits are sent together."""
        turn, self._turn = self._turn, []
        for mailbox in turn:
            try:
                if mailbox.wary and mailbox.unlock is None and mailbox.durable:
                    self._lookups.start(mailbox, tuple(mailbox.waiting), self._lock(mailbox))
                else:
                    self._decide_waiting(mailbox)
            except Exception as fault:  # it must not keep the others back
                said = {"message": f"{mailbox.aggregate_id} could not decide", "exception": fault}
                asyncio.get_running_loop().call_exception_handler(said)
        self._flush()

    async def _lock(self, mailbox: Mailbox) -> None:
        await mailbox.lock(self._store)
        self._decide_waiting(mailbox)
        self._flush()

    def _decide_waiting(self, mailbox: Mailbox) -> None:
        letters, look_up = mailbox.take(self._store)
        if not letters:
            self._decided(mailbox)
        elif not look_up:
            self._decide(mailbox, letters, {})
        elif mailbox.durable:
            self._lookups.start(mailbox, letters, self._look_up(mailbox, letters))
        else:
            mailbox.put_back(letters, alone=mailbox.alone)
            self._hold(mailbox)
            self._decided(mailbox)

    async def _look_up(self, mailbox: Mailbox, letters: list[Letter]) -> None:
        try:
            known = await known_commands(self._store, mailbox, letters)
        except Exception as fault:
            self._not_decided(mailbox, letters, fault)
        else:
            if known is None:
                mailbox.put_back(letters, alone=True)
                self._decided(mailbox)
            else:
                self._decide(mailbox, letters, known)
        self._flush()

    def _decide(self, mailbox: Mailbox, letters: list[Letter], known: KnownCommands) -> None:
        handler = mailbox.handler
        assert handler is not None
        stream = Stream(mailbox.aggregate_id, mailbox.version, mailbox.correlation_id)
        try:
            decision = decide(handler, letters, clock_time(self._store.clock()), stream, known)
        except Exception as fault:
            self._not_decided(mailbox, letters, fault)
            return
        if decision.events:
            self._add(mailbox, letters, decision)
        elif mailbox.durable:
            self._lookups.start(mailbox, letters, self._verify(mailbox, Round(letters, decision)))
            return
        else:
            mailbox.add_eventless(Round(letters, decision))
            self._outbox.urge(mailbox)
        self._decided(mailbox)

    async def _verify(self, mailbox: Mailbox, decided: Round) -> None:
        try:
            current = await confirmed(self._store, mailbox, decided)
        except Exception as fault:
            self._not_decided(mailbox, decided.letters, fault)
            return
        if not current:
            mailbox.forget()
            mailbox.put_back(decided.letters)
        self._decided(mailbox)

    def _not_decided(self, mailbox: Mailbox, letters: Sequence[Letter], fault: Exception) -> None:
        """Deciding failed. The handler may have applied a part, so discard the state and decide the
        commands one by one."""
        if len(letters) == 1 and mailbox.durable:
            letters[0].fail(fault)
        mailbox.put_back([*mailbox.give_up(), *letters], alone=True)
        mailbox.held = mailbox.held or not mailbox.durable  # readers may wait for the rest
        self._decided(mailbox)

    def _decided(self, mailbox: Mailbox) -> None:
        mailbox.deciding = False
        self._rest(mailbox)

    def _rest(self, mailbox: Mailbox) -> None:
        if mailbox.deciding:
            return
        if (mailbox.held or mailbox.unlock) and mailbox.durable and not mailbox.rest():
            asyncio.get_running_loop().call_soon(self._rest, mailbox)
            return
        if mailbox.waiting:
            self._schedule(mailbox)
        elif mailbox.handler is not None and not mailbox.version:
            self._mailboxes.drop(mailbox)  # with what a refused fork was to continue

    def _add(self, mailbox: Mailbox, letters: list[Letter], decision: Decision) -> None:
        """Add a decision to the open commit, and begin what need not wait for it."""
        slots = mailbox.open.slots if mailbox.open else None
        workers = self.slots if slots is None else [slots]
        reservation = reserve(workers, mailbox.aggregate_id, decision.queue, decision.now)
        decided = Round(letters, decision, reservation)
        early = not (self._every_step or mailbox.wary)
        commit = mailbox.add(decided, early=early)
        if commit.awaited or mailbox.held or not early:
            self._outbox.urge(mailbox)
            return
        self._outbox.busy = True
        if not commit.gathering:
            self._outbox.gather(mailbox)

    def _hold(self, mailbox: Mailbox) -> None:
        """Decide nothing more on this stream until everything decided so far is durable."""
        mailbox.held = True
        self._outbox.urge(mailbox)

    def _flush(self) -> None:
        """Send urgent commits; those of mailboxes that decide in the next turn of the event loop go
        with them."""
        if self._outbox.urgent:
            self._outbox.flush(soon=bool(self._turn))

    def _sent(self, mailbox: Mailbox, commit: Commit, fault: BaseException | None) -> None:
        """The store has answered. If the append failed, decide the same commands again on the state
        that the log has now."""
        mailbox.sent = None
        if fault is not None:
            letters = commit.fail(fault)
            mailbox.put_back([*letters, *mailbox.give_up()], alone=commit.alone)
        else:
            mailbox.committed(commit, self._store)
            commit.succeed(self.slots)
            if self._on_commit is not None:
                self._on_commit(commit)
        self._rest(mailbox)
