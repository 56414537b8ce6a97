"""``Dispatcher``: the one door for commands. Only here are events appended.

One mailbox per aggregate: commands that wait for the same one are decided one after the other and
appended together; what follows from them by itself (``Handler.next_command``) goes into the same
commit. Decisions on different aggregates that wait at the same time share a commit in the store.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from planfold.errors import Conflict, LeaseLost, NotFound, PlanfoldError
from planfold.eventstore.envelope import event_id
from planfold.eventstore.port import Append, CommandRecord, EventStore, Fence
from planfold.handler import Handler, Metadata
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.mailbox import Decision, Letter, Mailbox
from planfold.runtime.slots import Slots, leases_of, reserve_slots

CACHED_MAILBOXES = 1_000
SNAPSHOT_EVERY = 5_000  # events; then again when the log has grown to 2.5 times that length


_Committed = Callable[[asyncio.Future[int]], None]
_Commands = dict[str, tuple[str, str] | None]  # aggregate and body hash by command id


class Dispatcher:
    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._mailboxes: OrderedDict[tuple[str, str], Mailbox] = OrderedDict()
        self.slots: list[Slots] = []
        self._appended: list[tuple[asyncio.Future[int], _Committed]] = []
        self._undecided = 0  # mailboxes whose turn comes in this round of the event loop
        self._asking: set[asyncio.Task[None]] = set()  # for what the cache does not tell

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
    ) -> list[Any]:
        """Decide ``command``; returns its events once they are durable (those that followed by
        themselves are not among them).

        With ``idempotent`` the command id is recorded: the same command sent again under it
        yields nothing.

        Raises:
            CommandRejected, NotFound, InvalidPlan: as the handler decided; nothing is written.
            Conflict: the command id stands for another command.
            LeaseLost: the fence does not hold.
            CorruptLog: the stream cannot be read by this version.
            Transient: the store cannot write at present.
        """
        loop = asyncio.get_running_loop()
        record = _record(aggregate_id, command_id, command) if idempotent else None
        answer: asyncio.Future[list[Any]] = loop.create_future()
        letter = Letter(command, answer, command_id, record, correlation_id, fence, extra or {})
        mailbox = self._mailbox(aggregate, aggregate_id)
        mailbox.waiting.append(letter)
        self._schedule(mailbox, loop)
        return await answer

    async def view(
        self, aggregate: Aggregate, aggregate_id: str, *, at_least: int | None = None
    ) -> Handler[Any, Any]:
        """The handler as it stands, for reading; with ``at_least`` what is cached will do from
        that version on. Raises NotFound when there is no such stream."""
        mailbox = self._mailbox(aggregate, aggregate_id)
        handler = mailbox.handler
        if handler is None or at_least is None or mailbox.version < at_least:
            handler = await mailbox.read(self._store)
        if not mailbox.version:
            if not mailbox.busy:
                self._mailboxes.pop((aggregate.stream_id, aggregate_id), None)
            raise NotFound(f"there is no {aggregate.stream_id} {aggregate_id!r}")
        return handler

    def head(self, aggregate: Aggregate, aggregate_id: str) -> dict[str, Any] | None:
        """What the handler wants lists to show, as last committed; None where the store has to
        be asked because this process was not the last to write it."""
        mailbox = self._mailboxes.get((aggregate.stream_id, aggregate_id))
        if mailbox is None or not mailbox.is_current(self._store):
            return None
        return mailbox.head or None

    def _mailbox(self, aggregate: Aggregate, aggregate_id: str) -> Mailbox:
        key = (aggregate.stream_id, aggregate_id)
        mailbox = self._mailboxes.get(key)
        if mailbox is None:
            mailbox = self._mailboxes[key] = Mailbox(aggregate, aggregate_id)
            self._evict()
        else:
            self._mailboxes.move_to_end(key)
        return mailbox

    def _evict(self) -> None:
        while len(self._mailboxes) > CACHED_MAILBOXES:
            key, oldest = next(iter(self._mailboxes.items()))
            if oldest.busy or oldest.waiting:
                return
            del self._mailboxes[key]

    def _schedule(self, mailbox: Mailbox, loop: asyncio.AbstractEventLoop) -> None:
        if not mailbox.busy:
            mailbox.busy = True
            self._undecided += 1
            loop.call_soon(self._decide_next, mailbox)

    def _decide_next(self, mailbox: Mailbox) -> None:
        self._undecided -= 1
        letters = mailbox.take()
        if mailbox.is_current(self._store) and not any(letter.record for letter in letters):
            self._decide(mailbox, letters, {})
        else:
            self._ask(self._look_up(mailbox, letters))
        self._send_off()

    def _ask(self, question: Coroutine[Any, Any, None]) -> None:
        asking = asyncio.ensure_future(question)
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _look_up(self, mailbox: Mailbox, letters: list[Letter]) -> None:
        """Read what the cache lacks, then decide."""
        known: _Commands = {}
        try:
            await mailbox.load(self._store)
            for letter in letters:
                if letter.record is not None:
                    command_id = letter.record.command_id
                    known[command_id] = await self._store.find_command(command_id)
        except Exception as fault:
            self._fail_round(mailbox, letters, fault)
        else:
            self._decide(mailbox, letters, known)
        self._send_off()

    async def _verify(self, mailbox: Mailbox, decision: Decision) -> None:
        """Without an append it is the stream's version that says whether the state was current."""
        letters = [letter for letter, _ in decision.answered]
        try:
            version = await self._store.version(mailbox.aggregate_id)
        except Exception as fault:
            self._abandon(mailbox, letters, fault)
            return
        if version == mailbox.version:
            self._answer(mailbox, decision)
        else:
            self._again(mailbox, letters)

    def _send_off(self) -> None:
        """Let the store commit, once every mailbox has decided whose turn it is."""
        if not self._undecided:
            self._store.flush()
            appended, self._appended = self._appended, []
            for future, committed in appended:
                if future.done():  # without another turn of the event loop
                    committed(future)
                else:
                    future.add_done_callback(committed)

    def _decide(self, mailbox: Mailbox, letters: list[Letter], known: _Commands) -> None:
        handler = mailbox.handler
        assert handler is not None
        try:
            decision = Decision()
            for letter in letters:
                self._process(mailbox, handler, letter, decision, known)
            self._follow_up(mailbox, handler, decision)
            self._commit(mailbox, handler, decision)
        except Exception as fault:
            self._fail_round(mailbox, letters, fault)

    def _fail_round(self, mailbox: Mailbox, letters: list[Letter], fault: Exception) -> None:
        if len(letters) > 1:  # one bad command must not take the others with it
            mailbox.one_by_one = True
            self._again(mailbox, letters)
        else:
            self._abandon(mailbox, letters, fault)

    def _process(
        self,
        mailbox: Mailbox,
        handler: Handler[Any, Any],
        letter: Letter,
        decision: Decision,
        known: _Commands,
    ) -> None:
        try:
            if letter.record is not None and self._is_repeat(mailbox, letter.record, known):
                events = []
            else:
                events = handler.process(letter.command)
        except PlanfoldError as refusal:
            # Told only after the commit: what it rests on may not come to stand in the log.
            decision.answered.append((letter, refusal))
            return
        mailbox.correlation_id = (
            mailbox.correlation_id or letter.correlation_id or mailbox.aggregate_id
        )
        metadata = Metadata(
            letter.correlation_id or mailbox.correlation_id, letter.command_id, letter.extra
        )
        self._apply(mailbox, handler, events, metadata, decision)
        decision.answered.append((letter, events))

    @staticmethod
    def _is_repeat(mailbox: Mailbox, record: CommandRecord, known: _Commands) -> bool:
        body = (mailbox.aggregate_id, record.body_hash)
        earlier = known[record.command_id]
        known[record.command_id] = earlier or body  # for the next letter of this round
        if earlier not in (None, body):
            raise Conflict(f"command id {record.command_id!r} stands for another command")
        return earlier is not None

    def _follow_up(self, mailbox: Mailbox, handler: Handler[Any, Any], decision: Decision) -> None:
        now = self._store.clock()
        while decision.events and (command := handler.next_command(now)) is not None:
            cause = event_id(mailbox.aggregate_id, mailbox.version + len(decision.events))
            events = handler.process(command)
            if not events:
                raise RuntimeError(f"{command!r} was to follow by itself but decided nothing")
            metadata = Metadata(mailbox.correlation_id, f"{cause}/{type(command).__name__}")
            self._apply(mailbox, handler, events, metadata, decision)

    def _apply(
        self,
        mailbox: Mailbox,
        handler: Handler[Any, Any],
        events: Sequence[Any],
        metadata: Metadata,
        decision: Decision,
    ) -> None:
        for event in events:
            handler.apply(event)
            decision.events.append((event, metadata))
            version = mailbox.version + len(decision.events)
            decision.queue += [(change, version) for change in handler.queue_changes(event)]

    def _commit(self, mailbox: Mailbox, handler: Handler[Any, Any], decision: Decision) -> None:
        if not decision.events:
            self._ask(self._verify(mailbox, decision))
            return
        honoured = [
            letter
            for letter, events in decision.answered
            if events and not isinstance(events, PlanfoldError)
        ]
        fences = [letter.fence for letter in honoured if letter.fence]
        records = [letter.record for letter in honoured if letter.record]
        slots, leased = reserve_slots(self.slots, mailbox.aggregate_id, decision.queue)
        decision.head = handler.head()
        append = Append(
            mailbox.aggregate.stream_id,
            mailbox.aggregate_id,
            mailbox.version,
            decision.events,
            decision.queue,
            fences,
            records,
            decision.head,
            handler.due_at(),
            slots.owner if slots else None,
            leased,
        )
        try:
            future = asyncio.ensure_future(self._store.append(append))
        except Exception:
            if slots is not None:
                slots.give_back(len(leased))
            raise
        self._appended.append(
            (future, lambda future: self._committed(mailbox, decision, slots, leased, future))
        )

    def _committed(
        self,
        mailbox: Mailbox,
        decision: Decision,
        slots: Slots | None,
        leased: frozenset[int],
        future: asyncio.Future[int],
    ) -> None:
        fault = future.exception()
        if fault is None:
            mailbox.version += len(decision.events)
            mailbox.head = decision.head
            self._answer(mailbox, decision)
            self._hand_over(mailbox.aggregate_id, decision, slots, leased)
            self._keep_snapshot(mailbox)
            return
        if slots is not None:
            slots.give_back(len(leased))
        letters = [letter for letter, _ in decision.answered]
        if isinstance(fault, LeaseLost):
            lost = [le for le in letters if le.fence and le.fence.task_id == fault.task_id]
            if len(lost) > 1:  # an old and a new attempt at once: only one of them has lost it
                mailbox.one_by_one = True
                lost = []
            for letter in lost:
                _fail(letter, fault)
            self._again(mailbox, [le for le in letters if le not in lost])
        elif isinstance(fault, Conflict):
            self._again(mailbox, letters)
        else:
            self._abandon(mailbox, letters, fault)

    def _hand_over(
        self,
        aggregate_id: str,
        decision: Decision,
        slots: Slots | None,
        leased: frozenset[int],
    ) -> None:
        if decision.queue:
            changes = [change for change, _ in decision.queue]
            for each in self.slots:
                each.queue_changed(aggregate_id, changes)
        if slots is None:
            return
        slots.start(leases_of(slots.owner, aggregate_id, decision.queue, leased))

    def _answer(self, mailbox: Mailbox, decision: Decision) -> None:
        for letter, events in decision.answered:
            if isinstance(events, PlanfoldError):
                _fail(letter, events)
            elif not letter.answer.done():
                letter.answer.set_result(list(events))
        self._rest(mailbox)

    def _again(self, mailbox: Mailbox, letters: Sequence[Letter]) -> None:
        """Another writer was first: decide anew on what the log says now."""
        mailbox.forget()
        mailbox.waiting.extendleft(reversed(letters))
        self._rest(mailbox)

    def _abandon(self, mailbox: Mailbox, letters: Sequence[Letter], fault: BaseException) -> None:
        mailbox.forget()
        for letter in letters:
            _fail(letter, fault)
        self._rest(mailbox)

    def _rest(self, mailbox: Mailbox) -> None:
        mailbox.rest()
        if mailbox.waiting:
            self._schedule(mailbox, asyncio.get_running_loop())

    def _keep_snapshot(self, mailbox: Mailbox) -> None:
        since = mailbox.version - mailbox.snapshot_version
        if mailbox.handler is None or since < max(SNAPSHOT_EVERY, 1.5 * mailbox.snapshot_version):
            return
        data = mailbox.handler.snapshot()
        if data is not None:
            mailbox.snapshot_version = mailbox.version
            saved = asyncio.ensure_future(
                self._store.checkpoints.save_snapshot(mailbox.aggregate_id, mailbox.version, data)
            )
            saved.add_done_callback(lambda f: f.cancelled() or f.exception())


def _fail(letter: Letter, fault: BaseException) -> None:
    if not letter.answer.done():
        letter.answer.set_exception(fault)


def _record(aggregate_id: str, command_id: str, command: Any) -> CommandRecord:
    if not command_id:
        raise ValueError("an idempotent command needs a command id")
    body = msgspec.json.encode((aggregate_id, type(command).__name__, command))
    return CommandRecord(command_id, hashlib.blake2b(body, digest_size=16).hexdigest())
