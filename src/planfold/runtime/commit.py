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
from planfold.handler import Enqueue, Metadata, QueueChange, Signal
from planfold.runtime.letter import Basis, Letter
from planfold.runtime.slots import Reservation, Slots

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
            elif not letter.failed and (letter.patient or not letter.answer.done()):
                letter.answer.set_result(list(answer))


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
        self._decided: list[tuple[Any, Metadata]] = []
        self._times: list[float] = []
        self._fences: dict[Fence, None] = {}
        self._records: list[CommandRecord] = []
        self._queue: list[tuple[QueueChange, int] | None] = []
        self._entered: dict[int, list[int]] = {}  # places of a task's changes since it entered
        self._leased: set[int] = set()
        self._ended: dict[int, None] = {}  # attempts over, or to stop; none began since

    def add(self, decided: Round, *, early: bool) -> None:
        """Add a decision; ``early``: begin what need not wait for the commit."""
        decision, reservation = decided.decision, decided.reservation
        self.rounds.append(decided)
        self.last = decision
        self._decided += decision.events
        self._times += [decision.now] * len(decision.events)
        self.events = len(self._decided)
        self.full = len(self.rounds) >= MOST_ROUNDS or self.events >= MOST_EVENTS
        claims = self._add_claims(decided)
        leaves = self._add_changes(decided)
        self.awaited = self.awaited or self.full or not self.quiet or claims or leaves
        if reservation is None:
            return
        self.slots = reservation.slots
        if reservation.waiting:  # tasks that begin only when it is durable
            self.awaited = True
        if early and not self.full and reservation.early:
            if self.awaited:  # once the commit is on its way: attempts take the event loop's time
                asyncio.get_running_loop().call_soon(reservation.begin, self.basis)
            else:
                reservation.begin(self.basis)

    def _add_claims(self, decided: Round) -> bool:
        """Note what its accepted commands need in the store: the leases of reports, unless this
        commit dispatched the attempt, and the ids of idempotent commands. Returns whether a caller
        waits until it is durable."""
        awaited = False
        for letter, answer in zip(decided.letters, decided.decision.answers, strict=True):
            awaited = awaited or not letter.patient
            if not answer or isinstance(answer, PlanfoldError):
                continue
            if letter.fence is not None and letter.basis is not self.basis:
                self._fences[letter.fence] = None
            if letter.body_hash:
                self._records.append(CommandRecord(letter.command_id, letter.body_hash))
        return awaited

    def _add_changes(self, decided: Round) -> bool:
        """Keep what is left of the changes of the queue: a task that enters it and is settled in
        the same commit was never there. Returns whether another worker waits for one of them."""
        awaited, queue, entered = False, self._queue, self._entered
        taken = decided.reservation.leased if decided.reservation is not None else ()
        for one in decided.decision.queue:
            change = one[0]
            task_id = change.task_id
            if isinstance(change, Enqueue):
                entered[task_id] = []
                if task_id in taken:
                    self._leased.add(task_id)
                    self._ended.pop(task_id, None)
                else:
                    awaited = True
            else:
                self._ended[task_id] = None
                if isinstance(change, Signal):
                    awaited = True
                elif task_id in entered:
                    for place in entered.pop(task_id):
                        queue[place] = None
                    self._leased.discard(task_id)
                    continue
            if task_id in entered:
                entered[task_id].append(len(queue))
            queue.append(one)
        return awaited

    def succeed(self, workers: Sequence[Slots]) -> None:
        """It is in the log: answer, stop what is to stop, and begin what waited for that."""
        self.basis.durable = True
        for slots in workers if self._ended else ():
            slots.withdraw(self.aggregate_id, self._ended)
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
        last = self.last
        return Append(
            self.stream_id,
            self.aggregate_id,
            self.version,
            self._decided,
            [one for one in self._queue if one is not None],
            list(self._fences),
            self._records,
            last.head,
            last.due_at,
            self.slots.owner if self.slots else None,
            frozenset(self._leased),
            last.now,
            self.quiet,
            self._times if len(self.rounds) > 1 else (),
        )
