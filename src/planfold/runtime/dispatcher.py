"""``Dispatcher``: the one door for commands. Only here are events appended.

load -> decide -> append -> answer. Commands that wait for one aggregate are decided together and
appended together. Decisions on different aggregates that wait at the same time share a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from planfold.deciding import Decision, KnownCommands, Stream, body_hash, decide
from planfold.errors import Conflict, LeaseLost, NotFound, PlanfoldError
from planfold.eventstore.event_rows import clock_time
from planfold.eventstore.port import Append, CommandRecord, EventStore, Fence
from planfold.handler import Handler, Metadata
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.mailbox import Letter, Mailbox
from planfold.runtime.mailboxes import Mailboxes
from planfold.runtime.slots import Reservation, Slots, reserve


class Dispatcher:
    """Workers put their ``slots`` here, to take tasks in the commit that dispatches them."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._mailboxes = Mailboxes()
        self.slots: list[Slots] = []
        self._appended: list[tuple[asyncio.Future[int], Callable[[asyncio.Future[int]], None]]] = []
        self._undecided = 0  # mailboxes whose turn comes in this round of the event loop
        self._asking: set[asyncio.Task[None]] = set()  # for what the cache does not hold

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
    ) -> list[Any]:
        """Decide ``command``; returns its own events once they are durable.

        With ``idempotent`` the command id is recorded: the same command sent again under it
        yields nothing. ``origin`` is for the reports of workers: the metadata of its events.

        Raises:
            CommandRejected, NotFound, InvalidPlan: as the handler decided; nothing is written.
            Conflict: the command id was used for another command.
            LeaseLost: the fence does not hold.
            CorruptLog: the stream cannot be read by this version.
            Transient: the store cannot write at present.
        """
        if idempotent and not command_id:
            raise ValueError("an idempotent command needs a command id")
        loop = asyncio.get_running_loop()
        letter = Letter(
            command,
            command_id,
            body_hash(aggregate_id, command) if idempotent else "",
            origin or Metadata(correlation_id, extra=extra or {}),
            origin is None,
            answer=loop.create_future(),
            fence=fence,
        )
        mailbox = self._mailbox(aggregate, aggregate_id)
        mailbox.waiting.append(letter)
        self._schedule(mailbox, loop)
        return await letter.answer

    async def view(
        self, aggregate: Aggregate, aggregate_id: str, *, at_least: int | None = None
    ) -> Handler[Any, Any]:
        """The handler as it is, for reading; with ``at_least`` the cached state is returned when
        it is at that version or later. Raises NotFound when there is no such stream."""
        mailbox = self._mailbox(aggregate, aggregate_id)
        handler = mailbox.handler
        if handler is None or at_least is None or mailbox.version < at_least:
            handler = await mailbox.read(self._store)
        if not mailbox.version:
            self._mailboxes.drop(mailbox)
            raise NotFound(f"there is no {aggregate.stream_id} {aggregate_id!r}")
        return handler

    def head(self, aggregate: Aggregate, aggregate_id: str) -> dict[str, Any] | None:
        """What lists show, as last committed; None where the store has to be asked."""
        mailbox = self._mailboxes.get((aggregate.stream_id, aggregate_id))
        if mailbox is None or mailbox.busy:  # a commit may be in the log and not yet known here
            return None
        current = mailbox.generation == self._store.generation(aggregate_id)
        return mailbox.head or None if current else None

    async def save_snapshots(self) -> None:
        """Spare whoever goes on with these streams the folding. What cannot be saved is folded."""
        resting = [mailbox for mailbox in self._mailboxes.values() if not mailbox.busy]
        saving = [mailbox.snapshot(self._store, at_rest=True) for mailbox in resting]
        await asyncio.gather(*filter(None, saving), return_exceptions=True)

    def _mailbox(self, aggregate: Aggregate, aggregate_id: str) -> Mailbox:
        key = (aggregate.stream_id, aggregate_id)
        if key not in self._mailboxes:
            return self._mailboxes.make(aggregate, aggregate_id)
        self._mailboxes.move_to_end(key)
        return self._mailboxes[key]

    def _schedule(self, mailbox: Mailbox, loop: asyncio.AbstractEventLoop) -> None:
        if not mailbox.busy:
            mailbox.busy = True
            self._undecided += 1
            loop.call_soon(self._decide_next, mailbox)

    def _decide_next(self, mailbox: Mailbox) -> None:
        self._undecided -= 1
        letters = mailbox.take()
        current = mailbox.generation == self._store.generation(mailbox.aggregate_id)
        if current and not any(letter.body_hash for letter in letters):
            self._decide(mailbox, letters, {})
        else:
            self._ask(self._look_up(mailbox, letters))
        self._flush()

    def _ask(self, question: Coroutine[Any, Any, None]) -> None:
        asking = asyncio.ensure_future(question)
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _look_up(self, mailbox: Mailbox, letters: list[Letter]) -> None:
        """Read what the cache lacks, then decide."""
        try:
            await mailbox.load(self._store)
            known = {
                letter.command_id: await self._store.find_command(letter.command_id)
                for letter in letters
                if letter.body_hash
            }
        except Exception as fault:
            self._fail_round(mailbox, letters, fault)
        else:
            self._decide(mailbox, letters, known)
        self._flush()

    def _decide(self, mailbox: Mailbox, letters: list[Letter], known: KnownCommands) -> None:
        handler = mailbox.handler
        assert handler is not None
        stream = Stream(mailbox.aggregate_id, mailbox.version, mailbox.correlation_id)
        try:
            decision = decide(handler, letters, clock_time(self._store.clock()), stream, known)
            if decision.events:
                self._append(mailbox, letters, decision)
            else:
                self._ask(self._verify(mailbox, letters, decision))
        except Exception as fault:
            self._fail_round(mailbox, letters, fault)

    async def _verify(self, mailbox: Mailbox, letters: list[Letter], decision: Decision) -> None:
        """Without an append the stream's version shows whether the state was current."""
        try:
            version = await self._store.version(mailbox.aggregate_id)
        except Exception as fault:
            self._abandon(mailbox, letters, fault)
            return
        if version == mailbox.version:
            self._answer(letters, decision)
            self._rest(mailbox)
        else:
            self._again(mailbox, letters)

    def _append(self, mailbox: Mailbox, letters: list[Letter], decision: Decision) -> None:
        honoured = [
            letter
            for letter, answer in zip(letters, decision.answers, strict=True)
            if answer and not isinstance(answer, PlanfoldError)
        ]
        reservation = reserve(self.slots, mailbox.aggregate_id, decision.queue, decision.now)
        append = Append(
            mailbox.aggregate.stream_id,
            mailbox.aggregate_id,
            mailbox.version,
            decision.events,
            decision.queue,
            [letter.fence for letter in honoured if letter.fence],
            [CommandRecord(le.command_id, le.body_hash) for le in honoured if le.body_hash],
            decision.head,
            decision.due_at,
            reservation.slots.owner if reservation else None,
            reservation.leased if reservation else frozenset(),
            decision.now,
            quiet=bool(mailbox.head) and mailbox.head.get("status") == decision.head.get("status"),
        )
        try:
            future = asyncio.ensure_future(self._store.append(append))
        except Exception:
            if reservation is not None:
                reservation.give_back()
            raise
        self._appended.append(
            (future, lambda done: self._committed(mailbox, letters, decision, reservation, done))
        )

    def _flush(self) -> None:
        """Let the store commit, once every mailbox has decided whose turn it is, or when it did."""
        if not self._undecided:
            self._store.flush()
        elif not (self._appended and self._appended[0][0].done()):
            return
        appended, self._appended = self._appended, []
        for future, committed in appended:
            if future.done():  # without another turn of the event loop
                committed(future)
            else:
                future.add_done_callback(committed)

    def _committed(
        self,
        mailbox: Mailbox,
        letters: list[Letter],
        decision: Decision,
        reservation: Reservation | None,
        future: asyncio.Future[int],
    ) -> None:
        fault = future.exception()
        if fault is not None:
            if reservation is not None:
                reservation.give_back()
            self._not_committed(mailbox, letters, fault)
            return
        mailbox.committed(decision, self._store)
        self._answer(letters, decision)
        if mailbox.waiting:
            self._schedule(mailbox, asyncio.get_running_loop())
        for slots in self.slots if decision.queue else ():
            slots.changed(mailbox.aggregate_id, decision.queue)
        if reservation is not None:
            reservation.grant()

    def _not_committed(self, mailbox: Mailbox, letters: list[Letter], fault: BaseException) -> None:
        if isinstance(fault, LeaseLost):
            lost = [le for le in letters if le.fence and le.fence.task_id == fault.task_id]
            if len(lost) > 1:  # an old and a new attempt at once: only one of them has lost it
                mailbox.one_by_one = True
                lost = []
            for letter in lost:
                letter.fail(fault)
            self._again(mailbox, [le for le in letters if le not in lost])
        elif isinstance(fault, Conflict):
            self._again(mailbox, letters)
        else:
            self._abandon(mailbox, letters, fault)

    @staticmethod
    def _answer(letters: list[Letter], decision: Decision) -> None:
        """A refusal waits for the commit too: its state may never be committed."""
        for letter, answer in zip(letters, decision.answers, strict=True):
            if isinstance(answer, PlanfoldError):
                letter.fail(answer)
            elif not letter.answer.done():
                letter.answer.set_result(list(answer))

    def _fail_round(self, mailbox: Mailbox, letters: list[Letter], fault: Exception) -> None:
        if len(letters) > 1:  # one bad command must not take the others with it
            mailbox.one_by_one = True
            self._again(mailbox, letters)
        else:
            self._abandon(mailbox, letters, fault)

    def _again(self, mailbox: Mailbox, letters: Sequence[Letter]) -> None:
        """Another writer was first: decide again on what the log says now."""
        mailbox.forget()
        mailbox.waiting.extendleft(reversed(letters))
        self._rest(mailbox)

    def _abandon(self, mailbox: Mailbox, letters: Sequence[Letter], fault: BaseException) -> None:
        for letter in letters:
            letter.fail(fault)
        self._again(mailbox, ())

    def _rest(self, mailbox: Mailbox) -> None:
        mailbox.rest()
        if mailbox.waiting:
            self._schedule(mailbox, asyncio.get_running_loop())
