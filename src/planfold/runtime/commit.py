"""``Commit``: decisions on one aggregate that become durable together.

Decisions build on each other, committed or not. Their answers, and tasks that must not run twice,
wait until the commit is durable; an attempt that may run again after a crash starts earlier. See
docs/decisions/0026.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from planfold.deciding import Decision
from planfold.errors import Conflict, LeaseLost, PlanfoldError, Transient
from planfold.eventstore.port import Append, CommandRecord, Fence
from planfold.handler import Enqueue, Metadata, QueueChange, Settle, Signal
from planfold.runtime.letter import Basis, Letter
from planfold.runtime.slots import Dispatched, Reservation, Slots

MOST_ROUNDS = 64  # in one commit, before it is sent
MOST_EVENTS = 256


class Round(msgspec.Struct, eq=False):
    """Commands that were decided together, and the worker slots reserved for the tasks that they
    dispatched."""

    letters: Sequence[Letter]
    decision: Decision
    reservation: Reservation | None = None

    def answer(self) -> None:
        """A refusal waits for the commit too: the state it was decided on may never be
        committed."""
        for letter, answer in zip(self.letters, self.decision.answers, strict=True):
            if isinstance(answer, PlanfoldError):
                letter.fail(answer)
            elif not letter.answer.done():
                letter.answer.set_result(list(answer))

    def is_awaited(self) -> bool:
        """Whether a caller, another worker or a task that begins only then waits until it is
        durable."""
        for letter in self.letters:
            if not letter.patient:
                return True
        taken: frozenset[int] = frozenset()
        if self.reservation is not None:
            taken = self.reservation.leased
            if self.reservation.waiting:
                return True
        for change, _ in self.decision.queue:
            if isinstance(change, Signal):
                return True
            if isinstance(change, Enqueue) and change.task_id not in taken:
                return True
        return False

    def takes(self, task_id: int) -> bool:
        """Whether a worker here takes this task, which it dispatched."""
        return self.reservation is not None and task_id in self.reservation.leased

    def add_claims(
        self, basis: Basis, fences: dict[Fence, None], records: list[CommandRecord]
    ) -> None:
        """Add what its accepted commands need in the store: the leases of reports, unless this
        commit dispatched the attempt, and the ids of idempotent commands."""
        for letter, answer in zip(self.letters, self.decision.answers, strict=True):
            if not answer or isinstance(answer, PlanfoldError):
                continue
            if letter.fence is not None and letter.basis is not basis:
                fences[letter.fence] = None
            if letter.body_hash:
                records.append(CommandRecord(letter.command_id, letter.body_hash))


class Commit:
    """``version`` is the stream's before it. ``awaited``: it should be sent at once; ``urgent``: it
    is about to be; ``full``: nothing more should begin before it. ``basis`` belongs to the attempts
    that it dispatched. ``quiet``: the status did not change. ``last`` is its last decision,
    ``events`` counts its events, ``snapshot`` is the state after them, where it is to be saved."""

    last: Decision

    def __init__(self, stream_id: str, aggregate_id: str, version: int) -> None:
        self.stream_id = stream_id
        self.aggregate_id = aggregate_id
        self.version = version
        self.basis = Basis()
        self.urgent = False
        self.gathering = False
        self.awaited = False
        self.alone = False
        self.full = False
        self.quiet = True
        self.rounds: list[Round] = []
        self.eventless: list[Round] = []  # rounds without events, decided after these
        self.slots: Slots | None = None  # of the worker that takes its tasks
        self.snapshot: bytes | None = None
        self.events = 0

    def add(self, decided: Round, *, early: bool) -> None:
        """Add a decision; ``early``: begin what need not wait for the commit."""
        self.rounds.append(decided)
        self.last = decided.decision
        self.events += len(decided.decision.events)
        self.full = len(self.rounds) >= MOST_ROUNDS or self.events >= MOST_EVENTS
        self.awaited = self.awaited or self.full or not self.quiet or decided.is_awaited()
        reservation = decided.reservation
        if reservation is None:
            return
        self.slots = reservation.slots
        if early and not self.full and reservation.early:
            if self.awaited:  # once the commit is on its way: attempts take the event loop's time
                asyncio.get_running_loop().call_soon(reservation.begin, self.basis)
            else:
                reservation.begin(self.basis)

    def succeed(self, workers: Sequence[Slots]) -> None:
        """It is in the log: answer, stop what is to stop, and begin what waited for that."""
        self.basis.durable = True
        ended = self._ended()
        for slots in workers if ended else ():
            slots.withdraw(self.aggregate_id, ended)
        for decided in (*self.rounds, *self.eventless):
            decided.answer()
            if decided.reservation is not None:
                decided.reservation.grant(self.basis)

    def fail(self, fault: BaseException | None = None) -> list[Letter]:
        """The commit failed, or its outcome is unknown. A command that alone caused the failure
        gets the fault. If one of several did, ``alone`` is set, and they are decided one by one.
        Returns the commands that have no answer yet."""
        self.basis.failed = True
        for decided in self.rounds:
            if decided.reservation is not None:
                decided.reservation.give_back()
        all_rounds = (*self.rounds, *self.eventless)
        letters = [le for decided in all_rounds for le in decided.letters if le.unanswered]
        if isinstance(fault, LeaseLost):
            lost = [le for le in letters if le.fence and le.fence.task_id == fault.task_id]
            self.alone = len(lost) > 1  # an old and a new attempt: one of them lost it
            if len(lost) == 1:
                lost[0].fail(fault)
        elif fault is not None and not isinstance(fault, Conflict):
            self.alone = len(letters) > 1 and not isinstance(fault, Transient)
            for letter in letters if not self.alone else ():
                letter.fail(fault)
        return letters

    def append(self) -> Append:
        """What the store has to write."""
        rounds, last = self.rounds, self.last
        events: Sequence[tuple[Any, Metadata]] = last.events
        times: Sequence[float] = ()
        if len(rounds) > 1:
            events = [event for decided in rounds for event in decided.decision.events]
            times = [d.decision.now for d in rounds for _ in d.decision.events]
        queue, leased = self._net_queue()
        fences: dict[Fence, None] = {}
        records: list[CommandRecord] = []
        for decided in rounds:
            decided.add_claims(self.basis, fences, records)
        return Append(
            self.stream_id,
            self.aggregate_id,
            self.version,
            events,
            queue,
            list(fences),
            records,
            last.head,
            last.due_at,
            self.slots.owner if self.slots else None,
            leased,
            last.now,
            self.quiet,
            times,
        )

    def _net_queue(self) -> tuple[Dispatched, frozenset[int]]:
        """What is left of the changes: a task that enters the queue and is settled in the same
        commit was never there."""
        if len(self.rounds) == 1:
            reservation = self.rounds[0].reservation
            return self.last.queue, reservation.leased if reservation else frozenset()
        queue: list[tuple[QueueChange, int] | None] = []
        entered: dict[int, list[int]] = {}  # the places of a task's changes since it entered
        leased: set[int] = set()
        for decided in self.rounds:
            for change, version in decided.decision.queue:
                task_id = change.task_id
                if isinstance(change, Enqueue):
                    entered[task_id] = []
                    if decided.takes(task_id):
                        leased.add(task_id)
                elif isinstance(change, Settle) and task_id in entered:
                    for place in entered.pop(task_id):
                        queue[place] = None
                    leased.discard(task_id)
                    continue
                if task_id in entered:
                    entered[task_id].append(len(queue))
                queue.append((change, version))
        return [change for change in queue if change is not None], frozenset(leased)

    def _ended(self) -> list[int]:
        """Tasks of which an attempt is over or is to stop, and none was begun here since."""
        ended: dict[int, None] = {}
        for decided in self.rounds:
            for change, _ in decided.decision.queue:
                if isinstance(change, Settle | Signal):
                    ended[change.task_id] = None
                elif decided.takes(change.task_id):
                    ended.pop(change.task_id, None)
        return list(ended)
